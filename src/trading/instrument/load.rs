//! From what a file says of an instrument to exact integers, or a refusal.

use rust_decimal::Decimal;
use serde::Deserialize;

use super::{FeeAsset, Fees, GridError, Instrument, Universe};
use crate::number::{Money, Overflow, Price, Qty, SCALE, mul_div_up};

/// What kind of contract an instrument is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpecKind {
    /// Bought and owned; long only.
    #[default]
    Spot,
}

/// What a file says of an instrument. Decimals are texts, so that none passes through a float.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstrumentSpec {
    /// Its name.
    pub symbol: String,
    /// What is bought.
    pub base: String,
    /// What it is paid with: the reporting currency.
    pub quote: String,
    /// Kind of contract.
    #[serde(default)]
    pub kind: SpecKind,
    /// Step of prices.
    pub tick_size: String,
    /// Step of quantities.
    pub lot_size: String,
    /// Least quantity of an order; one lot when not said.
    pub min_qty: Option<String>,
    /// Greatest quantity of an order.
    pub max_qty: String,
    /// Least notional of an order; nothing when not said.
    pub min_notional: Option<String>,
    /// Greatest price that is believed.
    pub max_price: String,
    /// What trades cost.
    #[serde(default)]
    pub fees: FeeSpec,
}

/// What a file says of fees.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeeSpec {
    /// Rate of a maker, as a fraction: 0.001 is ten basis points. Nothing when not said.
    pub maker: Option<String>,
    /// Rate of a taker.
    pub taker: Option<String>,
    /// The asset it is paid in: the quote asset when not said.
    pub asset: Option<String>,
    /// Decimals to which the venue rounds a fee up.
    pub rounding: Option<u32>,
}

/// An instrument that cannot be traded exactly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A field that is no usable decimal.
    #[error("instrument {symbol}: {field}: {why}")]
    Field {
        /// The instrument.
        symbol: String,
        /// The field.
        field: &'static str,
        /// What was expected, what was found.
        why: String,
    },
    /// Decimals of price, quantity and fee rate together are finer than the ledger.
    #[error("instrument {symbol}: price, quantity and fee rate have {found} decimals together; the ledger holds 24")]
    TooFine {
        /// The instrument.
        symbol: String,
        /// Decimals together.
        found: u32,
    },
    /// Its largest amounts do not fit the ledger.
    #[error("instrument {symbol}: {max_qty} lots at {max_price} ticks do not fit the ledger; lower maxQty or maxPrice")]
    TooLarge {
        /// The instrument.
        symbol: String,
        /// Largest quantity.
        max_qty: i64,
        /// Largest price.
        max_price: i64,
    },
    /// Its quote asset has no mark of its own.
    #[error("instrument {symbol} is paid with {quote}; every instrument of a run is paid with the reporting currency, {reporting}")]
    Quote {
        /// The instrument.
        symbol: String,
        /// Its quote asset.
        quote: String,
        /// The reporting currency.
        reporting: String,
    },
    /// A fee in an asset that has no mark.
    #[error("instrument {symbol}: fees in {asset}, which no instrument of this run prices")]
    FeeAsset {
        /// The instrument.
        symbol: String,
        /// The asset.
        asset: String,
    },
    /// A symbol or a base asset that another instrument has.
    #[error("instrument {symbol}: its symbol or its base asset {base} is another instrument's, or the reporting currency")]
    Twice {
        /// The instrument.
        symbol: String,
        /// Its base asset.
        base: String,
    },
    /// More instruments than a run may have.
    #[error("more than 65,535 instruments")]
    TooMany,
}

/// Part of the ledger's range that one order's amounts may take: sums over a thousand such orders still fit.
const HEADROOM: i128 = 1_024;

pub(super) fn load(universe: &Universe, spec: &InstrumentSpec) -> Result<Instrument, LoadError> {
    let reporting = universe.asset_name(Universe::REPORTING);
    if spec.quote != reporting {
        let (symbol, quote) = (spec.symbol.clone(), spec.quote.clone());
        return Err(LoadError::Quote { symbol, quote, reporting: reporting.to_owned() });
    }
    let (tick_size, lot_size) = (positive(spec, "tickSize", &spec.tick_size)?, positive(spec, "lotSize", &spec.lot_size)?);
    let base = universe.asset(&spec.base).ok_or_else(|| field(spec, "base", "not an asset of this run".to_owned()))?;
    let fees = fees(universe, spec, tick_size, lot_size)?;
    let exact = |decimal: Decimal, name| Money::from_decimal(decimal).map_err(|error| field(spec, name, error.to_string()));
    let mut instrument = Instrument {
        symbol: spec.symbol.clone(),
        base,
        quote: Universe::REPORTING,
        min_qty: Qty(1),
        max_qty: Qty(1),
        min_notional: Money::ZERO,
        min_steps: 0,
        max_price: Price(1),
        fees,
        tick_size,
        lot_size,
        tick_unit: exact(tick_size, "tickSize")?,
        lot_unit: exact(lot_size, "lotSize")?,
        notional_unit: product(spec, &[tick_size, lot_size])?,
        buy_unit: None,
    };
    let on_grid = |name, result: Result<i64, GridError>| result.map_err(|error| field(spec, name, error.to_string()));
    instrument.max_qty = Qty(on_grid("maxQty", instrument.qty(positive(spec, "maxQty", &spec.max_qty)?).map(|qty| qty.0))?);
    instrument.max_price = Price(on_grid("maxPrice", instrument.price(positive(spec, "maxPrice", &spec.max_price)?).map(|price| price.0))?);
    if let Some(min) = &spec.min_qty {
        instrument.min_qty = Qty(on_grid("minQty", instrument.qty(positive(spec, "minQty", min)?).map(|qty| qty.0))?);
    }
    if let Some(min) = &spec.min_notional {
        instrument.min_notional = exact(not_negative(spec, "minNotional", min)?, "minNotional")?;
    }
    instrument.min_steps = mul_div_up(instrument.min_notional.0, 1, instrument.notional_unit.0)
        .map_err(|overflow| field(spec, "minNotional", overflow.to_string()))?;
    fits(&instrument).map_err(|_| LoadError::TooLarge {
        symbol: spec.symbol.clone(),
        max_qty: instrument.max_qty.0,
        max_price: instrument.max_price.0,
    })?;
    instrument.buy_unit = buy_unit(&instrument);
    Ok(instrument)
}

