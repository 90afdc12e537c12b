//! From a ModelProvider to something that can be asked.
//!
//! Provider, Secret and transcript are read anew for each request: an edit or a revoked key takes effect with the next step.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret as KubeSecret};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use reeve_api::{ConfigMapKeyRef, ModelProvider, ModelProviderSpec, ProviderKind, SecretKeyRef, label};
use reeve_core::Digest;
use reeve_core::run::NotReady;
use reeve_gateway::{MaxTokensField, OpenAiChat, OpenAiChatConfig, Provider, Recorded, Secret};

use crate::error::Error;
use crate::secrets::Secrets;

/// Bound of one request where the spec has none.
const DEFAULT_TIMEOUT_SECONDS: u64 = 120;
/// Tries after the first where the spec has none.
const DEFAULT_MAX_RETRIES: u32 = 2;
/// Clients kept, each with its connections. More providers than this only cost new connections.
const CLIENTS_KEPT: usize = 64;

/// Clients by what they were made of.
#[derive(Default)]
pub(crate) struct Providers {
    clients: Mutex<BTreeMap<Digest, Provider>>,
}

impl Providers {
    /// The provider, ready to be asked.
    ///
    /// # Errors
    /// [`NotReady`] with what is missing or wrong.
    pub(crate) async fn get(&self, client: &Client, secrets: &Secrets, namespace: &str, name: &str) -> Result<Provider, NotReady> {
        let provider = Api::<ModelProvider>::namespaced(client.clone(), namespace)
            .get_opt(name)
            .await
            .map_err(|error| NotReady::unanswered("ProviderUnreadable", format!("ModelProvider {name:?} could not be read: {error}.")))?
            .ok_or_else(|| NotReady::new("ProviderNotFound", format!("ModelProvider {name:?} is not there; create it.")))?;
        self.of(client, secrets, namespace, &provider.spec).await
    }

    /// The provider that this spec describes.
    ///
    /// # Errors
    /// [`NotReady`] with what is missing or wrong.
    pub(crate) async fn of(
        &self,
        client: &Client,
        secrets: &Secrets,
        namespace: &str,
        spec: &ModelProviderSpec,
    ) -> Result<Provider, NotReady> {
        match spec.kind {
            ProviderKind::Recorded => {
                let transcript = spec
                    .transcript
                    .as_ref()
                    .ok_or_else(|| NotReady::new("TranscriptMissing", "spec.transcript is required for kind recorded."))?;
                let text = config_map_text(client, namespace, &transcript.config_map_key_ref).await?;
                self.kept(Digest::of(&text), || {
                    Recorded::parse(&text).map(Provider::Recorded).map_err(|error| NotReady::new("TranscriptInvalid", error.to_string()))
                })
            }
            ProviderKind::OpenaiChat => {
                let base_url = spec
                    .base_url
                    .clone()
                    .ok_or_else(|| NotReady::new("BaseURLMissing", "spec.baseURL is required for kind openai-chat."))?;
                let key = match &spec.secret_ref {
                    Some(reference) => Some(secret_key(client, secrets, namespace, reference, &base_url).await?),
                    None => None,
                };
                let identity = Digest::of(format!("{base_url}\0{key:?}\0{:?}\0{:?}", spec.timeout_seconds, spec.max_retries));
                self.kept(identity, || {
                    let seconds = spec.timeout_seconds.and_then(|n| u64::try_from(n).ok()).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
                    let config = OpenAiChatConfig {
                        base_url,
                        api_key: key.as_ref().map(Secret::new),
                        timeout: Duration::from_secs(seconds),
                        max_retries: spec.max_retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(DEFAULT_MAX_RETRIES),
                        max_tokens_field: MaxTokensField::default(),
                    };
                    OpenAiChat::new(config).map(Provider::OpenAiChat).map_err(|error| NotReady::new("ProviderInvalid", error.to_string()))
                })
            }
        }
    }

    /// Reads the keys of every provider of this namespace, so that they are masked: a run that is taken up again after a restart may journal what
    /// a tool printed before it asks any model. Once for each namespace.
    ///
    /// # Errors
    /// [`Error::Unanswered`] when it cannot be known what must be masked. A key that is missing or may not be read needs no mask.
    pub(crate) async fn learn_keys(&self, client: &Client, secrets: &Secrets, namespace: &str) -> Result<(), Error> {
        if !secrets.are_unread(namespace) {
            return Ok(());
        }
        let kind = ApiResource::erase::<ModelProvider>(&());
        let providers: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        for provider in providers.list(&ListParams::default()).await? {
            // One that is no provider, as an older CRD let it in, is asked nothing.
            let spec = provider.data.get("spec").cloned().unwrap_or_default();
            let Ok(ModelProviderSpec { secret_ref: Some(reference), base_url: Some(base_url), .. }) = serde_json::from_value(spec) else {
                continue;
            };
            match secret_key(client, secrets, namespace, &reference, &base_url).await {
                Err(why) if why.unanswered => return Err(Error::Unanswered(why.message)),
                Ok(_) | Err(_) => {}
            }
        }
        secrets.were_read(namespace);
        Ok(())
    }

