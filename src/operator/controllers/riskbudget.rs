//! RiskBudget: its limits come into force, journaled; its status shows the journal's own sums.
//!
//! Admission has asked for the verb `raise` before a higher limit gets here, so what stands in a spec is in force as soon as it is journaled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::Action;
use reeve_api::{AgentRun, ConditionStatus, ConditionType, RiskBudget, RiskBudgetStatus};
use reeve_core::budget::{self, Amounts, Balance, Limits};
use reeve_core::conditions::{self, Say};
use reeve_core::journal::{Actor, BudgetLimited, Event, RowDraft};

use super::deletions::{Kept, forget_deleted};
use super::follow_up::follow_up;
use super::{controller, drive, show};
use crate::context::Context;
use crate::error::Error;
use crate::gone::Gone;
use crate::run::RunLog;
use crate::scope::Scope;

/// Between two looks at all budgets while something moves.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Between two looks for reservations of deleted runs.
const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// Accounts of budgets that are in force, by the UID of their object.
#[derive(Default)]
pub(crate) struct Budgets(Mutex<Known>);

#[derive(Default)]
struct Known {
    accounts: BTreeMap<String, String>,
    gone: Gone,
}

impl Budgets {
    /// Takes in an object. False: it is known to be gone, and whoever still shows it is late.
    fn learn(&self, uid: &str, account: &str) -> bool {
        let mut known = self.known();
        let lives = !known.gone.knows(uid);
        if lives {
            known.accounts.insert(uid.to_owned(), account.to_owned());
        }
        lives
    }

    fn uids(&self, scope: &Scope) -> BTreeSet<String> {
        let known = self.known();
        let covered =
            known.accounts.iter().filter(|(_, account)| account.split('/').next().is_some_and(|namespace| scope.covers(namespace)));
        covered.map(|(uid, _)| uid.clone()).collect()
    }

    /// Whether an object has this account.
    fn holds(&self, account: &str) -> bool {
        self.known().accounts.values().any(|other| other == account)
    }

    /// The account of an object that is gone, unless another object has taken it over.
    fn gone(&self, uid: &str) -> Option<String> {
        let mut known = self.known();
        known.gone.remember(uid);
        let account = known.accounts.remove(uid)?;
        (!known.accounts.values().any(|other| *other == account)).then_some(account)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn run(context: Arc<Context>, scope: &Scope) -> BoxFuture<'static, ()> {
    let moved = futures::stream::unfold(context.budgets.subscribe(), |mut moved| async move {
        moved.changed().await.ok()?;
        tokio::time::sleep(SHOWN_EVERY).await;
        moved.mark_unchanged();
        Some(((), moved))
    });
    let controller = controller::<RiskBudget>(&context, scope).reconcile_all_on(moved.boxed());
    let budgets = drive(Arc::clone(&context), controller, reconcile);
    let kept = Kept { uids: |context, scope| context.known_budgets.uids(scope), forget };
    let deletions = forget_deleted::<RiskBudget>(context, scope, kept);
    Box::pin(async move {
        futures::future::join(budgets, deletions).await;
    })
}

/// Nothing may be spent from a budget that is gone.
fn forget(context: &Arc<Context>, uid: &str) {
    let Some(account) = context.known_budgets.gone(uid) else { return };
    let uid = uid.to_owned();
    follow_up(context, "RiskBudget", account.clone(), move |context| {
        let limited = BudgetLimited { account: account.clone(), uid: uid.clone(), generation: 0, limits: None };
        async move {
            // Made anew while the journal took nothing: its own limits are in force, or will be.
            if context.known_budgets.holds(&limited.account) { Ok(()) } else { limit(&context, limited).await }
        }
    });
}

/// Takes out of force what was deleted, and settles what runs left open that were deleted, while no operator ran.
pub(crate) async fn load(context: &Arc<Context>, scopes: &[Scope]) -> Result<(), Error> {
    for scope in scopes {
        let there = scope.api::<PartialObjectMeta<RiskBudget>>(&context.client).list_metadata(&ListParams::default()).await?;
        let there: BTreeSet<String> =
            there.iter().map(|found| budget::account(&found.namespace().unwrap_or_default(), &found.name_any())).collect();
        for (account, balance) in context.journal.balances().await? {
            let covered = account.split('/').next().is_some_and(|namespace| scope.covers(namespace));
            if covered && balance.limits.is_some() && !there.contains(&account) {
                limit(context, BudgetLimited { account, uid: String::new(), generation: 0, limits: None }).await?;
            }
        }
    }
    settle_deleted(context, scopes).await?;
    let (context, scopes) = (Arc::clone(context), scopes.to_vec());
    // A driver that was ended in the middle of an append may leave a reservation that nobody saw.
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(SWEPT_EVERY);
        loop {
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            if let Err(error) = settle_deleted(&context, &scopes).await {
                tracing::warn!(%error, "reservations of deleted runs could not be looked for");
            }
        }
    });
    Ok(())
}

