//! A world in which a model's answer and a call's arguments are too large for a row.

use reeve_sim::world::{Crash, Phase, Point, Scenario, Setting};

use crate::common::{hold, play_one, side_by_side};

/// A file of 300 KiB: its text stands in the answer, and twice in the call that comes of it.
fn large() -> Scenario {
    let text = format!(
        "model\n  coder:\n  - toolCalls: [{{name: fs.write, arguments: {{path: one.txt, content: {}}}}}]\n  \
         - toolCalls: [{{name: git.commit, arguments: {{message: One}}}}]\n  - toolCalls: [{{name: finish, arguments: {{summary: Done.}}}}]\n\
         run r1\nuntil run/r1 Succeeded within 5m\nexpect effects 2\n",
        "x".repeat(300 * 1024)
    );
    Scenario::parse("large", &text).unwrap()
}

#[test]
fn a_crash_around_a_large_body_loses_nothing_and_repeats_nothing() {
    let scenario = large();
    let whole = play_one(&scenario, &Setting::of(1));
    assert!(whole.wrong.is_empty(), "{:#?}\n{}", whole.wrong, whole.tale.join("\n"));
    let kept: Vec<&String> = whole.tale.iter().filter(|line| line.contains("is kept as artifact")).collect();
    assert_eq!(kept.len(), 2, "an answer and a call: {kept:#?}");
    let appends = 1..=whole.counts.of(Point::Append);
    let crashes: Vec<Crash> = appends.flat_map(|number| Phase::ALL.map(|phase| Crash { point: Point::Append, number, phase })).collect();
    let wrong = side_by_side(&crashes, |crash| {
        let crashed = play_one(&scenario, &Setting { crashes: vec![*crash], ..Setting::of(1) });
        let same = crashed.wrong.is_empty() && crashed.end == whole.end;
        (!same).then(|| format!("{crash}: {:#?}\n{}", crashed.wrong, crashed.tale.join("\n")))
    });
    hold("large bodies", crashes.len(), &wrong.into_iter().flatten().collect::<Vec<_>>());
}
