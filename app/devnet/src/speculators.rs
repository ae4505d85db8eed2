//! Those who take: small random trades, and accounts that take all the leverage they get.

use std::time::Duration;

use tidemark_client::{lots_within, Market, Markets};
use tidemark_proto::units::{Atoms, Lots, Ppm, SignedLots, Ticks};
use tidemark_proto::v1;
use tidemark_proto::v1::operation::Operation;

use super::account::{position_lots, Faucet, Trader};
use super::SharedBoard;

/// Between two trades of a taker.
const TAKER_PAUSE_MS: (u64, u64) = (400, 1_600);
/// Notional of a taker's trade, in atoms.
const TAKER_ATOMS: (u64, u64) = (300_000_000, 5_000_000_000);
/// Beyond this notional a taker only reduces.
const TAKER_MOST_ATOMS: Atoms = Atoms::from_usdc(20_000);
/// How far from the index a taker's limit is.
const TAKER_REACH_PPM: Ppm = Ppm::new(2_000);

/// Trades at random until it is stopped.
pub async fn taker(mut trader: Trader, board: SharedBoard) {
    loop {
        let pause_ms = trader.random.between(TAKER_PAUSE_MS.0, TAKER_PAUSE_MS.1);
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let (Ok(markets), Some(account)) =
            (trader.client().markets().await, trader.account().await)
        else {
            continue;
        };
        let live: Vec<_> = tradable(&markets).collect();
        if live.is_empty() {
            continue;
        }
        let pick = trader.random.between(0, live.len() as u64 - 1) as usize;
        let (market, index_ticks) = live[pick];
        let position = position_lots(&account, market.id);
        let order = taker_order(&mut trader, market, index_ticks, position);
        let _ = trader.send(vec![Operation::Place(order)], &board).await;
    }
}

fn tradable(markets: &Markets) -> impl Iterator<Item = (&Market, Ticks)> {
    let live = markets.iter().filter(|(_, state)| !state.stale && state.index_ticks > 0);
    live.map(|(market, state)| (market, Ticks::new(state.index_ticks)))
}

/// A part of a price, in whole ticks.
fn part(price: Ticks, rate: Ppm) -> Ticks {
    let ticks = price.wide() * rate.wide() / Ppm::ONE.wide();
    u64::try_from(ticks).map_or(Ticks::MAX, Ticks::new)
}

fn taker_order(
    trader: &mut Trader,
    market: &Market,
    index_ticks: Ticks,
    position: SignedLots,
) -> v1::PlaceOrder {
    let random = &mut trader.random;
    let amount = Atoms::from_u64(random.between(TAKER_ATOMS.0, TAKER_ATOMS.1));
    let lots = lots_within(amount, market.lot_atoms(index_ticks)).max(Lots::ONE);
    let held = index_ticks.notional_atoms(position.unsigned_abs(), market.k);
    let reduces = held.is_none_or(|held| held > TAKER_MOST_ATOMS);
    let buys = if reduces { position.is_negative() } else { random.chance(50) };
    let side = if buys { v1::Side::Buy } else { v1::Side::Sell };
    let mut order = v1::PlaceOrder {
        market: market.id,
        side: side.into(),
        lots: lots.get(),
        time_in_force: v1::TimeInForce::Ioc.into(),
        reduce_only: reduces,
        ..Default::default()
    };
    if random.chance(50) {
        order.r#type = v1::OrderType::Market.into();
    } else {
        let reach = part(index_ticks, TAKER_REACH_PPM).max(Ticks::ONE);
        let limit = if buys {
            index_ticks.saturating_add(reach)
        } else {
            index_ticks.saturating_sub(reach).max(Ticks::ONE)
        };
        order.price_ticks = limit.get();
    }
    order
}

/// Between two looks of a degen at its position.
const DEGEN_PAUSE: Duration = Duration::from_millis(400);
/// How much of its margin a degen uses, in percent.
const DEGEN_USE_PERCENT: u64 = 88;
/// Most that it buys at once: a piece that a book of makers can fill.
const DEGEN_PIECE_ATOMS: Atoms = Atoms::from_usdc(20_000);
/// After a liquidation, until it comes back: the price has recovered by then.
const DEGEN_SULK: Duration = Duration::from_secs(18);
/// Refusals, because the margin is used up, after which it holds.
const DEGEN_TRIES: u32 = 8;
/// How far above the mark it buys: more would cost it too much of its margin.
const DEGEN_REACH_PPM: Ppm = Ppm::new(4_500);

/// The state of a degen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Buys more at each look.
    Buying { refused: u32 },
    /// Waits for riches.
    Holding,
}

