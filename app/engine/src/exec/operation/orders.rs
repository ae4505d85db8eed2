//! A message of order operations on its way through the classes of its block: its gas divided once,
//! its operations each in its class, or all together in one.

use tidemark_proto::types::gas::{shares, LOOK, NAMED, TX_ORDERS_INCLUDED};
use tidemark_proto::types::{CancelBy, Class, Operation, PostOnly};
use tidemark_proto::units::{AccountId, MarketId};
use tidemark_proto::Code;

use crate::exec::account::{cost, health};
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::later::Rank;
use crate::exec::meter::Meter;
use crate::exec::operation::turn::{batch_class, Turn};
use crate::exec::operation::{batch, dispatch, prefetch};
use crate::exec::order::find::{self, LiveOrder};
use crate::outcome::OperationResult;

/// A message of order operations that has begun.
pub(crate) struct OrdersRun<'a> {
    account: AccountId,
    operations: &'a [Operation],
    all_or_none: bool,
    gas: Gas,
    pub results: Vec<OperationResult>,
    /// Gas beyond the static that was taken.
    pub taken: u64,
}

/// Gas that is left. It was divided once, by the transaction alone; an operation that acts in
/// several classes draws on what its part still has.
enum Gas {
    /// Of the one operation, or of the batch of all or none.
    Whole(u64),
    /// Each operation's part.
    Parts(Vec<u64>),
}

impl Gas {
    fn left(&self, at: usize) -> u64 {
        match self {
            Self::Whole(left) => *left,
            Self::Parts(parts) => parts.get(at).copied().unwrap_or(0),
        }
    }

    fn spend(&mut self, at: usize, gas: u64) {
        let left = match self {
            Self::Whole(left) => Some(left),
            Self::Parts(parts) => parts.get_mut(at),
        };
        if let Some(left) = left {
            *left = left.saturating_sub(gas);
        }
    }
}

