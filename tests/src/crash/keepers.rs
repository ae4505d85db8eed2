//! Keepers: four accounts that set collateral aside to take over what the book leaves, and close it
//! on the book as far as it goes.
//!
//! What they set aside is spread over markets as the crowd's positions are. Each second a keeper
//! sells (or buys back) all that it holds, by an immediate order that goes 1 % from the index at
//! most.

use tidemark_proto::units::{Atoms, Side};
use tidemark_proto::v1;
use tidemark_risk::health::health_without_orders;
use tidemark_risk::Market;

use super::{Prices, LISTINGS};
use crate::harness::{healthy, limit, place, Chain};

const KEEPERS: u64 = 4;
/// Free collateral of each keeper: without free collateral it would take nothing.
const FREE_USDC: u64 = 1_000;
/// How far from the index a keeper closes, in ppm.
const SLIPPAGE_PPM: u64 = 10_000;

fn name(keeper: u64) -> String {
    format!("keeper-{keeper}")
}

/// Each sets aside its part of `usdc`, in the next two blocks.
pub fn register(chain: &mut Chain, usdc: u64) {
    (0..KEEPERS)
        .for_each(|keeper| chain.deposit(&name(keeper), usdc.div_ceil(KEEPERS) + FREE_USDC));
    healthy(&chain.block());
    for keeper in 0..KEEPERS {
        for (of, market) in LISTINGS.iter().zip(0..) {
            let set_aside_atoms = usdc * 1_000_000 * of.crowd_percent / 100 / KEEPERS;
            chain.send(
                &name(keeper),
                v1::MsgRegisterBackstop { market, set_aside_atoms, ..Default::default() },
            );
        }
    }
    healthy(&chain.block());
}

/// Worth of all keepers: equity, and what is set aside.
#[must_use]
pub fn worth_atoms(chain: &Chain) -> Atoms {
    let markets: Vec<Market> =
        chain.state.markets.cells().map(|cell| cell.market.clone()).collect();
    let equity = |keeper| {
        let account = chain.account(&name(keeper));
        health_without_orders(account, markets.as_slice())
            .map_or(Atoms::ZERO, |health| health.equity_atoms)
    };
    let set_aside: Atoms = markets.iter().map(Market::set_aside_atoms).sum();
    (0..KEEPERS).map(equity).sum::<Atoms>() + set_aside
}

/// Orders that close what keepers hold.
pub fn close(chain: &mut Chain, prices: &Prices) {
    for keeper in 0..KEEPERS {
        let account = chain.account(&name(keeper));
        let held: Vec<_> =
            account.positions.iter().filter(|held| !held.lots.is_zero()).copied().collect();
        let orders = held.iter().filter_map(|held| {
            let index = prices[held.market.index()].0?.get();
            let slack = index * SLIPPAGE_PPM / 1_000_000;
            let (side, price) = match Side::reducing(held.lots) {
                Side::Buy => (v1::Side::Buy, index + slack),
                Side::Sell => (v1::Side::Sell, index - slack),
            };
            let time_in_force = v1::TimeInForce::Ioc.into();
            let order =
                limit(u32::from(held.market.get()), side, price, held.lots.unsigned_abs().get());
            Some(place(v1::PlaceOrder { time_in_force, reduce_only: true, ..order }))
        });
        let orders: Vec<_> = orders.collect();
        if !orders.is_empty() {
            chain.orders(&name(keeper), orders);
        }
    }
}
