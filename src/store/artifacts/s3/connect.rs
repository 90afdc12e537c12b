//! Clients of a bucket.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{BackoffConfig, ClientOptions, HeaderValue, RetryConfig};

use super::super::place::S3Place;
use super::answer::said;
use super::{Bucket, Shared};
use crate::StoreError;

const CONNECTS_WITHIN: Duration = Duration::from_secs(5);
/// What one attempt without a large body may take.
const QUICK_ATTEMPT: Duration = Duration::from_secs(10);
/// What one attempt with a large body may take: 256 MiB at 1 MiB/s.
const BULK_ATTEMPT: Duration = Duration::from_secs(256);

/// Three more attempts, half a second apart and more: what S3 asks for where it answers `SlowDown`. Who asked tries again later.
fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { init_backoff: Duration::from_millis(500), max_backoff: Duration::from_secs(4), base: 2.0 },
        max_retries: 3,
        retry_timeout: Duration::from_secs(20),
    }
}

impl Bucket {
    pub(super) fn of(place: &S3Place) -> Result<Bucket, StoreError> {
        let unusable = |why: String| StoreError::Unusable { place: place.to_string(), why };
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // The client would panic.
            return Err(unusable("a bug of Reeve: the process has no crypto provider".to_owned()));
        }
        let first = client(place, QUICK_ATTEMPT, retries()).build().map_err(|error| unusable(said(&error)))?;
        // Keys that are given out for a while are asked for once.
        let credentials = Arc::clone(first.credentials());
        let another = |attempt, retries| -> Result<AmazonS3, StoreError> {
            let builder = client(place, attempt, retries).with_credentials(Arc::clone(&credentials));
            builder.build().map_err(|error| unusable(said(&error)))
        };
        let bulk = another(BULK_ATTEMPT, retries())?;
        let once = another(QUICK_ATTEMPT, RetryConfig { max_retries: 0, ..retries() })?;
        Ok(Bucket(Arc::new(Shared { place: place.to_string(), prefix: place.prefix.clone(), quick: first, bulk, once })))
    }
}

fn client(place: &S3Place, attempt: Duration, retries: RetryConfig) -> AmazonS3Builder {
    let options = ClientOptions::new()
        .with_user_agent(HeaderValue::from_static(concat!("reeve/", env!("CARGO_PKG_VERSION"))))
        .with_connect_timeout(CONNECTS_WITHIN)
        .with_timeout(attempt)
        .with_allow_http(place.plain);
    let builder = AmazonS3Builder::new()
        .with_bucket_name(&place.bucket)
        .with_region(&place.region)
        .with_virtual_hosted_style_request(!place.path_style)
        // One key at a time, which every store knows how to do.
        .with_disable_bulk_delete(true)
        .with_retry(retries)
        .with_client_options(options);
    let builder = place.endpoint.iter().fold(builder, |builder, endpoint| builder.with_endpoint(host_of(place, endpoint)));
    place.credentials.given_to(builder)
}

/// The client takes an endpoint as it is: for a name in the host the name has to be in it.
fn host_of(place: &S3Place, endpoint: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, rest)) if !place.path_style => format!("{scheme}://{}.{rest}", place.bucket),
        Some(_) | None => endpoint.to_owned(),
    }
}
