//! The effects of a crash, counted from the chain's own events.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tidemark_engine::events::{BlockEvents, Event, Liquidation};
use tidemark_engine::state::MarketCell;
use tidemark_proto::types::LiquidationStage as Stage;
use tidemark_proto::units::{AccountId, Atoms, Ppm, Side, Ticks};
use tidemark_risk::health::health_without_orders;
use tidemark_risk::Market;

use super::crowd::{Crowd, Member};
use super::LISTINGS;
use crate::harness::Chain;

/// Stages that close positions, in their order.
pub const CLOSING: [(Stage, &str); 4] = [
    (Stage::Book, "book"),
    (Stage::Backstop, "backstop"),
    (Stage::InsuranceFund, "insurance fund"),
    (Stage::Adl, "adl"),
];
/// Seconds between two points of a price line.
pub const PRICE_EVERY: u64 = 10;

/// The effects of one stage.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StageFigures {
    /// Steps that closed something.
    pub steps: u64,
    /// Notional closed, at the prices of the fills.
    pub notional_atoms: Atoms,
    /// Gain of fills above the zero price; negative: below it.
    pub above_zero_atoms: Atoms,
    /// The worst step against its zero price, ppm of what the zero price asked for.
    pub worst_ppm: i128,
    /// Liquidation fees.
    pub fee_atoms: Atoms,
    /// Paid by the insurance fund.
    pub fund_paid_atoms: Atoms,
    /// Shortfall of fills below the zero price.
    pub fund_owed_atoms: Atoms,
}

impl StageFigures {
    /// Mean distance of fills from the zero price, ppm of notional; negative: beyond it.
    #[must_use]
    pub fn mean_ppm(&self) -> i128 {
        ratio_ppm(self.above_zero_atoms, self.notional_atoms)
    }
}

/// Amounts that deleveraging took, by counterparty.
#[derive(Clone, Debug, Default, Serialize)]
pub struct AdlFigures {
    /// Counterparties' fills.
    pub fills: u64,
    /// Accounts that were deleveraged.
    pub accounts: usize,
    /// Loss of counterparties against the mark.
    pub haircut_atoms: Atoms,
    /// Gain of counterparties against the mark: positions closed while the account had equity.
    pub gained_atoms: Atoms,
    /// Negative equity of the accounts that were closed, each counted once a block.
    pub deficit_atoms: Atoms,
    /// The most by which an account's haircut passed its deficit in a block; roundings only.
    pub most_above_deficit_atoms: Atoms,
    /// Part of the haircut that the ten accounts with the largest bore, ppm.
    pub ten_largest_ppm: i128,
    /// The largest that one account bore, gains at other times aside.
    pub largest_atoms: Atoms,
}

/// Accounts of one leverage that had a position liquidated.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Rest {
    /// How many.
    pub accounts: u64,
    /// Their deposits.
    pub deposited_atoms: Atoms,
    /// Their equity at the end.
    pub equity_atoms: Atoms,
}

impl Rest {
    /// The part of the deposits that is left, in ppm.
    #[must_use]
    pub fn left_ppm(&self) -> i128 {
        ratio_ppm(self.equity_atoms, self.deposited_atoms)
    }
}

/// Sums from the beginning.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    /// Paid by the insurance fund.
    pub fund_paid_atoms: Atoms,
    /// Loss of counterparties of deleveraging against the mark.
    pub haircut_atoms: Atoms,
    /// Negative equity of the accounts that deleveraging closed.
    pub deficit_atoms: Atoms,
}

/// One run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Accounts of the crowd, and their collateral.
    pub accounts: usize,
    /// All of it.
    pub collateral_atoms: Atoms,
    /// Longs' notional by market, after the opening.
    pub open_interest_atoms: Vec<Atoms>,
    /// Accounts that had a position closed.
    pub liquidated_accounts: usize,
    /// By stage.
    pub stages: BTreeMap<&'static str, StageFigures>,
    /// Orders cancelled by the prune stage.
    pub orders_pruned: u64,
    /// Closed notional by minute and stage, in the order of [`CLOSING`].
    pub minutes: Vec<[Atoms; CLOSING.len()]>,
    /// Index of each market every [`PRICE_EVERY`] seconds, ppm of the first; 0 while it is stale.
    pub index_ppm: Vec<Vec<u64>>,
    /// Blocks in which a market's index was stale, over all markets.
    pub stale_blocks: u64,
    /// At the end of each minute.
    pub until_minute: Vec<Totals>,
    /// Deleveraging.
    pub adl: AdlFigures,
    /// Insurance fund at the start, at its lowest and at the end.
    pub insurance_atoms: [Atoms; 3],
    /// Paid by the fund in all, debts included.
    pub fund_paid_atoms: Atoms,
    /// Worth of the keepers at the end, less what they were at the start.
    pub keepers_gained_atoms: Atoms,
    /// The rest of traders whose positions were liquidated, by leverage.
    pub rest: BTreeMap<u64, Rest>,
    /// Debt booked, and what of it is left after fees have repaid.
    pub bad_debt_atoms: [Atoms; 2],
    #[serde(skip)]
    first_ticks: Vec<Ticks>,
    #[serde(skip)]
    liquidated: BTreeSet<AccountId>,
    #[serde(skip)]
    members: Vec<(AccountId, Member)>,
    #[serde(skip)]
    borne: BTreeMap<AccountId, Atoms>,
}

