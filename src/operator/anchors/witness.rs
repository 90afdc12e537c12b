//! Somebody outside who keeps roots: each is posted to a URL, and nothing waits for the answer.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use reeve_core::journal::PostedRoot;
use reqwest::{Client, Url};
use tokio::sync::mpsc;

use crate::telemetry::{AnchorFailed, Event as _};

/// Roots that wait to be posted. A witness that is away longer misses some; the proofs of later ones span the gap.
const WAITING: usize = 64;
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a witness listens. Shown without user, path and query, which may hold what proves who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessUrl(Url);

impl FromStr for WitnessUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<WitnessUrl, String> {
        let url: Url = text.parse().map_err(|error| format!("expected a URL, such as https://witness.example/reeve: {error}"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err("expected a URL that begins with https:// or http://".to_owned());
        }
        Ok(WitnessUrl(url))
    }
}

impl WitnessUrl {
    /// What of it may prove who we are, and must not be shown anywhere: user and password, and what follows the host.
    pub(crate) fn secrets(&self) -> Vec<&str> {
        let behind = self.0.as_str().split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at + 1..)));
        let query =
            self.0.query().into_iter().flat_map(|query| query.split('&').filter_map(|one| one.split_once('=')).map(|(_, value)| value));
        [self.0.username()].into_iter().chain(self.0.password()).chain(behind).chain(query).filter(|part| !part.is_empty()).collect()
    }
}

impl fmt::Display for WitnessUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for WitnessUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Tells a witness of roots.
pub(super) struct Witness(mpsc::Sender<PostedRoot>);

impl Witness {
    /// Starts telling. It ends when the value is dropped.
    pub(super) fn start(url: WitnessUrl) -> Result<Witness, String> {
        let client = Client::builder()
            .user_agent(concat!("reeve/", env!("CARGO_PKG_VERSION")))
            .timeout(PATIENCE)
            // A redirect would send what is in the URL to a server that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| format!("no client for the witness {url}: {}", error.without_url()))?;
        let (sender, mut waiting) = mpsc::channel::<PostedRoot>(WAITING);
        tokio::spawn(async move {
            while let Some(root) = waiting.recv().await {
                if let Err(why) = post(&client, &url, &root).await {
                    AnchorFailed { to: "witness", error: &format!("{url}: root of {} heads: {why}", root.size) }.emit();
                }
            }
        });
        Ok(Witness(sender))
    }

    /// Has the root posted. Never waits: one too many is counted as failed.
    pub(super) fn tell(&self, root: PostedRoot) {
        if self.0.try_send(root).is_err() {
            AnchorFailed { to: "witness", error: "it does not keep up, so it was not told of a root" }.emit();
        }
    }
}

async fn post(client: &Client, url: &WitnessUrl, root: &PostedRoot) -> Result<(), String> {
    let answer = client.post(url.0.clone()).json(root).send().await.map_err(|error| error.without_url().to_string())?;
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn the_url_of_a_witness_is_shown_without_what_may_be_secret() {
        let url: WitnessUrl = "https://user:hunter2@witness.example/hooks/hunter2?token=hunter2".parse().unwrap();
        assert_eq!((url.to_string(), format!("{url:?}")), ("https://witness.example".to_owned(), "https://witness.example".to_owned()));
        assert_eq!(url.secrets(), ["user", "hunter2", "hooks/hunter2?token=hunter2", "hunter2"]);
        for bad in ["", "witness.example", "ftp://witness.example", "file:///etc/passwd"] {
            assert!(bad.parse::<WitnessUrl>().is_err(), "{bad}");
        }
    }
}
