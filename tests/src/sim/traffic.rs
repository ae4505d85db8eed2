//! Messages of a simulated chain's accounts: everything that the wire can say, sensible or not.

mod kinds;

use tidemark_engine::state::State;
use tidemark_proto::params::{MarketParams, MarketStatus};
use tidemark_proto::tx::{decode, Sendable, Signer, TxOptions};
use tidemark_proto::units::{AccountId, Atoms, MarketId, Ppm};
use tidemark_proto::v1::{self, operation::Operation};

use super::rng::Rng;
use crate::harness::{domain, signer, FAUCET};
use kinds::{bracket, pegged, scale, twap, waiting};

/// The people of a simulation and their sequences.
pub struct Traffic {
    /// The admin and minter first.
    people: Vec<(Signer, u64)>,
    /// Transactions that a block had no room for, in order of sending.
    pub mempool: Vec<Vec<u8>>,
    /// Transactions that were in blocks before, to be sent again.
    pub sent: Vec<Vec<u8>>,
}

impl Traffic {
    /// The admin, and this many traders.
    #[must_use]
    pub fn new(traders: usize) -> Self {
        let names =
            std::iter::once(FAUCET.to_owned()).chain((0..traders).map(|at| format!("trader {at}")));
        let people = names.map(|name| (signer(&name), 0)).collect();
        Self { people, mempool: Vec::new(), sent: Vec::new() }
    }

    /// Fills the mempool for the next block.
    pub fn step(&mut self, state: &State, rng: &mut Rng) {
        self.administer(state, rng);
        for who in 1..self.people.len() {
            if rng.chance(45) {
                self.act(who, state, rng);
            }
            if rng.chance(10) {
                self.act(who, state, rng);
            }
        }
    }

    fn send<M: Sendable>(&mut self, who: usize, message: M) {
        let (signer, sequence) = &mut self.people[who];
        let options = TxOptions { sequence: *sequence, ..TxOptions::default() };
        let bytes = signer.sign(message, options).expect("the key signs");
        if decode(&bytes, bytes.len(), &domain()).is_ok() {
            *sequence += 1;
            self.mempool.push(bytes);
        } else {
            // No mempool takes it; a byzantine proposer may.
            self.sent.push(bytes);
        }
    }

