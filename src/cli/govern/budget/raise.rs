//! `kubectl reeve budget raise`: higher limits, and never lower ones.

use clap::{ArgGroup, Args};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use reeve_api::RiskBudget;
use reeve_core::budget::{Dimension, parse_usd, usd};
use serde_json::{Map, Value, json};

use super::super::{Wait, Waited, ready};
use super::line;
use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::name;
use crate::output::{self, ObjectFormat, Table};
use crate::timeline::text::one_line;

/// Raises limits, and shows them before and after.
#[derive(Args, Debug)]
#[command(
    group = ArgGroup::new("limits").required(true).multiple(true),
    after_help = "Examples:\n  kubectl reeve budget raise default --tokens 2000000\n  kubectl reeve budget raise default --tokens +500000 --cost-usd +5\n\n\
                  A plain number is the new limit, one with a leading + is added to the old one. It needs the verb raise on riskbudgets.\n\
                  Limits are lowered, and added, with: kubectl edit riskbudget NAME"
)]
pub(super) struct Raise {
    /// Name of the RiskBudget
    #[arg(value_parser = name::of::<RiskBudget>)]
    name: String,
    /// Tokens of models, input and output together
    #[arg(long, value_name = "[+]N", group = "limits", value_parser = count)]
    tokens: Option<To>,
    /// US dollars, such as 12.50
    #[arg(long, value_name = "[+]D", group = "limits", value_parser = dollars)]
    cost_usd: Option<To>,
    /// Tool calls
    #[arg(long, value_name = "[+]N", group = "limits", value_parser = count)]
    tool_calls: Option<To>,
    /// Seconds that models and tools work, added up over all runs
    #[arg(long, value_name = "[+]N", group = "limits", value_parser = count)]
    runtime_seconds: Option<To>,
    #[command(flatten)]
    wait: Wait,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: ObjectFormat,
}

/// Where a limit goes: counts as they are, dollars in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum To {
    /// There.
    Exactly(u64),
    /// This much higher.
    Higher(u64),
}

fn count(text: &str) -> Result<To, String> {
    to(text, |number| {
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| number.parse().ok()).flatten().ok_or_else(|| "expected a whole number, or one with a leading +".to_owned())
    })
}

fn dollars(text: &str) -> Result<To, String> {
    to(text, |number| parse_usd(number).map_err(|error| error.to_string()))
}

fn to(text: &str, number: impl Fn(&str) -> Result<u64, String>) -> Result<To, String> {
    match text.strip_prefix('+') {
        Some(more) => number(more).map(To::Higher),
        None => number(text).map(To::Exactly),
    }
}

/// The limit that a spec asks for, in the unit of its field; None where it asks for none.
pub(super) fn wanted(budget: &RiskBudget, dimension: Dimension) -> Option<String> {
    let limits = &budget.spec.limits;
    match dimension {
        Dimension::Tokens => limits.tokens.map(|n| n.to_string()),
        Dimension::CostMicroUsd => limits.cost_usd.clone(),
        Dimension::ToolCalls => limits.tool_calls.map(|n| n.to_string()),
        Dimension::RuntimeMs => limits.runtime_seconds.map(|n| n.to_string()),
    }
}

impl Raise {
    /// Raises them, and waits until they are in force.
    pub(super) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let (client, namespace) = connection.connect().await?;
        let api: Api<RiskBudget> = Api::namespaced(client, &namespace);
        let before = api.get(&self.name).await.map_err(refused(format!("reading RiskBudget {namespace}/{}", self.name)))?;
        let limits = self.raised(&before)?;
        if limits.is_empty() {
            return output::object(self.output, &before, || format!("{} unchanged: these are its limits", output::named(&before)));
        }
        // What was read is what is raised: `+N` of two people at once must not be lost.
        let patch = json!({ "metadata": { "resourceVersion": before.metadata.resource_version }, "spec": { "limits": limits } });
        let raised = api.patch(&self.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        let raised = raised.map_err(refused(format!("raising RiskBudget {namespace}/{}", self.name)))?;
        let after = self.in_force(&api, raised).await?;
        output::object(self.output, &after, || said(&before, &after, &self.asked()))
    }

    fn asked(&self) -> Vec<(Dimension, To)> {
        let of = |dimension| match dimension {
            Dimension::Tokens => self.tokens,
            Dimension::CostMicroUsd => self.cost_usd,
            Dimension::ToolCalls => self.tool_calls,
            Dimension::RuntimeMs => self.runtime_seconds,
        };
        Dimension::ALL.into_iter().filter_map(|dimension| of(dimension).map(|to| (dimension, to))).collect()
    }

    /// The limits that change, as fields of a spec. One that would go down stops all of them.
    fn raised(&self, before: &RiskBudget) -> Result<Map<String, Value>, Failure> {
        let mut limits = Map::new();
        for (dimension, to) in self.asked() {
            if let Some(value) = raise(before, dimension, to).map_err(|why| Failure::no(format!("nothing was done: {why}")))? {
                limits.insert(dimension.as_str().to_owned(), value);
            }
        }
        Ok(limits)
    }

