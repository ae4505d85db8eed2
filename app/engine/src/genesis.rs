//! The application's part of `genesis.json` (`app_state`).

use serde::{Deserialize, Serialize};
use tidemark_proto::params::{ChainParams, MarketParams, MAX_ATOMS};
use tidemark_proto::types::Address;
use tidemark_proto::units::{Atoms, MarketId};
use tidemark_proto::{Code, Refusal};

/// The start of the chain.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Parameters of the whole chain.
    pub params: ChainParams,
    /// Markets in order of id.
    pub markets: Vec<MarketParams>,
    /// Bech32 address that lists markets and changes parameters.
    pub admin: String,
    /// Bech32 addresses that may credit deposits.
    pub minters: Vec<String>,
    /// The insurance fund at the start.
    #[serde(default)]
    pub insurance_atoms: u64,
}

/// Most markets of a chain.
pub const MAX_MARKETS: usize = 1_000;

impl Genesis {
    /// Reads and checks `app_state`.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with a sentence naming what is wrong.
    pub fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let invalid =
            |why: String| Refusal::new(Code::InvalidParams, format!("genesis app_state: {why}"));
        let mut genesis: Self =
            serde_json::from_slice(bytes).map_err(|e| invalid(e.to_string()))?;
        if genesis.markets.len() > MAX_MARKETS {
            return Err(invalid(format!(
                "{} markets, at most {MAX_MARKETS}",
                genesis.markets.len()
            )));
        }
        for (id, market) in genesis.markets.iter_mut().enumerate() {
            market.check()?;
            market.id = MarketId::from_index(id)
                .ok_or_else(|| invalid(format!("market id {id} is too large")))?;
        }
        if Atoms::from_u64(genesis.insurance_atoms) > MAX_ATOMS {
            return Err(invalid(format!(
                "insurance_atoms {}, at most {MAX_ATOMS}",
                genesis.insurance_atoms
            )));
        }
        genesis.params.check()?;
        genesis.admin_address()?;
        genesis.minter_addresses()?;
        Ok(genesis)
    }

    /// The admin's address.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it is none.
    pub fn admin_address(&self) -> Result<Address, Refusal> {
        Address::parse(&self.admin)
    }

    /// The minters' addresses.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if a minter is no valid address.
    pub fn minter_addresses(&self) -> Result<Vec<Address>, Refusal> {
        self.minters.iter().map(|minter| Address::parse(minter)).collect()
    }
}
