//! `kubectl reeve artifact`: what a Goal left, whose digest proves it.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use kube::Api;
use reeve_api::{Goal, RunArtifact};
use reeve_core::Digest;

use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::read_api::{ReadApi, Reeve};

/// Fetches what a Goal left, and verifies its digest.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve artifact say-hello | git apply\n  kubectl reeve artifact say-hello --name bundle -O say-hello.bundle && git clone say-hello.bundle"
)]
pub(crate) struct GetArtifact {
    /// Name of the Goal
    goal: String,
    /// Which of its artifacts
    #[arg(long, value_enum, default_value_t)]
    name: ArtifactName,
    /// File to write instead of standard output; the bytes are verified before a byte is written
    #[arg(short = 'O', long, value_name = "FILE")]
    output_file: Option<PathBuf>,
    #[command(flatten)]
    reeve: Reeve,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ArtifactName {
    /// The merged work as a diff.
    #[default]
    Patch,
    /// The merged work as a git bundle.
    Bundle,
}

impl ArtifactName {
    const fn as_str(self) -> &'static str {
        match self {
            ArtifactName::Patch => "patch",
            ArtifactName::Bundle => "bundle",
        }
    }
}

impl GetArtifact {
    /// Fetches, verifies and writes it.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let goals: Api<Goal> = Api::namespaced(client.clone(), &namespace);
        let goal = goals.get(&self.goal).await.map_err(refused(format!("reading Goal {namespace}/{}", self.goal)))?;
        let artifact = self.find(&goal)?;
        let digest: Digest = artifact.digest.parse().map_err(|error| Failure::no(format!("status of the Goal: {error}")))?;
        let path = format!("artifacts/{digest}");
        let bytes = ReadApi::new(client, &self.reeve).get(&path).await.map_err(|error| error.failure(format!("fetching {digest}")))?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(Failure::no(format!("the {} bytes that came hash to {found}, not to {digest}: nothing was written", bytes.len())));
        }
        self.write(&bytes, &digest)
    }

    fn find<'a>(&self, goal: &'a Goal) -> Result<&'a RunArtifact, Failure> {
        let status = goal.status.as_ref();
        let artifacts = status.map_or(&[][..], |status| &status.artifacts);
        let wanted = self.name.as_str();
        artifacts.iter().find(|artifact| artifact.name == wanted).ok_or_else(|| {
            let phase = status.and_then(|status| status.phase).map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}"));
            let has: Vec<&str> = artifacts.iter().map(|artifact| artifact.name.as_str()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            Failure::no(format!("Goal {} has no artifact {wanted} (phase {phase}; artifacts: {has})", self.goal))
        })
    }

    fn write(&self, bytes: &[u8], digest: &Digest) -> Result<(), Failure> {
        let Some(file) = &self.output_file else {
            let mut out = std::io::stdout().lock();
            return out.write_all(bytes).and_then(|()| out.flush()).map_err(Failure::writing("to standard output"));
        };
        std::fs::write(file, bytes).map_err(Failure::writing(file.display()))?;
        eprintln!("{}: {} bytes, {digest} verified", file.display(), bytes.len());
        Ok(())
    }
}
