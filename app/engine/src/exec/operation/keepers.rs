//! Keepers (rules §7.10): they set collateral aside to take over liquidated positions, and request
//! listed ones.

use std::cmp::Reverse;

use tidemark_proto::defence::Defence;
use tidemark_proto::params::{MarketStatus, MIN_SET_ASIDE_ATOMS};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OwnerId};
use tidemark_risk::{GiveBack, Keeper, Market};

use crate::exec::account::lookup;
use crate::exec::collateral::cash;
use crate::invariant::broken_account;
use crate::refusal::Refusal;
use crate::state::{Failure, State, Takeover, MAX_TAKEOVERS};
use crate::symbol::Symbol;

/// Places of one market's keepers. As many that made room wait for their collateral, so the
/// backstop stage examines at most twice as many.
pub const MAX_KEEPERS: usize = 64;

/// Blocks after which set-aside collateral is back: nobody leaves when a crash begins.
pub const GIVE_BACK_BLOCKS: u64 = 50;

/// Sets the collateral that a subaccount sets aside for a market. An increase leaves the account
/// under the rules of a withdrawal, and counts for nothing else from then on; a decrease goes back
/// after [`GIVE_BACK_BLOCKS`].
pub(crate) fn register(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    set_aside_atoms: Atoms,
) -> Result<(), Refusal> {
    let account = cash::existing(state, owner, subaccount)?;
    let market_row = &state.market(market)?.cell.market;
    let keepers = &market_row.keepers;
    let own = keepers.iter().find(|keeper| keeper.account == account).copied();
    let had = own.map_or(Atoms::ZERO, |keeper| keeper.set_aside_atoms);
    let increase =
        set_aside_atoms.checked_sub(had).ok_or_else(|| Refusal::overflow("set_aside_atoms"))?;
    let mut room = Room::Free;
    if !set_aside_atoms.is_zero() {
        if set_aside_atoms < MIN_SET_ASIDE_ATOMS && Defence::KeeperPlaces.stands() {
            return Err(Refusal::SetAsideTooSmall {
                set_aside_atoms,
                least_atoms: MIN_SET_ASIDE_ATOMS,
            });
        }
        if own.is_none_or(|keeper| keeper.made_room) {
            room = find_room(state, market_row, (owner, account), set_aside_atoms)?;
        }
    }
    let mut keeper = own.unwrap_or_else(|| Keeper::new(account, Atoms::ZERO));
    if increase.is_positive() {
        check_increase(market_row, set_aside_atoms)?;
        cash::check_removable(state, account, increase)?;
        cash::credit(state, account, had.saturating_sub(set_aside_atoms))?;
        keeper.set_aside_atoms = set_aside_atoms;
    }
    let height = state.chain.height;
    keeper.made_room &= set_aside_atoms.is_zero();
    keeper.give_back = give_back_after(&keeper, set_aside_atoms, height);
    let keepers = &mut state.markets.slot_mut(market).cell.market.keepers;
    if let Room::Of(smallest) = room {
        for row in keepers.iter_mut().filter(|row| row.account == smallest) {
            row.made_room = true;
            row.give_back = give_back_after(row, Atoms::ZERO, height);
        }
    }
    put(keepers, keeper);
    Ok(())
}

/// Puts a keeper at its place by account id; one without set-aside collateral is none.
fn put(keepers: &mut Vec<Keeper>, keeper: Keeper) {
    match keepers.binary_search_by_key(&keeper.account, |row| row.account) {
        Ok(at) => {
            if let Some(row) = keepers.get_mut(at) {
                *row = keeper;
            }
        }
        Err(_) if keeper.set_aside_atoms.is_zero() => {}
        Err(at) => keepers.insert(at, keeper),
    }
}

