//! `kubectl reeve budget`: what may be spent, what was, and what is left.

mod raise;

use clap::{Args, Subcommand};
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use reeve_api::{Balance, Condition, RiskBudget};
use reeve_core::budget::Dimension;

use crate::cluster::{Connection, refused};
use crate::exit::Failure;
use crate::name;
use crate::output::{self, ObjectFormat, Table};
use crate::timeline::text::one_line;

/// Shows what may be spent, what was, and what is left.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  kubectl reeve budget\n  kubectl reeve budget default -o json\n  kubectl reeve budget raise default --tokens +500000 --cost-usd 20\n\n\
                  Limits are lowered, and added, with: kubectl edit riskbudget NAME"
)]
pub(crate) struct Budget {
    /// Name of the RiskBudget; without it all of the namespace
    #[arg(value_parser = name::of::<RiskBudget>)]
    name: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Form of the output [default: table]
    #[arg(short, long, value_enum)]
    output: Option<ObjectFormat>,
    #[command(subcommand)]
    command: Option<BudgetCommand>,
}

#[derive(Subcommand, Debug)]
enum BudgetCommand {
    /// Raises limits, and shows them before and after
    Raise(raise::Raise),
}

impl Budget {
    /// Shows budgets, or raises one.
    pub(crate) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let is_said = self.name.is_some() || self.all_namespaces || self.output.is_some();
        let format = self.output.unwrap_or_default();
        match (self.command, self.name) {
            // The flags of the cluster may stand anywhere (clap's args_conflicts_with_subcommands would refuse those too).
            (Some(BudgetCommand::Raise(_)), _) if is_said => {
                Err(Failure::unusable("expected all of it after raise, found some before: kubectl reeve budget raise NAME …"))
            }
            (Some(BudgetCommand::Raise(raise)), _) => raise.run(connection).await,
            (None, Some(name)) => {
                let (client, namespace) = connection.connect().await?;
                let api: Api<RiskBudget> = Api::namespaced(client, &namespace);
                let budget = api.get(&name).await.map_err(refused(format!("reading RiskBudget {namespace}/{name}")))?;
                output::object(format, &budget, || {
                    let conditions = said(&budget, "").into_iter().map(|line| format!("{line}\n"));
                    let text = table(std::slice::from_ref(&budget), false).text() + "\n" + &conditions.collect::<String>();
                    text.trim_end().to_owned()
                })
            }
            (None, None) => list(connection, self.all_namespaces, format).await,
        }
    }
}

async fn list(connection: &Connection, all_namespaces: bool, format: ObjectFormat) -> Result<(), Failure> {
    let (client, namespace) = connection.connect().await?;
    let (api, whence): (Api<RiskBudget>, _) = if all_namespaces {
        (Api::all(client), "in any namespace".to_owned())
    } else {
        (Api::namespaced(client, &namespace), format!("in namespace {namespace}"))
    };
    let found = api.list(&ListParams::default()).await.map_err(refused(format!("listing RiskBudgets {whence}")))?;
    if found.items.is_empty() && format == ObjectFormat::Table {
        eprintln!("No RiskBudget is {whence}: its runs have no limit but their own.");
        return Ok(());
    }
    output::objects(format, &found.items, || table(&found.items, all_namespaces))?;
    match format {
        ObjectFormat::Table => {
            output::line("")?;
            let name = |budget: &RiskBudget| match (all_namespaces, budget.namespace()) {
                (true, Some(namespace)) => format!("{namespace}/{}: ", budget.name_any()),
                (true, None) | (false, Some(_) | None) => format!("{}: ", budget.name_any()),
            };
            found.items.iter().flat_map(|budget| said(budget, &name(budget))).try_for_each(|line| output::line(&line))
        }
        ObjectFormat::Json | ObjectFormat::Yaml | ObjectFormat::Name => Ok(()),
    }
}

/// A row a dimension. What the operator has not said is unknown, not nothing.
fn table(budgets: &[RiskBudget], with_namespace: bool) -> Table {
    let columns = ["NAME", "DIMENSION", "LIMIT", "USED", "RESERVED", "LEFT"];
    let mut table = if with_namespace { Table::new(&[&["NAMESPACE"][..], &columns].concat()) } else { Table::new(&columns) };
    for budget in budgets {
        for dimension in Dimension::ALL {
            let Line { limit, used, reserved, left } = line(budget, dimension);
            let (name, dimension) = (budget.name_any(), dimension.as_str().to_owned());
            if with_namespace {
                table.row([budget.namespace().unwrap_or_default(), name, dimension, limit, used, reserved, left]);
            } else {
                table.row([name, dimension, limit, used, reserved, left]);
            }
        }
    }
    table
}

