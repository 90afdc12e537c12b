//! An operator on a real cluster is killed again and again at random times while runs go on; in the end nothing is lost and nothing was done
//! twice. `./hack/kill-at-random` prepares the cluster and starts this with `SEED ROUNDS KILLS LONGEST_MS`.
//!
//! Unlike the fail points of `crash.rs`, which name each place, a time hits what nobody thought of. The seed gives the same times again, not
//! the same places: what the operator does in them depends on the cluster.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a round ends by panicking")]

mod round;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::time::Duration;

use futures::FutureExt as _;
use reeve_tests::World;

use round::{Found, Killings};

#[tokio::main]
async fn main() -> ExitCode {
    let numbers: Vec<u64> = std::env::args().skip(1).map(|text| text.parse().expect("SEED ROUNDS KILLS LONGEST_MS, all numbers")).collect();
    let [seed, rounds, kills, longest_ms] = numbers[..] else { panic!("expected SEED ROUNDS KILLS LONGEST_MS") };
    println!("seed {seed}: {rounds} rounds of {kills} kills, each 0 to {longest_ms} ms after the operator was started");
    println!("{}", Found::HEADER);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut total = Found::default();
    for number in 1..=rounds {
        let waits = (0..kills).map(|_| Duration::from_millis(random.u64(0..=longest_ms))).collect();
        let found = play(Killings { waits }).await;
        println!("{}", found.line(&number.to_string()));
        for wrong in &found.wrong {
            println!("      ! {wrong}");
        }
        total.add(found);
    }
    println!("{}", total.line("all"));
    if total.holds() {
        println!("0 lost, 0 repeated, every journal verifies");
        return ExitCode::SUCCESS;
    }
    println!("WRONG: {} lost, {} repeated, {} of {} journals verify", total.lost, total.repeated, total.verified, rounds);
    ExitCode::FAILURE
}

/// One round in a namespace of its own. A round that breaks off is one that lost something.
async fn play(killings: Killings) -> Found {
    let mut found = Found::default();
    let round = World::scenario("killed", async |world| found = killings.play(world).await);
    if let Err(panic) = AssertUnwindSafe(Box::pin(round)).catch_unwind().await {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        found.lost += 1;
        found.wrong.push(format!("the round broke off: {}", text.unwrap_or_default()));
    }
    found
}
