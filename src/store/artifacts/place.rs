//! Where artifacts are kept, as people write it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::credentials::Credentials;

/// Region where none is said. What speaks S3's protocol elsewhere than at AWS takes it for its own, too.
const DEFAULT_REGION: &str = "us-east-1";

/// Longest prefix, bytes: a key may have 1,024, and below a prefix a key has at most 200 more.
const MAX_PREFIX_BYTES: usize = 512;

/// Where artifacts are kept: a folder, or a bucket of S3 or of what speaks its protocol.
///
/// Shows itself without its credentials, however it is printed.
#[derive(Clone, PartialEq, Eq)]
pub enum ArtifactsPlace {
    /// A folder. Operators that share it must see the same file system.
    Folder(PathBuf),
    /// A bucket, or what is in it below a prefix.
    S3(Box<S3Place>),
}

/// A bucket, with how it is reached and by whom.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Place {
    pub(super) bucket: String,
    /// Parts with `/` between them; empty for the whole bucket.
    pub(super) prefix: String,
    /// Without a `/` at its end; None for AWS's own.
    pub(super) endpoint: Option<String>,
    pub(super) region: String,
    /// The bucket's name is the first part of the path, and not of the host's name.
    pub(super) path_style: bool,
    /// The endpoint is plain HTTP.
    pub(super) plain: bool,
    pub(super) credentials: Credentials,
}

/// How a bucket is reached, as flags say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S3Options {
    /// `https://HOST[:PORT]`; None for AWS's own, by the region.
    pub endpoint: Option<String>,
    /// None for `AWS_REGION` of the environment, or else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket's name stands in the path instead of the host's name; None for yes with an endpoint, or with a dot in the name.
    pub path_style: Option<bool>,
    /// Whether an endpoint that is not on loopback may be plain HTTP, where whoever is on the way reads and changes what is sent.
    pub allow_http: bool,
}

/// Why a text is no [`ArtifactsPlace`]. It repeats nothing of a URL or of the environment: what is in it could be a key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a folder, or s3://BUCKET[/PREFIX]: {why}")]
pub struct InvalidArtifactsPlace {
    pub(super) why: String,
}

impl InvalidArtifactsPlace {
    pub(super) fn because(why: impl Into<String>) -> InvalidArtifactsPlace {
        InvalidArtifactsPlace { why: why.into() }
    }
}

impl ArtifactsPlace {
    /// Reads a folder's path, or `s3://BUCKET[/PREFIX]`, which is then reached as `options` say.
    ///
    /// The keys to a bucket come from `environment`, by the names that AWS's own programs know: `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; or `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`; or
    /// `AWS_CONTAINER_CREDENTIALS_FULL_URI` and `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`. The machine's own role is never taken.
    ///
    /// # Errors
    /// [`InvalidArtifactsPlace`] for another URL, for an option that does not fit, and where there are no keys. For a folder the options are
    /// not looked at.
    pub fn read(
        text: &str,
        options: &S3Options,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<ArtifactsPlace, InvalidArtifactsPlace> {
        match text.split_once("://") {
            Some(("s3", rest)) => Ok(ArtifactsPlace::S3(Box::new(S3Place::read(rest, options, environment)?))),
            Some(_) => Err(InvalidArtifactsPlace::because("it is a URL of something else")),
            None if text.is_empty() => Err(InvalidArtifactsPlace::because("it is empty")),
            None => Ok(ArtifactsPlace::Folder(PathBuf::from(text))),
        }
    }
}

impl S3Place {
    fn read(rest: &str, options: &S3Options, environment: impl Fn(&str) -> Option<String>) -> Result<S3Place, InvalidArtifactsPlace> {
        let said = |name: &str| environment(name).filter(|value| !value.is_empty());
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = bucket_name(bucket)?;
        let prefix = prefix_of(prefix.trim_end_matches('/'))?;
        let region = options.region.clone().filter(|region| !region.is_empty());
        let region = region.or_else(|| said("AWS_REGION")).unwrap_or_else(|| DEFAULT_REGION.to_owned());
        if !region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
            return Err(InvalidArtifactsPlace::because("a region has small letters, digits and `-`, such as eu-central-1"));
        }
        let given = options.endpoint.as_deref().filter(|endpoint| !endpoint.is_empty());
        let endpoint = given.map(|endpoint| Endpoint::read(endpoint, options.allow_http)).transpose()?;
        let path_style = options.path_style.unwrap_or(endpoint.is_some() || bucket.contains('.'));
        let plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.plain);
        let credentials = Credentials::of(said)?;
        Ok(S3Place { bucket, prefix, endpoint: endpoint.map(|endpoint| endpoint.text), region, path_style, plain, credentials })
    }
}

/// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
fn bucket_name(name: &str) -> Result<String, InvalidArtifactsPlace> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let ends = bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
    if ends && (3..=63).contains(&bytes.len()) && bytes.iter().all(|byte| plain(*byte) || matches!(byte, b'-' | b'.')) {
        return Ok(name.to_owned());
    }
    Err(InvalidArtifactsPlace::because(
        "a bucket's name has 3 to 63 small letters, digits, `-` and `.`, and begins and ends with one of the first two",
    ))
}

fn prefix_of(prefix: &str) -> Result<String, InvalidArtifactsPlace> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let part = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(fits);
    if prefix.is_empty() || (prefix.len() <= MAX_PREFIX_BYTES && prefix.split('/').all(part)) {
        return Ok(prefix.to_owned());
    }
    Err(InvalidArtifactsPlace::because(format!(
        "a prefix has parts of letters, digits, `-`, `_` and `.`, with `/` between them, and at most {MAX_PREFIX_BYTES} bytes"
    )))
}

