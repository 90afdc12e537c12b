//! Mistakes that somebody could make in the operator: each is caught by a lane, and the matrix says by which.

use reeve_sim::world::{Sabotage, Setting};

use crate::common::{all_scenarios, play_one, side_by_side};

#[test]
fn look() {
    let scenarios = all_scenarios();
    use Sabotage::*;
    let list = [
        (MadeUpNames, "happy"), (CallsAgain, "happy"), (SwallowedConflict, "job_name_taken"), (SwallowedForbidden, "happy"),
        (ForgottenJob, "job_deleted"), (ForgottenJob, "happy"), (OrphanJob, "run_deleted"), (OrphanJob, "happy"), (NoUidCheck, "made_anew"), (DeafToVotes, "approved"),
        (DeafToDenials, "denied"), (RequesterVotes, "requester_votes"), (ApprovalByName, "approval_name_taken"), (AdmissionUnseen, "admission_missing"),
        (ReadsFromCache, "denied_behind_a_cache"), (TrustsOwnCondition, "killed_and_released"), (FailsOpen, "killed_before_start"), (FailsOpen, "killed_and_released"), (NeverSuspends, "born_suspended"),
        (ForgetsItsStatus, "happy"), (StoppedClock, "approval_expires"), (LostStatus, "happy"), (ForgottenPermit, "happy"), (ForgottenConsumption, "approved"),
        (OutcomeFirst, "happy"), (HoldsNothing, "budget_exhausted"), (CachedSum, "budget_shared"), (ForgottenSettlement, "budget_missing"), 
    ];
    let rows = side_by_side(&list, |(s, name)| {
        let began = std::time::Instant::now();
        let sc = scenarios.iter().find(|sc| sc.name == *name).unwrap();
        let o = play_one(sc, &Setting { sabotage: Some(*s), quiet_ms: 65_000, ..Setting::of(1) });
        format!("{s:?} {} {:?} {:?}: {}", sc.name, began.elapsed(), o.counts, o.wrong.iter().take(3).cloned().collect::<Vec<_>>().join(" | "))
    });
    for r in rows { println!("{}", r.chars().take(420).collect::<String>()); }
}
