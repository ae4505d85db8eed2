//! The messages that each action of a program sends.

use tidemark_proto::types::{
    Address, Bracket, Message, Operation, OrderType, Place, PostOnly, TimeInForce, Trail, Trigger,
    TriggerKind,
};
use tidemark_proto::units::{Atoms, ClientId, Lots, Side, Ticks, TimeMs};

use super::people::SMALL;
use super::program::{Action, Price};
use super::weather::moved;
use super::world::World;

/// A plain order.
pub(super) fn order(side: Side, ticks: u64, lots: u64) -> Place {
    Place {
        market: World::MARKET,
        side,
        price_ticks: Ticks::new(ticks),
        lots: Lots::new(lots),
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Gtc,
        post_only: PostOnly::Off,
        reduce_only: false,
        client_id: ClientId::NONE,
        trigger: None,
        whole_position: false,
        display_lots: Lots::ZERO,
        peg: None,
    }
}

pub(super) fn orders(subaccount: u32, operations: Vec<Operation>) -> Message {
    Message::Orders { subaccount, operations, all_or_none: false, pays_flat_fee: false }
}

pub(super) fn place(order: Place) -> Message {
    orders(0, vec![Operation::Place(order)])
}

pub(super) const fn cancel_all() -> Operation {
    Operation::CancelAll { market: None, side: None }
}

/// An order with a take-profit and a stop-loss at a distance, in hundredths of a percent.
fn bracket(entry: Place, bps: i32) -> Message {
    let exit = |kind: TriggerKind| {
        let gains = (kind == TriggerKind::TakeProfit) == (entry.side == Side::Buy);
        let away = if gains { bps } else { -bps };
        let price_ticks = Ticks::new(moved(entry.price_ticks.get(), away));
        Place {
            trigger: Some(Trigger { kind, price_ticks, trail: None }),
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            reduce_only: true,
            ..order(entry.side.opposite(), 0, 0)
        }
    };
    let (exit, second) = (exit(TriggerKind::TakeProfit), exit(TriggerKind::Stop));
    let bracket = Bracket { entry, exit, second: Some(second) };
    orders(0, vec![Operation::Bracket(Box::new(bracket))])
}

impl World {
    fn ticks(&self, price: Price) -> u64 {
        let mark = self.state.markets.slot(World::MARKET).cell.market.mark_ticks.map(Ticks::get);
        let from =
            if price.from_mark { mark.unwrap_or(self.index_ticks) } else { self.index_ticks };
        moved(from, price.bps)
    }

    /// Lots that an account can afford at 48x, or a part of them; at least one.
    fn lots(&self, who: &Address, ticks: u64, percent: u8) -> u64 {
        let row = self.account(who).and_then(|id| self.state.accounts.get(id));
        let collateral = row.map_or(Atoms::ZERO, |row| row.collateral_atoms).get().max(0);
        let lots =
            collateral * 48 * i128::from(percent) / 100 / (i128::from(ticks.max(1)) * World::K);
        u64::try_from(lots).unwrap_or(1).clamp(1, 1_000_000)
    }

