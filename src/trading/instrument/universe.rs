//! All instruments and assets of a run, by small numbers.

use super::{Instrument, InstrumentSpec, LoadError, load};

/// An asset of a [`Universe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(pub u16);

/// An instrument of a [`Universe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstrumentId(pub u16);

/// The instruments of a run.
///
/// Guarantees: every quote asset is the reporting currency and no base asset has two instruments, so each asset has exactly one mark.
#[derive(Clone, Debug)]
pub struct Universe {
    assets: Vec<String>,
    instruments: Vec<Instrument>,
    /// The instrument whose mark prices an asset, by asset.
    pricers: Vec<Option<InstrumentId>>,
}

impl Universe {
    /// The reporting currency.
    pub const REPORTING: AssetId = AssetId(0);

    /// Loads instruments that are all paid with `reporting`.
    ///
    /// # Errors
    /// [`LoadError`] names the instrument and what is wrong with it.
    pub fn load(reporting: &str, specs: &[InstrumentSpec]) -> Result<Universe, LoadError> {
        let mut universe = Universe { assets: vec![reporting.to_owned()], instruments: Vec::new(), pricers: vec![None] };
        // Base assets first, so that a fee may name any of them.
        for spec in specs {
            let twice = universe.instruments_named(&spec.symbol, specs) > 1;
            if twice || universe.asset(&spec.base).is_some() {
                return Err(LoadError::Twice { symbol: spec.symbol.clone(), base: spec.base.clone() });
            }
            let id = InstrumentId(u16::try_from(universe.pricers.len() - 1).map_err(|_| LoadError::TooMany)?);
            universe.assets.push(spec.base.clone());
            universe.pricers.push(Some(id));
        }
        for spec in specs {
            let instrument = load::load(&universe, spec)?;
            universe.instruments.push(instrument);
        }
        Ok(universe)
    }

    fn instruments_named(&self, symbol: &str, specs: &[InstrumentSpec]) -> usize {
        specs.iter().filter(|spec| spec.symbol == symbol).count()
    }

    /// The asset of this name.
    pub fn asset(&self, name: &str) -> Option<AssetId> {
        self.assets.iter().zip(0..).find_map(|(asset, id)| (asset == name).then_some(AssetId(id)))
    }

    /// The name of an asset.
    pub fn asset_name(&self, id: AssetId) -> &str {
        &self.assets[usize::from(id.0)]
    }

    /// The instrument of this name.
    pub fn find(&self, symbol: &str) -> Option<InstrumentId> {
        self.instruments.iter().zip(0..).find_map(|(instrument, id)| (instrument.symbol == symbol).then_some(InstrumentId(id)))
    }

    /// An instrument.
    #[inline]
    pub fn get(&self, id: InstrumentId) -> &Instrument {
        &self.instruments[usize::from(id.0)]
    }

    /// All instruments, in the order in which they were given.
    pub fn instruments(&self) -> impl Iterator<Item = (InstrumentId, &Instrument)> {
        (0..).map(InstrumentId).zip(&self.instruments)
    }

    /// How many instruments there are.
    pub fn len(&self) -> usize {
        self.instruments.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.instruments.is_empty()
    }

    /// All assets.
    pub fn assets(&self) -> impl Iterator<Item = AssetId> + use<> {
        (0..u16::try_from(self.assets.len()).unwrap_or(u16::MAX)).map(AssetId)
    }

    /// The instrument whose mark prices this asset; none for the reporting currency.
    pub fn pricer(&self, asset: AssetId) -> Option<InstrumentId> {
        self.pricers[usize::from(asset.0)]
    }
}
