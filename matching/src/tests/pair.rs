//! The book and its naive model, side by side: every operation on both, everything compared after
//! each.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use super::model::Model;
use super::{invariants, roots, TestHost};
use crate::{Book, Event, Host, NewOrder, OrderView, PlaceResult, Prefetch, Reject, Replace};

/// An operation on both.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Place(NewOrder),
    Replace {
        pick: u64,
        stranger: bool,
        price: Option<Ticks>,
        lots: Option<Lots>,
        stp: SelfTradePrevention,
        max_fills: u32,
        max_visits: u32,
    },
    Reduce {
        pick: u64,
        stranger: bool,
        by_lots: Lots,
    },
    Cancel {
        pick: u64,
        stranger: bool,
    },
    CancelByClientId {
        owner: AccountId,
        client_id: ClientId,
    },
    CancelAll {
        owner: AccountId,
        side: Option<Side>,
        max: u32,
    },
    Expire {
        now_ms: TimeMs,
        max: u32,
    },
    /// A position that changes outside the book; `tell`: and the book is told.
    SetPosition {
        owner: AccountId,
        position: i8,
        tell: bool,
    },
    /// An account is frozen, or is not: its orders that may increase are dead.
    Freeze {
        owner: AccountId,
        frozen: bool,
    },
    /// Block end: roots, changes, snapshot.
    Commit {
        restore: bool,
    },
}

/// A book and its model, side by side.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) book: Book,
    model: Model,
    host: TestHost,
    model_host: TestHost,
    client: roots::L2,
    /// Accounts whose position has changed without a word to the book.
    untold: BTreeSet<AccountId>,
    /// Lots that came to rest, less those that left.
    resting: i128,
}

fn flat(result: Result<PlaceResult, Reject>) -> super::model::Outcome {
    result
        .map(|p| {
            let PlaceResult { order_id, filled_lots, decremented_lots, resting_lots, .. } = p;
            let (price, rest, visits) = (p.price_ticks, p.rest, p.visits);
            (order_id, filled_lots, decremented_lots, resting_lots, price, rest, visits)
        })
        .map_err(|reject| (reject.code, reject.visits))
}

