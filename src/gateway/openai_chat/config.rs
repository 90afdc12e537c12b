//! What a server's entry says, checked before the first request.

use std::fmt;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;

use crate::Secret;

/// Longer base URLs are no addresses of servers.
const MAX_URL_BYTES: usize = 2_048;
/// More retries than this only lengthen an outage; the schedule has then waited for more than a minute.
const MAX_RETRIES: u32 = 10;

/// How to reach an OpenAI-compatible server.
#[derive(Clone)]
pub struct OpenAiChatConfig {
    /// What stands before `/chat/completions`, such as `https://api.openai.com/v1`. `http` or `https`; no credentials, query or fragment.
    /// With `http` the key travels in clear: for servers inside the cluster only.
    pub base_url: String,
    /// Sent as bearer token. None for servers that ask for none.
    pub api_key: Option<Secret>,
    /// The longest time for one attempt, from connecting to the last byte. Must not be zero.
    pub timeout: Duration,
    /// Attempts after the first, at most 10.
    pub max_retries: u32,
    /// What the server calls the token limit.
    pub max_tokens_field: MaxTokensField,
}

impl OpenAiChatConfig {
    /// The defaults of OpenAI's own client: 600 s an attempt, two retries, `max_completion_tokens`; no key.
    pub fn new(base_url: impl Into<String>) -> OpenAiChatConfig {
        OpenAiChatConfig {
            base_url: base_url.into(),
            api_key: None,
            timeout: Duration::from_secs(600),
            max_retries: 2,
            max_tokens_field: MaxTokensField::default(),
        }
    }
}

impl fmt::Debug for OpenAiChatConfig {
    /// Shows the URL only when it is a valid one: an invalid one may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChatConfig")
            .field("base_url", &endpoint(&self.base_url).as_ref().map(Url::as_str).unwrap_or("invalid"))
            .field("api_key", &self.api_key)
            .field("timeout", &self.timeout)
            .field("max_retries", &self.max_retries)
            .field("max_tokens_field", &self.max_tokens_field)
            .finish()
    }
}

/// The field of the request that bounds the answer.
///
/// OpenAI's reasoning models refuse `max_tokens`; many compatible servers ignore `max_completion_tokens`, and an unknown field is no
/// error to them: the answer would be unbounded. So the server's entry has to say which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_completion_tokens`: OpenAI, Azure, vLLM from 0.6.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`: Ollama, llama.cpp, older servers.
    MaxTokens,
}

impl MaxTokensField {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            MaxTokensField::MaxCompletionTokens => "max_completion_tokens",
            MaxTokensField::MaxTokens => "max_tokens",
        }
    }
}

/// Why a server's entry cannot be used. No variant repeats the URL or the key: a mistake in either may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL.
    #[error("base URL: expected something like https://api.openai.com/v1, found {found}; {remedy}")]
    BaseUrl {
        /// What is wrong with it.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The key.
    #[error("API key: expected visible ASCII characters, found {found}; copy the key into its Secret again, or name no Secret")]
    ApiKey {
        /// What is wrong with it.
        found: &'static str,
    },
    /// A number.
    #[error("{field}: expected {expected}, found {found}")]
    OutOfRange {
        /// Which number.
        field: &'static str,
        /// Its range.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// The process has no TLS.
    #[error(
        "TLS: expected rustls' CryptoProvider to be installed, found none; call rustls::crypto::ring::default_provider().install_default() first"
    )]
    NoCryptoProvider,
    /// The HTTP client could not be built.
    #[error("HTTP client: {reason}; does the image hold CA certificates (/etc/ssl/certs, or SSL_CERT_FILE)?")]
    Client {
        /// In the words of the client.
        reason: String,
    },
}

/// Checks the numbers.
pub(super) fn check_numbers(config: &OpenAiChatConfig) -> Result<(), ConfigError> {
    if config.timeout.is_zero() {
        return Err(ConfigError::OutOfRange { field: "timeout", expected: "more than zero", found: "0".to_owned() });
    }
    if config.max_retries > MAX_RETRIES {
        let found = config.max_retries.to_string();
        return Err(ConfigError::OutOfRange { field: "max retries", expected: "0 to 10", found });
    }
    Ok(())
}

