//! Phase 8: invariants. Money is conserved to the atom, every long has its short; checked every
//! block over the accounts that it wrote.

use tidemark_proto::units::{Atoms, Lots, MarketId, Ticks};

use crate::state::{Failure, State};

/// Audits the accounts and markets that the block wrote. Quarantines each market that fails; gates
/// withdrawals while money does not add up. Returns the violations, as sentences.
pub(crate) fn run(state: &mut State) -> Vec<String> {
    let mut violations = Vec::new();
    for id in state.accounts.dirty().to_vec() {
        let account = state.accounts.get(id);
        violations.extend(state.derived.audit.replace(id, account).err().map(|e| e.to_string()));
    }
    let imbalance = state.derived.audit.totals().imbalance_atoms(
        &state.chain.treasury,
        state.markets.cells().map(|cell| &cell.market),
        state.chain.first_credits.atoms(),
        state.chain.deposits_atoms,
        state.chain.withdrawals_atoms,
    );
    match imbalance {
        Ok(Atoms::ZERO) => {}
        Ok(atoms) => violations.push(money(atoms)),
        Err(refusal) => violations.push(refusal.to_string()),
    }
    if !violations.is_empty() {
        state.chain.gate_withdrawals();
    }
    violations.append(&mut state.derived.violations);
    for market in state.markets.ids() {
        violations.extend(check_market(state, market));
    }
    violations
}

fn money(atoms: Atoms) -> String {
    format!("money is not conserved: {atoms} atoms more on the chain than came in")
}

/// The report of a market with a crossed book: bare integers, whatever a unit's debug form is.
fn crossed_sentence((bid, ask): (Option<Ticks>, Option<Ticks>)) -> String {
    format!("the book is crossed: {:?}", (bid.map(Ticks::get), ask.map(Ticks::get)))
}

/// A market's own invariants: longs equal shorts equal open interest, the book is not crossed. Once
/// wrong, it stays quarantined until the admin asks for the end of it, and the audit of that block
/// finds nothing.
fn check_market(state: &mut State, market: MarketId) -> Option<String> {
    let (longs, shorts) = state.derived.audit.lots(market);
    let cell = &mut state.markets.slot_mut(market).cell;
    let open_interest: Lots = cell.market.open_interest_lots;
    let crossed = matches!(cell.top, (Some(bid), Some(ask)) if bid >= ask);
    let (failure, wrong) = if longs != shorts || longs != open_interest.wide() {
        let counted = format!("{longs} lots are long, {shorts} short");
        (Failure::Unbalanced, format!("{counted}, open interest is {open_interest}"))
    } else if crossed {
        (Failure::Crossed, crossed_sentence(cell.top))
    } else {
        if std::mem::take(&mut cell.quarantine_lift_requested) {
            cell.quarantined = None;
        }
        return None;
    };
    cell.quarantine_lift_requested = false;
    cell.quarantined.get_or_insert(failure);
    Some(format!("{}: {wrong}", cell.market.params.symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_of_a_crossed_book_shows_bare_integers() {
        let top = (Some(Ticks::new(5)), Some(Ticks::new(4)));
        assert_eq!(crossed_sentence(top), "the book is crossed: (Some(5), Some(4))");
    }
}