/// Where requests go.
struct Endpoint {
    text: String,
    plain: bool,
}

impl Endpoint {
    fn read(text: &str, allow_http: bool) -> Result<Endpoint, InvalidArtifactsPlace> {
        let invalid = |why: &str| Err(InvalidArtifactsPlace::because(format!("its endpoint {why}")));
        let text = text.trim_end_matches('/');
        let (plain, rest) = match text.split_once("://") {
            Some(("https", rest)) => (false, rest),
            Some(("http", rest)) => (true, rest),
            Some(_) | None => return invalid("has the form https://HOST[:PORT]"),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'[' | b']')) {
            // A user and a password would stand in it, or what the protocol says by itself.
            return invalid("has a host, perhaps a port and a path, and nothing else");
        }
        let authority = rest.split('/').next().unwrap_or_default();
        let Some(host) = host_of(authority) else { return invalid("has the form https://HOST[:PORT]") };
        let on_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if plain && !on_loopback && !allow_http {
            return invalid(
                "is plain http:// and not on loopback: whoever is on the way could read the artifacts and change what is listed. \
                 Take https://, or allow it with --artifacts-allow-http",
            );
        }
        Ok(Endpoint { text: text.to_owned(), plain })
    }
}

/// The host of `HOST[:PORT]`, of an IPv6 address what is between its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (!host.is_empty() && port_fits).then_some(host)
}

impl fmt::Display for S3Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}", self.bucket)?;
        if !self.prefix.is_empty() {
            write!(formatter, "/{}", self.prefix)?;
        }
        match &self.endpoint {
            Some(endpoint) => write!(formatter, " at {endpoint}"),
            None => write!(formatter, " in {}", self.region),
        }
    }
}

impl fmt::Debug for S3Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for ArtifactsPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArtifactsPlace::Folder(path) => path.display().fmt(formatter),
            ArtifactsPlace::S3(place) => place.fmt(formatter),
        }
    }
}

impl fmt::Debug for ArtifactsPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const CANARY: &str = "hunter2";

    fn keys(name: &str) -> Option<String> {
        match name {
            "AWS_ACCESS_KEY_ID" => Some("AKIA-of-hunter2".to_owned()),
            "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some(CANARY.to_owned()),
            _ => None,
        }
    }

    fn at(endpoint: &str) -> S3Options {
        S3Options { endpoint: Some(endpoint.to_owned()), ..S3Options::default() }
    }

    #[test]
    fn a_folder_or_a_bucket_is_read_and_shown_without_its_keys() {
        let none = |_: &str| None;
        let folder = ArtifactsPlace::read("/var/lib/reeve/artifacts", &at("no endpoint"), none).unwrap();
        assert_eq!(folder, ArtifactsPlace::Folder(PathBuf::from("/var/lib/reeve/artifacts")));
        for (text, options, shown) in [
            ("s3://team-artifacts", S3Options::default(), "s3://team-artifacts in us-east-1"),
            ("s3://team-artifacts/reeve/prod/", S3Options::default(), "s3://team-artifacts/reeve/prod in us-east-1"),
            ("s3://b00/p", at("https://minio.storage:9000/"), "s3://b00/p at https://minio.storage:9000"),
            ("s3://b00", at("http://127.0.0.1:9000"), "s3://b00 at http://127.0.0.1:9000"),
            ("s3://b00", at("http://[::1]:9000"), "s3://b00 at http://[::1]:9000"),
            ("s3://b00", S3Options { allow_http: true, ..at("http://minio:9000") }, "s3://b00 at http://minio:9000"),
        ] {
            let place = ArtifactsPlace::read(text, &options, keys).unwrap();
            assert_eq!(place.to_string(), shown);
            assert!(!format!("{place:?} {place:#?}").contains(CANARY));
        }
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_of_it_repeated() {
        for (text, options, why) in [
            ("", S3Options::default(), "it is empty"),
            ("gs://hunter2", S3Options::default(), "URL of something else"),
            ("s3://", S3Options::default(), "bucket's name has"),
            ("s3://AKIA:hunter2@bucket", S3Options::default(), "bucket's name has"),
            ("s3://bucket/hunter2?x=y", S3Options::default(), "a prefix has"),
            ("s3://bucket/../hunter2", S3Options::default(), "a prefix has"),
            ("s3://bucket//hunter2", S3Options::default(), "a prefix has"),
            ("s3://bucket", at("hunter2"), "https://HOST[:PORT]"),
            ("s3://bucket", at("https://me:hunter2@host"), "nothing else"),
            ("s3://bucket", at("https://host:hunter2"), "https://HOST[:PORT]"),
            ("s3://bucket", at("https://host/?hunter2"), "nothing else"),
            ("s3://bucket", at("http://hunter2"), "not on loopback"),
            ("s3://bucket", at("http://127.0.0.1.hunter2.example"), "not on loopback"),
            ("s3://bucket", S3Options { region: Some("hunter2 ".to_owned()), ..S3Options::default() }, "a region has"),
        ] {
            let refused = ArtifactsPlace::read(text, &options, keys).unwrap_err();
            let shown = format!("{refused} {refused:?}");
            assert!(shown.contains(why) && !shown.contains(CANARY), "{text} {options:?}: {shown}");
        }
    }
}
