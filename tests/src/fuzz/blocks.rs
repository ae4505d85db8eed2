//! Blocks of any operations, with moves of the index: after each of them everything holds that can
//! be counted.

use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};

use super::Bytes;
use crate::harness::{genesis, limit, place, plain_market, signer, Chain, FAUCET};
use crate::sim::audit;

const TRADERS: [&str; 4] = ["a", "b", "c", "d"];
const MAX_STEPS: usize = 200;

impl Bytes<'_> {
    /// Mostly small, sometimes as large as a number may be.
    fn amount(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            high @ 240..=254 => u64::from(high) * 1_000_000,
            small => u64::from(small) * 10,
        }
    }

    fn price(&mut self) -> u64 {
        match self.byte() {
            255 => u64::MAX,
            byte => 70 + u64::from(byte % 64),
        }
    }

    fn order(&mut self) -> v1::PlaceOrder {
        let side = if self.below(2) == 0 { Buy } else { Sell };
        let order = limit(u32::from(self.below(2)), side, self.price(), self.amount());
        let order = v1::PlaceOrder {
            client_id: u64::from(self.below(6)),
            reduce_only: self.below(4) == 0,
            time_in_force: i32::from(self.below(4)),
            ..order
        };
        match self.below(8) {
            0 => v1::PlaceOrder { post_only: i32::from(self.below(3)), ..order },
            1 => v1::PlaceOrder { r#type: 1, price_ticks: 0, ..order },
            2 => v1::PlaceOrder { display_lots: self.amount(), ..order },
            3 => {
                let (trigger, trigger_price_ticks) = (i32::from(self.below(3)), self.price());
                v1::PlaceOrder { trigger, trigger_price_ticks, ..order }
            }
            5 => v1::PlaceOrder {
                trigger: 1,
                trail_ticks: u64::from(self.below(12)),
                trail_ppm: u32::from(self.below(2)) * 90_000,
                reduce_only: true,
                ..order
            },
            4 => {
                let peg_offset_ticks = i64::from(self.byte()) - 128;
                v1::PlaceOrder { peg: i32::from(self.below(3)), peg_offset_ticks, ..order }
            }
            _ => order,
        }
    }

    fn operation(&mut self) -> Operation {
        let market = u32::from(self.below(2));
        match self.below(16) {
            0..=8 => place(self.order()),
            9 => {
                let order_id = u64::from(self.byte());
                Operation::Cancel(v1::CancelOrder { market, order_id, ..Default::default() })
            }
            10 => Operation::Replace(v1::ReplaceOrder {
                market,
                order_id: u64::from(self.byte()),
                price_ticks: self.price(),
                lots: Some(self.amount()).filter(|lots| lots % 2 == 0),
                total_lots: Some(self.amount()).filter(|lots| lots % 3 == 0),
                ..Default::default()
            }),
            11 => {
                let side = i32::from(self.below(3));
                Operation::CancelAll(v1::CancelAll { market: Some(market), side })
            }
            12 => Operation::Scale(v1::PlaceScale {
                market,
                side: i32::from(1 + self.below(2)),
                from_ticks: self.price(),
                to_ticks: self.price(),
                lots: self.amount(),
                count: u32::from(self.below(12)),
                ..Default::default()
            }),
            13 => Operation::Twap(v1::PlaceTwap {
                market,
                side: i32::from(1 + self.below(2)),
                lots: self.amount(),
                slices: u32::from(self.below(9)),
                interval_ms: 1_000,
                ..Default::default()
            }),
            14 if self.below(2) == 0 => {
                let entry = v1::PlaceOrder { trigger: 0, trigger_price_ticks: 0, ..self.order() };
                let exit = |trigger, trigger_price_ticks| v1::PlaceOrder {
                    trigger,
                    trigger_price_ticks,
                    lots: 0,
                    side: 3 - entry.side,
                    ..limit(entry.market, Buy, 100, 0)
                };
                let (gain, loss) = (self.price(), self.price());
                Operation::Bracket(v1::PlaceBracket {
                    entry: Some(entry),
                    take_profit: Some(exit(2, gain)),
                    stop_loss: (self.below(2) == 0).then(|| exit(1, loss)),
                })
            }
            14 => Operation::Oco(v1::PlaceOco {
                first: Some(self.order()),
                second: Some(self.order()),
            }),
            _ => {
                let at_ms = 1_760_000_000_000 + u64::from(self.byte()) * 1_000;
                Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms })
            }
        }
    }

    /// Sends a transaction of a trader.
    fn send(&mut self, chain: &mut Chain) {
        let name = TRADERS[usize::from(self.below(4))];
        let market = u32::from(self.below(2));
        let atoms = self.amount().saturating_mul(1_000_000);
        match self.below(16) {
            0 => chain.send(name, v1::MsgWithdraw { amount_atoms: atoms, ..Default::default() }),
            1 => {
                let recipient = signer(name).address().to_string();
                let amount_atoms = atoms;
                let deposit = v1::MsgDeposit { recipient, amount_atoms, ..Default::default() };
                chain.send(FAUCET, deposit);
            }
            2 => {
                let leverage = u32::from(self.below(25));
                chain.send(name, v1::MsgSetLeverage { market, leverage, ..Default::default() });
            }
            3 => {
                let mode = i32::from(self.below(2));
                chain.send(name, v1::MsgSetMarginMode { market, mode, ..Default::default() });
            }
            4 => {
                let set_aside_atoms = atoms;
                let message =
                    v1::MsgRegisterBackstop { market, set_aside_atoms, ..Default::default() };
                chain.send(name, message);
            }
            5 => {
                let (account_id, lots) = (u32::from(self.below(6)), self.amount());
                let message = v1::MsgTakeover { market, account_id, lots, ..Default::default() };
                chain.send(name, message);
            }
            6 => {
                let policy = i32::from(self.below(4));
                chain.send(name, v1::MsgSetSelfTradePrevention { policy, ..Default::default() });
            }
            _ => {
                let count = 1 + self.below(4);
                let operations = (0..count)
                    .map(|_| v1::Operation { operation: Some(self.operation()) })
                    .collect();
                let mode = i32::from(self.below(4) == 0);
                chain.send(name, v1::MsgOrders { operations, mode, ..Default::default() });
            }
        }
    }
}

/// Carries out the blocks that the bytes spell; any bytes spell some.
pub(super) fn run(bytes: &[u8]) -> bool {
    let markets = vec![plain_market("ONE-USD", 20), plain_market("TWO-USD", 20)];
    let mut chain = Chain::new(&genesis(markets, 1_000));
    (0..2).for_each(|market| chain.index(market, 100));
    TRADERS.iter().for_each(|name| chain.deposit(name, 10_000));
    block(&mut chain);
    let mut bytes = Bytes(bytes);
    for _ in 0..MAX_STEPS {
        if bytes.is_empty() {
            break;
        }
        match bytes.below(8) {
            0 | 1 => block(&mut chain),
            2 => {
                let market = u16::from(bytes.below(2));
                chain.index(market, 60 + u64::from(bytes.below(80)));
                block(&mut chain);
            }
            3 => {
                chain.now_ms += u64::from(bytes.byte()) * 20_000;
                block(&mut chain);
            }
            _ => bytes.send(&mut chain),
        }
    }
    block(&mut chain);
    true
}

fn block(chain: &mut Chain) {
    let events = chain.block();
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
}
