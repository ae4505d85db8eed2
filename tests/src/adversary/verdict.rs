//! The effects of a program: the owner's gain beyond what prices explain, the fund's loss, and what
//! others lost or waited for; each beside its bound.

use std::collections::BTreeMap;
use std::fmt;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::conditional::Kind;
use tidemark_proto::types::Message;
use tidemark_proto::units::{AccountId, Atoms, OrderId, OwnerId, Side, TimeMs};

use super::weather::{Book, Index, Weather};
use super::world::World;
use crate::harness::usdc;

/// The bounds that a program may not pass.
pub mod bounds {
    /// Most that the owner may gain, in USDC.
    pub const GAIN_USDC: i64 = 100;
    /// Most that the owner may gain where prices have jumped beyond the initial margin of 2 %, in
    /// USDC. An account then loses more than it has, and who sells the winning side of a pair
    /// before deleveraging comes keeps a part of that.
    pub const JUMP_GAIN_USDC: i64 = 10_000;
    /// Most that the fund may pay where a jump finds lots that are not fresh, in USDC: a market's
    /// bucket, which is 5 % of the fund, and what comes back of it in some minutes. The owner may
    /// gain as much more.
    pub const LATE_FUND_USDC: i64 = 51_000;
    /// Most that the fund may pay while prices stand, in USDC.
    pub const FUND_USDC: i64 = 100;
    /// Most that two strangers at 45x may lose while prices stand, in USDC.
    pub const HARM_USDC: i64 = 100;
    /// Most that the mark of an empty book may be off the index, in ppm, with less than
    /// [`PAINT_USDC`] of the owner's orders on either side.
    pub const PAINTED_PPM: u64 = 100;
    /// The least depth with which a book has a say.
    pub const PAINT_USDC: i64 = 10_000;
    /// Most blocks from the mark at a stop's trigger to its order.
    pub const STOP_BLOCKS: u32 = 3;
}

/// The effects of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The owner's wealth beyond what the index moved and what it took from stale quotes.
    pub gain_atoms: Atoms,
    /// The bound of that.
    pub most_gain_usdc: i64,
    /// The fund's loss, where it is bounded.
    pub fund_atoms: Atoms,
    /// The bound of that.
    pub most_fund_usdc: i64,
    /// The loss of strangers who did nothing, while prices stood.
    pub harm_atoms: Atoms,
    /// Blocks for which a reached stop waited.
    pub stop_blocks: u32,
    /// A stop fired though the index never reached it.
    pub stop_fired: bool,
    /// The mark's largest distance from the index while the book was empty but for orders of the
    /// owner that are less than the depth which a say in the mark needs, in ppm.
    pub painted_ppm: u64,
    /// A quote traded after its time.
    pub traded_late: bool,
    /// Withdrawals were shut while prices stood.
    pub gated: bool,
    /// An honest keeper finds no place.
    pub no_place: bool,
    /// The chain's own audit failed.
    pub broken: bool,
    /// The mark's largest distance from the index, in ppm: what a search climbs.
    pub mark_ppm: u64,
}

impl Verdict {
    /// The bounds that are passed, by name.
    #[must_use]
    pub fn passed(&self) -> Vec<&'static str> {
        let all = [
            ("gain", self.gain_atoms > usdc(self.most_gain_usdc)),
            ("fund", self.fund_atoms > usdc(self.most_fund_usdc)),
            ("harm", self.harm_atoms > usdc(bounds::HARM_USDC)),
            ("painted", self.painted_ppm > bounds::PAINTED_PPM),
            ("stop late", self.stop_blocks > bounds::STOP_BLOCKS),
            ("stop fired", self.stop_fired),
            ("traded late", self.traded_late),
            ("gate", self.gated),
            ("no place", self.no_place),
            ("broken", self.broken),
        ];
        all.into_iter().filter(|(_, passed)| *passed).map(|(name, _)| name).collect()
    }

    /// Returns the height that a search climbs: money first, then how far the mark was moved.
    #[must_use]
    pub fn score(&self) -> i128 {
        let money = self.gain_atoms.get().max(self.fund_atoms.get()).max(self.harm_atoms.get());
        money + i128::from(self.mark_ppm) * 1_000 + i128::from(self.stop_blocks) * 100_000
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |atoms: Atoms| atoms.get() / 1_000_000;
        write!(
            f,
            "gain {} USDC, fund −{} USDC, strangers −{} USDC, stop {} blocks late, mark {} ppm off",
            whole(self.gain_atoms),
            whole(self.fund_atoms),
            whole(self.harm_atoms),
            self.stop_blocks,
            self.mark_ppm
        )
    }
}

