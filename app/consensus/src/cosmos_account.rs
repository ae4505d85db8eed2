//! `cosmos.auth.v1beta1.Query/Account`: the sequence, as Cosmos wallets and CosmJS ask for it.
//! Served over gRPC and ABCI.

use cosmos_sdk_proto::cosmos::auth::v1beta1::BaseAccount;
use cosmos_sdk_proto::Any;
use prost::Message as _;
use tidemark_engine::state::View;
use tidemark_proto::grpc::grpc_code;
use tidemark_proto::types::Address;
use tidemark_proto::{Code, Refusal};

/// An owner as a `BaseAccount`: the chain's one account number, since signatures are checked
/// without state.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no address, `UNKNOWN_ACCOUNT` for one that never got a deposit.
pub fn account(view: &View, address: &str) -> Result<Any, Refusal> {
    let address = Address::parse(address)?;
    let sequence = view.sequence(&address).ok_or_else(|| {
        Refusal::new(Code::UnknownAccount, format!("account {address} not found"))
    })?;
    let account_number = view.signing_domain().account_number();
    let account =
        BaseAccount { address: address.to_string(), pub_key: None, account_number, sequence };
    Ok(Any { type_url: "/cosmos.auth.v1beta1.BaseAccount".into(), value: account.encode_to_vec() })
}

/// A refusal in the words of the Cosmos SDK over ABCI, which CosmJS matches:
/// `rpc error: code = NotFound desc = …`.
#[must_use]
pub fn cosmos_error(refusal: &Refusal) -> String {
    format!("rpc error: code = {:?} desc = {}", grpc_code(refusal.code), refusal.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_account_reads_as_cosmjs_expects() {
        let view = View::empty("test-1");
        let address = Address([7; 20]);
        let refusal = account(&view, &address.to_string()).unwrap_err();
        assert_eq!(
            cosmos_error(&refusal),
            format!("rpc error: code = NotFound desc = account {address} not found")
        );
        let refusal = account(&view, "cosmos1nothing").unwrap_err();
        assert!(
            cosmos_error(&refusal).starts_with("rpc error: code = InvalidArgument desc = "),
            "{refusal}"
        );
    }
}
