//! `kubectl reeve artifact`: what a Goal left, whose digest proves it.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use reeve_api::{Approval, Goal, RunArtifact};
use reeve_core::Digest;
use reeve_core::goal::merge_name;

use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::govern::is_open;
use crate::name;
use crate::read_api::{ReadApi, Reeve};
use crate::timeline::text::one_line;

/// Fetches what a Goal left, and verifies its digest.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve artifact say-hello | git apply\n  kubectl reeve artifact say-hello --name bundle -O say-hello.bundle && git clone say-hello.bundle\n  kubectl reeve artifact say-hello --proposed | less"
)]
pub(crate) struct GetArtifact {
    /// Name of the Goal
    #[arg(value_parser = name::of::<Goal>)]
    goal: String,
    /// Which of its artifacts
    #[arg(long, value_enum, default_value_t)]
    name: ArtifactName,
    /// What would be merged, before it is
    #[arg(long)]
    proposed: bool,
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
        let Some(artifact) = self.find(&goal) else {
            let awaited = awaited(&client, &namespace, &self.goal).await;
            return Err(Failure::no(self.missing(&goal, awaited.as_ref())));
        };
        let digest: Digest = artifact.digest.parse().map_err(|error| Failure::no(format!("status of the Goal: {error}")))?;
        let path = format!("artifacts/{digest}");
        let bytes = ReadApi::new(client, &self.reeve).get(&path).await.map_err(|error| error.failure(format!("fetching {digest}")))?;
        let found = Digest::of(&bytes);
        if found != digest {
            return Err(Failure::no(format!("the {} bytes that came hash to {found}, not to {digest}: nothing was written", bytes.len())));
        }
        self.write(&bytes, &digest)
    }

    fn find<'a>(&self, goal: &'a Goal) -> Option<&'a RunArtifact> {
        self.of(goal).iter().find(|artifact| artifact.name == self.name.as_str())
    }

    /// What is proposed, or what was merged.
    fn of<'a>(&self, goal: &'a Goal) -> &'a [RunArtifact] {
        match &goal.status {
            Some(status) if self.proposed => &status.proposed,
            Some(status) => &status.artifacts,
            None => &[],
        }
    }

    /// Why it is not there, and what to do.
    fn missing(&self, goal: &Goal, awaited: Option<&Approval>) -> String {
        let (name, wanted) = (&self.goal, self.name.as_str());
        let status = goal.status.clone().unwrap_or_default();
        if self.proposed && status.merged.is_some() {
            return format!("Goal {name} is merged, and proposes nothing more: leave --proposed out");
        }
        if !self.proposed && !status.proposed.is_empty() {
            let waits = match awaited {
                Some(approval) => {
                    let missing = approval.status.as_ref().and_then(|status| status.missing).unwrap_or(approval.spec.quorum);
                    let (approval, by) = (approval.name_any(), one_line(&approval.spec.requested_by));
                    let asked = format!("asked for by {by}, {missing} missing");
                    format!("it waits for Approval {approval} ({asked}): kubectl reeve approve {approval}")
                }
                None => "no Approval of it is open; kubectl describe goal says more".to_owned(),
            };
            return format!("Goal {name} is not merged: {waits}. What would be merged: kubectl reeve artifact {name} --proposed");
        }
        let phase = status.phase.map_or_else(|| "Pending".to_owned(), |phase| format!("{phase:?}"));
        let has: Vec<&str> = self.of(goal).iter().map(|artifact| artifact.name.as_str()).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        let which = if self.proposed { "proposed artifact" } else { "artifact" };
        format!("Goal {name} has no {which} {wanted} (phase {phase}; {which}s: {has})")
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

/// The Approval that the Goal's merge waits for. That it cannot be looked up is no reason to say less of the Goal.
async fn awaited(client: &Client, namespace: &str, goal: &str) -> Option<Approval> {
    let approvals: Api<Approval> = Api::namespaced(client.clone(), namespace);
    let of_merge = ListParams::default().fields(&format!("spec.subject.name={}", merge_name(goal)));
    let found = approvals.list(&of_merge).await.ok()?;
    found.items.into_iter().find(|approval| is_open(approval, Timestamp::now()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        get: GetArtifact,
    }

    fn get(arguments: &[&str]) -> GetArtifact {
        Program::try_parse_from([&["artifact", "mend"], arguments].concat()).unwrap().get
    }

    fn goal(status: Value) -> Goal {
        let spec = json!({ "objective": "o", "acceptance": { "commands": [{ "argv": ["true"] }] } });
        serde_json::from_value(json!({ "metadata": { "name": "mend" }, "spec": spec, "status": status })).unwrap()
    }

    fn artifact(name: &str) -> Value {
        json!({ "name": name, "digest": Digest::of(name), "bytes": 1 })
    }

    fn approval() -> Approval {
        serde_json::from_value(json!({
            "metadata": { "name": "mend-merge-s1c0" },
            "spec": {
                "subject": { "kind": "AgentRun", "name": "mend-merge", "uid": "u", "action": "merge", "key": "u/1/0" },
                "digest": Digest::of("m"), "delta": "d", "requestedBy": "alice", "quorum": 2, "expiresAt": "2030-01-01T00:00:00Z"
            },
            "status": { "missing": 1 }
        }))
        .unwrap()
    }

    #[test]
    fn a_goal_that_waits_for_its_merge_says_for_whom_and_how_to_see_it() {
        let waits = goal(json!({ "phase": "Merging", "proposed": [artifact("patch"), artifact("bundle")] }));
        assert_eq!(get(&[]).find(&waits), None);
        assert_eq!(
            get(&[]).missing(&waits, Some(&approval())),
            "Goal mend is not merged: it waits for Approval mend-merge-s1c0 (asked for by alice, 1 missing): \
             kubectl reeve approve mend-merge-s1c0. What would be merged: kubectl reeve artifact mend --proposed"
        );
        assert!(get(&[]).missing(&waits, None).contains("no Approval of it is open"));
        assert_eq!(get(&["--proposed", "--name", "bundle"]).find(&waits).unwrap().name, "bundle");
    }

    #[test]
    fn a_goal_that_is_merged_has_a_result_and_no_proposal() {
        let merged = json!({ "commit": "c", "approvedBy": ["bob"] });
        let merged = goal(json!({ "phase": "Succeeded", "artifacts": [artifact("patch")], "merged": merged }));
        assert_eq!(get(&[]).find(&merged).unwrap().name, "patch");
        assert!(get(&["--proposed"]).missing(&merged, None).contains("leave --proposed out"));
        let early = goal(json!({ "phase": "Working" }));
        assert_eq!(
            get(&["--proposed"]).missing(&early, None),
            "Goal mend has no proposed artifact patch (phase Working; proposed artifacts: none)"
        );
    }
}