/// Notes of each block.
pub struct Ledger {
    owned: Vec<OwnerId>,
    start_atoms: Atoms,
    start_withdrawn: Atoms,
    start_fund: Atoms,
    start_victims: Atoms,
    /// Gains by moves of the index on what the owner's accounts hold together.
    moved_atoms: Atoms,
    /// Edges in trades with strangers.
    edge_atoms: Atoms,
    expires: BTreeMap<OrderId, TimeMs>,
    reached_since: Option<u32>,
    /// The owner has had the depth on some side that a say in the mark needs.
    had_depth: bool,
    so_far: Verdict,
}

impl Ledger {
    /// At the start of a program.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let owned = world.people.owned().filter_map(|at| world.state.owner_id(at)).collect();
        let mut ledger = Self {
            owned,
            start_atoms: Atoms::ZERO,
            start_withdrawn: world.state.chain.withdrawals_atoms,
            start_fund: fund(world),
            start_victims: victims(world),
            moved_atoms: Atoms::ZERO,
            edge_atoms: Atoms::ZERO,
            expires: BTreeMap::new(),
            reached_since: None,
            had_depth: false,
            so_far: Verdict::default(),
        };
        ledger.start_atoms = ledger.wealth(world);
        ledger
    }

    fn owns(&self, world: &World, id: AccountId) -> bool {
        world.state.accounts.get(id).is_some_and(|row| self.owned.contains(&row.owner))
    }

    /// The owner's lots, all accounts together.
    #[must_use]
    pub fn lots(&self, world: &World) -> i128 {
        let own = world.state.accounts.iter().filter(|(_, row)| self.owned.contains(&row.owner));
        own.map(|(_, row)| row.lots(World::MARKET).wide()).sum()
    }

    /// The owner's wealth at the index: an account below 0 counts as 0, its owner walks away.
    fn wealth(&self, world: &World) -> Atoms {
        let own = world.state.accounts.iter().filter(|(_, row)| self.owned.contains(&row.owner));
        let worth: Atoms = own.map(|(id, _)| equity(world, id).max(Atoms::ZERO)).sum();
        let keepers = &world.state.markets.slot(World::MARKET).cell.market.keepers;
        let aside = keepers.iter().filter(|keeper| self.owns(world, keeper.account));
        let aside: Atoms = aside.map(|keeper| keeper.set_aside_atoms).sum();
        worth + aside + world.state.chain.withdrawals_atoms - self.start_withdrawn
    }

    /// Takes note of a block.
    pub fn take(&mut self, world: &World, before: u64, lots_before: i128, events: &BlockEvents) {
        let moved = i128::from(world.index_ticks) - i128::from(before);
        self.moved_atoms += Atoms::new(moved * lots_before * World::K);
        for event in &events.events {
            self.note(world, event, events.time_ms);
        }
        self.so_far.broken |= !events.violations.is_empty();
        let cell = &world.state.markets.slot(World::MARKET).cell;
        let mark = cell.market.mark_ticks.map_or(world.index_ticks, |mark| mark.get());
        let off = mark.abs_diff(world.index_ticks) * 1_000_000 / world.index_ticks;
        self.so_far.mark_ppm = self.so_far.mark_ppm.max(off);
        self.had_depth |= self.has_depth(world);
        let is_own = world.weather.is_quiet() && matches!(world.weather.book, Book::Empty);
        if is_own && !self.had_depth {
            self.so_far.painted_ppm = self.so_far.painted_ppm.max(off);
        }
        let gated = world.state.chain.withdrawals_gated_until > world.state.chain.height;
        // After a halt the gate is shut by rule.
        let halts = matches!(world.weather.index, Index::Halt { .. });
        self.so_far.gated |= gated && world.weather.is_quiet() && !halts;
        self.stop(world, mark);
    }

    fn note(&mut self, world: &World, event: &Event, now_ms: TimeMs) {
        match event {
            Event::Rested { order_id, expires_ms, .. } if !expires_ms.is_zero() => {
                self.expires.insert(*order_id, *expires_ms);
            }
            Event::Fill(fill) => {
                let expires = self.expires.get(&fill.maker_order_id);
                self.so_far.traded_late |= expires.is_some_and(|expires| *expires <= now_ms);
                let (maker, taker) = (self.owns(world, fill.maker), self.owns(world, fill.taker));
                // A liquidation of the owner's account takes a stale quote as the owner would. A
                // stranger's liquidation that fills the owner's order is business where prices have
                // moved, and what is searched for where prices stood.
                let is_business = taker || !fill.liquidation || !world.weather.is_quiet();
                if maker != taker && is_business {
                    let side = if taker { fill.taker_side } else { fill.taker_side.opposite() };
                    let edge = i128::from(world.index_ticks) - fill.price_ticks.wide();
                    let signed = if side == Side::Buy { edge } else { -edge };
                    // What the owner gave away is its own loss.
                    let gained = Atoms::new(signed * fill.lots.wide() * World::K);
                    self.edge_atoms += gained.max(Atoms::ZERO);
                }
            }
            _ => {}
        }
    }

    /// True if the owner's resting orders of a side have the least depth for a say in the mark.
    fn has_depth(&self, world: &World) -> bool {
        let book = &world.state.markets.slot(World::MARKET).book;
        [Side::Buy, Side::Sell].into_iter().any(|side| {
            let of_side = book.levels(side).flat_map(|level| book.queue(side, level.price_ticks));
            let own = of_side.filter(|order| self.owns(world, order.owner));
            let worth: i128 =
                own.map(|order| order.price_ticks.wide() * order.lots.wide() * World::K).sum();
            Atoms::new(worth) >= usdc(bounds::PAINT_USDC)
        })
    }

    /// The honest stop half a percent below the index: late, or fired for nothing.
    fn stop(&mut self, world: &World, mark: u64) {
        let slot = world.state.markets.slot(World::MARKET);
        let account = world.account(world.people.stopper());
        let mut own = slot.conditional.iter().filter(|order| Some(order.account) == account);
        // One that found no bid is tried again, and waits for its trigger no more.
        let waits = own.any(|order| !matches!(order.kind, Kind::Retrying(_)));
        let trigger = super::weather::moved(super::weather::INDEX_TICKS, -50);
        let fresh = !slot
            .cell
            .index
            .is_stale(world.state.chain.time_ms, slot.cell.market.params.max_oracle_age_ms);
        if waits && mark <= trigger && fresh {
            let since = *self.reached_since.get_or_insert(world.block);
            self.so_far.stop_blocks = self.so_far.stop_blocks.max(world.block - since);
        }
        if !waits && world.weather.is_quiet() {
            self.so_far.stop_fired = true;
        }
    }

    /// Returns the program's effects, all in all.
    #[must_use]
    pub fn verdict(mut self, world: &World) -> Verdict {
        // An account that loses more than it has loses what it has: a bet that failed is no gain.
        let explained = self.moved_atoms.max(Atoms::ZERO) + self.edge_atoms;
        self.so_far.gain_atoms = self.wealth(world) - self.start_atoms - explained;
        self.so_far.most_gain_usdc = world.weather.most_gain_usdc();
        if let Some(most_usdc) = world.weather.most_fund_usdc() {
            self.so_far.most_fund_usdc = most_usdc;
            self.so_far.fund_atoms = self.start_fund - fund(world);
        }
        if world.weather.is_quiet() {
            self.so_far.harm_atoms = self.start_victims - victims(world);
        }
        let market = World::MARKET;
        let set_aside_atoms = usdc(10_000);
        let message = Message::RegisterBackstop { subaccount: 0, market, set_aside_atoms };
        self.so_far.no_place = world.answer(world.people.keeper(), message) == "BACKSTOP_FULL";
        self.so_far
    }
}

