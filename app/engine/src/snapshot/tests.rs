//! A small state as bytes; the simulation and `tests/tests/snapshots.rs` read whole histories back.

use tidemark_proto::params::MarketParams;
use tidemark_proto::types::Address;
use tidemark_proto::units::{Atoms, TimeMs};

use super::*;
use crate::genesis::Genesis;
use crate::state::{State, Validator};

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frozen::of(state).write(&mut bytes).unwrap();
    bytes
}

/// Two markets, and three owners: one with an account, one whose account has gone, one without.
fn small_state() -> State {
    let markets = ["ONE-USD", "TWO-USD"];
    let market = |symbol: &&str| MarketParams::with_defaults(symbol, 1_000_000_000, 1_000_000, 20);
    let admin = Address([7; 20]).to_string();
    let genesis = Genesis {
        params: tidemark_proto::params::ChainParams::default(),
        markets: markets.iter().map(market).collect(),
        admin: admin.clone(),
        minters: vec![admin],
        insurance_atoms: 1_000_000,
    };
    let validators = vec![Validator::new([1; 20], [1; 32], 10)];
    let time_ms = TimeMs::new(1_760_000_000_000);
    let mut state = State::genesis(&genesis, "test-1", time_ms, validators).unwrap();
    for owner in 1..=2 {
        let owner = state.ensure_owner(Address([owner; 20])).unwrap();
        let account = state.ensure_account(owner, 0).unwrap();
        state.accounts.get_mut(account).unwrap().collateral_atoms = Atoms::from_usdc(5);
    }
    let gone = state.ensure_account(state.owner_id(&Address([2; 20])).unwrap(), 1).unwrap();
    state.accounts.remove(gone);
    state.rehash();
    state
}

#[test]
fn a_state_comes_back_with_its_ids_and_its_empty_slots() {
    let state = small_state();
    let bytes = bytes(&state);
    let again = read(&mut &*bytes, &state.app_hash).unwrap();
    assert_eq!(again.chain, state.chain);
    assert_eq!((again.accounts.len(), again.accounts.rows()), (3, 2));
    assert_eq!(again.signer(&Address([2; 20])), state.signer(&Address([2; 20])));
    assert_eq!(self::bytes(&again), bytes, "the same bytes whatever was before");
}

#[test]
fn a_flipped_bit_a_missing_byte_and_one_too_many_are_found() {
    let state = small_state();
    let whole = bytes(&state);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(read(&mut &*flipped, &state.app_hash).is_err(), "byte {at} of {}", whole.len());
        assert!(read(&mut &whole[..at], &state.app_hash).is_err(), "{at} bytes");
    }
    let longer = [&*whole, &[0]].concat();
    assert!(read(&mut &*longer, &state.app_hash).is_err());
}

#[test]
fn a_state_of_another_hash_is_refused_with_both() {
    let state = small_state();
    let refused = read(&mut &*bytes(&state), &[0; 32]).unwrap_err().to_string();
    let zeros = "00".repeat(32);
    assert!(refused.ends_with(&format!(", must be {zeros}")), "{refused}");
}
