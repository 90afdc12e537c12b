//! A world that goes wrong becomes a file of `tests/scenarios`: small, wrong in the same way, and right where nobody makes the mistake.

use expect_test::{Expect, expect};
use reeve_sim::world::{
    ApiFault, Crash, JournalFault, Lag, Minimised, Phase, Point, Refusal, Sabotage, Scenario, Setting, WatchFault, minimised,
};

use crate::common::{all_scenarios, play_one};

/// A scenario, a mistake, and much that goes wrong beside.
fn small(name: &str, setting: &Setting) -> Minimised {
    let scenarios = all_scenarios();
    let scenario = scenarios.iter().find(|scenario| scenario.name == name).unwrap();
    let least = minimised(scenario, setting, play_one).unwrap();
    println!("{name}: {} steps after {} worlds\n{}", least.steps, least.replays, least.text);
    least
}

/// Much that does not matter.
fn noise(sabotage: Sabotage) -> Setting {
    Setting {
        sabotage: Some(sabotage),
        crashes: vec![Crash { point: Point::Write, number: 4, phase: Phase::Lost }],
        lag: Lag { changes: 3 },
        events: vec![(9, WatchFault::Twice), (21, WatchFault::ThenCut)],
        journal: vec![(3, JournalFault::Refused), (6, JournalFault::RefusedFor { ms: 2_000 })],
        requests: vec![(31, ApiFault::Refused(503)), (44, ApiFault::Silent)],
        refusals: vec![Refusal { verb: "get".to_owned(), kind: "wall".to_owned(), code: 500, from: 1, for_ms: Some(5_000) }],
        quiet_ms: 65_000,
        ..Setting::of(11)
    }
}

/// Holds that what is printed fails by itself with the mistake, and is right without it.
fn replays(least: &Minimised, sabotage: Sabotage, expected: &Expect) {
    expected.assert_eq(&least.text);
    let scenario = Scenario::parse("printed", &least.text).unwrap();
    let setting = Setting { quiet_ms: 65_000, ..Setting::of(1) };
    let mistaken = play_one(&scenario, &Setting { sabotage: Some(sabotage), ..setting.clone() });
    let without_line = |why: &String| why.rsplit(": ").next().unwrap().to_owned();
    assert_eq!(mistaken.wrong.iter().map(without_line).collect::<Vec<_>>(), least.wrong.iter().map(without_line).collect::<Vec<_>>());
    let right = play_one(&scenario, &setting);
    assert!(right.wrong.is_empty(), "{:#?}", right.wrong);
}

#[test]
fn a_mistake_that_needs_no_fault_is_printed_without_one() {
    let sabotage = Sabotage::DeafToDenials;
    let least = small("denied", &noise(sabotage));
    replays(
        &least,
        sabotage,
        &expect![[r##"
        # Of denied: denied:8: run/r1 shows "Suspended Ready=Unknown AwaitingApproval"
        model
          coder:
          - toolCalls: [{name: fs.write, arguments: {path: .github/workflows/ci.yaml, content: "on: push\n"}}]
          - toolCalls: [{name: finish, arguments: {summary: Done.}}]
        run r1
        until approval/r1-s1c0 Pending
        deny approval/r1-s1c0 as bob
        until run/r1 Succeeded reason=Finished
    "##]],
    );
}

#[test]
fn a_mistake_that_needs_a_crash_is_printed_with_that_crash() {
    let sabotage = Sabotage::CallsAgain;
    // A journal that refuses has the workspace loaded again, and the third effect would be another.
    let mut setting = Setting { journal: Vec::new(), ..noise(sabotage) };
    setting.crashes =
        vec![Crash { point: Point::Effect, number: 3, phase: Phase::Lost }, Crash { point: Point::Write, number: 12, phase: Phase::After }];
    let least = small("happy", &setting);
    replays(
        &least,
        sabotage,
        &expect![[r##"
        # Of happy: happy:11: expected 2 effects, found 3
        crash in effect 3
        model
          coder:
          - text: I write the file.
            toolCalls: [{name: fs.write, arguments: {path: one.txt, content: "one\n"}}]
            usage: {inputTokens: 900, outputTokens: 40}
          - toolCalls: [{name: git.commit, arguments: {message: One}}]
          - toolCalls: [{name: finish, arguments: {summary: Done.}}]
        run r1
        until run/r1 Succeeded within 5m
        expect effects 2
    "##]],
    );
}
