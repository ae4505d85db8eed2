//! `cosmos.auth.v1beta1.Query/Account` over gRPC.

use std::sync::Arc;

use cosmos_sdk_proto::cosmos::auth::v1beta1::query_server::Query;
use cosmos_sdk_proto::cosmos::auth::v1beta1::{
    AddressBytesToStringRequest, AddressBytesToStringResponse, AddressStringToBytesRequest,
    AddressStringToBytesResponse, Bech32PrefixRequest, Bech32PrefixResponse,
    QueryAccountAddressByIdRequest, QueryAccountAddressByIdResponse, QueryAccountInfoRequest,
    QueryAccountInfoResponse, QueryAccountRequest, QueryAccountResponse, QueryAccountsRequest,
    QueryAccountsResponse, QueryModuleAccountByNameRequest, QueryModuleAccountByNameResponse,
    QueryModuleAccountsRequest, QueryModuleAccountsResponse, QueryParamsRequest,
    QueryParamsResponse,
};
use tidemark_consensus::cosmos_account::account;
use tidemark_consensus::publish::Publisher;
use tonic::{Request, Response, Status};

use super::standing::Standing;

/// The gRPC service.
pub(super) struct AuthQuery {
    pub publisher: Arc<Publisher>,
    pub standing: Standing,
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
            .map_err(|refusal| self.standing.refuse(refusal))?;
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
