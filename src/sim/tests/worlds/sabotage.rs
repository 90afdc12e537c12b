//! Mistakes that somebody could make in the operator: each is caught by a lane, and the matrix in README says by which.
//!
//! A whole search of every lane for every mistake takes hours. What is played here is what such searches found: for each mistake the
//! scenario in which it matters, and one world of each lane.

use std::fmt::Write as _;

use reeve_sim::world::{Crash, JournalFault, Lag, Phase, Point, Sabotage, Setting, WatchFault};

use crate::common::{all_scenarios, play_one, repository, side_by_side};

/// How long these worlds must be quiet at their end.
const QUIET_MS: u64 = 65_000;
/// The lanes, in the order of [`settings`].
const LANES: [&str; 4] = ["scenarios", "crash-matrix", "staleness", "journal-faults"];
/// Around the matrix in README.
const BEGINS: &str = "<!-- generated: mistakes -->\n";
const ENDS: &str = "<!-- end -->";

/// The scenario in which a mistake matters, and where the operator is killed in it.
const fn shown_in(sabotage: Sabotage) -> (&'static str, Crash) {
    const fn lost(point: Point, number: u64) -> Crash {
        Crash { point, number, phase: Phase::Lost }
    }
    let early = lost(Point::Append, 5);
    match sabotage {
        Sabotage::MadeUpNames | Sabotage::OrphanJob => ("happy", lost(Point::Write, 6)),
        Sabotage::CallsAgain | Sabotage::WrittenTooSoon => ("happy", lost(Point::Effect, 3)),
        Sabotage::ForgottenJob => ("happy", lost(Point::Append, 11)),
        Sabotage::UnfencedWrite => ("happy", lost(Point::Effect, 1)),
        Sabotage::SwallowedForbidden
        | Sabotage::SwallowedGone
        | Sabotage::ForgetsItsStatus
        | Sabotage::LostStatus
        | Sabotage::ForgottenPermit
        | Sabotage::OutcomeFirst => ("happy", early),
        Sabotage::SwallowedConflict => ("job_name_taken", early),
        Sabotage::NoUidCheck => ("made_anew", lost(Point::Effect, 1)),
        Sabotage::DeafToEdits => ("asks_a_person", early),
        Sabotage::DeafToVotes => ("approved_later", early),
        Sabotage::DeafToDenials => ("denied", early),
        Sabotage::RequesterVotes => ("requester_votes", early),
        Sabotage::ApprovalByName => ("approval_name_taken", early),
        Sabotage::AdmissionUnseen => ("admission_missing", early),
        Sabotage::ReadsFromCache => ("requester_votes", early),
        Sabotage::TrustsOwnCondition => ("killed_and_released", early),
        Sabotage::FailsOpen => ("killed_and_released", early),
        Sabotage::NeverSuspends => ("born_suspended", early),
        Sabotage::StoppedClock => ("approval_expires", early),
        Sabotage::ForgottenConsumption => ("approved", early),
        Sabotage::HoldsNothing => ("budget_exhausted", early),
        Sabotage::CachedSum => ("budget_shared", early),
        Sabotage::ForgottenSettlement => ("budget_missing", early),
    }
}

/// One world of each lane.
fn settings(sabotage: Sabotage) -> [Setting; 4] {
    let setting = || Setting { quiet_ms: QUIET_MS, ..Setting::of(1) };
    // Nobody swallows what is never said.
    let stale = if sabotage == Sabotage::SwallowedGone {
        Setting { events: vec![(1, WatchFault::DroppedThenGone)], ..setting() }
    } else {
        Setting { lag: Lag { changes: 4 }, ..setting() }
    };
    [
        setting(),
        Setting { crashes: vec![shown_in(sabotage).1], ..setting() },
        stale,
        Setting { journal: vec![(5, JournalFault::Unheard)], ..setting() },
    ]
}

#[test]
fn every_mistake_is_caught() {
    let scenarios = all_scenarios();
    let worlds: Vec<(Sabotage, Setting)> =
        Sabotage::ALL.iter().flat_map(|sabotage| settings(*sabotage).map(|setting| (*sabotage, setting))).collect();
    // What a scenario ends with where nobody makes a mistake.
    let mut names: Vec<&str> = Sabotage::ALL.iter().map(|sabotage| shown_in(*sabotage).0).collect();
    names.sort_unstable();
    names.dedup();
    let find = |name: &str| scenarios.iter().find(|scenario| scenario.name == name).unwrap();
    let whole = side_by_side(&names, |name| play_one(find(name), &Setting { quiet_ms: QUIET_MS, ..Setting::of(1) }));
    let caught = side_by_side(&worlds, |(sabotage, setting)| {
        let (name, _) = shown_in(*sabotage);
        let outcome = play_one(find(name), &Setting { sabotage: Some(*sabotage), ..setting.clone() });
        let right = &whole[names.iter().position(|other| *other == name).unwrap()];
        assert!(right.wrong.is_empty(), "{name}: {:?}", right.wrong);
        !outcome.wrong.is_empty() || outcome.end != right.end
    });
    let rows: Vec<(Sabotage, &[bool])> = Sabotage::ALL.iter().copied().zip(caught.chunks(LANES.len())).collect();
    let matrix = matrix(&rows);
    println!("{matrix}");
    let missed: Vec<Sabotage> = rows.iter().filter(|(_, caught)| !caught.contains(&true)).map(|(sabotage, _)| *sabotage).collect();
    println!("sabotage: {} worlds of {} mistakes, {} not caught", worlds.len(), rows.len(), missed.len());
    assert!(missed.is_empty(), "not caught: {missed:?}");
    keep(&matrix);
}

#[test]
fn a_vote_that_rings_nobody_is_noticed_though_it_is_found_in_the_end() {
    let scenarios = all_scenarios();
    let scenario = scenarios.iter().find(|scenario| scenario.name == "approved_later").unwrap();
    let deaf = play_one(scenario, &Setting { quiet_ms: QUIET_MS, sabotage: Some(Sabotage::DeafToVotes), ..Setting::of(1) });
    assert!(deaf.wrong.iter().any(|why| why.contains("no row took it up within 10 s")), "{:#?}", deaf.wrong);
}

/// The matrix, as README has it.
fn matrix(rows: &[(Sabotage, &[bool])]) -> String {
    let mut table = format!("| mistake | what it is | played in | {} |\n|---|---|---|{}\n", LANES.join(" | "), "---|".repeat(LANES.len()));
    for (sabotage, caught) in rows {
        let cells: Vec<&str> = caught.iter().map(|caught| if *caught { "caught" } else { "" }).collect();
        writeln!(table, "| {sabotage:?} | {} | {} | {} |", sabotage.told(), shown_in(*sabotage).0, cells.join(" | ")).unwrap();
    }
    table
}

/// Holds README to the matrix, or writes it there where `UPDATE_EXPECT` is set.
fn keep(matrix: &str) {
    let file = repository().join("README.md");
    let readme = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(BEGINS).unwrap();
    let (kept, after) = rest.split_once(ENDS).unwrap();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&file, format!("{before}{BEGINS}{matrix}{ENDS}{after}")).unwrap();
    } else {
        assert_eq!(kept, matrix, "README has another matrix: UPDATE_EXPECT=1 ./hack/test sabotage writes this one");
    }
}
