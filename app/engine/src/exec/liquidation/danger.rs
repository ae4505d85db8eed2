//! The accounts that a sweep leaves in danger: since when they are listed, and which of them the
//! budget did not reach (rules §§7.12, 7.13).

use crate::exec::account::health;
use crate::exec::ctx::Ctx;
use crate::exec::liquidation::step::{Kept, Step};
use crate::invariant::broken_account;
use crate::refusal::Refusal;
use crate::state::{EndangeredAccount, Failure, State};

/// Notes the accounts that are still in danger, and freezes those that the budget did not reach.
pub(crate) fn note(ctx: &mut Ctx<'_>, steps: &[Step]) {
    let (mut rows, mut unreached) = (Vec::new(), Vec::new());
    for step in steps {
        match row_after(ctx.exchange, step) {
            Ok(row) => rows.extend(row),
            Err(refusal) => {
                let (account, why) = (step.account, refusal.labelled());
                let sentence = format!("account {account} could not be listed: {why}");
                broken_account(ctx.exchange, account, Failure::Margin, sentence);
            }
        }
        if step.home.is_some() && (!step.reached || step.carried) {
            unreached.push(step.account);
        }
    }
    // A set that is built whole costs a tenth of one that is built account by account.
    unreached.extend(std::mem::take(&mut ctx.exchange.danger.frozen));
    ctx.exchange.danger.frozen = unreached.into_iter().collect();
    rows.sort_unstable_by_key(|row: &EndangeredAccount| row.account);
    ctx.exchange.danger.listed = rows;
}

fn row_after(state: &State, step: &Step) -> Result<Option<EndangeredAccount>, Refusal> {
    // Nothing of it was closed: it is in danger still, or was as a counterparty made safe, which
    // the next sweep will find.
    if step.home.is_none() {
        return Ok(Some(step.row.clone()));
    }
    if !step.reached {
        return Ok(Some(step.row.after_unreached()));
    }
    let health = health::health(state, step.account)?;
    if !health.is_liquidatable() && !health.equity_atoms.is_negative() {
        return Ok(None);
    }
    let kept = step.left.iter().filter(|left| left.kept != Kept::ByPrice && !left.lots.is_zero());
    let kept: Vec<_> = kept.map(|left| left.market).collect();
    Ok(Some(step.row.after_step(&kept)))
}
