//! Frames of Binance spot as they were recorded.
//!
//! The recording lies in `shared/data` beside the checkout; `REEVE_SHARED` names that folder where it lies elsewhere.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use reeve_trading::input::Frames;
use reeve_trading::instrument::{InstrumentId, Universe};
use serde_json::{Value, json};

pub fn recording() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
        let shared = std::env::var_os("REEVE_SHARED").map_or(beside, PathBuf::from);
        let path = shared.join("data/binance-spot/spot_btcusdt_20240808.gz");
        let file = std::fs::File::open(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; the recording lies in `shared` beside the checkout, or where REEVE_SHARED says", path.display())
        });
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    })
}

pub fn universe() -> Universe {
    Universe::load("USDT", &[serde_json::from_value(instrument()).unwrap()]).unwrap()
}

/// The recorded instrument as a strategy file has it. Some of the quantities that were shown have more decimals than orders may.
pub fn instrument() -> Value {
    json!({
        "symbol": "BTCUSDT", "base": "BTC", "quote": "USDT", "tickSize": "0.01", "lotSize": "0.00000001", "minNotional": "5",
        "maxQty": "9000", "maxPrice": "1000000", "fees": { "maker": "0.001", "taker": "0.001" }
    })
}

pub fn frames(text: &str) -> Frames<Cursor<Vec<u8>>> {
    let instrument = universe().get(InstrumentId(0)).clone();
    Frames::new(Cursor::new(text.as_bytes().to_vec()), "spot.frames", 0, InstrumentId(0), instrument)
}
