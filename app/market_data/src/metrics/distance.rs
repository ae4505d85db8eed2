//! How far accounts are from liquidation: what keepers provision for.

use tidemark_engine::state::View;
use tidemark_proto::units::{Atoms, Ppm};
use tidemark_risk::health::{health_without_orders, Health};
use tidemark_risk::liquidation::liquidation_price;
use tidemark_risk::margin::marked_atoms;
use tidemark_risk::{Account, Markets, Position};

/// Labels of the distances and their bounds in ppm of the mark, ascending.
pub(super) const BUCKETS: [(&str, i128); 5] =
    [("0.5%", 5_000), ("1%", 10_000), ("2%", 20_000), ("5%", 50_000), ("10%", 100_000)];

/// Accounts and positions within one distance of liquidation in one market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NearLiquidation {
    /// Accounts.
    pub accounts: i64,
    /// Notional of their positions there.
    pub notional_atoms: Atoms,
}

/// For each market and each bucket, accounts and notional within that distance; larger distances
/// include smaller ones.
pub(super) fn distances(view: &View) -> Vec<[NearLiquidation; BUCKETS.len()]> {
    let mut markets = vec![[NearLiquidation::default(); BUCKETS.len()]; view.markets.len()];
    let accounts = view.accounts.iter().map(|(_, account)| account);
    for account in accounts.filter(|account| account.has_position()) {
        add(view, account, &mut markets);
    }
    markets
}

/// Adds an account's positions. One whose figures overflow is left out: it is the invariant check's
/// concern.
fn add(view: &View, account: &Account, markets: &mut [[NearLiquidation; BUCKETS.len()]]) {
    let Ok(health) = health_without_orders(account, view) else { return };
    for position in account.positions.iter().filter(|position| !position.lots.is_zero()) {
        let Some((distance_ppm, notional_atoms)) = distance(view, position, &health) else {
            continue;
        };
        let Some(buckets) = markets.get_mut(position.market.index()) else { continue };
        for ((_, bound_ppm), near) in BUCKETS.iter().zip(buckets) {
            if distance_ppm <= *bound_ppm {
                near.accounts += 1;
                near.notional_atoms = near.notional_atoms.saturating_add(notional_atoms);
            }
        }
    }
}

/// From the mark to the liquidation price in ppm of the mark, negative when the mark has passed it,
/// and the position's notional. `None` where no price liquidates.
fn distance(view: &View, position: &Position, health: &Health) -> Option<(i128, Atoms)> {
    let market = Markets::market(view, position.market)?;
    let mark = market.mark_ticks?.wide();
    let price = liquidation_price(market, position.lots, health).ok()??.wide();
    let ticks = if position.lots.is_positive() { mark - price } else { price - mark };
    let notional = marked_atoms(market, position.lots.wide()).ok()?.checked_abs()?;
    Some((ticks.checked_mul(Ppm::ONE.wide())?.checked_div(mark)?, notional))
}
