//! `kubectl reeve kill`: everything stops. It asks no question, because who uses it has no time for one.

use clap::Args;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use reeve_api::{KillSwitch, KillSwitchSpec, KillSwitchStatus};
use serde_json::json;

use super::{Wait, Waited, count, ready};
use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::name;
use crate::output::{self, ObjectFormat};
use crate::read_api::Reeve;
use crate::timeline::text::one_line;

/// The switch that is meant where none is named.
pub(super) const DEFAULT_NAME: &str = "kill";
const NO_REASON: &str = "engaged with kubectl reeve kill, without a reason";
const CONFLICT: u16 = 409;

/// Stops every run of a namespace, or every run there is, and says when everything is quiet.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve kill -n team-a --reason 'writes where it should not'\n  kubectl reeve kill --all\n  kubectl reeve release -n team-a\n\n\
                  It needs the verb create on killswitches, or patch where the switch exists. Releasing needs the verb release."
)]
pub(crate) struct Kill {
    /// Name of the KillSwitch
    #[arg(default_value = DEFAULT_NAME, value_parser = name::of::<KillSwitch>)]
    name: String,
    /// Why, for those who find everything stopped
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Every run in every namespace: the switch is made in the operator's own
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

impl Kill {
    /// Engages the switch, and waits until it is quiet.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let namespace = if self.all { self.reeve.namespace().to_owned() } else { namespace };
        let (api, switch) = self.engage(client, &namespace).await?;
        let (name, where_) = (output::named(&switch), of(&namespace, self.reeve.namespace()));
        if self.wait.is_none() {
            return output::object(self.output, &switch, || format!("{name} engaged {where_}"));
        }
        // Whoever may create a switch may be unable to see it: it stops all the same.
        let unseen = |failure| match failure {
            Failure::No(why) => Failure::no(format!("{name} is engaged {where_}, but whether it is quiet is not known: {why}")),
            Failure::Unusable(_) | Failure::OutputClosed => failure,
        };
        match self.wait.until(&api, &switch, |seen| is_quiet(seen, &switch)).await.map_err(unseen)? {
            Waited::Done(seen) => {
                output::object(self.output, &seen, || format!("{name} engaged {where_}: {}", stopped(seen.status.as_ref())))
            }
            Waited::Late(seen) => Err(Failure::no(late(&name, &where_, &seen, self.wait))),
            Waited::Gone => Err(Failure::no(format!("{name} was deleted while it stopped things: kubectl get killswitches -A"))),
        }
    }

    /// Makes the switch, or engages the one that is there.
    async fn engage(&self, client: Client, namespace: &str) -> Result<(Api<KillSwitch>, KillSwitch), Failure> {
        let api: Api<KillSwitch> = Api::namespaced(client, namespace);
        let doing = format!("engaging KillSwitch {namespace}/{}", self.name);
        let reason = self.reason.clone().unwrap_or_else(|| NO_REASON.to_owned());
        let wanted = KillSwitch::new(&self.name, KillSwitchSpec { engaged: true, reason: reason.clone() });
        let found = match api.create(&PostParams::default(), &wanted).await {
            Ok(made) => return Ok((api, made)),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => api.get(&self.name).await.map_err(refused(&doing))?,
            Err(error) => return Err(refused(doing)(error)),
        };
        if found.spec.engaged {
            eprintln!("{} is engaged already, and keeps its reason: {}", output::named(&found), one_line(&found.spec.reason));
            return Ok((api, found));
        }
        let patch = json!({ "spec": { "engaged": true, "reason": reason } });
        let engaged = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await.map_err(refused(doing))?;
        Ok((api, engaged))
    }
}

/// What a switch of this namespace reaches.
pub(super) fn of(namespace: &str, operators: &str) -> String {
    if namespace == operators { format!("in namespace {namespace}, for every namespace") } else { format!("in namespace {namespace}") }
}

/// Whether the status is about this engagement, and says that the last process is dead.
fn is_quiet(seen: &KillSwitch, engaged: &KillSwitch) -> bool {
    seen.status.as_ref().is_some_and(|status| {
        status.observed_generation >= engaged.metadata.generation && status.released_at.is_none() && status.quiet_after_ms.is_some()
    })
}

/// What it stopped, and how fast.
fn stopped(status: Option<&KillSwitchStatus>) -> String {
    let status = status.cloned().unwrap_or_default();
    let n = |n: Option<i32>| i64::from(n.unwrap_or(0));
    format!(
        "{} stopped, {} cut off, {} killed, quiet after {} ms",
        count(n(status.stopped_runs), "run", "runs"),
        count(n(status.stopped_model_requests), "model request", "model requests"),
        count(n(status.stopped_tool_calls), "tool call", "tool calls"),
        status.quiet_after_ms.unwrap_or(0)
    )
}

fn late(name: &str, where_: &str, seen: &KillSwitch, wait: Wait) -> String {
    let conditions = seen.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let about_this = seen.status.as_ref().is_some_and(|status| status.observed_generation >= seen.metadata.generation);
    let says = match ready(conditions).filter(|_| about_this) {
        Some(ready) => format!("the operator says {}: {}", ready.reason, one_line(&ready.message)),
        None => "the operator has said nothing of it; kubectl reeve doctor says whether it works".to_owned(),
    };
    format!("{name} is engaged {where_}, but it is not known to be quiet after {}: {says}", wait.shown())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::Value;

    fn switch(generation: i64, status: Value) -> KillSwitch {
        serde_json::from_value(json!({
            "metadata": { "name": "kill", "namespace": "team", "generation": generation }, "spec": { "reason": "r" }, "status": status
        }))
        .unwrap()
    }

    #[test]
    fn quiet_is_what_the_operator_says_of_this_very_engagement() {
        let engaged = switch(3, Value::Null);
        for (status, quiet) in [
            (Value::Null, false),
            (json!({ "observedGeneration": 3, "stoppedRuns": 1 }), false),
            (json!({ "observedGeneration": 1, "quietAfterMs": 40 }), false),
            (json!({ "observedGeneration": 3, "quietAfterMs": 40, "releasedAt": "2029-12-31T23:00:00Z" }), false),
            (json!({ "observedGeneration": 3, "quietAfterMs": 40 }), true),
        ] {
            assert_eq!(is_quiet(&switch(3, status.clone()), &engaged), quiet, "{status}");
        }
    }

    #[test]
    fn what_was_stopped_is_said_in_numbers() {
        let status = serde_json::from_value(json!({
            "stoppedRuns": 2, "stoppedModelRequests": 1, "stoppedToolCalls": 0, "quietAfterMs": 412
        }));
        assert_eq!(stopped(Some(&status.unwrap())), "2 runs stopped, 1 model request cut off, 0 tool calls killed, quiet after 412 ms");
    }

    #[test]
    fn a_switch_of_the_operator_reaches_everything() {
        assert_eq!(of("team", "reeve-system"), "in namespace team");
        assert_eq!(of("reeve-system", "reeve-system"), "in namespace reeve-system, for every namespace");
    }
}
