//! Mistakes that somebody could make in the operator: each is caught by a lane, and the matrix says by which.

use reeve_sim::world::{Sabotage, Scenario, Setting};

use crate::common::{all_scenarios, play_one, side_by_side};

#[test]
fn look() {
    let scenarios = all_scenarios();
    let mut cases = Vec::new();
    for s in Sabotage::ALL { for sc in &scenarios { cases.push((s, sc)); } }
    let rows = side_by_side(&cases, |(s, sc): &(Sabotage, &Scenario)| {
        let o = play_one(sc, &Setting { sabotage: Some(*s), quiet_ms: 65_000, ..Setting::of(1) });
        (!o.wrong.is_empty()).then(|| format!("{s:?} {}: {}", sc.name, o.wrong.iter().take(2).cloned().collect::<Vec<_>>().join(" | ")))
    });
    for r in rows.into_iter().flatten() { println!("{}", r.chars().take(260).collect::<String>()); }
}
