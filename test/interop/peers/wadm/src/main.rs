//! wadm with the flags and environment of the released program.

use clap::Parser as _;
use wadm::{config::WadmConfig, start_wadm};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = WadmConfig::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let mut tasks = start_wadm(config).await?;
    tokio::select! {
        ended = tasks.join_next() => match ended {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(()),
        },
        stopped = tokio::signal::ctrl_c() => Ok(stopped?),
    }
}
