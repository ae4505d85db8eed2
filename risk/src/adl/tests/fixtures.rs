//! Counterparties, shares and fills in plain numbers.

use super::*;

pub(super) struct Table(pub(super) Vec<Account>);

impl Accounts for Table {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(id.index()).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) -> Option<()> {
        *self.0.get_mut(id.index())? = account;
        Some(())
    }
}

/// Closes up to `lots` of one account's position against `counterparties`.
pub(super) fn deleverage(
    closing: &mut Account,
    lots: Lots,
    counterparties: &[Counterparty],
    table: &mut Table,
    markets: &mut [Market],
) -> Vec<AdlFill> {
    let mut queue = Queue::new(M0, lots, counterparties, id(0), markets).unwrap();
    queue.close(closing, lots, table, markets).unwrap()
}

pub(super) fn holders(rows: &[(u64, i128)]) -> Vec<Counterparty> {
    let holder = |(account, &(held, profit))| Counterparty {
        account: id(account),
        lots: lots(held),
        fresh_lots: Lots::ZERO,
        weight_atoms: atoms(profit),
        rank: 0,
    };
    (0..).zip(rows).map(holder).collect()
}

/// [`pro_rata`] in plain numbers.
pub(super) fn shares_of(wanted: u64, rows: &[(u64, i128)]) -> Vec<(u32, u64)> {
    let shares = pro_rata(lots(wanted), &holders(rows)).unwrap();
    shares.iter().map(|(account, share)| (account.get(), share.get())).collect()
}

/// Counterparties that `accounts` are to a position of `closing` lots.
pub(super) fn counterparties(
    accounts: &[Account],
    closing: i64,
    markets: &[Market],
) -> Vec<Counterparty> {
    (0..)
        .zip(accounts)
        .filter_map(|(at, account)| {
            counterparty(id(at), account, M0, signed(closing), markets).unwrap()
        })
        .collect()
}

/// Fills in plain numbers: account, lots, quote in USDC.
pub(super) fn plain(fills: &[AdlFill]) -> Vec<(u32, u64, i128)> {
    let usdc = |fill: &AdlFill| fill.quote_atoms.get() / 1_000_000;
    fills.iter().map(|fill| (fill.account.get(), fill.lots.get(), usdc(fill))).collect()
}

/// One lot at a time to whoever is farthest behind its share: what `pro_rata` comes to, found the
/// slow way. Exact shares are compared, so this is only for cases without a cap.
pub(super) fn within_one_of_its_share(
    wanted: u64,
    rows: &[(u64, i128)],
    shares: &[(u32, u64)],
) -> bool {
    let total: i128 = rows.iter().map(|(_, profit)| (*profit).max(0)).sum();
    (0..).zip(rows).all(|(at, (_, profit))| {
        let share = share_in(shares, at);
        (share * total - i128::from(wanted) * (*profit).max(0)).abs() < total.max(1)
    })
}

pub(super) fn share_in(shares: &[(u32, u64)], account: u32) -> i128 {
    shares.iter().find(|(holder, _)| *holder == account).map_or(0, |(_, share)| (*share).into())
}

pub(super) fn health_of(account: &Account, markets: &[Market]) -> Health {
    health_without_orders(account, markets).unwrap()
}

/// All the money of some accounts.
pub(super) fn money<'a>(accounts: impl IntoIterator<Item = &'a Account>) -> Atoms {
    accounts.into_iter().map(|account| account_atoms(account).unwrap()).sum()
}

/// The value of a position at the mark.
pub(super) fn value(market: &Market, held: i64) -> i128 {
    market.value_atoms(market.mark().unwrap(), i128::from(held)).unwrap().get()
}

/// An account with a position, a profit and an equity in percent of its notional.
pub(super) fn holder(market: &Market, held: i64, profit: i128, equity: i128) -> Account {
    let (value, notional) = (value(market, held), value(market, held).abs());
    account(notional * (equity - profit) / 100, &[(0, held, value - notional * profit / 100)])
}

/// Checks that an account took no more than its deficit: by how much it did better than at the
/// mark, each fill's rounding aside.
pub(super) fn took_no_more_than_its_deficit(before: &Health, after: &Health, fills: usize) -> bool {
    let taken = after.equity_atoms - before.equity_atoms;
    taken <= (-before.equity_atoms).max(Atoms::ZERO) + atoms(fills as i128)
}

/// True if an account keeps its maintenance margin, and is not below 0.
pub(super) fn is_safe(health: &Health) -> bool {
    health.equity_atoms >= health.maintenance_atoms && !health.equity_atoms.is_negative()
}

pub(super) fn rows() -> impl Strategy<Value = Vec<(u64, i128)>> {
    prop::collection::vec((0_u64..1_000, -50_i128..1_000), 0..12)
}

/// Size, profit and equity in percent of notional.
pub(super) fn others() -> impl Strategy<Value = Vec<(i64, i128, i128)>> {
    prop::collection::vec((1_i64..1_500, -30_i128..60, 0_i128..100), 1..8)
}