impl Figures {
    /// Of a chain whose crowd has opened its positions.
    #[must_use]
    pub fn new(chain: &Chain, crowd: &Crowd, first_ticks: &[Ticks]) -> Self {
        let insurance = chain.state.chain.treasury.insurance_atoms;
        let open_interest = chain.state.markets.cells().zip(first_ticks).map(|(cell, ticks)| {
            ticks.notional_atoms(cell.market.open_interest_lots, cell.market.k).unwrap_or_default()
        });
        let collateral: u64 = crowd.members.iter().map(|member| member.collateral_usdc).sum();
        Self {
            accounts: crowd.members.len(),
            collateral_atoms: Atoms::USDC.checked_mul(collateral.into()).unwrap_or(Atoms::MAX),
            open_interest_atoms: open_interest.collect(),
            stages: CLOSING.iter().map(|(_, name)| (*name, StageFigures::default())).collect(),
            insurance_atoms: [insurance; 3],
            index_ppm: vec![Vec::new(); first_ticks.len()],
            first_ticks: first_ticks.to_vec(),
            members: crowd
                .members
                .iter()
                .map(|member| (chain.account_id(&member.name), member.clone()))
                .collect(),
            ..Self::default()
        }
    }

    /// Counts a block.
    pub fn take(&mut self, second: u64, chain: &Chain, events: &BlockEvents) {
        let minute = usize::try_from(second / 60).unwrap_or(usize::MAX);
        if self.minutes.len() <= minute {
            self.minutes.resize(minute + 1, Default::default());
        }
        if second % PRICE_EVERY == 0 {
            for ((line, first), cell) in
                self.index_ppm.iter_mut().zip(&self.first_ticks).zip(chain.state.markets.cells())
            {
                let ticks = cell.index.index_ticks().filter(|_| !is_stale(chain, cell));
                line.push(ticks.unwrap_or_default().get() * 1_000_000 / first.get());
            }
        }
        self.stale_blocks +=
            chain.state.markets.cells().map(|cell| u64::from(is_stale(chain, cell))).sum::<u64>();
        // What each account lacked when its deleveraging began, and what counterparties lost by it.
        let mut deficits: BTreeMap<AccountId, (Atoms, Atoms)> = BTreeMap::new();
        for event in &events.events {
            match event {
                Event::Liquidation(step) => self.step(minute, step, &mut deficits),
                Event::Adl { market, account, side, price_ticks, lots } => {
                    let market = &chain.state.markets.slot(*market).cell.market;
                    let mark = market.mark_ticks.unwrap_or_default();
                    let worse = match side {
                        Side::Buy => price_ticks.saturating_sub(mark),
                        Side::Sell => mark.saturating_sub(*price_ticks),
                    };
                    let lost = worse.notional_atoms(*lots, market.k).unwrap_or(Atoms::MAX);
                    *self.borne.entry(*account).or_default() += lost;
                    self.adl.fills += 1;
                }
                _ => {}
            }
        }
        for (haircut, deficit) in deficits.into_values() {
            self.adl.deficit_atoms += deficit;
            let above = haircut - deficit;
            self.adl.most_above_deficit_atoms = self.adl.most_above_deficit_atoms.max(above);
        }
        self.until_minute.resize(minute + 1, Totals::default());
        self.until_minute[minute] = Totals {
            fund_paid_atoms: self.fund_paid_atoms,
            haircut_atoms: self.adl.haircut_atoms,
            deficit_atoms: self.adl.deficit_atoms,
        };
        let insurance = chain.state.chain.treasury.insurance_atoms;
        self.insurance_atoms[1] = self.insurance_atoms[1].min(insurance);
        self.insurance_atoms[2] = insurance;
    }

