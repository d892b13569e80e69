//! What the agent's memory and start are held against: a plain kube-rs reflector that keeps whole
//! Services and EndpointSlices. Its argument is a kubeconfig; it says `complete` with the
//! milliseconds that took, and goes on.

use std::{future, path::PathBuf, time::Instant};

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, future::join};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, Config, Resource,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{reflector, watcher},
};
use serde::de::DeserializeOwned;

#[tokio::main]
async fn main() -> Result<()> {
    let started = Instant::now();
    let path: PathBuf = std::env::args_os().nth(1).context("which kubeconfig?")?.into();
    let kubeconfig = Kubeconfig::read_from(path)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    let (services, keep_services) = follow::<Service>(client.clone());
    let (slices, keep_slices) = follow::<EndpointSlice>(client);
    let say = async {
        let complete = join(services.wait_until_ready(), slices.wait_until_ready()).await;
        let counts = (services.state().len(), slices.state().len());
        println!("complete after {} ms: {counts:?} {complete:?}", started.elapsed().as_millis());
        future::pending::<()>().await;
    };
    join(say, join(keep_services, keep_slices)).await;
    Ok(())
}

/// A store of all objects of a kind, and what keeps it in step.
fn follow<K>(client: Client) -> (reflector::Store<K>, impl Future<Output = ()>)
where
    K: Resource<DynamicType = ()>
        + DeserializeOwned
        + Clone
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(Api::all(client), watcher::Config::default().streaming_lists());
    (store, reflector(writer, events).for_each(|_| future::ready(())))
}
