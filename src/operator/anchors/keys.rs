//! The keys that sign the journal, from the folder that their Secret is mounted at.

use std::path::Path;

use reeve_core::journal::sign::Signer;

/// The file that names the active key.
const ACTIVE: &str = "active";

/// What each error ends with.
const WHAT_TO_DO: &str = "The chart makes the Secret; without it: openssl genpkey -algorithm ed25519 -out first.pem";

/// The keys of a Secret: one signs, the others can vouch for it as its predecessors.
#[derive(Clone, Debug)]
pub struct Keys {
    active: Signer,
    all: Vec<Signer>,
}

impl Keys {
    /// Reads each `NAME.pem` of this folder. The file `active` holds the name of the one that signs; it may be left out where there is one key.
    ///
    /// # Errors
    /// What is missing or cannot be read, and what to do, without anything of a key.
    pub fn read(folder: &Path) -> Result<Keys, String> {
        let cannot = |what: &dyn std::fmt::Display, why: &dyn std::fmt::Display| {
            format!("the keys that sign the journal (--journal-key-dir {}): {what}: {why}. {WHAT_TO_DO}", folder.display())
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| cannot(&"the folder cannot be read", &error))? {
            let path = entry.map_err(|error| cannot(&"the folder cannot be read", &error))?.path();
            if path.extension().is_none_or(|extension| extension != "pem") {
                continue;
            }
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let text = std::fs::read_to_string(&path).map_err(|error| cannot(&format!("{name}.pem cannot be read"), &error))?;
            // Of the lines between BEGIN and END each alone is as good as the key.
            crate::secrets::learn_own(text.lines().filter(|line| !line.starts_with("-----")));
            found.push((name.clone(), Signer::from_pem(&text).map_err(|error| cannot(&format!("{name}.pem"), &error))?));
        }
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        let named = match std::fs::read_to_string(folder.join(ACTIVE)) {
            Ok(name) => Some(name.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot(&"the file `active` cannot be read", &error)),
        };
        let names = || found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let active = match (&named, found.as_slice()) {
            (_, []) => return Err(cannot(&"nothing is signed without a key", &"no file NAME.pem is there")),
            (None, [(_, only)]) => only.clone(),
            (None, _) => return Err(cannot(&"which one signs?", &format!("expected a file `active` that names one of {}", names()))),
            (Some(name), _) => match found.iter().find(|(found, _)| found == name) {
                Some((_, signer)) => signer.clone(),
                None => return Err(cannot(&format!("`active` names {name:?}"), &format!("there is {}", names()))),
            },
        };
        Ok(Keys { active, all: found.into_iter().map(|(_, signer)| signer).collect() })
    }

    /// One key alone.
    #[must_use]
    pub fn only(signer: Signer) -> Keys {
        Keys { active: signer.clone(), all: vec![signer] }
    }

    /// The key that signs.
    #[must_use]
    pub const fn active(&self) -> &Signer {
        &self.active
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Signer] {
        &self.all
    }

    pub(crate) fn into_active(self) -> Signer {
        self.active
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// The private key of RFC 8410, section 10.3.
    const KEY: &str =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const OTHER: &str =
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\n-----END PRIVATE KEY-----\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn one_key_signs_and_of_several_the_one_that_is_named() {
        let one = Keys::read(folder(&[("first.pem", KEY)]).path()).unwrap();
        let two = Keys::read(folder(&[("first.pem", KEY), ("second.pem", OTHER), ("active", "second\n")]).path()).unwrap();
        assert_eq!(one.active().id(), Signer::from_pem(KEY).unwrap().id());
        assert_eq!(two.active().id(), Signer::from_seed(&[1; 32]).id());
        assert_eq!(two.all().len(), 2);
    }

    #[test]
    fn without_a_key_that_can_sign_the_error_says_what_to_do_and_nothing_of_a_key() {
        let tables: [(&[(&str, &str)], &str); 5] = [
            (&[], "no file NAME.pem is there"),
            (&[("active", "first")], "no file NAME.pem is there"),
            (&[("first.pem", KEY), ("second.pem", OTHER)], "names one of first, second"),
            (&[("first.pem", KEY), ("active", "third")], "`active` names \"third\": there is first"),
            (&[("first.pem", &KEY[..60])], "first.pem: expected an Ed25519 private key"),
        ];
        for (files, expected) in tables {
            let error = Keys::read(folder(files).path()).unwrap_err();
            assert!(error.contains(expected) && error.contains("openssl genpkey"), "{error}");
            assert!(!error.contains("MC4C"), "{error}");
        }
        assert!(Keys::read(Path::new("/nowhere/at/all")).unwrap_err().contains("the folder cannot be read"));
    }
}