    fn administer(&mut self, state: &State, rng: &mut Rng) {
        let unfunded = (1..self.people.len())
            .find(|who| state.owner_id(&self.people[*who].0.address()).is_none());
        for _ in 0..if state.chain.height == 0 { 0 } else { 1 + u32::from(unfunded.is_some()) * 3 }
        {
            if unfunded.is_none() && !rng.chance(30) {
                continue;
            }
            let who = unfunded
                .unwrap_or(0)
                .max(1)
                .max(rng.within(1, self.people.len() as u64 - 1) as usize);
            let recipient = self.people[who].0.address().to_string();
            let usdc = *rng.pick(&[1, 4, 50, 200, 1_000, 1_000, 5_000, 20_000, 100_000]);
            let subaccount = *rng.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 9]);
            let amount_atoms = usdc * rng.within(900_000, 1_100_000);
            self.send(
                0,
                v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() },
            );
        }
        // A market that is not as listed soon is again.
        let market = rng.within(0, state.markets.len() as u64 - 1) as usize;
        let params = &state.markets[market].cell.market.params;
        if params.status != MarketStatus::Active && rng.chance(15) {
            self.update(MarketParams { status: MarketStatus::Active, ..params.clone() });
        } else if rng.chance(3) {
            self.update(changed(params.clone(), rng));
        }
        // Late in a history, one of the smaller markets is closed for good.
        let market = rng.within(2, 3) as usize;
        if state.chain.height > 180 && rng.chance(1) {
            let params = state.markets[market].cell.market.params.clone();
            self.update(MarketParams { status: MarketStatus::Closed, ..params });
        }
    }

    fn update(&mut self, params: MarketParams) {
        self.send(0, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    }

    fn act(&mut self, who: usize, state: &State, rng: &mut Rng) {
        let Some(owner) = state.owner_id(&self.people[who].0.address()) else { return };
        let subaccount = u32::from(rng.chance(15));
        let account = state.account_id(owner, subaccount);
        let row = account.and_then(|id| state.accounts.get(id));
        let collateral = row.map_or(0, |row| row.collateral_atoms.get().max(0));
        let collateral = u64::try_from(collateral).unwrap_or(0);
        let part = |rng: &mut Rng| (collateral / 1_000 * rng.within(1, 1_100)).max(1);
        match rng.within(0, 99) {
            0..=4 => {
                let amount_atoms = part(rng);
                self.send(who, v1::MsgWithdraw { subaccount, amount_atoms, ..Default::default() });
            }
            5..=7 => {
                let other = 1 - subaccount;
                let (from_subaccount, to_subaccount) = (subaccount, *rng.pick(&[other, other, 7]));
                let amount_atoms = part(rng);
                let message = v1::MsgTransfer {
                    from_subaccount,
                    to_subaccount,
                    amount_atoms,
                    ..Default::default()
                };
                self.send(who, message);
            }
            8..=11 => {
                let market = rng.within(0, state.markets.len() as u64) as u32;
                let leverage = *rng.pick(&[0, 1, 2, 3, 5, 10, 20, 40, 200]);
                self.send(
                    who,
                    v1::MsgSetLeverage { subaccount, market, leverage, ..Default::default() },
                );
            }
            12..=13 => {
                let policy = rng.within(0, 3) as i32;
                self.send(
                    who,
                    v1::MsgSetSelfTradePrevention { subaccount, policy, ..Default::default() },
                );
            }
            15..=16 => {
                let market = rng.within(0, state.markets.len() as u64 - 1) as u32;
                let mode = rng.within(0, 1) as i32;
                self.send(
                    who,
                    v1::MsgSetMarginMode { subaccount, market, mode, ..Default::default() },
                );
            }
            17..=18 => {
                let market = rng.within(0, state.markets.len() as u64 - 1) as u32;
                let change_atoms = part(rng) as i64 * if rng.chance(50) { 1 } else { -1 };
                let message = v1::MsgAdjustIsolatedMargin {
                    subaccount,
                    market,
                    change_atoms,
                    ..Default::default()
                };
                self.send(who, message);
            }
            19..=21 => {
                let market = rng.within(0, state.markets.len() as u64 - 1) as u32;
                let set_aside_atoms = match rng.within(0, 99) {
                    0..=14 => 0,
                    15..=24 => part(rng) / 4,
                    _ => (part(rng) / 4).max(1_000_000_000),
                };
                let message = v1::MsgRegisterBackstop {
                    subaccount,
                    market,
                    set_aside_atoms,
                    ..Default::default()
                };
                self.send(who, message);
            }
            22..=27 if state.markets.cells().any(|cell| !cell.listed.is_empty()) => {
                let offers: Vec<_> = (0..)
                    .zip(state.markets.cells())
                    .flat_map(|(market, cell)| cell.listed.iter().map(move |of| (market, *of)))
                    .collect();
                let (market, of) = *rng.pick(&offers);
                let account_id = of.account.get();
                let lots = rng.within(1, of.lots.unsigned_abs().get() + 3);
                self.send(
                    who,
                    v1::MsgTakeover { subaccount, market, account_id, lots, ..Default::default() },
                );
            }
            28 => self.send(who, v1::MsgTakeBackWithdrawal { subaccount, ..Default::default() }),
            14 if !self.sent.is_empty() => {
                let again = rng.pick(&self.sent).clone();
                self.mempool.push(again);
            }
            _ => {
                let count = rng.within(1, 6);
                let operations: Vec<_> =
                    (0..count).filter_map(|_| operation(state, account, rng)).collect();
                let operations: Vec<_> = operations.into_iter().map(v1::Operation::from).collect();
                if !operations.is_empty() {
                    let mode = i32::from(rng.chance(30));
                    self.send(
                        who,
                        v1::MsgOrders { subaccount, operations, mode, ..Default::default() },
                    );
                }
            }
        }
    }
}

