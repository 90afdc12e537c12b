//! `--artifacts`: where artifacts are kept.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;
use reeve_store::{Artifacts, ArtifactsPlace, S3Options};

use crate::cluster::install_crypto;
use crate::exit::Failure;

/// The variable that says so too.
pub(crate) const VARIABLE: &str = "REEVE_ARTIFACTS";

/// A DIR or an s3:// URL, as it was given. It is taken as any text and read later: what clap says of a value that it does not take quotes
/// it, and who writes keys into a URL would find them there.
#[derive(Clone)]
pub(crate) struct ArtifactsArgument(String);

impl FromStr for ArtifactsArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<ArtifactsArgument, Infallible> {
        Ok(ArtifactsArgument(text.to_owned()))
    }
}

impl fmt::Debug for ArtifactsArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ArtifactsArgument")
    }
}

impl ArtifactsArgument {
    /// What [`VARIABLE`] says, where it says something.
    pub(crate) fn of_environment() -> Option<ArtifactsArgument> {
        std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(ArtifactsArgument)
    }
}

/// How a bucket is reached. Its keys come from the environment, never from a flag.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Artifacts in S3 (s3://BUCKET[/PREFIX]; its keys: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role's)")]
pub(crate) struct S3Arguments {
    /// Where requests go, for what is not AWS's own: https://HOST[:PORT]
    #[arg(long = "artifacts-endpoint", env = "REEVE_ARTIFACTS_ENDPOINT", hide_env_values = true, value_name = "URL")]
    endpoint: Option<EndpointArgument>,
    /// The bucket's region; default AWS_REGION, or us-east-1
    #[arg(long = "artifacts-region", env = "REEVE_ARTIFACTS_REGION", value_name = "REGION")]
    region: Option<String>,
    /// Whether the bucket's name stands in the path, and not in the host's name; default: with an endpoint of your own
    #[arg(long = "artifacts-path-style", env = "REEVE_ARTIFACTS_PATH_STYLE", value_name = "true|false")]
    path_style: Option<bool>,
    /// Take an endpoint that is plain http:// and not on loopback: whoever is on the way can read the artifacts
    #[arg(long = "artifacts-allow-http", env = "REEVE_ARTIFACTS_ALLOW_HTTP", value_parser = FalseyValueParser::new())]
    allow_http: bool,
}

/// Taken as any text, as [`ArtifactsArgument`] is.
#[derive(Clone)]
struct EndpointArgument(String);

impl FromStr for EndpointArgument {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<EndpointArgument, Infallible> {
        Ok(EndpointArgument(text.to_owned()))
    }
}

impl fmt::Debug for EndpointArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EndpointArgument")
    }
}

impl S3Arguments {
    /// Where `given` says, or else the folder.
    pub(crate) fn place(&self, given: Option<&ArtifactsArgument>, folder: &Path) -> Result<ArtifactsPlace, Failure> {
        let Some(given) = given.filter(|given| !given.0.is_empty()) else { return Ok(ArtifactsPlace::Folder(folder.to_owned())) };
        let options = S3Options {
            endpoint: self.endpoint.as_ref().map(|endpoint| endpoint.0.clone()),
            region: self.region.clone(),
            path_style: self.path_style,
            allow_http: self.allow_http,
        };
        ArtifactsPlace::read(&given.0, &options, |name| std::env::var(name).ok())
            .map_err(|error| Failure::unusable(format!("--artifacts: {error}")))
    }
}

/// Opens it to read, and changes nothing.
pub(crate) async fn open_read_only(place: &ArtifactsPlace) -> Result<Artifacts, Failure> {
    if matches!(place, ArtifactsPlace::S3(_)) {
        install_crypto();
    }
    Artifacts::open_read_only_at(place).await.map_err(Failure::unusable)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_was_given_is_in_no_error_and_in_nothing_that_is_shown() {
        let endpoint = Some(EndpointArgument("https://me:hunter2@host".to_owned()));
        let arguments = S3Arguments { endpoint, region: None, path_style: None, allow_http: false };
        for given in ["s3://key:hunter2@bucket", "gs://hunter2", "s3://bucket"] {
            let argument: ArtifactsArgument = given.parse().unwrap();
            let refused = arguments.place(Some(&argument), Path::new("/data")).unwrap_err();
            let shown = format!("{refused:?} {argument:?} {arguments:?}");
            assert!(shown.contains("--artifacts: expected a folder, or s3://") && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn without_it_artifacts_are_in_a_folder() {
        let arguments = S3Arguments { endpoint: None, region: None, path_style: None, allow_http: false };
        let folder = ArtifactsPlace::Folder("/data/artifacts".into());
        assert_eq!(arguments.place(None, Path::new("/data/artifacts")), Ok(folder.clone()));
        assert_eq!(arguments.place(Some(&ArtifactsArgument(String::new())), Path::new("/data/artifacts")), Ok(folder));
    }
}
