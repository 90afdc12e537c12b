//! The way to the API server, tuned for one small request at a time.

use std::time::Duration;

use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::client::retry::RetryPolicy;
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, ServiceBuilder};

/// Until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What was sent and is not acknowledged for so long is a broken line. Without it a silent cut is found after a quarter of an hour.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
/// An idle connection is tried after this.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A client by kubeconfig or, in a Pod, by its ServiceAccount. As kube's own, but it sends at once what it has (`TCP_NODELAY`: without it
/// one in fifty messages on an exec stream waits 40 ms for the other side's delayed acknowledgement) and finds silent cuts.
///
/// Answers 429, 503 and 504 are retried, of a POST too: see [`super::create_owned`].
///
/// # Errors
/// When there is no configuration, or it cannot be used.
pub async fn connect() -> kube::Result<Client> {
    let config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    if config.proxy_url.is_some() {
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_keepalive(Some(KEEPALIVE));
    connector.set_keepalive_interval(Some(KEEPALIVE / 3));
    connector.set_keepalive_retries(Some(3));
    connector.set_tcp_user_timeout(Some(SILENCE_TIMEOUT));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .layer(RetryLayer::new(RetryPolicy::server_retry()))
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(HyperClient::builder(TokioExecutor::new()).build(connector));
    Ok(Client::new(service, config.default_namespace))
}
