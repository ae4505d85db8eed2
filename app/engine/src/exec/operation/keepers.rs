//! Keepers (rules §7.10): they set collateral aside to take over liquidated positions, and request
//! listed ones.

use tidemark_proto::params::MarketStatus;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OwnerId};
use tidemark_risk::Keeper;

use crate::exec::collateral::cash;
use crate::refusal::Refusal;
use crate::state::{State, Takeover, MAX_TAKEOVERS};
use crate::symbol::Symbol;

/// Most keepers of one market; the backstop stage examines all of them.
pub const MAX_KEEPERS: usize = 64;

/// Sets the collateral that a subaccount sets aside for a market. An increase leaves the account
/// under the rules of a withdrawal, and counts for nothing else from then on; a decrease goes back.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "the search found the index; the change is a difference of 64-bit amounts"
)]
pub(crate) fn register(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    set_aside_atoms: Atoms,
) -> Result<(), Refusal> {
    let account = cash::existing(state, owner, subaccount)?;
    let market_row = &state.market(market)?.cell.market;
    let place = market_row.keepers.binary_search_by_key(&account, |keeper| keeper.account);
    let had = place.map_or(Atoms::ZERO, |at| market_row.keepers[at].set_aside_atoms);
    let most = market_row.params.max_set_aside_atoms;
    let increase =
        set_aside_atoms.checked_sub(had).ok_or_else(|| Refusal::overflow("set_aside_atoms"))?;
    if increase.is_positive() {
        if market_row.params.status == MarketStatus::Closed {
            return Err(Refusal::Closed { symbol: Symbol::from(&market_row.params.symbol) });
        }
        if set_aside_atoms > most {
            return Err(Refusal::SetAsideCap { set_aside_atoms, most_atoms: most });
        }
        if place.is_err() && market_row.keepers.len() >= MAX_KEEPERS {
            return Err(Refusal::BackstopFull {
                keepers: market_row.keepers.len(),
                most: MAX_KEEPERS,
            });
        }
        cash::check_removable(state, account, increase)?;
    }
    cash::credit(state, account, -increase)?;
    let keepers = &mut state.markets.slot_mut(market).cell.market.keepers;
    match (place, set_aside_atoms) {
        (Ok(at), Atoms::ZERO) => {
            keepers.remove(at);
        }
        (Ok(at), _) => keepers[at].set_aside_atoms = set_aside_atoms,
        (Err(_), Atoms::ZERO) => {}
        (Err(at), _) => keepers.insert(at, Keeper { account, set_aside_atoms }),
    }
    Ok(())
}

/// Asks for part of a listed position, to be served in the next sweep. Asking again for the same
/// position replaces the request.
pub(crate) fn takeover(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    account: AccountId,
    lots: Lots,
) -> Result<(), Refusal> {
    let keeper = cash::existing(state, owner, subaccount)?;
    let cell = &state.market(market)?.cell;
    if !cell.market.keepers.iter().any(|entry| entry.account == keeper) {
        return Err(Refusal::NotAKeeper { subaccount, market });
    }
    if !cell.listed.iter().any(|listed| listed.account == account) {
        return Err(Refusal::NotListed { account, market });
    }
    let waiting = &mut state.markets.slot_mut(market).cell.takeovers;
    if let Some(again) =
        waiting.iter_mut().find(|request| (request.keeper, request.account) == (keeper, account))
    {
        again.lots = lots;
        return Ok(());
    }
    if waiting.len() >= MAX_TAKEOVERS {
        return Err(Refusal::TooManyTakeovers { waiting: waiting.len(), most: MAX_TAKEOVERS });
    }
    waiting.push(Takeover { keeper, account, lots });
    Ok(())
}
