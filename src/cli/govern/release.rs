//! `kubectl reeve release`: what was stopped goes on.

use clap::Args;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use reeve_api::{ConditionStatus, KillSwitch};
use serde_json::json;

use super::kill::{DEFAULT_NAME, of};
use super::{Wait, Waited, ready};
use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::name;
use crate::output::{self, ObjectFormat};
use crate::read_api::Reeve;
use crate::timeline::text::one_line;

/// Releases a kill switch: what it stopped goes on.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve release -n team-a\n  kubectl reeve release --all\n\nIt needs the verb release on killswitches. The switch stays, and says what it stopped."
)]
pub(crate) struct Release {
    /// Name of the KillSwitch
    #[arg(default_value = DEFAULT_NAME, value_parser = name::of::<KillSwitch>)]
    name: String,
    /// The switch of the operator's own namespace, which stops every run in every namespace
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    wait: Wait,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: ObjectFormat,
    #[command(flatten)]
    reeve: Reeve,
}

impl Release {
    /// Releases the switch, and waits until the operator has seen it.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let namespace = if self.all { self.reeve.namespace().to_owned() } else { namespace };
        let api: Api<KillSwitch> = Api::namespaced(client.clone(), &namespace);
        let doing = format!("releasing KillSwitch {namespace}/{}", self.name);
        let Some(found) = api.get_opt(&self.name).await.map_err(refused(&doing))? else {
            let engaged = self.engaged(&client, &namespace).await.unwrap_or_default();
            return Err(Failure::no(format!("{doing}: there is none of that name; {}", those(&engaged))));
        };
        let patch = json!({ "metadata": { "uid": found.metadata.uid }, "spec": { "engaged": false } });
        let switch = if found.spec.engaged {
            api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(refused(doing))?
        } else {
            found
        };
        let seen = self.seen(&api, switch).await?;
        let where_ = of(&namespace, self.reeve.namespace());
        output::object(self.output, &seen, || format!("{} released {where_}: {}", output::named(&seen), says(&seen)))?;
        // Whoever may release one switch may be unable to see the others: then nothing is said of them.
        let engaged = self.engaged(&client, &namespace).await.unwrap_or_default();
        if !engaged.is_empty() {
            eprintln!("runs of namespace {namespace} still stand still: {}", those(&engaged));
        }
        Ok(())
    }

    async fn seen(&self, api: &Api<KillSwitch>, switch: KillSwitch) -> Result<KillSwitch, Failure> {
        if self.wait.is_none() {
            return Ok(switch);
        }
        let name = output::named(&switch);
        match self.wait.until(api, &switch, |seen| is_released(seen, &switch)).await? {
            Waited::Done(seen) => Ok(seen),
            Waited::Late(seen) if seen.spec.engaged => {
                Err(Failure::no(format!("{name} was engaged again: {}", one_line(&seen.spec.reason))))
            }
            Waited::Late(_) => Err(Failure::no(format!(
                "{name}: it is released, but the operator has not seen it after {}: kubectl reeve doctor says whether it works",
                self.wait.shown()
            ))),
            Waited::Gone => Err(Failure::no(format!("{name} was deleted; a switch that is not there stops nothing"))),
        }
    }

    /// The engaged switches that reach this namespace, where they may be listed.
    async fn engaged(&self, client: &Client, namespace: &str) -> Option<Vec<KillSwitch>> {
        let mut namespaces = vec![namespace, self.reeve.namespace()];
        namespaces.dedup();
        let mut engaged = Vec::new();
        for namespace in namespaces {
            let api: Api<KillSwitch> = Api::namespaced(client.clone(), namespace);
            engaged.extend(api.list(&ListParams::default()).await.ok()?.items.into_iter().filter(|switch| switch.spec.engaged));
        }
        Some(engaged)
    }
}

/// Whether the operator has seen this release, or a later one.
fn is_released(seen: &KillSwitch, released: &KillSwitch) -> bool {
    seen.status.as_ref().is_some_and(|status| {
        status.observed_generation >= released.metadata.generation
            && ready(&status.conditions).is_some_and(|ready| ready.status == ConditionStatus::True.as_str())
    })
}

fn says(switch: &KillSwitch) -> String {
    let conditions = switch.status.as_ref().map_or(&[][..], |status| &status.conditions);
    ready(conditions).map_or_else(|| "its runs go on".to_owned(), |ready| one_line(&ready.message))
}

/// Which are engaged, and why.
fn those(engaged: &[KillSwitch]) -> String {
    let one = |switch: &KillSwitch| {
        format!("{}/{} ({})", switch.namespace().unwrap_or_default(), switch.name_any(), one_line(&switch.spec.reason))
    };
    match engaged {
        [] => "no switch that reaches this namespace is known to be engaged".to_owned(),
        some => format!("engaged: {}", some.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::Value;

    fn switch(status: Value) -> KillSwitch {
        let metadata = json!({ "name": "kill", "namespace": "team", "generation": 2 });
        serde_json::from_value(json!({ "metadata": metadata, "spec": { "engaged": false, "reason": "odd\nwrites" }, "status": status }))
            .unwrap()
    }

    fn status(generation: i64, ready: &str) -> Value {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "R", "message": "It stops nothing.", "lastTransitionTime": "2029-12-31T23:00:00Z"
        });
        json!({ "observedGeneration": generation, "conditions": [condition] })
    }

    #[test]
    fn a_release_counts_when_the_operator_has_seen_it() {
        let released = switch(Value::Null);
        for (status, seen) in [(Value::Null, false), (status(1, "True"), false), (status(2, "False"), false), (status(2, "True"), true)] {
            assert_eq!(is_released(&switch(status.clone()), &released), seen, "{status}");
        }
        assert_eq!(says(&switch(status(2, "True"))), "It stops nothing.");
    }

    #[test]
    fn the_switches_that_stay_engaged_are_named_with_their_reason() {
        assert_eq!(those(&[switch(Value::Null)]), "engaged: team/kill (odd writes)");
        assert!(those(&[]).starts_with("no switch"));
    }
}
