//! A key-value provider in memory: what the lattice sees of it is made by wasmCloud's provider SDK and by wit-bindgen-wrpc.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::Context as _;
use bytes::Bytes;
use wasmcloud_provider_sdk::{get_connection, initialize_observability, run_provider, serve_provider_exports, Context, Provider};

use bindings::exports::wrpc::keyvalue::{atomics, batch, store};

mod bindings {
    wit_bindgen_wrpc::generate!({ path: "../../../fixtures/guests/shelf/wit", world: "shelf", generate_all });
}

type Cx = Option<Context>;
type Buckets = HashMap<String, BTreeMap<String, Bytes>>;
type Answer<T> = anyhow::Result<Result<T, store::Error>>;

const KEYS_AT_ONCE: usize = 2;

#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<Buckets>>);

impl InMemory {
    /// No bucket is there before something is in it. The bucket `closed` may not be used.
    fn open(&self, bucket: &str) -> Result<MutexGuard<'_, Buckets>, store::Error> {
        if bucket == "closed" {
            return Err(store::Error::AccessDenied);
        }
        self.0.lock().map_err(|_| store::Error::Other("the store is broken".into()))
    }

    fn read<T>(&self, bucket: &str, read: impl FnOnce(&BTreeMap<String, Bytes>) -> T) -> Answer<T> {
        Ok(self.open(bucket).and_then(|buckets| buckets.get(bucket).map(read).ok_or(store::Error::NoSuchStore)))
    }

    fn change<T>(&self, bucket: String, change: impl FnOnce(&mut BTreeMap<String, Bytes>) -> T) -> Answer<T> {
        Ok(self.open(&bucket).map(|mut buckets| change(buckets.entry(bucket).or_default())))
    }
}

impl Provider for InMemory {}

impl store::Handler<Cx> for InMemory {
    async fn get(&self, _: Cx, bucket: String, key: String) -> Answer<Option<Bytes>> {
        self.read(&bucket, |keys| keys.get(&key).cloned())
    }
    async fn set(&self, _: Cx, bucket: String, key: String, value: Bytes) -> Answer<()> {
        self.change(bucket, |keys| drop(keys.insert(key, value)))
    }
    async fn delete(&self, _: Cx, bucket: String, key: String) -> Answer<()> {
        self.change(bucket, |keys| drop(keys.remove(&key)))
    }
    async fn exists(&self, _: Cx, bucket: String, key: String) -> Answer<bool> {
        self.read(&bucket, |keys| keys.contains_key(&key))
    }
    async fn list_keys(&self, _: Cx, bucket: String, cursor: Option<u64>) -> Answer<store::KeyResponse> {
        let from = cursor.unwrap_or_default() as usize;
        self.read(&bucket, |keys| store::KeyResponse {
            keys: keys.keys().skip(from).take(KEYS_AT_ONCE).cloned().collect(),
            cursor: (from + KEYS_AT_ONCE < keys.len()).then_some((from + KEYS_AT_ONCE) as u64),
        })
    }
}

impl atomics::Handler<Cx> for InMemory {
    async fn increment(&self, _: Cx, bucket: String, key: String, delta: u64) -> Answer<u64> {
        let counted = self.change(bucket, |keys| {
            let held = keys.get(&key).map_or(Some(0), |value| std::str::from_utf8(value).ok()?.parse::<u64>().ok())?;
            let sum = held.checked_add(delta)?;
            keys.insert(key, sum.to_string().into());
            Some(sum)
        })?;
        Ok(counted.and_then(|sum| sum.ok_or_else(|| store::Error::Other("no number".into()))))
    }
}

impl batch::Handler<Cx> for InMemory {
    async fn get_many(&self, _: Cx, bucket: String, keys: Vec<String>) -> Answer<Vec<Option<(String, Bytes)>>> {
        self.read(&bucket, |held| keys.into_iter().map(|key| held.get(&key).cloned().map(|value| (key, value))).collect())
    }
    async fn set_many(&self, _: Cx, bucket: String, pairs: Vec<(String, Bytes)>) -> Answer<()> {
        self.change(bucket, |held| held.extend(pairs))
    }
    async fn delete_many(&self, _: Cx, bucket: String, keys: Vec<String>) -> Answer<()> {
        self.change(bucket, |held| held.retain(|key, _| !keys.contains(key)))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    initialize_observability!("keyvalue", std::env::var_os("PROVIDER_KEYVALUE_FLAMEGRAPH_PATH"));
    let provider = InMemory::default();
    let shutdown = run_provider(provider.clone(), "keyvalue").await.context("failed to run")?;
    let connection = get_connection();
    let wrpc = connection.get_wrpc_client(connection.provider_key()).await?;
    serve_provider_exports(&wrpc, provider, shutdown, bindings::serve).await
}
