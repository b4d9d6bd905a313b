//! A wasmCloud 1.9 host with the flags and environment of the released program, as far as the interop tests use them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{bail, Context as _};
use clap::Parser;
use nkeys::KeyPair;
use tokio::signal::unix::{signal, SignalKind};
use tokio::time::{timeout, timeout_at};
use wasmcloud_host::oci::Config as OciConfig;
use wasmcloud_host::url::Url;
use wasmcloud_host::wasmbus::host_config::PolicyService;
use wasmcloud_host::wasmbus::Features;
use wasmcloud_host::WasmbusHostConfig;

/// What the released program allows itself when nobody says how long a stop may take.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Parser)]
#[clap(name = "wasmcloud", version)]
struct Args {
    #[clap(long, default_value = "127.0.0.1", env = "WASMCLOUD_NATS_HOST")]
    nats_host: String,
    #[clap(long, default_value_t = 4222, env = "WASMCLOUD_NATS_PORT")]
    nats_port: u16,
    #[clap(long, env = "WASMCLOUD_CTL_HOST")]
    ctl_host: Option<String>,
    #[clap(long, env = "WASMCLOUD_CTL_PORT")]
    ctl_port: Option<u16>,
    #[clap(long, env = "WASMCLOUD_RPC_HOST")]
    rpc_host: Option<String>,
    #[clap(long, env = "WASMCLOUD_RPC_PORT")]
    rpc_port: Option<u16>,
    #[clap(long, env = "WASMCLOUD_CTL_CREDS")]
    ctl_creds: Option<PathBuf>,
    #[clap(long, env = "WASMCLOUD_RPC_CREDS")]
    rpc_creds: Option<PathBuf>,
    #[clap(long, default_value = "wasmbus.ctl", env = "WASMCLOUD_CTL_TOPIC_PREFIX")]
    ctl_topic_prefix: String,
    #[clap(short = 'x', long, default_value = "default", env = "WASMCLOUD_LATTICE")]
    lattice: String,
    #[clap(long, env = "WASMCLOUD_HOST_SEED")]
    host_seed: Option<String>,
    #[clap(long, env = "WASMCLOUD_JS_DOMAIN")]
    js_domain: Option<String>,
    #[clap(long, default_value_t = 2000, env = "WASMCLOUD_RPC_TIMEOUT_MS")]
    rpc_timeout_ms: u64,
    #[clap(long, env = "WASMCLOUD_ALLOW_FILE_LOAD")]
    allow_file_load: bool,
    #[clap(long, env = "WASMCLOUD_OCI_ALLOW_LATEST")]
    allow_latest: bool,
    #[clap(long, env = "WASMCLOUD_OCI_ALLOWED_INSECURE", value_delimiter = ',')]
    allowed_insecure: Vec<String>,
    #[clap(short = 'l', long = "label")]
    labels: Vec<String>,
    #[clap(long, env = "WASMCLOUD_POLICY_TOPIC")]
    policy_topic: Option<String>,
    #[clap(long, env = "WASMCLOUD_SECRETS_TOPIC")]
    secrets_topic: Option<String>,
    #[clap(long, env = "WASMCLOUD_HEARTBEAT_INTERVAL")]
    heartbeat_interval_seconds: Option<u64>,
    #[clap(long, env = "WASMCLOUD_HTTP_ADMIN")]
    http_admin: Option<SocketAddr>,
    #[clap(long = "feature", env = "WASMCLOUD_EXPERIMENTAL_FEATURES", value_delimiter = ',')]
    features: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let (ctl_jwt, ctl_key) = credentials(args.ctl_creds.as_deref())?;
    let (rpc_jwt, rpc_key) = credentials(args.rpc_creds.as_deref())?;
    let (host, shutdown) = Box::pin(wasmcloud_host::WasmbusHost::new(WasmbusHostConfig {
        ctl_nats_url: server(args.ctl_host.as_ref().unwrap_or(&args.nats_host), args.ctl_port.unwrap_or(args.nats_port))?,
        ctl_jwt,
        ctl_key,
        ctl_topic_prefix: args.ctl_topic_prefix,
        rpc_nats_url: server(args.rpc_host.as_ref().unwrap_or(&args.nats_host), args.rpc_port.unwrap_or(args.nats_port))?,
        rpc_jwt,
        rpc_key,
        rpc_timeout: Duration::from_millis(args.rpc_timeout_ms),
        lattice: Arc::from(args.lattice),
        host_key: args.host_seed.as_deref().map(KeyPair::from_seed).transpose().context("the host's seed is none")?.map(Arc::new),
        js_domain: args.js_domain,
        labels: labels(&args.labels)?,
        provider_shutdown_delay: Some(Duration::from_millis(300)),
        oci_opts: OciConfig { allow_latest: args.allow_latest, allowed_insecure: args.allowed_insecure, ..OciConfig::default() },
        allow_file_load: args.allow_file_load,
        policy_service_config: PolicyService { policy_topic: args.policy_topic, ..PolicyService::default() },
        secrets_topic_prefix: args.secrets_topic,
        version: env!("CARGO_PKG_VERSION").to_string(),
        max_linear_memory: 256 * 1024 * 1024,
        max_component_size: 50 * 1024 * 1024,
        heartbeat_interval: args.heartbeat_interval_seconds.map(Duration::from_secs),
        http_admin: args.http_admin,
        experimental_features: args.features.iter().map(|name| Features::from(name.as_str())).sum(),
        ..WasmbusHostConfig::default()
    }))
    .await
    .context("failed to initialize host")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let deadline = tokio::select! {
        interrupted = tokio::signal::ctrl_c() => { interrupted?; None }
        _ = terminate.recv() => None,
        deadline = host.stopped() => deadline?,
    };
    drop(host);
    match deadline {
        Some(deadline) => timeout_at(deadline, shutdown).await,
        None => timeout(SHUTDOWN_TIMEOUT, shutdown).await,
    }
    .context("host shutdown timed out")?
    .context("failed to shutdown host")
}

fn server(host: &str, port: u16) -> anyhow::Result<Url> {
    Url::parse(&format!("nats://{host}:{port}")).context("no NATS address")
}

fn labels(pairs: &[String]) -> anyhow::Result<HashMap<String, String>> {
    let given = pairs.iter().map(|pair| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => bail!("invalid label format `{pair}`. Expected `key=value`"),
    });
    let from_environment = std::env::vars()
        .filter_map(|(name, value)| name.strip_prefix("WASMCLOUD_LABEL_").map(|key| Ok((key.to_string(), value))));
    from_environment.chain(given).collect()
}

type Login = (Option<String>, Option<Arc<KeyPair>>);

/// The user JWT and key of a credentials file; both or neither.
fn credentials(path: Option<&std::path::Path>) -> anyhow::Result<Login> {
    let Some(path) = path else { return Ok((None, None)) };
    let text = std::fs::read_to_string(path).context("the credentials file cannot be read")?;
    let part = |kind: &str| {
        let after = text.split_once(&format!("-----BEGIN {kind}-----"))?.1;
        Some(after.split_once("------END")?.0.trim().to_string())
    };
    let jwt = part("NATS USER JWT").context("the credentials file has no JWT")?;
    let seed = part("USER NKEY SEED").context("the credentials file has no seed")?;
    Ok((Some(jwt), Some(Arc::new(KeyPair::from_seed(&seed).context("the credentials file has no usable seed")?))))
}
