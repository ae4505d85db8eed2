//! Building and signing transactions.

use cosmrs::bip32::XPrv;
use cosmrs::crypto::secp256k1::SigningKey;
use cosmrs::proto::cosmos::tx::v1beta1 as wire;
use cosmrs::Any;
use prost::{Message as _, Name};

use super::decode::{address_of, sign_bytes};
use super::message::{chain_tag, from_any};
use crate::codes::{Code, Refusal};
use crate::types::{Address, SigningDomain};
use crate::v1;

/// Fields of a transaction beside its message.
#[derive(Clone, Copy, Debug, Default)]
pub struct TxOptions {
    /// The signer's next sequence.
    pub sequence: u64,
    /// Last height at which it may be in a block; 0 is any.
    pub timeout_height: u64,
    /// Gas to declare; `None` is [`Message::usual_gas`](crate::types::Message::usual_gas).
    pub gas_limit: Option<u64>,
    /// Gas to declare at least where `gas_limit` is `None`.
    pub min_gas: u64,
    /// Written into the memo, so that two transactions with the same content differ; 0 writes none.
    pub salt: u64,
}

/// A secp256k1 key that signs for one chain.
pub struct Signer {
    key: SigningKey,
    address: Address,
    domain: SigningDomain,
}

/// A message of the wire whose sender and chain tag the signer fills in.
pub trait Sendable: Name {
    /// Sets the envelope's fields.
    fn envelope(&mut self, sender: String, chain_tag: u32);
}

macro_rules! sendable {
    ($($message:ident)*) => {$(
        impl Name for v1::$message {
            const NAME: &'static str = stringify!($message);
            const PACKAGE: &'static str = "tidemark.v1";
        }
        impl Sendable for v1::$message {
            fn envelope(&mut self, sender: String, chain_tag: u32) {
                self.sender = sender;
                self.chain_tag = chain_tag;
            }
        }
    )*};
}
sendable! {
    MsgDeposit MsgWithdraw MsgTakeBackWithdrawal MsgTransfer MsgSetLeverage
    MsgSetSelfTradePrevention MsgListMarket MsgUpdateMarket MsgOrders
    MsgSetMarginMode MsgAdjustIsolatedMargin MsgRegisterBackstop MsgTakeover
    MsgAuthorizeAgent MsgRevokeAgent
}

impl Signer {
    /// From a secret key of 32 bytes. A node takes what it signs once it also knows the chain's
    /// genesis ([`Self::for_genesis`]).
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when it is not a secret key of the curve.
    pub fn from_secret(secret: &[u8], chain_id: &str) -> Result<Self, Refusal> {
        let key = SigningKey::from_slice(secret).map_err(|_| {
            Refusal::new(Code::InvalidArgument, "not a secp256k1 secret key of 32 bytes")
        })?;
        let address = address_of(&compressed(&key)?);
        Ok(Self { key, address, domain: SigningDomain::without_genesis(chain_id) })
    }

    /// Returns the signer for a chain by its genesis, as a node verifies signatures.
    #[must_use]
    pub fn for_genesis(mut self, genesis_hash: &[u8; 32]) -> Self {
        self.set_genesis(genesis_hash);
        self
    }

    /// Signs from now on for a chain by its genesis.
    pub fn set_genesis(&mut self, genesis_hash: &[u8; 32]) {
        self.domain = SigningDomain::new(self.domain.chain_id(), genesis_hash);
    }

    /// The secret key of a BIP-39 seed at the Cosmos path `m/44'/118'/0'/0/0`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the seed gives no key.
    pub fn secret_from_seed(seed: &[u8]) -> Result<[u8; 32], Refusal> {
        let invalid =
            |e: cosmrs::bip32::Error| Refusal::new(Code::InvalidArgument, format!("seed: {e}"));
        let path = "m/44'/118'/0'/0/0".parse().map_err(invalid)?;
        let key = XPrv::derive_from_path(seed, &path).map_err(invalid)?;
        Ok(key.private_key().to_bytes().into())
    }

    /// The signer's address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The chain that it signs for.
    #[must_use]
    pub fn domain(&self) -> &SigningDomain {
        &self.domain
    }

    /// A signed `TxRaw` with the message, whose sender and chain tag are filled in.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the key refuses to sign.
    pub fn sign<M: Sendable>(
        &self,
        mut message: M,
        options: TxOptions,
    ) -> Result<Vec<u8>, Refusal> {
        message.envelope(self.address.to_string(), chain_tag(self.domain.chain_id()));
        let any = Any { type_url: format!("/{}", M::full_name()), value: message.encode_to_vec() };
        self.sign_any(any, options)
    }

    /// A signed `TxRaw` with any message as it is.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` when the key refuses to sign.
    pub fn sign_any(&self, message: Any, options: TxOptions) -> Result<Vec<u8>, Refusal> {
        let refused = |_| Refusal::new(Code::InvalidArgument, "the key does not sign");
        let gas_limit =
            options.gas_limit.unwrap_or_else(|| usual_gas(&message).max(options.min_gas));
        let body = wire::TxBody {
            messages: vec![message],
            timeout_height: options.timeout_height,
            memo: if options.salt == 0 { String::new() } else { format!("{:016x}", options.salt) },
            ..Default::default()
        };
        let mode = wire::ModeInfo {
            sum: Some(wire::mode_info::Sum::Single(wire::mode_info::Single { mode: 1 })),
        };
        let public_key: Any = self.key.public_key().into();
        let info = wire::SignerInfo {
            public_key: Some(public_key),
            mode_info: Some(mode),
            sequence: options.sequence,
        };
        let fee = wire::Fee { gas_limit, ..Default::default() };
        #[allow(deprecated)]
        let auth = wire::AuthInfo { signer_infos: vec![info], fee: Some(fee), tip: None };
        let (body_bytes, auth_info_bytes) = (body.encode_to_vec(), auth.encode_to_vec());
        let bytes = sign_bytes(&body_bytes, &auth_info_bytes, &self.domain);
        let signature = self.key.sign(&bytes).map_err(refused)?.to_vec();
        Ok(wire::TxRaw { body_bytes, auth_info_bytes, signatures: vec![signature] }.encode_to_vec())
    }
}

fn compressed(key: &SigningKey) -> Result<[u8; 33], Refusal> {
    let bytes = key.public_key().to_bytes();
    let length = bytes.len();
    bytes.try_into().map_err(|_| {
        Refusal::new(Code::InvalidArgument, format!("public key of {length} bytes, must be 33"))
    })
}

/// Gas that a message usually needs; for one that is none of ours, the most of 32 bits.
fn usual_gas(message: &Any) -> u64 {
    from_any(message).map_or(u64::from(u32::MAX), |envelope| envelope.message.usual_gas())
}
