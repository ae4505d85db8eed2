//! One market's chain: the book, random operations on it, and its blocks.

use super::*;

/// The market of every test.
pub(super) const BTC: MarketId = MarketId::ZERO;

/// Keeps the events that a book reports to its host.
#[derive(Default)]
pub(super) struct Recorder(pub(super) Vec<Event>);

impl Host for Recorder {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::MAX
    }

    fn event(&mut self, event: BookEvent) {
        let market = BTC;
        self.0.push(match event {
            // Its owner has nothing new to learn: the fill told what is left.
            BookEvent::Refilled(_) => return,
            BookEvent::Rested(o) => Event::Rested {
                market,
                order_id: o.order_id,
                account: o.owner,
                client_id: o.client_id,
                side: o.side,
                price_ticks: o.price_ticks,
                lots: o.lots,
                reduce_only: o.reduce_only,
                expires_ms: o.expires_ms.unwrap_or(TimeMs::ZERO),
                display_lots: o.display_lots,
                post_only: PostOnly::Off,
                pegged: None,
            },
            BookEvent::Reduced { order: o, .. } => {
                Event::Reduced { market, order_id: o.order_id, account: o.owner, lots: o.lots }
            }
            BookEvent::Removed { order: o, reason } => Event::Removed {
                market,
                order_id: o.order_id,
                account: o.owner,
                client_id: o.client_id,
                lots: o.lots,
                code: reason,
                closed_by: OrderId::NONE,
                loses_draw: true,
            },
            BookEvent::Fill {
                maker_order_id,
                maker,
                maker_client_id,
                maker_remaining_lots,
                taker_order_id,
                taker,
                taker_client_id,
                taker_side,
                price_ticks,
                lots,
                ..
            } => Event::Fill(Fill {
                market,
                price_ticks,
                lots,
                taker_side,
                maker,
                maker_order_id,
                maker_client_id,
                maker_fee_atoms: Atoms::new(-1),
                maker_remaining_lots,
                taker,
                taker_order_id,
                taker_client_id,
                taker_fee_atoms: Atoms::new(2),
                taker_remaining_lots: Lots::ZERO,
                liquidation: false,
                is_makers_first: false,
                is_takers_first: false,
            }),
        });
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Place { owner: AccountId, sell: bool, price: u64, lots: u64, display: u64, ioc: bool },
    Cancel { nth: usize },
    Replace { nth: usize, price: u64, lots: u64 },
    Reduce { nth: usize, by: u64 },
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    // Prices over several groups and pages of the commitment's tree.
    let price = || prop_oneof![60..70_u64, 4_090..4_100_u64, Just(u64::MAX - 1)];
    prop_oneof![
        5 => (0..4_u32, any::<bool>(), price(), 1..50_u64, 0..60_u64, any::<bool>())
            .prop_map(|(owner, sell, price, lots, display, ioc)| {
                Op::Place { owner: AccountId::new(owner), sell, price, lots, display, ioc }
            }),
        2 => any::<usize>().prop_map(|nth| Op::Cancel { nth }),
        2 => (any::<usize>(), price(), 1..50_u64)
            .prop_map(|(nth, price, lots)| Op::Replace { nth, price, lots }),
        1 => (any::<usize>(), 1..60_u64).prop_map(|(nth, by)| Op::Reduce { nth, by }),
    ]
}

/// One market's chain, as far as market data sees it.
pub(super) struct Chain {
    pub(super) book: Book,
    pub(super) cell: MarketCell,
    pub(super) height: u64,
}

impl Chain {
    pub(super) fn new() -> Self {
        let market =
            Market::new(MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50)).unwrap();
        Self { book: Book::new(), cell: MarketCell::new(market), height: 0 }
    }

    pub(super) fn run(&mut self, op: &Op, host: &mut Recorder) {
        let live = |book: &Book, nth: usize| {
            let owners = (0..4).map(AccountId::new);
            let all: Vec<_> =
                owners.flat_map(|owner| book.orders_of(owner).collect::<Vec<_>>()).collect();
            (!all.is_empty()).then(|| all[nth % all.len()])
        };
        let stp = SelfTradePrevention::Decrement;
        match *op {
            Op::Place { owner, sell, price, lots, display, ioc } => {
                let order = NewOrder {
                    owner,
                    client_id: ClientId::NONE,
                    side: if sell { Side::Sell } else { Side::Buy },
                    price_ticks: Ticks::new(price),
                    lots: Lots::new(lots),
                    // Of those that may rest, every other shows all.
                    display_lots: Lots::new(if ioc || display % 2 == 0 {
                        0
                    } else {
                        display.min(lots)
                    }),
                    time_in_force: if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc },
                    post_only: PostOnly::Off,
                    reduce_only: false,
                    stp,
                    max_fills: 3,
                    max_visits: u32::MAX,
                };
                let _ = self.book.place(&order, host);
            }
            Op::Cancel { nth } => {
                if let Some(order) = live(&self.book, nth) {
                    self.book.cancel(order.order_id, order.owner, Code::Cancelled, host).unwrap();
                }
            }
            Op::Replace { nth, price, lots } => {
                if let Some(order) = live(&self.book, nth) {
                    let (order_id, owner) = (order.order_id, order.owner);
                    let (price_ticks, lots) = (Some(Ticks::new(price)), Some(Lots::new(lots)));
                    let (max_fills, max_visits) = (3, u32::MAX);
                    let change =
                        Replace { order_id, owner, price_ticks, lots, stp, max_fills, max_visits };
                    let _ = self.book.replace(&change, host);
                }
            }
            Op::Reduce { nth, by } => {
                if let Some(order) = live(&self.book, nth) {
                    let (order_id, owner) = (order.order_id, order.owner);
                    self.book.reduce(order_id, owner, Lots::new(by), host).unwrap();
                }
            }
        }
    }

    /// Ends a block with these events as the chain does.
    pub(super) fn publish(&mut self, events: Vec<Event>, txs: Vec<TxOutcome>) -> PublishedBlock {
        self.height += 1;
        let mut out = BlockEvents {
            height: self.height,
            time_ms: TimeMs::new(self.height * 10),
            events,
            txs,
            ..Default::default()
        };
        let dirty = self.book.take_dirty_levels();
        if !dirty.is_empty() {
            self.cell.book_sequence += 1;
            let side = |side| dirty.iter().filter(|l| l.side == side).map(row).collect();
            let (bids, asks) = (side(Side::Buy), side(Side::Sell));
            out.books.push(BookDelta {
                market: BTC,
                bids,
                asks,
                l2_root: self.book.l2_root(),
                l3_root: self.book.l3_root(),
                next_order_id: self.book.next_order_id(),
            });
        }
        let mut view = View::empty("test-1");
        view.markets = Arc::new(vec![self.cell.clone()]);
        PublishedBlock {
            view: Arc::new(view),
            events: Arc::new(out),
            times: BlockTimes::default(),
            is_replayed: false,
        }
    }
}

pub(super) fn row(level: &LevelView) -> (Ticks, Lots, u32) {
    (level.price_ticks, level.lots, level.count)
}

pub(super) fn wire_levels(book: &Book, side: Side) -> Vec<v1::Level> {
    let level = |l: LevelView| v1::Level {
        price_ticks: l.price_ticks.get(),
        lots: l.lots.get(),
        orders: l.count,
    };
    book.levels(side).map(level).collect()
}