    fn kept(&self, identity: Digest, make: impl FnOnce() -> Result<Provider, NotReady>) -> Result<Provider, NotReady> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(provider) = clients.get(&identity) {
            return Ok(provider.clone());
        }
        let provider = make()?;
        if clients.len() >= CLIENTS_KEPT {
            clients.clear();
        }
        clients.insert(identity, provider.clone());
        Ok(provider)
    }
}

/// The bytes of a ConfigMap's key, from `data` or `binaryData`.
pub(crate) async fn config_map_bytes(client: &Client, namespace: &str, reference: &ConfigMapKeyRef) -> Result<Vec<u8>, NotReady> {
    let ConfigMapKeyRef { name, key } = reference;
    let map = Api::<ConfigMap>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(|error| NotReady::unanswered("ConfigMapUnreadable", format!("ConfigMap {name:?} could not be read: {error}.")))?
        .ok_or_else(|| NotReady::new("ConfigMapNotFound", format!("ConfigMap {name:?} is not there; create it.")))?;
    if let Some(bytes) = map.binary_data.as_ref().and_then(|data| data.get(key)) {
        return Ok(bytes.0.clone());
    }
    match map.data.as_ref().and_then(|data| data.get(key)) {
        Some(text) => Ok(text.clone().into_bytes()),
        None => {
            let has = map.data.iter().flat_map(|data| data.keys()).chain(map.binary_data.iter().flat_map(|data| data.keys()));
            let has = has.map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(NotReady::new("ConfigMapKeyNotFound", format!("ConfigMap {name:?} has no key {key:?}; it has: {has}.")))
        }
    }
}

async fn config_map_text(client: &Client, namespace: &str, reference: &ConfigMapKeyRef) -> Result<String, NotReady> {
    let bytes = config_map_bytes(client, namespace, reference).await?;
    String::from_utf8(bytes).map_err(|_| {
        NotReady::new("TranscriptInvalid", format!("ConfigMap {:?}, key {:?} is not UTF-8 text.", reference.name, reference.key))
    })
}

/// The key that may be sent to this URL. What is read is masked from here on, whether it may be sent or not.
async fn secret_key(
    client: &Client,
    secrets: &Secrets,
    namespace: &str,
    reference: &SecretKeyRef,
    base_url: &str,
) -> Result<String, NotReady> {
    let SecretKeyRef { name, key } = reference;
    let secret = match Api::<KubeSecret>::namespaced(client.clone(), namespace).get_opt(name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => return Err(NotReady::new("SecretNotFound", format!("Secret {name:?} is not there; create it."))),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let message =
                format!("The operator may not read Secrets of namespace {namespace:?}: add it to the chart's value secretNamespaces.");
            return Err(NotReady::new("SecretForbidden", message));
        }
        Err(error) => return Err(NotReady::unanswered("SecretUnreadable", format!("Secret {name:?} could not be read: {error}."))),
    };
    let value = secret.data.as_ref().and_then(|data| data.get(key));
    if let Some(value) = value {
        secrets.learn(namespace, String::from_utf8_lossy(&value.0).trim());
    }
    let allowed = secret.metadata.annotations.as_ref().and_then(|all| all.get(label::ALLOWED_HOSTS)).cloned().unwrap_or_default();
    let host = authority(base_url);
    if !allows(&allowed, &host) {
        let message = format!("Secret {name:?} may not be sent to {host}: annotate it with {}: {host:?} if it may.", label::ALLOWED_HOSTS);
        return Err(NotReady::new("SecretNotForHost", message));
    }
    let value = value.ok_or_else(|| NotReady::new("SecretKeyNotFound", format!("Secret {name:?} has no key {key:?}; add it.")))?;
    let text = std::str::from_utf8(&value.0)
        .map_err(|_| NotReady::new("SecretInvalid", format!("Secret {name:?}, key {key:?} is not UTF-8 text.")))?;
    let text = text.trim();
    if text.is_empty() {
        return Err(NotReady::new("SecretInvalid", format!("Secret {name:?}, key {key:?} is empty.")));
    }
    Ok(text.to_owned())
}

/// `host` or `host:port` of a URL that the schema has let through (no user, no query).
fn authority(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default().to_lowercase()
}

/// An entry without a port stands for the scheme's own port only.
fn allows(annotation: &str, authority: &str) -> bool {
    annotation.split(',').map(|host| host.trim().to_lowercase()).any(|host| !host.is_empty() && host == authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_only_to_hosts_that_its_secret_names() {
        let cases = [
            ("api.openai.com", "https://api.openai.com/v1", true),
            ("api.openai.com", "https://api.openai.com:8443/v1", false),
            ("a.example, 127.0.0.1:8080", "http://127.0.0.1:8080/v1", true),
            ("", "https://api.openai.com/v1", false),
            ("openai.com", "https://api.openai.com/v1", false),
            ("api.openai.com", "https://api.openai.com.evil.example/v1", false),
            ("API.openai.com", "https://api.OpenAI.com/v1", true),
        ];
        for (annotation, url, expected) in cases {
            assert_eq!(allows(annotation, &authority(url)), expected, "{annotation} for {url}");
        }
    }
}