fn buy_unit(instrument: &Instrument) -> Option<Money> {
    let plain = instrument.fees.asset == FeeAsset::Quote && instrument.fees.rounding.is_none();
    let fee = instrument.worst_fee(Price(1), Qty(1)).ok().filter(|_| plain)?;
    instrument.notional_unit.plus(fee).ok()
}

fn fits(instrument: &Instrument) -> Result<(), Overflow> {
    // Step by step and checked: it is this that lets the amounts of orders go unchecked.
    let notional = instrument.notional_unit.times(super::steps(instrument.max_price, instrument.max_qty))?;
    let fee = instrument.worst_fee(instrument.max_price, instrument.max_qty)?;
    notional.plus(fee)?.times(HEADROOM)?;
    instrument.lot_unit.times(i128::from(instrument.max_qty.0))?.times(HEADROOM)?;
    // Half ticks are twice the ticks.
    instrument.max_price.0.checked_mul(2).ok_or(Overflow)?;
    Ok(())
}

fn fees(universe: &Universe, spec: &InstrumentSpec, tick: Decimal, lot: Decimal) -> Result<Fees, LoadError> {
    let rate = |name, text: &Option<String>| text.as_deref().map_or(Ok(Decimal::ZERO), |text| decimal(spec, name, text));
    let (maker, taker) = (rate("fees.maker", &spec.fees.maker)?, rate("fees.taker", &spec.fees.taker)?);
    for (name, rate) in [("fees.maker", maker), ("fees.taker", taker)] {
        if rate.abs() >= Decimal::ONE {
            return Err(field(spec, name, format!("expected a fraction below 1, found {rate}")));
        }
    }
    let asset = match spec.fees.asset.as_deref() {
        None => FeeAsset::Quote,
        Some(name) if name == spec.quote => FeeAsset::Quote,
        Some(name) if name == spec.base => FeeAsset::Base,
        Some(name) => {
            let missing = || LoadError::FeeAsset { symbol: spec.symbol.clone(), asset: name.to_owned() };
            FeeAsset::Third(universe.asset(name).ok_or_else(missing)?)
        }
    };
    if let Some(found) = spec.fees.rounding.filter(|decimals| *decimals > SCALE) {
        return Err(field(spec, "fees.rounding", format!("expected at most {SCALE} decimals, found {found}")));
    }
    Ok(Fees {
        asset,
        rounding: spec.fees.rounding,
        maker_unit: product(spec, &[tick, lot, maker])?,
        taker_unit: product(spec, &[tick, lot, taker])?,
        maker_base: product(spec, &[lot, maker])?,
        taker_base: product(spec, &[lot, taker])?,
    })
}

/// The exact product at the ledger's scale.
fn product(spec: &InstrumentSpec, factors: &[Decimal]) -> Result<Money, LoadError> {
    let symbol = || spec.symbol.clone();
    let scale: u32 = factors.iter().map(Decimal::scale).sum();
    let missing = SCALE.checked_sub(scale).ok_or_else(|| LoadError::TooFine { symbol: symbol(), found: scale })?;
    let product = factors.iter().try_fold(10_i128.pow(missing), |product, factor| product.checked_mul(factor.mantissa()));
    product.map(Money).ok_or_else(|| LoadError::TooLarge { symbol: symbol(), max_qty: 1, max_price: 1 })
}

fn field(spec: &InstrumentSpec, field: &'static str, why: String) -> LoadError {
    LoadError::Field { symbol: spec.symbol.clone(), field, why }
}

fn decimal(spec: &InstrumentSpec, name: &'static str, text: &str) -> Result<Decimal, LoadError> {
    let parsed = crate::number::parse_decimal(text).map_err(|error| field(spec, name, error.to_string()))?;
    Ok(parsed.normalize())
}

