//! NASDAQ AAPL order by order through the book: best prices and sizes after each of 54 000 messages
//! equal the venue's.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a wrong index or sum in a test is a failed test"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use flate2::read::GzDecoder;
use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks};

/// Owner of all bids and of all asks; executions come from a third.
const OWNERS: [AccountId; 2] = [AccountId::new(1), AccountId::new(2)];
const AGGRESSOR: AccountId = AccountId::new(3);
/// Prices of rows that stand for "no level".
const NO_LEVEL: u64 = 9_999_999_999;

#[derive(Default)]
struct Makers(Vec<(OrderId, Lots)>);

impl Host for Makers {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::ZERO
    }
    fn event(&mut self, event: Event) {
        if let Event::Fill { maker_order_id, lots, .. } = event {
            self.0.push((maker_order_id, lots));
        }
    }
}

#[derive(Default)]
struct Replay {
    book: Book,
    host: Makers,
    /// Our id of each order of the venue.
    ids: BTreeMap<u64, OrderId>,
    last_seed: OrderId,
    /// Executions, and those of them whose maker was not first in its queue.
    executions: u32,
    passed_over: u32,
}

impl Replay {
    fn place(
        &mut self,
        owner: AccountId,
        side: Side,
        price_ticks: Ticks,
        lots: Lots,
        tif: TimeInForce,
    ) -> OrderId {
        let order = NewOrder {
            owner,
            client_id: ClientId::NONE,
            side,
            price_ticks,
            lots,
            display_lots: Lots::ZERO,
            time_in_force: tif,
            post_only: PostOnly::Off,
            reduce_only: false,
            stp: SelfTradePrevention::CancelTaker,
            max_fills: 500,
            max_visits: u32::MAX,
        };
        self.book.place(&order, &mut self.host).expect("the venue accepted it").order_id
    }

    /// Takes lots off an order. One from before the recording is part of its level's seed, or was
    /// too deep to be seen.
    fn take_off(&mut self, id: u64, owner: AccountId, lots: Lots, price: Ticks, side: Side) {
        let seed = || {
            self.book
                .queue(side, price)
                .map(|order| order.order_id)
                .find(|ours| *ours <= self.last_seed)
        };
        if let Some(ours) = self.ids.get(&id).copied().or_else(seed) {
            self.book.reduce(ours, owner, lots, &mut self.host).expect("live");
        }
    }

    fn message(&mut self, kind: u64, id: u64, lots: Lots, price: Ticks, side: Side) {
        let owner = OWNERS[side as usize];
        match kind {
            1 => {
                let ours = self.place(owner, side, price, lots, TimeInForce::Gtc);
                self.ids.insert(id, ours);
            }
            2 | 3 => self.take_off(id, owner, lots, price, side),
            4 => {
                self.executions += 1;
                let front = self.book.queue(side, price).next().expect("the level exists").order_id;
                if self.ids.get(&id).is_some_and(|named| *named != front) {
                    // The venue passed over the orders ahead of it, e.g. to prevent a self-trade.
                    self.passed_over += 1;
                    return self.take_off(id, owner, lots, price, side);
                }
                self.host.0.clear();
                self.place(AGGRESSOR, side.opposite(), price, lots, TimeInForce::Fok);
                assert_eq!(self.host.0, [(front, lots)]);
            }
            _ => {}
        }
    }
}

fn rows(file: &str) -> Option<Vec<Vec<String>>> {
    let folder = std::env::var_os("TIDEMARK_DATA").map(PathBuf::from);
    let folder = folder
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"));
    let file = std::fs::File::open(folder.join("l3_lobster").join(file)).ok()?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    Some(text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect())
}

fn number(field: &str) -> u64 {
    field.parse().expect("an integer")
}

#[test]
fn best_prices_and_sizes_equal_the_venues_after_each_message() {
    let (Some(messages), Some(l1), Some(l50)) = (
        rows("AAPL_message_50_first54000.csv.gz"),
        rows("AAPL_book_L1_first54000.csv.gz"),
        rows("AAPL_20120621_first672_book_L50_after_each_message.csv.gz"),
    ) else {
        println!("skipped: no l3_lobster in $TIDEMARK_DATA or beside the repository");
        return;
    };
    let mut replay = Replay::default();
    let side_of = |direction: &str| if direction == "1" { Side::Buy } else { Side::Sell };
    let first = (side_of(&messages[0][5]), number(&messages[0][4]), number(&messages[0][3]));
    for level in l50[0].chunks(4) {
        for (side, price, lots) in
            [(Side::Sell, &level[0], &level[1]), (Side::Buy, &level[2], &level[3])]
        {
            let (price, mut lots) = (number(price), number(lots));
            if (side, price) == (first.0, first.1) {
                lots -= first.2;
            }
            if price != NO_LEVEL && lots > 0 {
                let (price, lots) = (Ticks::new(price), Lots::new(lots));
                replay.place(OWNERS[side as usize], side, price, lots, TimeInForce::Gtc);
            }
        }
    }
    replay.last_seed = OrderId::new(replay.book.next_order_id().get() - 1);
    for (number_of, (message, expected)) in messages.iter().zip(&l1).enumerate() {
        let [_, kind, id, lots, price, direction] = message.as_slice() else {
            panic!("six fields")
        };
        let (price, lots) = (Ticks::new(number(price)), Lots::new(number(lots)));
        replay.message(number(kind), number(id), lots, price, side_of(direction));
        let (ask, bid) =
            (replay.book.best_ask().expect("asks"), replay.book.best_bid().expect("bids"));
        let [(ask_price, ask_lots), (bid_price, bid_lots)] =
            [ask, bid].map(|level| (level.price_ticks.get(), level.lots.get()));
        let got = [ask_price, ask_lots, bid_price, bid_lots];
        let expected: Vec<u64> = expected.iter().map(|field| number(field)).collect();
        assert_eq!(got.as_slice(), expected, "after message {number_of}");
    }
    println!(
        "{} executions, {} of them passed over others in the queue",
        replay.executions, replay.passed_over
    );
    assert!(replay.passed_over * 100 <= replay.executions, "the venue's priority is ours");
}