    /// Sends what an action means.
    pub(super) fn act(&mut self, who: u8, action: Action) {
        let who = self.people.actors[usize::from(who) % self.people.actors.len()];
        match action {
            Action::Paint { bid, ask, percent } => {
                for (side, price) in [(Side::Buy, bid), (Side::Sell, ask)] {
                    let ticks = self.ticks(price);
                    self.send(who, place(order(side, ticks, self.lots(&who, ticks, percent))));
                }
            }
            Action::Rest { side, price, percent, reduce_only } => {
                let ticks = self.ticks(price);
                let lots = self.lots(&who, ticks, percent);
                self.send(who, place(Place { reduce_only, ..order(side, ticks, lots) }));
            }
            Action::Take { side, price, percent } => {
                let ticks = self.ticks(price);
                let lots = self.lots(&who, ticks, percent);
                let time_in_force = TimeInForce::Ioc;
                self.send(who, place(Place { time_in_force, ..order(side, ticks, lots) }));
            }
            Action::Pair { with, side, price, percent } => {
                let other = self.people.actors[usize::from(with) % self.people.actors.len()];
                let ticks = self.ticks(price);
                let lots = self.lots(&who, ticks, percent).min(self.lots(&other, ticks, percent));
                let post_only = PostOnly::Reject;
                self.send(who, place(Place { post_only, ..order(side, ticks, lots) }));
                let time_in_force = TimeInForce::Ioc;
                let take = Place { time_in_force, ..order(side.opposite(), ticks, lots) };
                self.send(other, place(take));
            }
            Action::Close => self.close(who),
            Action::CancelAll => self.send(who, orders(0, vec![cancel_all()])),
            Action::Withdraw { percent } => {
                let row = self.account(&who).and_then(|id| self.state.accounts.get(id));
                let all = row.map_or(Atoms::ZERO, |row| row.collateral_atoms).get().max(0);
                let amount_atoms = Atoms::new((all * i128::from(percent) / 100).max(1));
                self.send(who, Message::Withdraw { subaccount: 0, amount_atoms });
            }
            Action::TakeOver => {
                let listed = self.state.markets.slot(World::MARKET).cell.listed.first().copied();
                if let Some(of) = listed {
                    let (account, lots) = (of.account, of.lots.unsigned_abs());
                    let message =
                        Message::Takeover { subaccount: 0, market: World::MARKET, account, lots };
                    self.send(who, message);
                }
            }
            Action::Isolate => {
                let message =
                    Message::SetMarginMode { subaccount: 0, market: World::MARKET, isolated: true };
                self.send(who, message);
            }
            Action::Bracket { side, price, percent, bps } => {
                let ticks = self.ticks(price);
                let entry = order(side, ticks, self.lots(&who, ticks, percent));
                self.send(who, bracket(entry, i32::from(bps)));
            }
            Action::Trail { bps } => self.trail(who, u32::from(bps) * 100),
            Action::Stops { .. } | Action::Expiring | Action::Keepers { .. } => self.flood(action),
        }
    }

    fn close(&mut self, who: Address) {
        let held = self.account(&who).and_then(|id| self.state.accounts.get(id));
        let held = held.map_or(0, |row| row.lots(World::MARKET).get());
        if held == 0 {
            return;
        }
        let side = if held > 0 { Side::Sell } else { Side::Buy };
        let close = Place {
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            reduce_only: true,
            ..order(side, 0, held.unsigned_abs())
        };
        self.send(who, place(close));
    }

    /// Waits to close the position until the mark is so far behind its best.
    fn trail(&mut self, who: Address, ppm: u32) {
        let held = self.account(&who).and_then(|id| self.state.accounts.get(id));
        let held = held.map_or(0, |row| row.lots(World::MARKET).get());
        let side = if held > 0 { Side::Sell } else { Side::Buy };
        let (kind, trail) = (TriggerKind::Stop, Some(Trail::Ppm(ppm)));
        let exit = Place {
            trigger: Some(Trigger { kind, price_ticks: Ticks::ZERO, trail }),
            order_type: OrderType::Market,
            time_in_force: TimeInForce::Ioc,
            reduce_only: true,
            whole_position: true,
            ..order(side, 0, 0)
        };
        self.send(who, place(exit));
    }

    /// Sends an action from all small accounts at once.
    fn flood(&mut self, action: Action) {
        let small = self.people.small;
        for subaccount in 0..SMALL {
            let one = match action {
                Action::Keepers { atoms } => {
                    let set_aside_atoms = Atoms::from_u64(atoms);
                    let message = Message::RegisterBackstop {
                        subaccount,
                        market: World::MARKET,
                        set_aside_atoms,
                    };
                    self.send(small, message);
                    continue;
                }
                Action::Stops { side, price } => {
                    let kind = TriggerKind::Stop;
                    let price_ticks = Ticks::new(self.ticks(price));
                    Place {
                        trigger: Some(Trigger { kind, price_ticks, trail: None }),
                        order_type: OrderType::Market,
                        time_in_force: TimeInForce::Ioc,
                        ..order(side, 0, 1)
                    }
                }
                _ => {
                    let expires_ms = TimeMs::new(self.now_ms + 1);
                    let time_in_force = TimeInForce::Gtt { expires_ms };
                    Place { time_in_force, ..order(Side::Sell, moved(self.index_ticks, 1_500), 1) }
                }
            };
            self.send(small, orders(subaccount, vec![Operation::Place(one); 200]));
        }
    }
}
