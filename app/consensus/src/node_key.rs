//! This node's own key, with which it signs bundles, and the validator that it is (rules §10.14).

use ed25519_consensus::SigningKey;
use rand_core::{OsRng, RngCore as _};
use tidemark_engine::state::{Validator, View};
use tidemark_oracle::extension::NodeKey;

/// A node's secret key.
#[derive(Clone)]
pub struct NodeSecret(SigningKey);

impl std::fmt::Debug for NodeSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NodeSecret of {}", self.key_hex())
    }
}

impl NodeSecret {
    /// A new secret from the system's randomness.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = [0; 32];
        OsRng.fill_bytes(&mut secret);
        Self(secret.into())
    }

    /// The secret in 64 digits of hex; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut secret = [0; 32];
        hex::decode_to_slice(text, &mut secret).ok()?;
        Some(Self(secret.into()))
    }

    /// The secret in hex.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0.to_bytes())
    }

    /// The public key in hex.
    #[must_use]
    pub fn key_hex(&self) -> String {
        hex::encode(self.key())
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> NodeKey {
        self.0.verification_key().to_bytes()
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.0
    }
}

/// A validator's node.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    secret: NodeSecret,
    validator: [u8; 20],
}

impl NodeIdentity {
    /// The node of the validator with this address.
    #[must_use]
    pub fn new(secret: NodeSecret, validator: [u8; 20]) -> Self {
        Self { secret, validator }
    }

    /// The address that CometBFT writes in hex; `None` for anything else.
    #[must_use]
    pub fn address_from_hex(text: &str) -> Option<[u8; 20]> {
        let mut address = [0; 20];
        hex::decode_to_slice(text, &mut address).ok().map(|()| address)
    }

    pub(crate) fn secret(&self) -> &NodeSecret {
        &self.secret
    }

    fn validator<'a>(&self, view: &'a View) -> Option<&'a Validator> {
        view.chain.validators.iter().find(|validator| validator.address == self.validator)
    }

    fn is_its_key(&self, validator: &Validator) -> bool {
        validator.node_key.is_some_and(|registered| registered.key == self.secret.key())
    }

    /// The validator, once it has registered this node's key.
    pub(crate) fn registered<'a>(&self, view: &'a View) -> Option<&'a Validator> {
        self.validator(view).filter(|validator| self.is_its_key(validator))
    }

    /// The key that this node's vote is to register: none when it is registered, or when the node
    /// is no validator's.
    pub(crate) fn key_to_register(&self, view: &View) -> Option<NodeKey> {
        let validator = self.validator(view)?;
        (!self.is_its_key(validator)).then(|| self.secret.key())
    }
}
