//! A state from bytes.

use std::io;

use borsh::BorshDeserialize;
use tidemark_matching::Book;

use super::table::{invalid, read_table};
use super::{Part, FORMAT};
use crate::genesis::MAX_MARKETS;
use crate::state::conditional::ConditionalOrders;
use crate::state::holdings;
use crate::state::merkle::Hash;
use crate::state::totals_cache::TotalsCache;
use crate::state::{
    Chain, Danger, EndedClientIds, FilledLots, MarketCell, MarketSlot, MarketSlots, State,
    PROTOCOL_VERSION,
};

/// Reads a state from bytes that [`super::Frozen::write`] wrote, up to the last of them.
///
/// The app hash that the state must have says which one is meant. It is compared before anything
/// is derived from what was read: damaged or invented bytes end here.
///
/// # Errors
/// `InvalidData` for any bytes of another layout, other rules, or another app hash;
/// `UnexpectedEof` for too few. Memory grows with the bytes read.
pub fn read(input: &mut impl io::Read, app_hash: &Hash) -> io::Result<State> {
    let format = u16::deserialize_reader(input)?;
    if format != FORMAT {
        return Err(invalid(format!("the layout is {format}, must be {FORMAT}")));
    }
    let mut state = State::without_rows(read_chain(input)?);
    expect(Part::Owners, input)?;
    state.owners = read_table(input)?;
    expect(Part::Allowances, input)?;
    state.allowances = read_table(input)?;
    expect(Part::Agents, input)?;
    state.agents = read_table(input)?;
    expect(Part::Accounts, input)?;
    state.accounts = read_table(input)?;
    state.markets = read_markets(input)?;
    expect(Part::Danger, input)?;
    state.danger = Danger::deserialize_reader(input)?;
    if input.read(&mut [0])? != 0 {
        return Err(invalid("there are more bytes than the state has".to_owned()));
    }
    state.rehash();
    if state.app_hash != *app_hash {
        let hex = |hash: &Hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (is, must_be) = (hex(&state.app_hash), hex(app_hash));
        return Err(invalid(format!("the app hash is {is}, must be {must_be}")));
    }
    derive(&mut state)?;
    Ok(state)
}

fn read_chain(input: &mut impl io::Read) -> io::Result<Chain> {
    expect(Part::Chain, input)?;
    let chain = Chain::deserialize_reader(input)?;
    if chain.protocol_version != PROTOCOL_VERSION {
        let version = chain.protocol_version;
        return Err(invalid(format!("the rules are {version}, must be {PROTOCOL_VERSION}")));
    }
    Ok(chain)
}

fn read_markets(input: &mut impl io::Read) -> io::Result<MarketSlots> {
    let count = u32::deserialize_reader(input)?;
    if count as usize > MAX_MARKETS {
        return Err(invalid(format!("there are {count} markets, at most {MAX_MARKETS}")));
    }
    let mut markets = MarketSlots::default();
    for at in 0..count {
        markets.push(read_market(input, at)?);
    }
    Ok(markets)
}

fn read_market(input: &mut impl io::Read, at: u32) -> io::Result<MarketSlot> {
    expect(Part::Market, input)?;
    let twice = |what: &str| invalid(format!("market {at} has {what} twice"));
    let cell = MarketCell::deserialize_reader(input)?;
    let mut book = Book::from_snapshot(input)?;
    let (rows, marks) = (read_table(input)?, BorshDeserialize::deserialize_reader(input)?);
    let conditional =
        ConditionalOrders::restored(rows, marks).ok_or_else(|| twice("a conditional order"))?;
    book.restore_pegs(conditional.pegged_ids());
    let ended = EndedClientIds::restored(read_table(input)?)
        .ok_or_else(|| twice("an account's client ids"))?;
    let filled = FilledLots::restored(read_table(input)?)
        .ok_or_else(|| twice("the filled lots of an order"))?;
    let order_totals = TotalsCache::default();
    Ok(MarketSlot { cell, book, conditional, ended, filled, order_totals })
}

fn expect(part: Part, input: &mut impl io::Read) -> io::Result<()> {
    let mark = u8::deserialize_reader(input)?;
    if mark == part as u8 {
        return Ok(());
    }
    Err(invalid(format!("{part:?} is to begin here, and mark {mark} does")))
}

/// Makes everything that the app hash leaves out.
fn derive(state: &mut State) -> io::Result<()> {
    state.derive_indexes().map_err(|error| invalid(error.to_string()))?;
    holdings::derive(state);
    Ok(())
}
