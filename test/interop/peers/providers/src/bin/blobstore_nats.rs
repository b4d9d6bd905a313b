#[tokio::main]
async fn main() -> anyhow::Result<()> {
    wasmcloud_provider_blobstore_nats::NatsBlobstoreProvider::run().await
}
