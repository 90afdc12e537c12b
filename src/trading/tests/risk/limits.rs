//! Limits as they are read.

use reeve_trading::risk::{Limits, LimitsSpec};
use serde_json::{Value, json};

use crate::world::{limits_spec, universe};

fn refused(changes: Value) -> String {
    Limits::compile(&limits_spec(changes.clone()), &universe()).err().unwrap_or_else(|| panic!("{changes} was taken")).to_string()
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

#[test]
fn limits_without_a_ceiling_are_positive_all_the_same() {
    for (field, value) in [
        ("maxDailyLoss", json!("0")),
        ("dailyTurnover", json!("-1")),
        ("feeBudget", json!("0")),
        ("maxOpenNotional", json!("0")),
        ("duplicateWindowMs", json!(0)),
        ("shutdownLeadMs", json!(-1)),
        ("maxSpreadBps", json!(0)),
        ("maxJumpBps", json!(0)),
        ("maxTradeRiskBps", json!(0)),
        ("maxCancelsPercent", json!(0)),
        ("repeat", json!({ "count": 0, "windowMs": 1 })),
        ("venueOrders", json!({ "count": 1, "windowMs": 0 })),
        ("errors", json!({ "count": 1, "windowMs": -1 })),
        ("lossStreak", json!({ "trades": 0, "pauseMs": 1 })),
        ("slippage", json!({ "bps": 1, "fills": 0 })),
        ("hours", json!({ "fromMinute": 5, "toMinute": 5 })),
        ("hours", json!({ "fromMinute": 1_440, "toMinute": 5 })),
    ] {
        assert!(refused(json!({ field: value })).contains(field), "{field}");
    }
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