/// A market set to something else.
fn changed(mut params: MarketParams, rng: &mut Rng) -> MarketParams {
    match rng.within(0, 7) {
        0 => params.status = MarketStatus::Paused,
        1 => params.status = MarketStatus::ReduceOnly,
        2 => {
            let factor = *rng.pick(&[500_000, 800_000, 1_250_000, 2_000_000_i64]);
            for tier in &mut params.tiers {
                let changed = tier.initial_margin_ppm.get() * factor / 1_000_000;
                tier.initial_margin_ppm = Ppm::new(changed.clamp(5_000, 1_000_000));
            }
        }
        3 => params.max_fills = *rng.pick(&[1, 3, 500]),
        4 => params.partial_liquidation_atoms = Atoms::from_u64(rng.within(1, 50) * 1_000_000_000),
        5 => params.zero_price_sigma_ppm = Ppm::new(*rng.pick(&[1, 300_000, 1_000_000])),
        6 => params.fund_block_cap_atoms = Atoms::from_u64(rng.within(0, 2) * 100_000_000),
        _ => params.maintenance_fraction_ppm = Ppm::new(*rng.pick(&[300_000, 500_000, 700_000])),
    }
    params.mark_band_ppm = params.mark_band_ppm.min(params.max_mark_band_ppm());
    params
}

/// The account in which another trades a market: its isolated collateral there, if that is its
/// mode.
fn trading(state: &State, account: AccountId, market: usize) -> AccountId {
    let isolated = || {
        let row = state.accounts.get(account)?;
        let slot =
            state.owners.get(row.owner)?.isolated(row.number, MarketId::from_index(market)?)?;
        (slot.active || state.markets[market].cell.market.params.isolated_only)
            .then_some(slot.account)
    };
    isolated().unwrap_or(account)
}

fn operation(state: &State, account: Option<AccountId>, rng: &mut Rng) -> Option<Operation> {
    let market = rng.within(0, state.markets.len() as u64 - 1) as usize;
    let number = if rng.chance(1) { 99 } else { market as u32 };
    let account = account.map(|id| trading(state, id, market));
    let live: Vec<_> =
        account.map(|id| state.markets[market].book.orders_of(id).collect()).unwrap_or_default();
    let name = |rng: &mut Rng| match live.len() {
        0 => (rng.within(0, 50), rng.within(0, 9)),
        _ => {
            let order = rng.pick(&live);
            let (order_id, client_id) = (order.order_id.get(), order.client_id.get());
            if client_id != 0 && rng.chance(50) {
                (0, client_id)
            } else {
                (order_id, 0)
            }
        }
    };
    Some(match rng.within(0, 99) {
        0..=9 => {
            let (order_id, client_id) = name(rng);
            Operation::Cancel(v1::CancelOrder { market: number, order_id, client_id })
        }
        10..=21 if !live.is_empty() => {
            let order = *rng.pick(&live);
            let lots = match rng.within(0, 99) {
                0..=29 => None,
                30..=34 => Some(0),
                _ => Some(Rng::moved(order.lots.get(), rng.around(900_000))),
            };
            let price = if rng.chance(40) { 0 } else { price(state, market, rng)? };
            let (order_id, client_id) = name(rng);
            let (lots, total_lots) = if rng.chance(30) { (None, lots) } else { (lots, None) };
            Operation::Replace(v1::ReplaceOrder {
                market: number,
                order_id,
                client_id,
                price_ticks: price,
                lots,
                total_lots,
                trigger_price_ticks: if rng.chance(5) {
                    self::price(state, market, rng)?
                } else {
                    0
                },
            })
        }
        22..=23 => {
            let market = rng.chance(50).then_some(number);
            Operation::CancelAll(v1::CancelAll { market, side: rng.within(0, 2) as i32 })
        }
        24..=25 => {
            let at_ms = state.chain.time_ms.get() + rng.within(0, 60_000);
            let at_ms = if rng.chance(30) { 0 } else { at_ms };
            Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms })
        }
        26..=29 => Operation::Twap(twap(&place(state, account, market, number, rng)?, rng)),
        30..=33 => {
            let to_ticks = price(state, market, rng)?;
            Operation::Scale(scale(&place(state, account, market, number, rng)?, to_ticks, rng))
        }
        34..=40 => {
            let first = place(state, account, market, number, rng)?;
            let first = if rng.chance(50) { waiting(state, market, first, rng)? } else { first };
            let second = place(state, account, market, number, rng)?;
            let second = waiting(state, market, second, rng)?;
            if rng.chance(40) {
                return Some(Operation::Bracket(bracket(first, &second, rng)));
            }
            Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(second) })
        }
        56..=61 => Operation::Place(pegged(place(state, account, market, number, rng)?, rng)),
        41..=55 => {
            let order = place(state, account, market, number, rng)?;
            Operation::Place(waiting(state, market, order, rng)?)
        }
        _ => Operation::Place(place(state, account, market, number, rng)?),
    })
}