/// The shared fund less the market's debt.
fn fund(world: &World) -> Atoms {
    let market = &world.state.markets.slot(World::MARKET).cell.market;
    world.state.chain.treasury.insurance_atoms - market.bad_debt_atoms
}

fn victims(world: &World) -> Atoms {
    let of = world.people.victims().map(|at| world.account(at));
    of.into_iter().flatten().map(|id| equity(world, id).max(Atoms::ZERO)).sum()
}

/// Worth of an account at the index.
fn equity(world: &World, id: AccountId) -> Atoms {
    let Some(row) = world.state.accounts.get(id) else { return Atoms::ZERO };
    let cell = &world.state.markets.slot(World::MARKET).cell;
    let open = row.position(World::MARKET).map_or(Atoms::ZERO, |position| {
        let worth = i128::from(world.index_ticks) * position.lots.wide() * World::K;
        Atoms::new(worth) - position.cost_atoms - crate::sim::figures::unpaid(cell, position)
    });
    row.collateral_atoms + open
}

/// A weather in words.
impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let external = if self.has_external { "with" } else { "without" };
        let Self { index, book, interval_ms, .. } = self;
        if let Index::Recorded { of, .. } = index {
            write!(f, "{}, ", super::recorded::name(*of))?;
        }
        write!(f, "index {index:?}, book {book:?}, {external} external price, {interval_ms} ms")
    }
}
