//! Everybody on an adversary's chain, and what they have before a program begins.

use tidemark_proto::types::{
    Address, Message, OrderType, Place, PostOnly, TimeInForce, Trigger, TriggerKind,
};
use tidemark_proto::units::{Side, Ticks};

use super::deeds::{order, place};
use super::program::ACTORS;
use super::weather::{moved, INDEX_TICKS};
use super::world::World;
use crate::harness::{signer, usdc, FAUCET};

/// Capital of each acting account, in USDC.
pub const CAPITAL_USDC: i64 = 25_000;
/// Small accounts of the owner, with 60 USDC each.
pub const SMALL: u32 = 64;

/// Everybody on the chain.
#[derive(Clone, Debug)]
pub struct People {
    pub(super) actors: Vec<Address>,
    pub(super) small: Address,
    pub(super) maker: Address,
    long: Address,
    short: Address,
    stopper: Address,
    pub(super) quoter: Address,
    keeper: Address,
    faucet: Address,
}

impl People {
    pub(super) fn new() -> Self {
        let of = |name: &str| signer(name).address();
        Self {
            actors: (0..ACTORS).map(|at| of(&format!("adversary {at}"))).collect(),
            small: of("small"),
            maker: of("maker"),
            long: of("long"),
            short: of("short"),
            stopper: of("stopper"),
            quoter: of("quoter"),
            keeper: of("keeper"),
            faucet: of(FAUCET),
        }
    }

    /// The adversary's addresses.
    pub fn owned(&self) -> impl Iterator<Item = &Address> {
        self.actors.iter().chain([&self.small])
    }

    /// The two that hold a position of 45x and do nothing.
    pub fn victims(&self) -> [&Address; 2] {
        [&self.long, &self.short]
    }

    /// Who has a stop half a percent below the index.
    #[must_use]
    pub const fn stopper(&self) -> &Address {
        &self.stopper
    }

    /// Who set nothing aside yet and would like to.
    #[must_use]
    pub const fn keeper(&self) -> &Address {
        &self.keeper
    }
}

impl World {
    pub(super) fn fund(&mut self) {
        let people = self.people.clone();
        let rich = [&people.maker, &people.keeper, &people.quoter];
        let deposits = people.actors.iter().map(|at| (at, 0, usdc(CAPITAL_USDC)));
        let deposits = deposits.chain(rich.into_iter().map(|at| (at, 0, usdc(10_000_000))));
        let deposits = deposits.chain(people.victims().map(|at| (at, 0, usdc(22_600))));
        let deposits = deposits.chain([(&people.stopper, 0, usdc(5_000))]);
        let small = (0..SMALL).map(|subaccount| (&people.small, subaccount, usdc(60)));
        for (recipient, subaccount, amount_atoms) in deposits.chain(small) {
            let message = Message::Deposit { recipient: *recipient, subaccount, amount_atoms };
            self.send(people.faucet, message);
        }
    }

    /// The strangers' positions, at the index.
    pub(super) fn open(&mut self) {
        let people = self.people.clone();
        let post = |lots| {
            let post_only = PostOnly::Reject;
            place(Place { post_only, ..order(Side::Sell, INDEX_TICKS, lots) })
        };
        let take = |lots| {
            let time_in_force = TimeInForce::Ioc;
            place(Place { time_in_force, ..order(Side::Buy, INDEX_TICKS, lots) })
        };
        self.send(people.short, post(166_000));
        self.send(people.long, take(166_000));
        self.run_block();
        self.send(people.maker, post(1_600));
        self.send(people.stopper, take(1_600));
        self.run_block();
        let trigger = Trigger {
            kind: TriggerKind::Stop,
            price_ticks: Ticks::new(moved(INDEX_TICKS, -50)),
            trail: None,
        };
        let stop = Place {
            trigger: Some(trigger),
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            reduce_only: true,
            whole_position: true,
            ..order(Side::Sell, 0, 0)
        };
        self.send(people.stopper, place(stop));
    }
}
