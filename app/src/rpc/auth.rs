//! `cosmos.auth.v1beta1.Query/Account`: the sequence, as Cosmos wallets and CosmJS ask for it.
//! Served over gRPC and ABCI.

use std::sync::Arc;

use cosmos_sdk_proto::cosmos::auth::v1beta1::query_server::Query;
use cosmos_sdk_proto::cosmos::auth::v1beta1::{
    AddressBytesToStringRequest, AddressBytesToStringResponse, AddressStringToBytesRequest,
    AddressStringToBytesResponse, BaseAccount, Bech32PrefixRequest, Bech32PrefixResponse,
    QueryAccountAddressByIdRequest, QueryAccountAddressByIdResponse, QueryAccountInfoRequest,
    QueryAccountInfoResponse, QueryAccountRequest, QueryAccountResponse, QueryAccountsRequest,
    QueryAccountsResponse, QueryModuleAccountByNameRequest, QueryModuleAccountByNameResponse,
    QueryModuleAccountsRequest, QueryModuleAccountsResponse, QueryParamsRequest,
    QueryParamsResponse,
};
use cosmos_sdk_proto::Any;
use prost::Message as _;
use tidemark_proto::tx::Address;
use tidemark_proto::{Code, Refusal};
use tonic::{Request, Response, Status};

use super::status::{grpc_code, status};
use crate::publish::Publisher;
use crate::state::View;

/// An owner as a `BaseAccount`: account number 0, since signatures are checked without state.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no address, `UNKNOWN_ACCOUNT` for one that never got a deposit.
pub fn account(view: &View, address: &str) -> Result<Any, Refusal> {
    let address = Address::parse(address)?;
    let sequence = view.sequence(&address).ok_or_else(|| {
        Refusal::new(Code::UnknownAccount, format!("account {address} not found"))
    })?;
    let account =
        BaseAccount { address: address.to_string(), pub_key: None, account_number: 0, sequence };
    Ok(Any { type_url: "/cosmos.auth.v1beta1.BaseAccount".into(), value: account.encode_to_vec() })
}

/// A refusal in the words of the Cosmos SDK over ABCI, which CosmJS matches:
/// `rpc error: code = NotFound desc = …`.
#[must_use]
pub fn cosmos_error(refusal: &Refusal) -> String {
    format!("rpc error: code = {:?} desc = {}", grpc_code(refusal.code), refusal.message)
}

/// The gRPC service.
pub(super) struct AuthQuery {
    pub publisher: Arc<Publisher>,
}

fn elsewhere<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only Account of this service is served; the rest is in tidemark.v1"))
}

#[tonic::async_trait]
impl Query for AuthQuery {
    async fn account(
        &self,
        request: Request<QueryAccountRequest>,
    ) -> Result<Response<QueryAccountResponse>, Status> {
        let account = account(&self.publisher.view(), &request.get_ref().address)
            .map_err(|refusal| status(&refusal))?;
        Ok(Response::new(QueryAccountResponse { account: Some(account) }))
    }

    async fn accounts(
        &self,
        _: Request<QueryAccountsRequest>,
    ) -> Result<Response<QueryAccountsResponse>, Status> {
        elsewhere()
    }

    async fn account_address_by_id(
        &self,
        _: Request<QueryAccountAddressByIdRequest>,
    ) -> Result<Response<QueryAccountAddressByIdResponse>, Status> {
        elsewhere()
    }

    async fn params(
        &self,
        _: Request<QueryParamsRequest>,
    ) -> Result<Response<QueryParamsResponse>, Status> {
        elsewhere()
    }

    async fn module_accounts(
        &self,
        _: Request<QueryModuleAccountsRequest>,
    ) -> Result<Response<QueryModuleAccountsResponse>, Status> {
        elsewhere()
    }

    async fn module_account_by_name(
        &self,
        _: Request<QueryModuleAccountByNameRequest>,
    ) -> Result<Response<QueryModuleAccountByNameResponse>, Status> {
        elsewhere()
    }

    async fn bech32_prefix(
        &self,
        _: Request<Bech32PrefixRequest>,
    ) -> Result<Response<Bech32PrefixResponse>, Status> {
        elsewhere()
    }

    async fn address_bytes_to_string(
        &self,
        _: Request<AddressBytesToStringRequest>,
    ) -> Result<Response<AddressBytesToStringResponse>, Status> {
        elsewhere()
    }

    async fn address_string_to_bytes(
        &self,
        _: Request<AddressStringToBytesRequest>,
    ) -> Result<Response<AddressStringToBytesResponse>, Status> {
        elsewhere()
    }

    async fn account_info(
        &self,
        _: Request<QueryAccountInfoRequest>,
    ) -> Result<Response<QueryAccountInfoResponse>, Status> {
        elsewhere()
    }
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
