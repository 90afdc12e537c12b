//! Signatures of the journal: what is signed, by which key, and how a signature is checked.
//!
//! Ed25519 (RFC 8032): signing is deterministic, so the same head has the same signature on every machine. Each signed text is the RFC 8785
//! form of an object whose `v` says what kind of text it is: a signature of one kind never passes for one of another.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Head, Stream, merkle};
use crate::Digest;

const HEAD: &str = "reeve.dev/journal-head/v1";
const TREE: &str = "reeve.dev/journal-tree/v1";
const KEY: &str = "reeve.dev/journal-key/v1";

/// Names a key: the first 16 bytes of the SHA-256 of the public key, as 32 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for KeyId {
    /// A name as it was read. It means nothing until a [`PublicKey`] has it.
    fn from(text: String) -> KeyId {
        KeyId(text)
    }
}

/// Why a key or a signature cannot be read. Holds nothing of what was read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected {expected}: {why}")]
pub struct InvalidKey {
    expected: &'static str,
    why: String,
}

fn invalid(expected: &'static str) -> impl FnOnce(&dyn fmt::Display) -> InvalidKey {
    move |why| InvalidKey { expected, why: why.to_string() }
}

/// An Ed25519 public key. As JSON the base64 form of its 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId(Digest::of(self.0.as_bytes()).hex().chars().take(32).collect())
    }

    /// Reads `-----BEGIN PUBLIC KEY-----` (SubjectPublicKeyInfo, RFC 8410).
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(text: &str) -> Result<PublicKey, InvalidKey> {
        const EXPECTED: &str = "an Ed25519 public key in PEM form (-----BEGIN PUBLIC KEY-----)";
        VerifyingKey::from_public_key_pem(text.trim()).map(PublicKey).map_err(|error| invalid(EXPECTED)(&error))
    }

    /// In the form that [`PublicKey::from_pem`] and `openssl pkey -pubin` read.
    ///
    /// # Errors
    /// Never for a key of this type in practice.
    pub fn to_pem(&self) -> Result<String, InvalidKey> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|error| invalid("a key that can be written")(&error))
    }

    fn signed(&self, text: &Value, signature: &Signature) -> bool {
        let Ok(bytes) = serde_json_canonicalizer::to_vec(text) else { return false };
        // Strict: one signature for one text and key, and no key of small order.
        self.0.verify_strict(&bytes, &ed25519_dalek::Signature::from_bytes(&signature.0)).is_ok()
    }

    /// Whether this key signed that the stream stood at this head.
    pub fn signed_head(&self, stream: &Stream, head: &Head, signature: &Signature) -> bool {
        self.signed(&head_text(stream, head, &self.id()), signature)
    }

    /// Whether this key signed that the tree of all heads had this root at this size.
    pub fn signed_tree(&self, log: &Digest, size: u64, root: &Digest, signature: &Signature) -> bool {
        self.signed(&tree_text(log, size, root, &self.id()), signature)
    }

    /// Whether this key signed the change from one key to another; from None: the first key of a journal.
    pub fn signed_change(&self, from: Option<&PublicKey>, to: &PublicKey, signature: &Signature) -> bool {
        self.signed(&change_text(from, to), signature)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<PublicKey, InvalidKey> {
        const EXPECTED: &str = "the base64 form of an Ed25519 public key's 32 bytes";
        let bytes = BASE64.decode(text).map_err(|error| invalid(EXPECTED)(&error))?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| invalid(EXPECTED)(&"it has another length"))?;
        VerifyingKey::from_bytes(&bytes).map(PublicKey).map_err(|error| invalid(EXPECTED)(&error))
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> String {
        BASE64.encode(key.0.as_bytes())
    }
}

/// An Ed25519 signature. As JSON the base64 form of its 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature([u8; 64]);

impl FromStr for Signature {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Signature, InvalidKey> {
        const EXPECTED: &str = "the base64 form of an Ed25519 signature's 64 bytes";
        let bytes = BASE64.decode(text).map_err(|error| invalid(EXPECTED)(&error))?;
        bytes.try_into().map(Signature).map_err(|_| invalid(EXPECTED)(&"it has another length"))
    }
}

impl TryFrom<String> for Signature {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Signature, InvalidKey> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> String {
        signature.to_string()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A private key. It is never printed, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
    id: KeyId,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.id)
    }
}

impl Signer {
    /// Reads `-----BEGIN PRIVATE KEY-----` (PKCS#8, RFC 8410): what Helm's `genPrivateKey "ed25519"` and
    /// `openssl genpkey -algorithm ed25519` write.
    ///
    /// # Errors
    /// When it is something else. The error holds nothing of the text.
    pub fn from_pem(text: &str) -> Result<Signer, InvalidKey> {
        const EXPECTED: &str = "an Ed25519 private key in PEM form (-----BEGIN PRIVATE KEY-----)";
        SigningKey::from_pkcs8_pem(text.trim()).map(Signer::of).map_err(|error| invalid(EXPECTED)(&error))
    }

