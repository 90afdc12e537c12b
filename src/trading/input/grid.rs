//! Prices and quantities of a feed: on the grid, in range, or refused.

use crate::instrument::Instrument;
use crate::number::{Price, Qty, parse_decimal};

/// A price above zero and up to the instrument's greatest.
pub(super) fn price(instrument: &Instrument, text: &str) -> Result<Price, String> {
    let decimal = parse_decimal(text).map_err(|error| error.to_string())?;
    let price = instrument.price(decimal.normalize()).map_err(|error| error.to_string())?;
    if price.0 <= 0 || price > instrument.max_price {
        return Err(format!("expected a price above zero and up to maxPrice, found {text}"));
    }
    Ok(price)
}

/// A quantity of zero or more.
pub(super) fn qty(instrument: &Instrument, text: &str) -> Result<Qty, String> {
    let decimal = parse_decimal(text).map_err(|error| error.to_string())?;
    let qty = instrument.qty(decimal.normalize()).map_err(|error| error.to_string())?;
    if qty < Qty::ZERO { Err(format!("expected a quantity of zero or more, found {text}")) } else { Ok(qty) }
}
