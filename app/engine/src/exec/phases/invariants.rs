//! Phase 8: invariants. Money is conserved to the atom, every long has its short; checked every
//! block over the accounts that it wrote.

use tidemark_proto::units::{Atoms, Lots};

use crate::state::State;

/// Audits the accounts and markets that the block wrote. Quarantines each market that fails; gates
/// withdrawals while money does not add up. Returns the violations, as sentences.
pub(crate) fn run(state: &mut State) -> Vec<String> {
    let mut violations = Vec::new();
    for id in state.accounts.dirty().to_vec() {
        if let Some(account) = state.accounts.get(id) {
            violations.extend(state.derived.audit.replace(id, account).err());
        }
    }
    let imbalance = state.derived.audit.totals().imbalance_atoms(
        &state.chain.treasury,
        state.markets.cells().map(|cell| &cell.market),
        state.chain.deposits_atoms,
        state.chain.withdrawals_atoms,
    );
    match imbalance {
        Ok(0) => {}
        Ok(atoms) => violations.push(money(atoms)),
        Err(refusal) => violations.push(refusal.to_string()),
    }
    if !violations.is_empty() {
        state.chain.gate_withdrawals();
    }
    violations.append(&mut state.derived.violations);
    for market in 0..state.markets.len() {
        violations.extend(check_market(state, market));
    }
    violations
}

fn money(atoms: Atoms) -> String {
    format!("money is not conserved: {atoms} atoms more on the chain than came in")
}

/// A market's own invariants: longs equal shorts equal open interest, the book is not crossed. Once
/// wrong, it stays quarantined until the admin asks for the end of it, and the audit of that block
/// finds nothing.
#[expect(clippy::indexing_slicing, reason = "the caller counts up to the number of markets")]
fn check_market(state: &mut State, at: usize) -> Option<String> {
    let (longs, shorts) = state.derived.audit.lots(at);
    let cell = &mut state.markets[at].cell;
    let open_interest: Lots = cell.market.open_interest_lots;
    let crossed = matches!(cell.top, (Some(bid), Some(ask)) if bid >= ask);
    let wrong = if longs != shorts || longs != i128::from(open_interest) {
        format!("{longs} lots are long, {shorts} short, open interest is {open_interest}")
    } else if crossed {
        format!("the book is crossed: {:?}", cell.top)
    } else {
        if std::mem::take(&mut cell.quarantine_lift_requested) {
            cell.quarantined = None;
        }
        return None;
    };
    cell.quarantine_lift_requested = false;
    let sentence = format!("{}: {wrong}", cell.market.params.symbol);
    cell.quarantined.get_or_insert(wrong);
    Some(sentence)
}
