//! `kubectl reeve approvals`: what waits for people.

use clap::Args;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use reeve_api::Approval;

use super::ago::{ago, until};
use super::approve::{missing, phase};
use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::output::{self, ObjectFormat, Table};

/// Lists the Approvals that are open.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve approvals\n  kubectl reeve approvals -A\n  kubectl reeve approvals -o name\n\nThose that have ended: kubectl get approvals"
)]
pub(crate) struct Approvals {
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: ObjectFormat,
}

impl Approvals {
    /// Lists them.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let (api, whence): (Api<Approval>, _) = if self.all_namespaces {
            (Api::all(client), "in any namespace".to_owned())
        } else {
            (Api::namespaced(client, &namespace), format!("in namespace {namespace}"))
        };
        let found = api.list(&ListParams::default()).await.map_err(refused(format!("listing Approvals {whence}")))?;
        let now = Timestamp::now();
        let open: Vec<Approval> = found.items.into_iter().filter(|approval| is_open(approval, now)).collect();
        if open.is_empty() && self.output == ObjectFormat::Table {
            eprintln!("No Approval is open {whence}.");
            return Ok(());
        }
        output::objects(self.output, &open, || table(&open, self.all_namespaces, now))
    }
}

/// Whether a vote could still count. One that is over by the clock is not shown though the operator has not said so yet.
pub(crate) fn is_open(approval: &Approval, now: Timestamp) -> bool {
    !phase(approval).is_final() && approval.spec.expires_at.0 > now && approval.metadata.deletion_timestamp.is_none()
}

fn table(open: &[Approval], with_namespace: bool, now: Timestamp) -> Table {
    let row = |approval: &Approval| {
        let spec = &approval.spec;
        [
            approval.name_any(),
            spec.subject.action.clone(),
            spec.subject.name.clone(),
            spec.requested_by.clone(),
            format!("{}/{}", missing(approval), spec.quorum),
            until(spec.expires_at.0, now),
            ago(approval.metadata.creation_timestamp.as_ref(), now),
        ]
    };
    if !with_namespace {
        let mut table = Table::new(&["NAME", "ACTION", "SUBJECT", "REQUESTER", "MISSING", "EXPIRES", "AGE"]);
        open.iter().for_each(|approval| table.row(row(approval)));
        return table;
    }
    let mut table = Table::new(&["NAMESPACE", "NAME", "ACTION", "SUBJECT", "REQUESTER", "MISSING", "EXPIRES", "AGE"]);
    for approval in open {
        let [name, action, subject, requester, missing, expires, age] = row(approval);
        table.row([approval.namespace().unwrap_or_default(), name, action, subject, requester, missing, expires, age]);
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::json;

    fn approval(phase: Option<&str>) -> Approval {
        serde_json::from_value(json!({
            "metadata": { "name": "fix-s2c0", "namespace": "team", "creationTimestamp": "2029-12-31T22:50:00Z" },
            "spec": {
                "subject": { "kind": "AgentRun", "name": "fix", "uid": "r-1", "action": "shell.run", "key": "r-1/2/0" },
                "digest": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "delta": "shell.run", "requestedBy": "alice", "quorum": 2, "expiresAt": "2030-01-01T00:00:00Z"
            },
            "status": { "phase": phase, "missing": 1 }
        }))
        .unwrap()
    }

    #[test]
    fn only_what_a_vote_could_change_is_open() {
        let (early, late) = ("2029-12-31T23:00:00Z".parse().unwrap(), "2030-01-01T00:00:00Z".parse().unwrap());
        for (phase, open) in
            [(None, true), (Some("Pending"), true), (Some("Approved"), true), (Some("Denied"), false), (Some("Consumed"), false)]
        {
            assert_eq!(is_open(&approval(phase), early), open, "{phase:?}");
            assert!(!is_open(&approval(phase), late), "{phase:?}");
        }
    }

    #[test]
    fn a_row_says_who_asked_what_is_missing_and_until_when() {
        let (open, now) = ([approval(None)], "2029-12-31T23:00:00Z".parse().unwrap());
        assert_eq!(
            table(&open, true, now).text(),
            "NAMESPACE   NAME       ACTION      SUBJECT   REQUESTER   MISSING   EXPIRES   AGE\n\
             team        fix-s2c0   shell.run   fix       alice       1/2       in 60m    10m\n"
        );
        assert!(table(&open, false, now).text().starts_with("NAME       ACTION"));
    }
}
