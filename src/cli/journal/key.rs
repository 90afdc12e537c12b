//! `reeve journal public-key`.

use std::path::PathBuf;

use clap::Args;
use reeve_operator::Keys;

use crate::exit::Failure;
use crate::output;

pub(super) const EXAMPLES: &str = "\
Example:
  kubectl --namespace reeve-system exec deployment/reeve -- /reeve journal public-key >reeve.pub
  reeve journal verify --file journal.jsonl --public-key reeve.pub";

/// Prints the public key that the journal is signed with.
#[derive(Args, Debug)]
pub(super) struct PublicKeyOf {
    /// Directory of the keys that sign the journal
    #[arg(long, env = "REEVE_JOURNAL_KEY_DIR", value_name = "DIR", default_value = super::KEY_DIR)]
    journal_key_dir: PathBuf,
}

impl PublicKeyOf {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let keys = Keys::read(&self.journal_key_dir).map_err(Failure::unusable)?;
        let pem = keys.active().public().to_pem().map_err(Failure::unusable)?;
        output::line(pem.trim_end())
    }
}