/// The URL that requests go to.
pub(super) fn endpoint(base_url: &str) -> Result<Url, ConfigError> {
    let refuse = |found: &str, remedy: &'static str| ConfigError::BaseUrl { found: found.to_owned(), remedy };
    if base_url.len() > MAX_URL_BYTES {
        return Err(refuse("more than 2048 bytes", "give scheme, host and path only"));
    }
    // The parser mends these in silence; a URL that needs mending is not what its author meant.
    if base_url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(refuse("white space, a control character or a backslash", "remove it"));
    }
    let mut url = Url::parse(base_url).map_err(|error| refuse(&error.to_string(), "give scheme, host and path"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("another scheme", "use https, or http inside the cluster"));
    }
    // `Url` drops an empty user or password, so the text is asked too.
    let authority = base_url.split("//").nth(1).and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
    if !url.username().is_empty() || url.password().is_some() || authority.contains('@') {
        return Err(refuse("credentials in the URL", "put the key into a Secret and name that"));
    }
    if url.host_str().is_none_or(str::is_empty) || authority.is_empty() {
        return Err(refuse("no host", "give scheme, host and path"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("a query or fragment", "leave out everything from `?` or `#` on"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/chat/completions") {
        return Err(refuse("a path that ends in /chat/completions", "leave that out; it is added"));
    }
    url.set_path(&format!("{path}/chat/completions"));
    Ok(url)
}

/// The `authorization` header of a key, marked so that no layer below logs it.
pub(super) fn authorization(key: &Secret) -> Result<HeaderValue, ConfigError> {
    if key.expose().is_empty() {
        return Err(ConfigError::ApiKey { found: "an empty one" });
    }
    if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(ConfigError::ApiKey { found: "others (white space within, control characters or letters beyond ASCII)" });
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| ConfigError::ApiKey { found: "others" })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_an_address_and_nothing_else() {
        let table = [
            ("https://api.openai.com/v1", Ok("https://api.openai.com/v1/chat/completions")),
            ("https://api.openai.com/v1/", Ok("https://api.openai.com/v1/chat/completions")),
            ("HTTP://models.svc:8080", Ok("http://models.svc:8080/chat/completions")),
            ("http://[::1]:11434/v1", Ok("http://[::1]:11434/v1/chat/completions")),
            ("", Err("relative URL without a base")),
            ("api.openai.com/v1", Err("relative URL without a base")),
            ("localhost:8080/v1", Err("another scheme")),
            ("ftp://a.example/v1", Err("another scheme")),
            ("file:///etc/passwd", Err("another scheme")),
            ("https://", Err("empty host")),
            ("https:///v1", Err("no host")),
            ("https://user:canary@a.example/v1", Err("credentials")),
            ("https://canary@a.example/v1", Err("credentials")),
            ("https://:@a.example/v1", Err("credentials")),
            ("https://a.example/v1?api-key=canary", Err("a query")),
            ("https://a.example/v1?", Err("a query")),
            ("https://a.example/v1#canary", Err("a query or fragment")),
            ("https://a.example/v1\n", Err("white space")),
            (" https://a.example/v1", Err("white space")),
            ("https:\\\\a.example", Err("backslash")),
            ("https://a.example/v1/chat/completions/", Err("/chat/completions")),
        ];
        for (base_url, expected) in table {
            match (endpoint(base_url), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url.as_str(), expected),
                (Err(error), Err(expected)) => {
                    let text = error.to_string();
                    assert!(text.contains(expected), "{base_url}: {text}");
                    assert!(!text.contains("canary"), "{text}");
                }
                (found, _) => unreachable!("{base_url}: {found:?}"),
            }
            assert!(!format!("{:?}", OpenAiChatConfig::new(base_url)).contains("canary"), "{base_url}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_a_header_is_refused_without_showing_it() {
        for key in ["", " \n", "canary canary", "canary\0", "canaryé"] {
            let text = authorization(&Secret::new(key)).map_err(|error| error.to_string());
            assert!(text.as_ref().is_err_and(|text| text.starts_with("API key") && !text.contains("canary")), "{key:?}: {text:?}");
        }
        assert!(authorization(&Secret::new("sk-canary\n")).is_ok_and(|header| !format!("{header:?}").contains("canary")));
    }
}