fn positive(spec: &InstrumentSpec, name: &'static str, text: &str) -> Result<Decimal, LoadError> {
    let value = decimal(spec, name, text)?;
    if value <= Decimal::ZERO {
        return Err(field(spec, name, format!("expected more than zero, found {value}")));
    }
    Ok(value)
}

fn not_negative(spec: &InstrumentSpec, name: &'static str, text: &str) -> Result<Decimal, LoadError> {
    let value = decimal(spec, name, text)?;
    if value < Decimal::ZERO {
        return Err(field(spec, name, format!("expected zero or more, found {value}")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn spec() -> InstrumentSpec {
        InstrumentSpec {
            symbol: "BTCUSDT".to_owned(),
            base: "BTC".to_owned(),
            quote: "USDT".to_owned(),
            kind: SpecKind::Spot,
            tick_size: "0.01".to_owned(),
            lot_size: "0.00001".to_owned(),
            min_qty: Some("0.00001".to_owned()),
            max_qty: "9000".to_owned(),
            min_notional: Some("5".to_owned()),
            max_price: "1000000".to_owned(),
            fees: FeeSpec { maker: Some("-0.0001".to_owned()), taker: Some("0.001".to_owned()), asset: None, rounding: None },
        }
    }

    fn refused(change: impl FnOnce(&mut InstrumentSpec)) -> String {
        let mut spec = spec();
        change(&mut spec);
        Universe::load("USDT", &[spec]).unwrap_err().to_string()
    }

    #[test]
    fn values_off_the_grid_are_refused_and_never_rounded() {
        let universe = Universe::load("USDT", &[spec()]).unwrap();
        let instrument = universe.get(crate::instrument::InstrumentId(0));
        let decimal = |text: &str| crate::number::parse_decimal(text).unwrap();
        assert_eq!(instrument.price(decimal("61685.99000000")), Ok(Price(6_168_599)));
        assert_eq!(instrument.qty(decimal("1.00870000")), Ok(Qty(100_870)));
        let off = instrument.price(decimal("61685.995")).unwrap_err().to_string();
        assert_eq!(off, "61685.995 is not a multiple of 0.01, the tick size of BTCUSDT");
        let large = instrument.price(decimal("999999999999999999999")).unwrap_err().to_string();
        assert_eq!(large, "999999999999999999999 is more steps of 0.01 than BTCUSDT may have");
    }

    #[test]
    fn an_instrument_that_cannot_be_exact_is_refused_with_its_field() {
        assert!(refused(|spec| spec.tick_size = "0".to_owned()).contains("tickSize: expected more than zero, found 0"));
        assert!(refused(|spec| spec.lot_size = "-1".to_owned()).contains("lotSize: expected more than zero"));
        assert!(refused(|spec| spec.max_qty = "NaN".to_owned()).contains("maxQty: expected a decimal such as 12.5, found \"NaN\""));
        assert!(refused(|spec| spec.max_qty = "0.000001".to_owned()).contains("not a multiple of 0.00001"));
        assert!(refused(|spec| spec.min_notional = Some("-1".to_owned())).contains("minNotional: expected zero or more"));
        assert!(refused(|spec| spec.fees.taker = Some("1".to_owned())).contains("fees.taker: expected a fraction below 1"));
        assert!(refused(|spec| spec.fees.asset = Some("BNB".to_owned())).contains("fees in BNB, which no instrument of this run prices"));
        assert!(refused(|spec| spec.quote = "EUR".to_owned()).contains("paid with EUR"));
        assert!(refused(|spec| spec.base = "USDT".to_owned()).contains("another instrument's, or the reporting currency"));
    }

    #[test]
    fn an_instrument_whose_decimals_or_amounts_do_not_fit_is_refused() {
        let fine = refused(|spec| (spec.tick_size, spec.lot_size) = ("0.000000000001".to_owned(), "0.00000000001".to_owned()));
        assert!(fine.contains("have 27 decimals together; the ledger holds 24"), "{fine}");
        let large = refused(|spec| (spec.max_price, spec.max_qty) = ("1000000".to_owned(), "200000".to_owned()));
        assert!(large.contains("do not fit the ledger; lower maxQty or maxPrice"), "{large}");
        let lots = refused(|spec| spec.max_qty = "92233720368548".to_owned());
        assert!(lots.contains("more steps") || lots.contains("do not fit"), "{lots}");
    }

    #[test]
    fn decimals_that_fill_the_ledger_to_its_last_place_are_taken() {
        let mut spec = spec();
        (spec.tick_size, spec.lot_size) = ("0.0000000001".to_owned(), "0.0000000001".to_owned());
        (spec.max_price, spec.max_qty, spec.min_qty) = ("1000".to_owned(), "1000".to_owned(), None);
        let universe = Universe::load("USDT", &[spec]).unwrap();
        let instrument = universe.get(crate::instrument::InstrumentId(0));
        let fee = instrument.fee(Price(1), Qty(1), crate::order::Side::Buy, crate::instrument::Liquidity::Taker, None).unwrap();
        assert_eq!((instrument.notional(Price(1), Qty(1)).unwrap().0, fee.amount.0), (10_000, 10));
    }
}