fn check_increase(market: &Market, set_aside_atoms: Atoms) -> Result<(), Refusal> {
    if market.params.status == MarketStatus::Closed {
        return Err(Refusal::Closed { symbol: Symbol::from(&market.params.symbol) });
    }
    let most_atoms = market.params.max_set_aside_atoms;
    if set_aside_atoms > most_atoms {
        return Err(Refusal::SetAsideCap { set_aside_atoms, most_atoms });
    }
    Ok(())
}

/// The part that goes back of a keeper that wants so much set aside. Asking for the same again
/// changes nothing.
fn give_back_after(keeper: &Keeper, rest_atoms: Atoms, height: u64) -> Option<GiveBack> {
    if rest_atoms >= keeper.set_aside_atoms {
        return None;
    }
    let same = keeper.give_back.filter(|back| back.rest_atoms == rest_atoms);
    let at_height = height.saturating_add(GIVE_BACK_BLOCKS);
    Some(same.unwrap_or(GiveBack { rest_atoms, at_height }))
}

/// Where the place of a new keeper comes from.
enum Room {
    /// It needs none, or one is free.
    Free,
    /// The keeper with the least makes room.
    Of(AccountId),
}

/// Finds a place for a keeper that has none. An owner has one place; of keepers that stay with as
/// little, the one with the highest account id makes room. The gas of a transaction covers the look
/// at all keepers' accounts.
fn find_room(
    state: &State,
    market: &Market,
    (owner, account): (OwnerId, AccountId),
    set_aside_atoms: Atoms,
) -> Result<Room, Refusal> {
    let others = || market.keepers.iter().filter(|keeper| keeper.account != account);
    for keeper in others() {
        let row = lookup::account(state, keeper.account)?;
        if row.owner == owner && Defence::KeeperPlaces.stands() {
            return Err(Refusal::OwnerIsKeeper {
                subaccount: row.number,
                market: market.params.id,
            });
        }
    }
    let (left, placed): (Vec<&Keeper>, Vec<&Keeper>) =
        others().partition(|keeper| keeper.made_room);
    if placed.len() < MAX_KEEPERS {
        return Ok(Room::Free);
    }
    let smallest =
        placed.iter().min_by_key(|keeper| (keeper.lasting_atoms(), Reverse(keeper.account)));
    match smallest {
        Some(smallest)
            if Defence::KeeperPlaces.stands()
                && left.len() < MAX_KEEPERS
                && smallest.lasting_atoms() < set_aside_atoms =>
        {
            Ok(Room::Of(smallest.account))
        }
        _ => Err(Refusal::BackstopFull {
            most: MAX_KEEPERS,
            smallest_atoms: smallest.map_or(Atoms::ZERO, |keeper| keeper.lasting_atoms()),
            made_room: left.len(),
        }),
    }
}

/// Phase 3: gives set-aside collateral back whose time has come. At most twice [`MAX_KEEPERS`] a
/// market are looked at.
pub(crate) fn give_back_due(state: &mut State) {
    let height = state.chain.height;
    let is_due = |keeper: &Keeper| keeper.give_back.is_some_and(|back| back.at_height <= height);
    for market in state.markets.ids() {
        if !state.markets.slot(market).cell.market.keepers.iter().any(is_due) {
            continue;
        }
        let mut back = Vec::new();
        let keepers = &mut state.markets.slot_mut(market).cell.market.keepers;
        for keeper in keepers.iter_mut().filter(|keeper| is_due(keeper)) {
            let rest_atoms = keeper.lasting_atoms();
            back.push((keeper.account, keeper.set_aside_atoms.saturating_sub(rest_atoms)));
            (keeper.set_aside_atoms, keeper.give_back) = (rest_atoms, None);
        }
        keepers.retain(|keeper| keeper.set_aside_atoms.is_positive());
        for (account, atoms) in back {
            if let Err(refusal) = cash::credit(state, account, atoms) {
                let why = refusal.labelled();
                let sentence = format!("account {account} did not get {atoms} atoms back: {why}");
                broken_account(state, account, Failure::Collateral, sentence);
            }
        }
    }
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