    fn step(
        &mut self,
        minute: usize,
        step: &Liquidation,
        deficits: &mut BTreeMap<AccountId, (Atoms, Atoms)>,
    ) {
        let arithmetic = &step.arithmetic;
        self.orders_pruned += u64::from(step.orders_cancelled);
        self.fund_paid_atoms += step.fund_paid_atoms;
        self.bad_debt_atoms[0] += arithmetic.bad_debt_atoms;
        let Some(at) = CLOSING.iter().position(|(stage, _)| *stage == step.stage) else { return };
        self.liquidated.insert(step.account);
        let notional = arithmetic.quote_atoms.max(-arithmetic.quote_atoms);
        self.minutes[minute][at] += notional;
        let stage = self.stages.entry(CLOSING[at].1).or_default();
        stage.steps += 1;
        stage.notional_atoms += notional;
        stage.fee_atoms += step.fee_atoms;
        stage.fund_paid_atoms += step.fund_paid_atoms;
        stage.fund_owed_atoms += arithmetic.fund_owed_atoms;
        let Some(zero) = &arithmetic.closed else { return };
        let above = arithmetic.quote_atoms - zero.quote_atoms;
        stage.above_zero_atoms += above;
        let asked = zero.quote_atoms.max(-zero.quote_atoms).max(Atoms::new(1));
        stage.worst_ppm = stage.worst_ppm.min(ratio_ppm(above, asked));
        if step.stage == Stage::Adl {
            let haircut = arithmetic.quote_atoms - zero.value_fall_atoms;
            self.adl.haircut_atoms += haircut.max(Atoms::ZERO);
            self.adl.gained_atoms += (-haircut).max(Atoms::ZERO);
            let deficit = (-step.equity_atoms).max(Atoms::ZERO);
            deficits.entry(step.account).or_insert((Atoms::ZERO, deficit)).0 +=
                haircut.max(Atoms::ZERO);
        }
    }

    /// Closes the count.
    pub fn end(&mut self, chain: &Chain) {
        self.liquidated_accounts = self.liquidated.len();
        self.count_rest(chain);
        self.bad_debt_atoms[1] =
            chain.state.markets.cells().map(|cell| cell.market.bad_debt_atoms).sum();
        let mut borne: Vec<Atoms> =
            self.borne.values().copied().filter(|atoms| atoms.is_positive()).collect();
        borne.sort_unstable_by(|a, b| b.cmp(a));
        self.adl.accounts = self.borne.len();
        self.adl.largest_atoms = borne.first().copied().unwrap_or_default();
        let sum = |count: usize| borne.iter().copied().take(count).sum::<Atoms>();
        let (ten, all) = (sum(10), sum(borne.len()));
        self.adl.ten_largest_ppm = ratio_ppm(ten, all);
    }

    /// Counts the rest of liquidated traders.
    fn count_rest(&mut self, chain: &Chain) {
        let markets: Vec<Market> =
            chain.state.markets.cells().map(|cell| cell.market.clone()).collect();
        for (id, member) in self.members.iter().filter(|(id, _)| self.liquidated.contains(id)) {
            let Some(account) = chain.state.accounts.get(*id) else { continue };
            let Ok(health) = health_without_orders(account, markets.as_slice()) else { continue };
            let rest = self.rest.entry(member.leverage).or_default();
            rest.accounts += 1;
            rest.deposited_atoms += Atoms::from_u64(member.collateral_usdc * 1_000_000);
            rest.equity_atoms += health.equity_atoms;
        }
    }

    /// Lowest index of each market, ppm of the first.
    #[must_use]
    pub fn lowest_ppm(&self) -> Vec<(&'static str, u64)> {
        let lowest =
            |(of, line): (&super::Listing, &Vec<u64>)| (of.symbol, known(line).min().unwrap_or(0));
        LISTINGS.iter().zip(&self.index_ppm).map(lowest).collect()
    }
}

/// A part in ppm of a whole, rounded toward zero; 0 of nothing.
fn ratio_ppm(part: Atoms, whole: Atoms) -> i128 {
    (part.get() * Ppm::ONE.wide()).checked_div(whole.get()).unwrap_or(0)
}

/// The prices of a line that are not stale.
pub fn known(line: &[u64]) -> impl Iterator<Item = u64> + '_ {
    line.iter().copied().filter(|ppm| *ppm > 0)
}

fn is_stale(chain: &Chain, cell: &MarketCell) -> bool {
    cell.index.is_stale(chain.state.chain.time_ms, cell.market.params.max_oracle_age_ms)
}