/// Buys `symbol` up to its leverage (near the most when `None`), holds, is liquidated, gets new
/// money, does it again.
pub async fn degen(
    mut trader: Trader,
    symbol: &'static str,
    leverage: Option<u64>,
    board: SharedBoard,
    faucet: Faucet,
) {
    let mut mood = Mood::Buying { refused: 0 };
    loop {
        tokio::time::sleep(DEGEN_PAUSE).await;
        let (Ok(markets), Some(account)) =
            (trader.client().markets().await, trader.account().await)
        else {
            continue;
        };
        let Ok((market, state)) = markets.find(symbol) else { return };
        let position = position_lots(&account, market.id);
        if mood == Mood::Holding && !position.is_positive() {
            tokio::time::sleep(DEGEN_SULK).await;
            let wanted = trader.role.collateral_usdc();
            let left = u64::try_from(account.collateral_atoms / 1_000_000).unwrap_or(0);
            if left < wanted && faucet.deposit(&trader.address(), wanted - left).await.is_err() {
                continue;
            }
            mood = Mood::Buying { refused: 0 };
            continue;
        }
        let Mood::Buying { refused } = mood else { continue };
        let (false, true) = (state.stale, state.mark_ticks > 0) else { continue };
        let piece = piece_lots(market, state, &account, position, leverage);
        let Some(lots) = piece.filter(|_| refused < DEGEN_TRIES) else {
            let holds = position.is_positive();
            mood = if holds { Mood::Holding } else { Mood::Buying { refused: 0 } };
            continue;
        };
        let mark = Ticks::new(state.mark_ticks);
        let order = v1::PlaceOrder {
            market: market.id,
            side: v1::Side::Buy.into(),
            // Less each time that the margin does not reach.
            lots: (lots.get() >> refused.min(6)).max(1),
            price_ticks: mark.saturating_add(part(mark, DEGEN_REACH_PPM)).get(),
            time_in_force: v1::TimeInForce::Ioc.into(),
            ..Default::default()
        };
        let sent = trader.send(vec![Operation::Place(order)], &board).await;
        // A thin book is no reason to buy less; a margin that does not reach is.
        let beyond = sent.is_ok_and(|results| results.iter().any(|result| result.code != 0));
        mood = Mood::Buying { refused: refused + u32::from(beyond) };
    }
}

/// How much more to buy now: up to the leverage, and no more than one piece. `None` where no more
/// is worth a trade.
fn piece_lots(
    market: &Market,
    state: &v1::MarketState,
    account: &v1::Subaccount,
    position: SignedLots,
    leverage: Option<u64>,
) -> Option<Lots> {
    let first_tier_ppm = state.params.as_ref().and_then(|params| params.tiers.first());
    let most = first_tier_ppm.map_or(1, |tier| 1_000_000 / tier.initial_margin_ppm.max(1));
    let (leverage, percent) = match leverage {
        Some(leverage) => (leverage.min(u64::from(most)), 100),
        None => (u64::from(most), DEGEN_USE_PERCENT),
    };
    let mark = Ticks::new(state.mark_ticks);
    let equity = Atoms::new(i128::from(account.equity_atoms)).max(Atoms::ZERO);
    let target = equity.mul_div_floor(i128::from(leverage) * i128::from(percent), 100)?;
    let missing = target - mark.position_atoms(position, market.k)?;
    // The last tenth is not worth a trade.
    if missing < target.mul_div_ceil(1, 10)? {
        return None;
    }
    let lots = lots_within(missing.min(DEGEN_PIECE_ATOMS), market.lot_atoms(mark));
    (!lots.is_zero()).then_some(lots)
}

#[cfg(test)]
mod tests {
    use tidemark_proto::units::AtomsPerTickLot;

    use super::*;

    #[test]
    fn a_degen_buys_up_to_its_leverage_in_pieces() {
        let params = v1::MarketParams {
            symbol: "BTC-USD".into(),
            tick_size_e9: 100_000_000,
            lot_size_e9: 100_000,
            tiers: vec![v1::MarginTier { upper_notional_atoms: 0, initial_margin_ppm: 20_000 }],
            ..Default::default()
        };
        let market = Market::new(&params, AtomsPerTickLot::new(10));
        let state = v1::MarketState {
            params: Some(params),
            mark_ticks: 600_000,
            k: 10,
            ..Default::default()
        };
        let account = v1::Subaccount { equity_atoms: 2_000_000_000, ..Default::default() };
        let piece = |position, leverage| {
            let position = SignedLots::new(position);
            piece_lots(&market, &state, &account, position, leverage).map(Lots::get)
        };
        // 2 000 USDC · 50 · 88 % = 88 000 USDC; one lot is 6 USDC; a piece is 20 000 USDC.
        assert_eq!(piece(0, None), Some(3_333));
        assert_eq!(piece(12_000, None), Some(2_666));
        assert_eq!(piece(14_000, None), None);
        assert_eq!(piece(0, Some(3)), Some(1_000));
        assert_eq!(piece(1_000, Some(3)), None);
    }
}
