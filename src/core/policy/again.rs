//! Judging again what the journal says was judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use reeve_api::{PolicyMode, PolicySetSpec};

use super::judge::decide;
use super::{ActiveSet, CompiledSet, Facts, Mode, Scope, accepted};
use crate::Digest;
use crate::journal::{Judgement, PolicyActivated};

/// The texts of policy sets, by digest: what `policy.activated` rows hold, or the artifact store.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    known: BTreeMap<Digest, Result<Text, String>>,
}

/// A text that today's code reads.
#[derive(Clone, Debug)]
struct Text {
    mode: Mode,
    compiled: Arc<CompiledSet>,
}

impl Text {
    fn of(spec: &PolicySetSpec) -> Result<Text, String> {
        let compiled = CompiledSet::parse(&spec.cedar).map_err(|error| error.to_string())?;
        Ok(Text { mode: mode(spec), compiled: Arc::new(compiled) })
    }

    fn set(&self, name: String, digest: Digest, scope: Scope) -> ActiveSet {
        ActiveSet { name, digest, mode: self.mode, scope, compiled: Arc::clone(&self.compiled) }
    }
}

const fn mode(spec: &PolicySetSpec) -> Mode {
    match spec.mode {
        PolicyMode::Enforce => Mode::Enforce,
        PolicyMode::Shadow => Mode::Shadow,
    }
}

impl Texts {
    /// Takes in what an activation says. A row without a text says nothing.
    pub fn activated(&mut self, activated: &PolicyActivated) {
        if let Some(text) = &activated.text {
            self.add(activated.digest, text.as_bytes());
        }
    }

    /// Takes in a canonical spec. One that does not have this digest is another text, and is not used; a good one is not replaced.
    pub fn add(&mut self, digest: Digest, text: &[u8]) {
        if matches!(self.known.get(&digest), Some(Ok(_))) {
            return;
        }
        let read = if Digest::of(text) == digest {
            serde_json::from_slice::<PolicySetSpec>(text).map_err(|error| error.to_string()).and_then(|spec| Text::of(&spec))
        } else {
            Err("its text does not have this digest".to_owned())
        };
        self.known.insert(digest, read);
    }

    /// Whether the text of this digest was taken in.
    pub fn has(&self, digest: &Digest) -> bool {
        self.known.contains_key(digest)
    }

    /// The sets that a run of `namespace` was judged by, as a decision names them: `<namespace>/<name>` and digest, the operator's first;
    /// with `instead` in its place among them.
    ///
    /// Whose they were follows from the names: without a set of the operator's none applied, so where all are of the run's own namespace,
    /// that is the operator's too.
    ///
    /// # Errors
    /// Which set's text is not there, or is none that today's code takes.
    pub fn sets(&self, named: &[(String, Digest)], namespace: &str, instead: Option<&Instead>) -> Result<Vec<ActiveSet>, String> {
        let of = |name: &str| name.split_once('/').map_or("", |(of, _)| of).to_owned();
        let operators = named.iter().map(|(name, _)| of(name)).find(|of| of != namespace);
        let scope = |name: &str| if operators.is_some() && of(name) == namespace { Scope::Namespace } else { Scope::Operator };
        let operators = operators.clone().or_else(|| named.first().map(|(name, _)| of(name)));
        let place = instead.and_then(|instead| instead.place(operators.as_deref(), namespace).map(|place| (instead, place)));
        let mut sets = Vec::new();
        let mut replaced = false;
        for (name, digest) in named {
            match &place {
                Some((instead, (full, at))) if full == name => {
                    replaced = true;
                    sets.push(instead.set(full.clone(), *at));
                }
                Some(_) | None => sets.push(self.set(name, digest, scope(name))?),
            }
        }
        if let Some((instead, (full, at))) = place
            && !replaced
        {
            sets.push(instead.set(full, at));
        }
        Ok(sets)
    }

    fn set(&self, name: &str, digest: &Digest, scope: Scope) -> Result<ActiveSet, String> {
        match self.known.get(digest) {
            Some(Ok(text)) => Ok(text.set(name.to_owned(), *digest, scope)),
            Some(Err(why)) => Err(format!("the text of {name} {digest} is not usable: {why}")),
            None => Err(format!("the text of {name} {digest} is neither in the rows nor in the artifact store")),
        }
    }
}

/// A set to judge by that was not in force: it takes the place of the set of its name, and where there was none it is added. All others
/// stay in force next to it.
#[derive(Clone, Debug)]
pub struct Instead {
    namespace: Option<String>,
    name: String,
    digest: Digest,
    text: Text,
}

impl Instead {
    /// The set of this name. Without a namespace it is one of the operator's.
    ///
    /// # Errors
    /// Why it could never be in force: it is invalid, or a golden case does not hold.
    pub fn of(namespace: Option<String>, name: String, spec: &PolicySetSpec) -> Result<Instead, String> {
        let text = Text { mode: mode(spec), compiled: accepted(spec)? };
        let digest = Digest::of_canonical(spec).map_err(|error| error.to_string())?;
        Ok(Instead { namespace, name, digest, text })
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its full name and whose it is, for a run of `namespace` judged by an operator of `operators`. None: it does not apply to that run.
    ///
    /// Where nothing was in force nobody knows the operator's namespace: then a set of another namespace than the run's is the operator's.
    fn place(&self, operators: Option<&str>, namespace: &str) -> Option<(String, Scope)> {
        let full = |of: &str| format!("{of}/{}", self.name);
        match (self.namespace.as_deref(), operators) {
            (None, Some(operators)) => Some((full(operators), Scope::Operator)),
            (None, None) => Some((self.name.clone(), Scope::Operator)),
            (Some(own), Some(operators)) if own == operators => Some((full(own), Scope::Operator)),
            (Some(own), _) if own == namespace => Some((full(own), Scope::Namespace)),
            (Some(own), None) => Some((full(own), Scope::Operator)),
            (Some(_), Some(_)) => None,
        }
    }

    fn set(&self, name: String, scope: Scope) -> ActiveSet {
        self.text.set(name, self.digest, scope)
    }
}

/// Judges a recorded call by the sets that its recorded decision names, with `instead` in its place among them. With the same code and
/// without `instead`, the same judgement.
///
/// # Errors
/// Why it cannot be judged exactly: see [`Texts::sets`].
pub fn judge_again(texts: &Texts, recorded: &Judgement, facts: &Facts<'_>, instead: Option<&Instead>) -> Result<Judgement, String> {
    let sets = texts.sets(&recorded.sets, &facts.agent.namespace, instead)?;
    Ok(decide(&recorded.key, &sets, facts))
}
