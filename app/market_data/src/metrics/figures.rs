//! Figures as Prometheus wants them: floats in base units.

use tidemark_engine::state::{MarketCell, View};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, Lots, MarketId, Ppm, Ticks, TimeMs};
use tidemark_proto::Code;

/// Sizes and prices are given in 10⁻⁹.
pub(super) const E9: f64 = 1e9;

pub(super) fn cell(view: &View, market: MarketId) -> Option<&MarketCell> {
    view.markets.get(market.index())
}

pub(super) fn symbol(cell: &MarketCell) -> &str {
    &cell.market.params.symbol
}

/// The label of a code: `ok` or the word of the refusal.
pub(super) fn outcome(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        code => code.word(),
    }
}

pub(super) fn usdc(atoms: Atoms) -> f64 {
    atoms.get() as f64 / Atoms::USDC.get() as f64
}

pub(super) fn ratio(rate: Ppm) -> f64 {
    rate.get() as f64 / 1e6
}

pub(super) fn seconds(time_ms: TimeMs) -> f64 {
    time_ms.get() as f64 / 1e3
}

pub(super) fn price_usdc(params: &MarketParams, ticks: Ticks) -> f64 {
    ticks.get() as f64 * params.tick_size_e9 as f64 / E9
}

pub(super) fn notional_usdc(cell: &MarketCell, price_ticks: Ticks, lots: Lots) -> f64 {
    usdc(price_ticks.notional_atoms(lots, cell.market.k).unwrap_or(Atoms::MAX))
}

/// Saturates: a gauge has 63 bits.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
