//! Figures as Prometheus wants them: floats in base units.

use tidemark_engine::state::{MarketCell, View};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, MarketId, Ticks, ATOMS_PER_USDC};
use tidemark_proto::Code;

/// Sizes and prices are given in 10⁻⁹.
pub(super) const E9: f64 = 1e9;

pub(super) fn cell(view: &View, market: MarketId) -> Option<&MarketCell> {
    view.markets.get(usize::from(market))
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
    atoms as f64 / ATOMS_PER_USDC as f64
}

pub(super) fn ratio(ppm: i64) -> f64 {
    ppm as f64 / 1e6
}

pub(super) fn price_usdc(params: &MarketParams, ticks: Ticks) -> f64 {
    ticks as f64 * params.tick_size_e9 as f64 / E9
}

pub(super) fn notional_usdc(cell: &MarketCell, price_ticks: Ticks, lots: u64) -> f64 {
    usdc(
        tidemark_proto::units::notional_atoms(price_ticks, lots, cell.market.k)
            .unwrap_or(Atoms::MAX),
    )
}

/// Saturates: a gauge has 63 bits.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