fn price(state: &State, market: usize, rng: &mut Rng) -> Option<u64> {
    let mark = state.markets[market].cell.market.mark_ticks?;
    let ppm = match rng.within(0, 19) {
        0 => rng.around(300_000),
        1..=3 => rng.around(100_000),
        4..=8 => rng.around(2_000),
        _ => rng.around(20_000),
    };
    Some(Rng::moved(mark.get(), ppm))
}

fn place(
    state: &State,
    account: Option<AccountId>,
    market: usize,
    number: u32,
    rng: &mut Rng,
) -> Option<v1::PlaceOrder> {
    let cell = &state.markets[market].cell;
    let mark = cell.market.mark_ticks?.wide();
    let row = account.and_then(|id| state.accounts.get(id));
    // Isolated collateral is what an order draws: its size comes from the parent's.
    let parent =
        row.and_then(|row| row.isolated).and_then(|isolated| state.accounts.get(isolated.parent));
    let collateral =
        parent.or(row).map_or(1_000_000_000, |row| row.collateral_atoms.get().max(1_000_000));
    let market_id = MarketId::from_index(market)?;
    let held = row.map_or(0, |row| row.lots(market_id).get());
    // From a small order to more than the collateral can bear.
    let leverage_percent = i128::from(*rng.pick(&[2, 5, 10, 30, 60, 100, 300, 1_000, 3_000]));
    let lots = collateral * leverage_percent / 100 / (mark * cell.market.k.wide()).max(1);
    let mut lots = u64::try_from(lots).unwrap_or(1).clamp(1, 1 << 30);
    let reduce_only = rng.chance(if held == 0 { 3 } else { 25 });
    let mut side = rng.within(1, 2) as i32;
    if reduce_only && !rng.chance(5) {
        side = if held > 0 { 2 } else { 1 };
        lots = if rng.chance(60) { held.unsigned_abs().max(1) } else { lots };
    }
    let kind = rng.within(0, 99);
    let is_market = kind < 12;
    let time_in_force =
        if is_market { rng.within(2, 3) } else { *rng.pick(&[0, 0, 0, 0, 0, 1, 2, 3]) };
    let post_only = if kind >= 75 { rng.within(1, 2) } else { 0 };
    let display_lots =
        if !is_market && time_in_force < 2 && rng.chance(15) { lots.div_ceil(4) } else { 0 };
    Some(v1::PlaceOrder {
        market: number,
        display_lots,
        side,
        price_ticks: if is_market && rng.chance(70) { 0 } else { price(state, market, rng)? },
        lots: if rng.chance(1) { 0 } else { lots },
        r#type: i32::from(is_market),
        time_in_force: if post_only > 0 {
            (time_in_force % 2) as i32
        } else {
            time_in_force as i32
        },
        expires_ms: state.chain.time_ms.get() + rng.within(0, 400_000),
        post_only: if is_market { 0 } else { post_only as i32 },
        reduce_only,
        client_id: match rng.within(0, 9) {
            0..=4 => 0,
            5 => rng.within(1, 12),
            _ => rng.within(1, 1_000_000),
        },
        ..Default::default()
    })
}
