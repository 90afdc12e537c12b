//! Limits as they are read.

use reeve_trading::risk::{Limits, LimitsSpec};
use serde_json::{Value, json};

use crate::world::{limits_spec, read, universe};

/// Why these limits are refused, by the reader or by the compiler.
fn refused(changes: Value) -> String {
    let taken = || panic!("{changes} was taken");
    match read(&changes) {
        Err(error) => error.to_string(),
        Ok(spec) => Limits::compile(&spec, &universe()).err().unwrap_or_else(taken).to_string(),
    }
}

/// Each ceiling: at it, one step past it, zero, negative.
#[test]
fn a_configuration_can_only_tighten_a_ceiling() {
    for (field, ceiling, past) in [
        ("maxOrderNotional", json!("250000"), json!("250000.000000000000000000000001")),
        ("maxPositionNotional", json!("1000000"), json!("1000000.01")),
        ("maxGrossExposure", json!("2000000"), json!("2000000.01")),
        ("maxLeverageBps", json!(10_000), json!(10_001)),
        ("maxDailyLossBps", json!(500), json!(501)),
        ("maxDrawdownBps", json!(2_000), json!(2_001)),
        ("priceCollarBps", json!(500), json!(501)),
        ("ordersPerSecond", json!(10), json!(11)),
        ("maxOpenOrders", json!(200), json!(201)),
        ("dataAgeMs", json!(10_000), json!(10_001)),
        ("clockSkewMs", json!(1_000), json!(1_001)),
    ] {
        let taken = Limits::compile(&limits_spec(json!({ field: ceiling })), &universe());
        assert!(taken.unwrap().promotable(), "{field}");
        let message = refused(json!({ field: past }));
        assert!(message.starts_with(&format!("limits: {field}: ")) && message.contains("above its ceiling"), "{message}");
        let zero = if past.is_string() { json!("0") } else { json!(0) };
        assert!(refused(json!({ field: zero })).contains("expected more than zero, found 0"), "{field}");
    }
    assert!(refused(json!({ "maxOrderNotional": "-1" })).contains("expected more than zero, found -1"));
    assert!(refused(json!({ "dataAgeMs": -1 })).contains("expected more than zero, found -1"));
}

/// Each number that a file can name, zero and negative.
#[test]
fn no_limit_is_zero_or_negative() {
    let money =
        ["maxOrderNotional", "maxPositionNotional", "maxGrossExposure", "maxOpenNotional", "maxDailyLoss", "dailyTurnover", "feeBudget"];
    let numbers = [
        "maxLeverageBps",
        "priceCollarBps",
        "ordersPerSecond",
        "duplicateWindowMs",
        "maxOpenOrders",
        "maxDailyLossBps",
        "maxDrawdownBps",
        "maxTradeRiskBps",
        "dataAgeMs",
        "maxSpreadBps",
        "maxJumpBps",
        "shutdownLeadMs",
        "clockSkewMs",
        "maxCancelsPercent",
    ];
    let pairs = [
        ("venueOrders", "count", "windowMs"),
        ("repeat", "count", "windowMs"),
        ("errors", "count", "windowMs"),
        ("lossStreak", "trades", "pauseMs"),
        ("slippage", "bps", "fills"),
    ];
    let mut named = std::collections::BTreeSet::from(["instruments", "ceilings", "autoRearm", "flatten", "hours"].map(str::to_owned));
    for bad in [0, -1] {
        let plain = money.iter().map(|field| (*field, json!(bad.to_string()))).chain(numbers.iter().map(|field| (*field, json!(bad))));
        let within = pairs
            .iter()
            .flat_map(|(field, one, other)| [(*field, json!({ *one: bad, *other: 1 })), (*field, json!({ *one: 1, *other: bad }))]);
        for (field, value) in plain.chain(within) {
            let why = refused(json!({ field: value }));
            assert!(why.contains(&bad.to_string()), "{field}: {why}");
            named.insert(field.to_owned());
        }
    }
    for window in [
        json!({ "fromMinute": 5, "toMinute": 5 }),
        json!({ "fromMinute": 1_440, "toMinute": 5 }),
        json!({ "fromMinute": -1, "toMinute": 5 }),
    ] {
        refused(json!({ "hours": window }));
    }
    // A field that is new has to be tried here: the reader lists all that it knows.
    let unknown = read(&json!({ "maxOrderNotionl": "1" })).unwrap_err().to_string();
    let known: std::collections::BTreeSet<String> = unknown.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert_eq!(named, known);
}

#[test]
fn quantity_limits_are_mandatory_and_on_the_grid() {
    let with = |limits: Value| refused(json!({ "instruments": { "X": limits } }));
    assert!(with(json!({ "maxOrderQty": "1" })).contains("X: maxPosition: quantity limits are mandatory"));
    assert!(with(json!({ "maxPosition": "1" })).contains("X: maxOrderQty: quantity limits are mandatory"));
    for (qty, why) in [("0", "more than zero"), ("-1", "more than zero"), ("0.5", "not a multiple of 1"), ("NaN", "expected a decimal")] {
        assert!(with(json!({ "maxOrderQty": qty, "maxPosition": "1" })).contains(why), "{qty}");
    }
    assert!(refused(json!({ "instruments": { "Z": {} } })).contains("no such instrument"));
}

#[test]
fn research_lifts_the_ceilings_and_marks_the_result() {
    let spec = limits_spec(json!({ "ceilings": "research", "maxOrderNotional": "5000000", "ordersPerSecond": 100_000 }));
    assert!(!Limits::compile(&spec, &universe()).unwrap().promotable());
    assert!(refused(json!({ "ceilings": "research", "maxLeverageBps": 10_001 })).contains("maxLeverageBps"), "spot has no leverage");
}

#[test]
fn unknown_fields_are_refused() {
    let read: Result<LimitsSpec, _> = serde_json::from_value(json!({ "instruments": {}, "maxOrderNotionl": "1" }));
    assert!(read.unwrap_err().to_string().contains("unknown field"));
}
