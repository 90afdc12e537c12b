//! Sizes that the chain computes.

use reeve_trading::intent::{Size, Submit};
use reeve_trading::number::{Bps, Price, Qty};
use reeve_trading::order::Side;
use reeve_trading::risk::Code;
use serde_json::{Value, json};

use crate::world::{AT, World};

fn sized(changes: Value, size: Size, stop: Option<i64>) -> Result<(i64, i64), Code> {
    let mut world = World::new(changes);
    let submit = Submit { size, stop: stop.map(Price), ..Submit::limit(AT, Side::Buy, Qty(0), Price(10_000), 1) };
    world.admit(&submit).map(|admission| (admission.asked.0, admission.passed.0)).map_err(|denial| denial.code)
}

#[test]
fn formulas_round_down_to_a_lot_and_are_cut_to_what_the_limits_leave() {
    // A million of equity; a lot counts at the ask, 100.02.
    assert_eq!(sized(json!({}), Size::Fraction(Bps(50)), None), Ok((49, 49)), "5000 / 100.02 = 49.99");
    assert_eq!(sized(json!({}), Size::Fraction(Bps(10_000)), None), Ok((9_998, 100)), "row 1");
    assert_eq!(sized(json!({ "maxOrderNotional": "3000.59" }), Size::Fraction(Bps(50)), None), Ok((49, 29)), "row 2");
    assert_eq!(sized(json!({ "maxPositionNotional": "3000.60" }), Size::Fraction(Bps(50)), None), Ok((49, 30)), "row 7");
    assert_eq!(sized(json!({ "maxGrossExposure": "1000.20" }), Size::Fraction(Bps(50)), None), Ok((49, 10)), "row 8");
    assert_eq!(sized(json!({}), Size::RiskAtStop(Bps(1)), Some(9_502)), Ok((20, 20)), "100 of risk at 5.00 a lot");
    assert_eq!(sized(json!({}), Size::VolatilityTarget { target: Bps(10), realised: Bps(2_000) }, None), Ok((49, 49)));
    assert_eq!(
        sized(json!({}), Size::VolatilityTarget { target: Bps(4_000), realised: Bps(1_000) }, None),
        Ok((9_998, 100)),
        "at most all"
    );
    assert_eq!(sized(json!({}), Size::Kelly { fraction: Bps(900), cap: Bps(50) }, None), Ok((49, 49)));
    assert_eq!(sized(json!({}), Size::Kelly { fraction: Bps(50), cap: Bps(900) }, None), Ok((49, 49)));
}

#[test]
fn what_a_formula_lacks_denies() {
    assert_eq!(sized(json!({}), Size::RiskAtStop(Bps(1)), None), Err(Code::MissingInput));
    assert_eq!(sized(json!({}), Size::RiskAtStop(Bps(1)), Some(10_002)), Err(Code::MissingInput), "a stop at the price itself");
    assert_eq!(sized(json!({}), Size::VolatilityTarget { target: Bps(10), realised: Bps(0) }, None), Err(Code::MissingInput));
    assert_eq!(sized(json!({}), Size::Fraction(Bps(0)), None), Err(Code::MaxPosition));
}

#[test]
fn an_explicit_quantity_is_passed_or_denied_and_never_altered() {
    assert_eq!(sized(json!({}), Size::Lots(Qty(100)), None), Ok((100, 100)));
    assert_eq!(sized(json!({}), Size::Lots(Qty(101)), None), Err(Code::MaxOrderQty));
}
