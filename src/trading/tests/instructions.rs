//! What an order costs the risk chain, counted in instructions: a count is the same on a busy machine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod world;

use std::collections::VecDeque;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use reeve_trading::account::Account;
use reeve_trading::event::{MarketEvent, MarketStatus, Quote};
use reeve_trading::instrument::InstrumentId;
use reeve_trading::intent::Submit;
use reeve_trading::number::{Price, Qty};
use reeve_trading::order::{ClientId, Order, OrderEvent, Side};
use reeve_trading::risk::{Checked, Guard, GuardStart, InMemory, Inputs, LatchKey};
use reeve_trading::time::{NS_PER_SECOND, Time};
use serde_json::json;
use world::strategy_file;

const AT: InstrumentId = InstrumentId(0);
/// Set for the process in which instructions are counted.
const COUNTED: &str = "REEVE_COUNTED";
/// The goal of the rules.
const ALLOWED: u64 = 1_500;
const BATCH: u64 = 16;
const BATCHES: u64 = 400;

/// Eight strategies of one account with 64 open orders, whose orders all pass.
struct Busy {
    account: Account,
    guards: Vec<Guard<InMemory>>,
    open: VecDeque<ClientId>,
    now: Time,
    next_tag: u64,
}

impl Busy {
    fn new() -> Busy {
        let file = strategy_file(json!({ "buyAndHold": { "instrument": "GOOG", "qty": "1" } }), |file| {
            file["cash"] = json!("100000000");
            file["instruments"][0]["fees"] = json!({ "maker": "0.0001", "taker": "0.0002" });
            file["limits"] = json!({ "instruments": { "GOOG": { "maxOrderQty": "100", "maxPosition": "10000" } }, "ceilings": "research" });
        });
        let universe = Arc::new(file.universe().unwrap());
        let limits = file.limits(&universe).unwrap();
        let (mut account, now) = (Account::new(universe, limits.market_rules(), file.cash).unwrap(), Time(0));
        account.market_event(now, AT, &MarketEvent::Status(MarketStatus::Trading)).unwrap();
        let guards = (0..8).map(|number| {
            let key = LatchKey { account: "a".to_owned(), strategy: format!("s{number}") };
            Guard::start(GuardStart { key, epoch: 1, now }, limits.clone(), &account, Inputs::of_backtest(), InMemory::default())
        });
        Busy { guards: guards.collect(), account, open: VecDeque::new(), now, next_tag: 1 }
    }

    /// Sixteen orders of one strategy; the oldest ones are cancelled so that 64 stay.
    fn batch(&mut self, number: u64, passed: &mut Vec<Checked<Order>>) {
        self.now = self.now.plus_ns(NS_PER_SECOND);
        let quote = Quote { bid: Price(10_000), bid_qty: Qty(9), ask: Price(10_001), ask_qty: Qty(9) };
        self.account.market_event(self.now, AT, &MarketEvent::Quote(quote)).unwrap();
        let guard = &mut self.guards[number as usize % 8];
        guard.on_equity(self.now, &self.account);
        for order in 0..BATCH {
            let submit = Submit::limit(AT, Side::Buy, Qty(10), Price(9_900 + order as i64), self.next_tag);
            self.next_tag += 1;
            through_the_chain(guard, &mut self.account, self.now, &submit, passed);
        }
        self.open.extend(passed.drain(..).map(|order| order.get().id));
        while self.open.len() > 64 {
            let id = self.open.pop_front().unwrap();
            self.account.order_event(self.now, id, &OrderEvent::Cancelled).unwrap();
        }
    }
}

/// What is counted: callgrind knows it by its name.
#[inline(never)]
fn through_the_chain(guard: &mut Guard<InMemory>, account: &mut Account, now: Time, submit: &Submit, passed: &mut Vec<Checked<Order>>) {
    guard.admit(account, now, black_box(submit), passed).unwrap();
}

#[test]
fn an_order_costs_the_chain_at_most_1500_instructions() {
    if std::env::var_os(COUNTED).is_some() {
        let (mut busy, mut passed) = (Busy::new(), Vec::new());
        (0..BATCHES).for_each(|number| busy.batch(number, &mut passed));
        return;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        // ./hack/test installs it; a machine without it can run everything else.
        eprintln!("skipped: valgrind, which counts instructions, is not installed");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*through_the_chain*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "an_order_costs_the_chain_at_most_1500_instructions", "--test-threads", "1"])
        .env(COUNTED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    if let Some(kept) = std::env::var_os("REEVE_KEEP_PROFILE") {
        std::fs::copy(&out, kept).unwrap();
    }
    let counted = std::fs::read_to_string(&out).unwrap();
    let total: u64 = counted.lines().find_map(|line| line.strip_prefix("totals: ")).expect(&said).parse().unwrap();
    let each = total / (BATCH * BATCHES);
    println!("{each} instructions an order");
    assert!(each > 100, "{each}: next to nothing was counted");
    assert!(each <= ALLOWED, "{each} instructions an order, {ALLOWED} are allowed");
}