    async fn in_force(&self, api: &Api<RiskBudget>, raised: RiskBudget) -> Result<RiskBudget, Failure> {
        if self.wait.is_none() {
            return Ok(raised);
        }
        let name = output::named(&raised);
        let seen = |budget: &RiskBudget| budget.status.as_ref().and_then(|status| status.observed_generation) >= raised.metadata.generation;
        match self.wait.until(api, &raised, seen).await? {
            Waited::Done(after) => Ok(after),
            Waited::Late(_) => Err(Failure::no(format!(
                "{name}: the higher limits stand in its spec, but the operator has not put them in force after {}: \
                 kubectl reeve doctor says whether it works",
                self.wait.shown()
            ))),
            Waited::Gone => Err(Failure::no(format!("{name} was deleted, and nothing can be spent from it"))),
        }
    }
}

/// The new value of a field; None where it is that already.
fn raise(before: &RiskBudget, dimension: Dimension, to: To) -> Result<Option<Value>, String> {
    let (field, name) = (dimension.as_str(), before.name_any());
    let Some(limit) = wanted(before, dimension) else {
        return Err(format!("{name} has no limit on {field}, so there is nothing to raise; to add one: kubectl edit riskbudget {name}"));
    };
    let is_money = matches!(dimension, Dimension::CostMicroUsd);
    let old = if is_money {
        parse_usd(&limit).map_err(|error| error.to_string())?
    } else {
        limit.parse().map_err(|_| format!("{name} has the limit {limit}"))?
    };
    let new = match to {
        To::Exactly(new) => new,
        To::Higher(more) => old.checked_add(more).ok_or_else(|| format!("{field}: {limit} and that much more cannot be counted"))?,
    };
    let shown = if is_money { usd(new) } else { new.to_string() };
    match new.cmp(&old) {
        std::cmp::Ordering::Less => Err(format!(
            "{shown} would lower {field} of {name}, which is {limit}; this command only raises. To lower it: kubectl edit riskbudget {name}"
        )),
        std::cmp::Ordering::Equal => Ok(None),
        std::cmp::Ordering::Greater if is_money => Ok(Some(shown.into())),
        std::cmp::Ordering::Greater => Ok(Some(new.into())),
    }
}

/// Before and after, and what the operator says of it.
fn said(before: &RiskBudget, after: &RiskBudget, asked: &[(Dimension, To)]) -> String {
    let mut table = Table::new(&["DIMENSION", "BEFORE", "AFTER", "USED", "RESERVED", "LEFT"]);
    for (dimension, _) in asked {
        let now = line(after, *dimension);
        let limit = |budget| wanted(budget, *dimension).unwrap_or_default();
        table.row([dimension.as_str().to_owned(), limit(before), limit(after), now.used, now.reserved, now.left]);
    }
    let conditions = after.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let ready = ready(conditions).map_or_else(String::new, |ready| format!(" ({}: {})", ready.reason, one_line(&ready.message)));
    format!("{} raised{ready}\n{}", output::named(after), table.text()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn budget() -> RiskBudget {
        serde_json::from_value(json!({
            "metadata": { "name": "default" }, "spec": { "limits": { "tokens": 1000, "costUSD": "2.50" } }
        }))
        .unwrap()
    }

    #[test]
    fn a_limit_goes_up_to_a_number_or_by_one() {
        let budget = budget();
        for (dimension, to, field) in [
            (Dimension::Tokens, "2000", json!(2000)),
            (Dimension::Tokens, "+1", json!(1001)),
            (Dimension::CostMicroUsd, "2.500001", json!("2.500001")),
            (Dimension::CostMicroUsd, "+0.5", json!("3")),
        ] {
            let to = if dimension == Dimension::Tokens { count(to) } else { dollars(to) };
            assert_eq!(raise(&budget, dimension, to.unwrap()), Ok(Some(field)));
        }
        assert_eq!(raise(&budget, Dimension::Tokens, To::Higher(0)), Ok(None));
        assert_eq!(raise(&budget, Dimension::CostMicroUsd, dollars("2.5").unwrap()), Ok(None), "the same number written otherwise");
    }

    #[test]
    fn what_would_lower_or_add_a_limit_is_refused_with_advice() {
        let budget = budget();
        for (dimension, to, words) in [
            (Dimension::Tokens, To::Exactly(999), "999 would lower tokens of default, which is 1000"),
            (Dimension::CostMicroUsd, To::Exactly(0), "0 would lower costUSD of default, which is 2.50"),
            (Dimension::ToolCalls, To::Exactly(9), "default has no limit on toolCalls"),
            (Dimension::Tokens, To::Higher(u64::MAX), "cannot be counted"),
        ] {
            let why = raise(&budget, dimension, to).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
        let why = raise(&budget, Dimension::Tokens, To::Exactly(1)).unwrap_err();
        assert!(why.ends_with("kubectl edit riskbudget default"), "{why}");
    }

    #[test]
    fn amounts_are_digits() {
        for text in ["", "+", "-1", "++1", "1e3", "1.5", "99999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
        for text in ["", "+", "-1", "1,5", "0.0000001"] {
            assert!(dollars(text).is_err(), "{text}");
        }
        assert_eq!((count("+7"), dollars("0.5")), (Ok(To::Higher(7)), Ok(To::Exactly(500_000))));
    }
}