impl<'a> OrdersRun<'a> {
    /// Begins the operations of a subaccount with `beyond` gas over the static.
    pub(crate) fn begin(
        ctx: &mut Ctx<'_>,
        account: AccountId,
        (operations, all_or_none): (&'a [Operation], bool),
        beyond: u64,
    ) -> Self {
        let taken = add_up(ctx, account, operations, beyond);
        let beyond = beyond.saturating_sub(taken);
        let gas = match all_or_none || operations.len() == 1 {
            true => Gas::Whole(beyond),
            false => Gas::Parts(shares(operations, beyond)),
        };
        let results = vec![OperationResult::default(); operations.len()];
        Self { account, operations, all_or_none, gas, results, taken }
    }

    /// Carries out what is to be done in a class. `number` is the transaction's number among those
    /// of its owner in the block.
    pub(crate) fn act(&mut self, ctx: &mut Ctx<'_>, turn: &mut Turn, number: usize) {
        if self.all_or_none {
            return self.act_together(ctx, turn, number);
        }
        let comes_now = |operation: &Operation| turn.first_class(operation) == turn.class;
        prefetch::prefetch(ctx.exchange, self.account, self.operations, comes_now);
        for (at, operation) in self.operations.iter().enumerate() {
            ctx.later.rank = Rank { tx: number, operation: at };
            if self.acts(ctx, turn, at, operation) {
                self.act_one(ctx, turn, at, operation);
            }
        }
    }

    /// Returns true if an operation by itself acts in this class. A cancel by id that has found no
    /// order, one by client id, and a cancel-all act again where the turn may have brought one.
    fn acts(&self, ctx: &Ctx<'_>, turn: &Turn, at: usize, operation: &Operation) -> bool {
        let first = turn.first_class(operation);
        let result = self.results.get(at);
        match operation {
            Operation::Cancel { order, .. } if turn.class > first => {
                let found = result.is_some_and(|result| result.refusal.is_none());
                turn.has_placed && (!found || matches!(order, CancelBy::Client(_)))
            }
            Operation::CancelAll { .. } if turn.class > first => turn.has_placed,
            Operation::Replace { market, order, .. } if turn.cancels_first => match turn.class {
                Class::PostOnly => is_post_only(ctx, self.account, *market, *order),
                class => class == Class::Orders && !result.is_some_and(is_answered),
            },
            _ => turn.class == first,
        }
    }

    fn act_one(&mut self, ctx: &mut Ctx<'_>, turn: &mut Turn, at: usize, operation: &Operation) {
        let operations = std::slice::from_ref(operation);
        let before = turn.next_ids(ctx, operations);
        ctx.meter = Meter::of(self.gas.left(at));
        let last = dispatch::run(ctx, self.account, operation);
        let spent = ctx.meter.spent();
        self.gas.spend(at, spent);
        self.taken = self.taken.saturating_add(spent);
        turn.note(ctx, operations, (ctx.later.rank, before));
        let again = turn.class > turn.first_class(operation);
        if let Some(result) = self.results.get_mut(at) {
            *result = if again { both(std::mem::take(result), last) } else { last };
        }
    }

    /// A batch of all or none runs whole in its class. It acts again where it was refused because
    /// an order was not there yet, and so do the cancel-alls of one that was carried out.
    fn act_together(&mut self, ctx: &mut Ctx<'_>, turn: &mut Turn, number: usize) {
        ctx.later.rank = Rank { tx: number, operation: 0 };
        let class = batch_class(self.operations, turn.cancels_first);
        if turn.class == class {
            return self.run_together(ctx, turn);
        }
        if turn.class < class || !turn.has_placed {
            return;
        }
        match self.refused_with() {
            Some(Code::UnknownOrder) => {
                let mut meter = Meter::of(self.gas.left(0));
                if meter.charge((self.operations.len() as u64).saturating_mul(NAMED)).is_ok() {
                    self.gas.spend(0, meter.spent());
                    self.taken = self.taken.saturating_add(meter.spent());
                    self.run_together(ctx, turn);
                }
            }
            Some(_) => {}
            None => {
                for (at, operation) in self.operations.iter().enumerate() {
                    if matches!(operation, Operation::CancelAll { .. }) {
                        self.act_one(ctx, turn, at, operation);
                    }
                }
            }
        }
    }

    fn run_together(&mut self, ctx: &mut Ctx<'_>, turn: &mut Turn) {
        prefetch::prefetch(ctx.exchange, self.account, self.operations, |_| true);
        let before = turn.next_ids(ctx, self.operations);
        let (results, spent) = batch::run(ctx, self.account, self.operations, self.gas.left(0));
        self.results = results;
        self.gas.spend(0, spent);
        self.taken = self.taken.saturating_add(spent);
        // Its cancels come before its orders.
        let placed = Rank { operation: 1, ..ctx.later.rank };
        turn.note(ctx, self.operations, (placed, before));
    }

    /// The code with which the operation failed for which a batch was refused.
    fn refused_with(&self) -> Option<Code> {
        let codes = self.results.iter().filter(|result| result.refusal.is_some());
        codes.map(OperationResult::code).find(|code| *code != Code::BatchRefused)
    }
}

/// Returns true if a replacement has acted: it names its order, or the reason why not.
fn is_answered(result: &OperationResult) -> bool {
    *result != OperationResult::default()
}

/// The answer of a cancel that has acted again: that of the last try, with all that was cancelled.
fn both(earlier: OperationResult, last: OperationResult) -> OperationResult {
    if earlier.refusal.is_some() {
        return last;
    }
    let cancelled = earlier.cancelled.saturating_add(last.cancelled);
    match last.code() {
        Code::Ok => OperationResult { cancelled, ..last },
        Code::OutOfGas => OperationResult { rest_code: Some(Code::OutOfGas), ..earlier },
        _ => earlier,
    }
}

/// Returns true if an operation names a post-only order on the book.
fn is_post_only(ctx: &Ctx<'_>, parent: AccountId, market: MarketId, order: CancelBy) -> bool {
    let Some(account) = isolated::account_if_any(ctx.exchange, parent, market) else {
        return false;
    };
    match find::find(ctx.exchange, &ctx.later, account, market, order) {
        Ok(LiveOrder::Resting(order)) => order.post_only != PostOnly::Off,
        _ => false,
    }
}

/// Adds up the account's open orders before the first operation that needs their sum, if the gas
/// reaches over them; else each operation pays for it. Returns the gas that it took.
fn add_up(ctx: &mut Ctx<'_>, account: AccountId, operations: &[Operation], beyond: u64) -> u64 {
    let needs_margin = |operation: &Operation| {
        !matches!(
            operation,
            Operation::Cancel { .. }
                | Operation::CancelAll { .. }
                | Operation::ScheduleCancelAll { .. }
        )
    };
    if !operations.iter().any(needs_margin) {
        return 0;
    }
    let mut meter = Meter::of(beyond);
    if cost::positions(&mut meter, ctx.exchange, account).is_err() {
        return 0;
    }
    let orders = cost::orders_to_add_up(ctx.exchange, account);
    let gas = orders.saturating_sub(TX_ORDERS_INCLUDED).saturating_mul(LOOK);
    if orders > 0 && meter.charge(gas).is_ok() {
        health::remember_totals(ctx.exchange, account);
    }
    meter.spent()
}
