//! What two runs have in common if they did the same.

use sha2::{Digest as _, Sha256};

use super::record::{FillRecord, OrderRecord};
use crate::instrument::Liquidity;
use crate::order::{ClientId, OrderKind, Side, TimeInForce};
use crate::time::Time;

/// SHA-256 over fixed-width little-endian records of orders and fills, in the order in which they happened.
#[derive(Clone, Debug, Default)]
pub struct ResultHash {
    hasher: Sha256,
}

/// First byte of a record.
const ORDER: u8 = 1;
const FILL: u8 = 2;
/// What stands in place of a price that an order does not have: no price is as low.
const NO_PRICE: i64 = i64::MIN;

impl ResultHash {
    fn head(&mut self, kind: u8, at: Time, id: ClientId) {
        self.hasher.update([kind]);
        self.hasher.update(at.0.to_le_bytes());
        self.hasher.update(id.strategy.bits().to_le_bytes());
        self.hasher.update(id.epoch.to_le_bytes());
        self.hasher.update(id.intent.to_le_bytes());
    }

    pub(super) fn order(&mut self, record: &OrderRecord) {
        let order = &record.order;
        self.head(ORDER, record.at, order.id);
        self.hasher.update(order.instrument.0.to_le_bytes());
        let side = match order.side {
            Side::Buy => 1,
            Side::Sell => 2,
        };
        let kind = match order.kind {
            OrderKind::Market => 1,
            OrderKind::Limit { post_only: false, .. } => 2,
            OrderKind::Limit { post_only: true, .. } => 3,
            OrderKind::Stop { .. } => 4,
            OrderKind::StopLimit { .. } => 5,
            OrderKind::TrailingStop { .. } => 6,
        };
        let tif = match order.tif {
            TimeInForce::Gtc => 1,
            TimeInForce::Ioc => 2,
            TimeInForce::Fok => 3,
        };
        self.hasher.update([side, kind, tif, u8::from(order.reduce_only)]);
        self.hasher.update(order.qty.0.to_le_bytes());
        // A trailing stop has a distance in place of a trigger; its kind says so.
        let trigger = order.kind.trigger().map(|price| price.0).or(order.kind.distance());
        for ticks in [order.kind.limit().map(|price| price.0), trigger] {
            self.hasher.update(ticks.unwrap_or(NO_PRICE).to_le_bytes());
        }
        self.hasher.update(order.oco.unwrap_or(0).to_le_bytes());
    }

    pub(super) fn fill(&mut self, record: &FillRecord) {
        self.head(FILL, record.at, record.order);
        let fill = &record.fill;
        self.hasher.update(fill.exec_id.to_le_bytes());
        self.hasher.update(fill.price.0.to_le_bytes());
        self.hasher.update(fill.qty.0.to_le_bytes());
        let liquidity = match fill.liquidity {
            Liquidity::Maker => 1,
            Liquidity::Taker => 2,
        };
        self.hasher.update([liquidity]);
        self.hasher.update(fill.fee.asset.0.to_le_bytes());
        self.hasher.update(fill.fee.amount.0.to_le_bytes());
    }

    /// The hash so far, in hexadecimal digits.
    pub fn value(&self) -> String {
        self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