/// Settles in full what deleted runs had reserved: what was held for them may have been spent.
async fn settle_deleted(context: &Arc<Context>, scopes: &[Scope]) -> Result<(), Error> {
    let mut open = BTreeSet::new();
    for (account, balance) in context.journal.balances().await? {
        let covered = account.split('/').next().is_some_and(|namespace| scopes.iter().any(|scope| scope.covers(namespace)));
        if covered && balance.reserved != Amounts::default() {
            let keys = context.journal.open_reservations(&account).await?.into_iter().map(|reserved| reserved.key);
            open.extend(keys.filter_map(|key| key.split('/').next().map(str::to_owned)));
        }
    }
    if open.is_empty() {
        return Ok(());
    }
    let mut there = BTreeSet::new();
    for scope in scopes {
        let runs = scope.api::<PartialObjectMeta<DeserializeGuard<AgentRun>>>(&context.client);
        there.extend(runs.list_metadata(&ListParams::default()).await?.iter().filter_map(|run| run.uid()));
    }
    for uid in open.difference(&there).filter(|uid| !context.runs.drives(uid)) {
        // One run whose rows cannot be read must not keep the others from working.
        if let Err(error) = RunLog::settle_gone(context, uid).await {
            tracing::error!(uid, %error, "what a deleted run had reserved could not be settled");
        }
    }
    Ok(())
}

async fn reconcile(context: Arc<Context>, object: Arc<RiskBudget>) -> Result<Action, Error> {
    if object.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let (account, uid) = (budget::account(&namespace, &name), object.uid().unwrap_or_default());
    let wanted = match Limits::of(&object.spec.limits) {
        Ok(wanted) => wanted,
        Err(error) => {
            let balance = context.journal.balance(&account).await?;
            let status = status_of(&object, &balance, Some(error.to_string()), context.now());
            show(&context, object.as_ref(), object.status.as_ref(), &status).await?;
            return Ok(Action::await_change());
        }
    };
    if !context.known_budgets.learn(&uid, &account) {
        return Ok(Action::await_change());
    }
    if context.journal.balance(&account).await?.limits != Some(wanted) {
        let generation = object.metadata.generation.unwrap_or_default();
        limit(&context, BudgetLimited { account: account.clone(), uid, generation, limits: Some(wanted) }).await?;
        context.references.notify_waiters();
    }
    let balance = context.journal.balance(&account).await?;
    let status = status_of(&object, &balance, None, context.now());
    show(&context, object.as_ref(), object.status.as_ref(), &status).await?;
    Ok(Action::await_change())
}

/// Journals limits, which brings them into force.
async fn limit(context: &Context, limited: BudgetLimited) -> Result<(), Error> {
    let draft =
        RowDraft::of(&Event::BudgetLimited(limited), &Actor::Operator, context.now()).map_err(|error| Error::bug(error.to_string()))?;
    context.append_own(draft).await?;
    context.budgets.send_modify(|n| *n += 1);
    Ok(())
}

fn status_of(object: &RiskBudget, balance: &Balance, invalid: Option<String>, now: Timestamp) -> RiskBudgetStatus {
    let names = |dimensions: &[budget::Dimension]| dimensions.iter().map(|dimension| dimension.as_str()).collect::<Vec<_>>().join(", ");
    let (exhausted, breached) = (balance.exhausted(), balance.breached());
    let ready = match (invalid, exhausted.as_slice()) {
        (Some(why), _) => Say::ready(ConditionStatus::False, "Invalid", why),
        (None, []) => Say::ready(ConditionStatus::True, "InForce", "The limits are in force, and something is left of each."),
        (None, exhausted) => {
            let message =
                format!("Nothing is left of {}: runs stand still until the limit is raised or something is given back.", names(exhausted));
            Say::ready(ConditionStatus::False, "Exhausted", message)
        }
    };
    let breach = if breached.is_empty() {
        Say {
            kind: ConditionType::Breached,
            status: ConditionStatus::False,
            reason: "WithinLimits".to_owned(),
            message: "No more was used than the limits allow.".to_owned(),
        }
    } else {
        let message = format!("More was used of {} than the limits allow.", names(&breached));
        Say { kind: ConditionType::Breached, status: ConditionStatus::True, reason: "LimitPassed".to_owned(), message }
    };
    let old = object.status.as_ref().map_or(&[][..], |status| &status.conditions);
    RiskBudgetStatus {
        observed_generation: object.metadata.generation,
        conditions: conditions::set(old, &[ready, breach], object.metadata.generation, now),
        ..balance.shown()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_taken_in_again_from_a_watch_that_is_late() {
        let budgets = Budgets::default();
        assert!(budgets.learn("old", "team/default"));
        assert_eq!(budgets.gone("old"), Some("team/default".to_owned()));
        assert!(!budgets.learn("old", "team/default"));
        assert!(!budgets.holds("team/default") && budgets.uids(&Scope::All).is_empty());
    }

    #[test]
    fn an_account_that_another_object_has_taken_over_stays() {
        let budgets = Budgets::default();
        assert!(budgets.learn("old", "team/default") && budgets.learn("new", "team/default"));
        assert_eq!(budgets.gone("old"), None);
        assert!(budgets.holds("team/default"));
    }
}
