//! The review of a market whose margin parameters have changed: each holder is looked at again,
//! over as many blocks as the budget of pruning needs (rules §7.12). Holders that it has not come
//! to are frozen meanwhile, and no search finds them.

use tidemark_proto::units::{AccountId, MarketId};

use crate::exec::account::at_risk::{self, Holders};
use crate::exec::ctx::Ctx;
use crate::exec::order::prune;
use crate::invariant::broken_account;
use crate::state::{Failure, State};

/// Gas of a look at a holder: its margin, and its new bounds in the index.
const LOOK_GAS: u64 = 300;

/// Begins a market's review, anew where one is under way: the block's orders come after this, and
/// the reserve lemma is to hold for them by the new parameters. Holders that the block's budget
/// reaches are pruned at once.
pub(crate) fn begin(ctx: &mut Ctx<'_>, market: MarketId) {
    ctx.exchange.danger.reviews.insert(market, AccountId::ZERO);
    let most = ctx.pruning.left() / LOOK_GAS;
    for account in next(ctx.exchange, (market, AccountId::ZERO), most) {
        ctx.pruning.spend(LOOK_GAS);
        if let Err(refusal) = prune::within(ctx, account) {
            let why = refusal.labelled();
            let sentence = format!("account {account} could not be looked at again: {why}");
            broken_account(ctx.exchange, account, Failure::Margin, sentence);
        }
    }
}

/// In the sweep, before accounts in danger are searched for: each review goes on, evenly with at
/// most a half of the block's budget, and by one holder at least.
pub(crate) fn go_on(ctx: &mut Ctx<'_>) {
    let reviews: Vec<(MarketId, AccountId)> =
        ctx.exchange.danger.reviews.iter().map(|(market, from)| (*market, *from)).collect();
    let half = ctx.pruning.left() / 2;
    let most = (half / LOOK_GAS).checked_div(reviews.len() as u64).unwrap_or(0).max(1);
    for review in reviews {
        let looked_at = next(ctx.exchange, review, most).len() as u64;
        ctx.pruning.spend(looked_at.saturating_mul(LOOK_GAS));
    }
}

/// Takes the next holders of a review, at most `most`: the next search evaluates them. The review
/// goes on behind them, or ends.
fn next(state: &mut State, (market, from): (MarketId, AccountId), most: u64) -> Vec<AccountId> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut taken: Vec<AccountId> =
        Holders::of(state, market).from(from).take(most.saturating_add(1)).collect();
    let rest = taken.split_off(most.min(taken.len()));
    match rest.first() {
        Some(first) => state.danger.reviews.insert(market, *first),
        None => state.danger.reviews.remove(&market),
    };
    for account in &taken {
        at_risk::look_again(state, *account);
    }
    taken
}
