//! A simulated S3 on loopback, in which an operator keeps its artifacts.

#[path = "../../src/store/tests/store/bucket/mod.rs"]
mod fake;

use std::time::Duration;

use axum::http::Method;

use fake::{BUCKET, FakeS3, Fault};

/// The simulation. It ends with the test's runtime, and not with an operator.
pub struct Bucket(FakeS3);

impl Bucket {
    /// One without an artifact.
    pub async fn start() -> Bucket {
        Bucket(FakeS3::start().await)
    }

    /// What `--artifacts` takes.
    pub fn url(&self) -> String {
        format!("s3://{BUCKET}/e2e")
    }

    /// The endpoint, and keys that are right: what an operator or `reeve` has in its environment. The artifacts' own URL is not in it.
    pub fn environment(&self) -> Vec<(String, String)> {
        let keys = FakeS3::environment("operator").into_iter().map(|(name, value)| (name.to_owned(), value));
        keys.chain([("REEVE_ARTIFACTS_ENDPOINT".to_owned(), self.0.url.clone())]).collect()
    }

    /// The same for an operator: with the URL.
    pub fn environment_of_an_operator(&self) -> Vec<(String, String)> {
        let url = ("REEVE_ARTIFACTS".to_owned(), self.url());
        self.environment().into_iter().chain([url]).collect()
    }

    /// What no log may show.
    pub fn secret(&self) -> &'static str {
        fake::SECRET
    }

    /// All keys, below the prefix.
    pub fn keys(&self) -> Vec<String> {
        self.0.keys().iter().filter_map(|key| key.strip_prefix("e2e/").map(str::to_owned)).collect()
    }

    /// Takes an object away.
    pub fn loses(&self, key: &str) {
        self.0.remove(&format!("e2e/{key}"));
    }

    /// Refuses every write of an artifact, as a bucket does whose policy was changed.
    pub fn refuses_writes(&self) {
        self.0.fails(Method::PUT, "e2e/", Fault::Fails(403, "AccessDenied"), usize::MAX);
    }

    /// Answers as it should again.
    pub fn works(&self) {
        self.0.works();
    }

    /// Makes all that is there so many days older.
    pub fn ages(&self, days: u64) {
        self.0.age("", Duration::from_hours(24 * days));
    }
}