fn code<T>(result: Result<T, Reject>) -> Result<T, Code> {
    result.map_err(|reject| reject.code)
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self {
            book: Book::new(),
            model: Model::new(),
            host: TestHost::default(),
            model_host: TestHost::default(),
            client: roots::L2::new(),
            untold: BTreeSet::new(),
            resting: 0,
        }
    }

    /// A live order mostly, now and then an id that is none; and its owner, or somebody else.
    fn pick(&self, pick: u64, stranger: bool) -> (OrderId, AccountId) {
        let live = self.model.all().count() as u64;
        if live == 0 || pick % 16 == 0 {
            let id = pick % (self.model.next_id.get() + 2);
            return (OrderId::new(id), AccountId::ZERO);
        }
        let order = self.model.all().nth((pick / 16 % live) as usize).expect("within");
        let neighbour = || AccountId::new(order.owner.get() + 1);
        (order.order_id, if stranger { neighbour() } else { order.owner })
    }

    pub(crate) fn step(&mut self, op: &Op) {
        let (book, model, host, model_host) =
            (&mut self.book, &mut self.model, &mut self.host, &mut self.model_host);
        match op {
            Op::Place(order) => {
                assert_eq!(flat(book.place(order, host)), model.place(order, model_host));
            }
            Op::Replace { pick, stranger, price, lots, stp, max_fills, max_visits } => {
                let (order_id, owner) = self.pick(*pick, *stranger);
                let change = Replace {
                    order_id,
                    owner,
                    price_ticks: *price,
                    lots: *lots,
                    stp: *stp,
                    max_fills: *max_fills,
                    max_visits: *max_visits,
                };
                let got = self.book.replace(&change, &mut self.host);
                assert_eq!(flat(got), self.model.replace(&change, &mut self.model_host));
            }
            Op::Reduce { pick, stranger, by_lots } => {
                let (id, owner) = self.pick(*pick, *stranger);
                let got = self.book.reduce(id, owner, *by_lots, &mut self.host);
                assert_eq!(code(got), self.model.reduce(id, owner, *by_lots, &mut self.model_host));
            }
            Op::Cancel { pick, stranger } => {
                let (id, owner) = self.pick(*pick, *stranger);
                for named in [id, OrderId::MAX] {
                    self.book.look_ahead(|_| Some(named));
                }
                let got = self.book.cancel(id, owner, Code::Cancelled, &mut self.host);
                assert_eq!(code(got), self.model.cancel(id, owner, &mut self.model_host));
            }
            Op::CancelByClientId { owner, client_id } => {
                for step in Prefetch::STEPS {
                    book.prefetch_named(step, *owner, *client_id);
                }
                let named = book.order_by_client_id(*owner, *client_id).map(|order| order.order_id);
                let got = named.map_or(Err(Code::UnknownOrder), |id| {
                    code(book.cancel(id, *owner, Code::Cancelled, host))
                });
                assert_eq!(got, model.cancel_by_client_id(*owner, *client_id, model_host));
            }
            Op::CancelAll { owner, side, max } => {
                let got = book.cancel_all(*owner, *side, Code::Cancelled, *max, host);
                assert!(got.looked_at <= *max);
                let gone = model.cancel_all(*owner, *side, *max, model_host);
                assert_eq!((got.gone, got.more), gone);
            }
            Op::Expire { now_ms, max } => {
                (host.now_ms, model_host.now_ms) = (*now_ms, *now_ms);
                assert_eq!(
                    book.expire(*now_ms, *max, host),
                    model.expire(*now_ms, *max, model_host)
                );
            }
            Op::SetPosition { owner, position, tell } => {
                self.set_position(*owner, *position, *tell)
            }
            Op::Freeze { owner, frozen } => {
                for host in [host, model_host] {
                    match *frozen {
                        true => host.frozen.insert(*owner),
                        false => host.frozen.remove(owner),
                    };
                }
            }
            Op::Commit { restore } => self.commit(*restore),
        }
        self.compare();
    }

    fn set_position(&mut self, owner: AccountId, position: i8, tell: bool) {
        for host in [&mut self.host, &mut self.model_host] {
            host.positions.insert(owner, i128::from(position));
        }
        self.untold.insert(owner);
        if tell {
            self.untold.remove(&owner);
            for side in [Side::Buy, Side::Sell] {
                let got = self.book.fit_reduce_only(owner, side, &mut self.host);
                assert_eq!(got, self.model.fit(owner, side, &mut self.model_host));
            }
        }
    }

    /// Nobody shows more reduce-only lots than the position that they reduce.
    fn check_parts(&self) {
        let mut shown = BTreeMap::<(AccountId, Side), i128>::new();
        for order in self.model.all().filter(|order| order.reduce_only) {
            *shown.entry((order.owner, order.side)).or_default() += order.lots.wide();
        }
        for ((owner, side), lots) in shown {
            let position = self.host.reducible_lots(owner, side).wide();
            assert!(lots <= position || self.untold.contains(&owner), "{owner}: {lots} lots");
        }
    }

    fn compare(&mut self) {
        assert_eq!(self.host.events, self.model_host.events);
        assert_eq!(self.host.positions, self.model_host.positions);
        for event in self.host.events.drain(..) {
            self.resting += match event {
                Event::Rested(order) => order.lots.wide(),
                Event::Refilled(_) => 0,
                Event::Fill { lots, .. } => -lots.wide(),
                Event::Reduced { by_lots, .. } => -by_lots.wide(),
                Event::Removed { order, .. } => -order.lots.wide(),
            };
        }
        self.model_host.events.clear();
        for side in [Side::Buy, Side::Sell] {
            let queues =
                self.book.levels(side).flat_map(|level| self.book.queue(side, level.price_ticks));
            let orders: Vec<OrderView> = queues.collect();
            assert_eq!(orders, self.model.sides[side as usize]);
        }
        assert_eq!(self.book.next_order_id(), self.model.next_id);
        let live: i128 = self.model.all().map(|order| order.lots.wide()).sum();
        assert_eq!(live, self.resting, "no lots lost or created");
        invariants::check(&self.book);
        self.check_parts();
    }

    fn commit(&mut self, restore: bool) {
        roots::apply(&mut self.client, &self.book.take_dirty_levels());
        assert_eq!(self.client, roots::l2_of(&self.book));
        assert!(self.book.take_dirty_levels().is_empty());
        let (l2, l3) = (self.book.l2_root(), self.book.l3_root());
        assert_eq!(l2, roots::l2_root(&self.client));
        assert_eq!(l3, roots::l3_root(&self.model.sides, self.model.next_id));

        let mut bytes = Vec::new();
        self.book.freeze().write(&mut bytes).expect("a Vec takes all");
        let mut restored = Book::from_snapshot(&mut bytes.as_slice()).expect("its own bytes");
        assert_eq!((restored.l2_root(), restored.l3_root()), (l2, l3));
        invariants::check(&restored);
        if restore {
            self.book = restored;
        }
    }
}