    /// The key of these 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Signer {
        Signer::of(SigningKey::from_bytes(seed))
    }

    fn of(key: SigningKey) -> Signer {
        let public = PublicKey(key.verifying_key());
        Signer { id: public.id(), public, key }
    }

    /// Name of the key.
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// What others check its signatures with.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, text: &Value) -> Result<Signature, serde_json::Error> {
        Ok(Signature(self.key.sign(&serde_json_canonicalizer::to_vec(text)?).to_bytes()))
    }

    /// Signs that the stream stands at this head.
    ///
    /// # Errors
    /// Never in practice, as for all texts here: they are strings and integers.
    pub fn head(&self, stream: &Stream, head: &Head) -> Result<Signature, serde_json::Error> {
        self.sign(&head_text(stream, head, &self.id))
    }

    /// Signs that the tree of all heads has this root at this size.
    ///
    /// # Errors
    /// Never in practice.
    pub fn tree(&self, log: &Digest, size: u64, root: &Digest) -> Result<Signature, serde_json::Error> {
        self.sign(&tree_text(log, size, root, &self.id))
    }

    /// Signs the change from one key to another. Both sign it: the old one vouches for the new one, the new one for the old one.
    ///
    /// # Errors
    /// Never in practice.
    pub fn change(&self, from: Option<&PublicKey>, to: &PublicKey) -> Result<Signature, serde_json::Error> {
        self.sign(&change_text(from, to))
    }
}

/// The leaf of a signed head in the tree: the hash of the text that is signed.
///
/// # Errors
/// Never in practice.
pub fn leaf_of(stream: &Stream, head: &Head, key: &KeyId) -> Result<Digest, serde_json::Error> {
    Ok(merkle::leaf(&serde_json_canonicalizer::to_vec(&head_text(stream, head, key))?))
}

fn head_text(stream: &Stream, head: &Head, key: &KeyId) -> Value {
    json!({ "v": HEAD, "stream": stream, "seq": head.seq, "hash": head.hash, "keyId": key })
}

fn tree_text(log: &Digest, size: u64, root: &Digest, key: &KeyId) -> Value {
    json!({ "v": TREE, "log": log, "size": size, "root": root, "keyId": key })
}

fn change_text(from: Option<&PublicKey>, to: &PublicKey) -> Value {
    json!({ "v": KEY, "from": from, "to": to })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::journal::Seq;

    /// Private and public key of RFC 8410, section 10.3 and 10.1.
    const PRIVATE: &str =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn head() -> (Stream, Head) {
        (Stream::run("0b8e"), Head { seq: Seq(7), hash: Digest::of(b"row") })
    }

    #[test]
    fn the_keys_of_the_rfc_are_read_and_written() {
        let signer = Signer::from_pem(PRIVATE).unwrap();
        assert_eq!(*signer.public(), PublicKey::from_pem(PUBLIC).unwrap());
        assert_eq!(signer.public().to_pem().unwrap(), PUBLIC);
        assert_eq!(signer.id().to_string().len(), 32);
        assert_eq!(format!("{signer:?}"), format!("Signer({})", signer.id()));
    }

    #[test]
    fn what_is_no_key_is_refused_and_not_repeated() {
        for text in ["", "hunter2", PUBLIC, &PRIVATE.replace("MC4C", "MC5C")] {
            let error = Signer::from_pem(text).unwrap_err().to_string();
            assert!(error.contains("BEGIN PRIVATE KEY") && !error.contains("hunter2") && !error.contains("INTuctv5"), "{error}");
        }
        assert!(PublicKey::from_pem(PRIVATE).is_err());
        assert!("AAAA".parse::<Signature>().is_err());
    }

    #[test]
    fn a_signature_is_good_for_one_text_of_one_kind_by_one_key() {
        let (signer, other) = (Signer::from_seed(&[1; 32]), Signer::from_seed(&[2; 32]));
        let (stream, head) = head();
        let signature = signer.head(&stream, &head).unwrap();
        assert_eq!(signature, signer.head(&stream, &head).unwrap(), "signing is deterministic");
        assert_eq!(signature.to_string().parse(), Ok(signature));
        assert!(signer.public().signed_head(&stream, &head, &signature));
        assert!(!other.public().signed_head(&stream, &head, &signature));
        assert!(!signer.public().signed_head(&Stream::run("other"), &head, &signature));
        assert!(!signer.public().signed_head(&stream, &Head { seq: Seq(8), ..head }, &signature));
        assert!(!signer.public().signed_head(&stream, &Head { hash: Digest::ZERO, ..head }, &signature));
        assert!(!signer.public().signed_tree(&head.hash, 7, &head.hash, &signature));
        let tree = signer.tree(&Digest::ZERO, 7, &head.hash).unwrap();
        assert!(signer.public().signed_tree(&Digest::ZERO, 7, &head.hash, &tree));
        assert!(!signer.public().signed_tree(&Digest::ZERO, 8, &head.hash, &tree));
        let change = signer.change(Some(signer.public()), other.public()).unwrap();
        assert!(signer.public().signed_change(Some(signer.public()), other.public(), &change));
        assert!(!signer.public().signed_change(None, other.public(), &change));
        assert!(!other.public().signed_change(Some(signer.public()), other.public(), &change));
    }
}
