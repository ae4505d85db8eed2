//! The timeout height of a transaction that somebody has signed.

use cosmrs::proto::cosmos::tx::v1beta1 as wire;
use prost::Message as _;

use super::short::SIGNED;
use crate::v1;

/// The last block that carries a signed transaction out; 0 is any, and what no transaction has. For
/// clients, of their own transactions: nothing else of it is looked at.
#[must_use]
pub fn timeout_height(bytes: &[u8]) -> u64 {
    of(bytes).unwrap_or(0)
}

fn of(bytes: &[u8]) -> Option<u64> {
    let raw = wire::TxRaw::decode(bytes).ok()?;
    let body = wire::TxBody::decode(&*raw.body_bytes).ok()?;
    match body.messages.as_slice() {
        [message] if message.type_url == SIGNED => {
            let signed = v1::MsgSigned::decode(&*message.value).ok()?;
            Some(v1::AgentOrders::decode(&*signed.content).ok()?.timeout_height)
        }
        _ => Some(body.timeout_height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx::{AgentSigner, Signer, TxOptions};
    use crate::types::SigningDomain;

    #[test]
    fn a_timeout_height_is_read_back_from_either_form() {
        let owner = Signer::from_secret(&[7; 32], "test-1").unwrap();
        let agent = AgentSigner::ed25519([8; 32], SigningDomain::without_genesis("test-1"));
        for timeout_height in [0, 9, u64::MAX] {
            let options = TxOptions { timeout_height, ..TxOptions::default() };
            let own = owner.sign(v1::MsgOrders::default(), options).unwrap();
            let orders = v1::AgentOrders { timeout_height, ..Default::default() };
            let short = agent.sign(&owner.address(), orders).bytes;
            assert_eq!([own, short].map(|tx| super::timeout_height(&tx)), [timeout_height; 2]);
        }
        assert_eq!(super::timeout_height(b"no transaction"), 0);
    }
}