/// One dimension of a budget, for people.
struct Line {
    limit: String,
    used: String,
    reserved: String,
    left: String,
}

const UNKNOWN: &str = "<unknown>";

fn line(budget: &RiskBudget, dimension: Dimension) -> Line {
    let status = budget.status.as_ref();
    let counted = |balance: Option<&Balance>| {
        balance.map(|Balance { limit, used, reserved, left }| Line {
            limit: limit.map(|n| n.to_string()).unwrap_or_default(),
            used: used.to_string(),
            reserved: reserved.to_string(),
            left: left.map(|n| n.to_string()).unwrap_or_default(),
        })
    };
    let shown = match dimension {
        Dimension::Tokens => counted(status.and_then(|status| status.tokens.as_ref())),
        Dimension::ToolCalls => counted(status.and_then(|status| status.tool_calls.as_ref())),
        Dimension::RuntimeMs => counted(status.and_then(|status| status.runtime_seconds.as_ref())),
        Dimension::CostMicroUsd => status.and_then(|status| status.cost_usd.as_ref()).map(|balance| Line {
            limit: balance.limit.clone().unwrap_or_default(),
            used: balance.used.clone(),
            reserved: balance.reserved.clone(),
            left: balance.left.clone().unwrap_or_default(),
        }),
    };
    let unknown = || UNKNOWN.to_owned();
    shown.unwrap_or_else(|| Line {
        limit: raise::wanted(budget, dimension).unwrap_or_default(),
        used: unknown(),
        reserved: unknown(),
        left: unknown(),
    })
}

/// What its conditions say, a line each.
fn said(budget: &RiskBudget, before: &str) -> Vec<String> {
    let conditions = budget.status.as_ref().map_or(&[][..], |status| &status.conditions);
    if conditions.is_empty() {
        return vec![format!("{before}the operator has not looked at it yet")];
    }
    let line =
        |Condition { type_, status, reason, message, .. }: &Condition| format!("{before}{type_}={status} {reason}: {}", one_line(message));
    conditions.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde_json::{Value, json};

    fn budget(status: Value) -> RiskBudget {
        serde_json::from_value(json!({
            "metadata": { "name": "default", "namespace": "team" },
            "spec": { "limits": { "tokens": 1000, "costUSD": "2.50" } },
            "status": status
        }))
        .unwrap()
    }

    #[test]
    fn each_dimension_has_a_row_and_what_has_no_limit_says_so() {
        let status = json!({
            "tokens": { "limit": 1000, "used": 400, "reserved": 100, "left": 500 },
            "costUSD": { "limit": "2.5", "used": "0.004", "reserved": "0", "left": "2.496" },
            "toolCalls": { "used": 3, "reserved": 1 },
            "runtimeSeconds": { "used": 7, "reserved": 0 }
        });
        assert_eq!(
            table(&[budget(status)], true).text(),
            "NAMESPACE   NAME      DIMENSION        LIMIT    USED    RESERVED   LEFT\n\
             team        default   tokens           1000     400     100        500\n\
             team        default   costUSD          2.5      0.004   0          2.496\n\
             team        default   toolCalls        <none>   3       1          <none>\n\
             team        default   runtimeSeconds   <none>   7       0          <none>\n"
        );
    }

    #[test]
    fn what_the_operator_has_not_said_is_unknown() {
        let fresh = budget(Value::Null);
        let text = table(std::slice::from_ref(&fresh), false).text();
        assert!(text.contains("default   tokens           1000     <unknown>   <unknown>   <unknown>\n"), "{text}");
        assert_eq!(said(&fresh, "default: "), ["default: the operator has not looked at it yet"]);
    }

    #[test]
    fn conditions_are_said_in_one_line_each() {
        let condition = json!({
            "type": "Ready", "status": "False", "reason": "Exhausted", "message": "Nothing is left\nof tokens.",
            "lastTransitionTime": "2029-12-31T23:00:00Z"
        });
        assert_eq!(said(&budget(json!({ "conditions": [condition] })), ""), ["Ready=False Exhausted: Nothing is left of tokens."]);
    }
}
