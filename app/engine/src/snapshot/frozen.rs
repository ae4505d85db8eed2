//! A state as it was at a block's end, and its bytes.

use std::io;

use borsh::BorshSerialize;
use tidemark_matching::FrozenBook;
use tidemark_proto::units::{AccountId, AgentId, OwnerId};
use tidemark_risk::Account;

use super::table::write_table;
use super::{Part, FORMAT};
use crate::state::agents::Agent;
use crate::state::conditional::FrozenConditional;
use crate::state::merkle::Hash;
use crate::state::table::TableView;
use crate::state::{
    Allowance, Chain, Danger, EndedRow, FilledRow, MarketCell, MarketSlot, Owner, State,
};

/// A state as it was. It shares pages of rows with the state that went on, and holds copies of the
/// books' orders.
#[derive(Debug)]
pub struct Frozen {
    chain: Chain,
    app_hash: Hash,
    owners: TableView<OwnerId, Owner>,
    allowances: TableView<OwnerId, Allowance>,
    agents: TableView<AgentId, Agent>,
    accounts: TableView<AccountId, Account>,
    markets: Vec<FrozenMarket>,
    danger: Danger,
}

#[derive(Debug)]
struct FrozenMarket {
    cell: MarketCell,
    book: FrozenBook,
    conditional: FrozenConditional,
    ended: TableView<u32, EndedRow>,
    filled: TableView<u32, FilledRow>,
}

impl FrozenMarket {
    fn of(slot: &MarketSlot) -> Self {
        Self {
            cell: slot.cell.clone(),
            book: slot.book.freeze(),
            conditional: slot.conditional.freeze(),
            ended: slot.ended.view(),
            filled: slot.filled.view(),
        }
    }

    fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        begin(Part::Market, out)?;
        self.cell.serialize(out)?;
        self.book.write(out)?;
        write_table(&self.conditional.rows, out)?;
        self.conditional.marks.serialize(out)?;
        write_table(&self.ended, out)?;
        write_table(&self.filled, out)
    }
}

fn begin(part: Part, out: &mut impl io::Write) -> io::Result<()> {
    out.write_all(&[part as u8])
}

impl Frozen {
    /// The state after a block; call it between blocks.
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self {
            chain: state.chain.clone(),
            app_hash: state.app_hash,
            owners: state.owners.view(),
            allowances: state.allowances.view(),
            agents: state.agents.view(),
            accounts: state.accounts.view(),
            markets: state.markets.iter().map(FrozenMarket::of).collect(),
            danger: state.danger.clone(),
        }
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The app hash.
    #[must_use]
    pub const fn app_hash(&self) -> &Hash {
        &self.app_hash
    }

    /// Writes the version of the layout, then each part in borsh behind its mark. The same state
    /// gives the same bytes on every node.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        FORMAT.serialize(out)?;
        begin(Part::Chain, out)?;
        self.chain.serialize(out)?;
        begin(Part::Owners, out)?;
        write_table(&self.owners, out)?;
        begin(Part::Allowances, out)?;
        write_table(&self.allowances, out)?;
        begin(Part::Agents, out)?;
        write_table(&self.agents, out)?;
        begin(Part::Accounts, out)?;
        write_table(&self.accounts, out)?;
        u32::try_from(self.markets.len()).unwrap_or(u32::MAX).serialize(out)?;
        for market in &self.markets {
            market.write(out)?;
        }
        begin(Part::Danger, out)?;
        self.danger.serialize(out)
    }
}
