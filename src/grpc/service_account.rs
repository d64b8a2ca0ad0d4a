//! `ServiceAccountService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, instant, none_if_empty, principal};
use super::pb::{self, service_account_service_server::ServiceAccountService};
use crate::app::{
    ApiKeyView, CreateApiKey, CreateServiceAccount, CreatedApiKey, EndServiceAccount, Error, ListApiKeys,
    ListServiceAccounts, ServiceAccountView,
};
use crate::domain::handle::{Named, SLUG_CHARS_MAX};
use crate::domain::service_account::{ApiKey, ServiceAccount};
use crate::domain::workload::{SPIFFE_ID_BYTES_MAX, SpiffeId};

#[tonic::async_trait]
impl ServiceAccountService for Api {
    async fn create_service_account(
        &self,
        request: Request<pb::CreateServiceAccountRequest>,
    ) -> Result<Response<pb::CreateServiceAccountResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::CreateServiceAccountRequest { name, title, organization, spiffe_id, request_id: _ } = request;
        let name = fields.slug("name", &name);
        let title = fields.text("title", &title, 0..=TITLE_CHARS_MAX);
        let workload = SpiffeId::parse(&spiffe_id);
        if !spiffe_id.is_empty() && workload.is_none() {
            let form = format!("spiffe://TRUST-DOMAIN/PATH, at most {SPIFFE_ID_BYTES_MAX} bytes");
            fields.wrong("spiffe_id", format!("is {spiffe_id:?}, allowed is {form}"));
        }
        let command = CreateServiceAccount {
            title: none_if_empty(title).unwrap_or_else(|| name.clone()),
            name,
            organization: fields.optional_handle(Named::Organization, "organization", &organization),
            spiffe_id: workload,
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.create_service_account(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let service_account = Some(service_account(done.value));
        Ok(Response::new(pb::CreateServiceAccountResponse { service_account, consistency_token }))
    }

    async fn create_api_key(
        &self,
        request: Request<pb::CreateApiKeyRequest>,
    ) -> Result<Response<pb::CreateApiKeyResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::CreateApiKeyRequest { service_account, title, expire_time, request_id: _ } = request;
        let command = CreateApiKey {
            service_account: fields.handle(Named::ServiceAccount, "service_account", &service_account),
            title: fields.text("title", &title, 0..=TITLE_CHARS_MAX),
            expires_at: fields.future("expire_time", expire_time.as_ref(), called.ctx.now),
        };
        let command = called.parsed(fields.finish(command))?;
        let done = called.answer(self.app.create_api_key(&called.ctx, &command).await)?;
        let (consistency_token, secret_already_delivered) = (self.token(&done), done.replayed);
        let CreatedApiKey { view, secret } = done.value;
        Ok(Response::new(pb::CreateApiKeyResponse {
            api_key: Some(api_key(view)),
            secret: secret.map(|secret| secret.expose().to_owned()).unwrap_or_default(),
            secret_already_delivered,
            consistency_token,
        }))
    }

    async fn get_service_account(
        &self,
        request: Request<pb::GetServiceAccountRequest>,
    ) -> Result<Response<pb::GetServiceAccountResponse>, Status> {
        let (called, pb::GetServiceAccountRequest { service_account: handle }) = Called::new(request)?;
        let mut fields = Fields::default();
        let handle = fields.handle(Named::ServiceAccount, "service_account", &handle);
        let handle = called.parsed(fields.finish(handle))?;
        let view = called.answer(self.app.get_service_account(&called.ctx, &handle).await)?;
        Ok(Response::new(pb::GetServiceAccountResponse { service_account: Some(service_account(view)) }))
    }

    async fn list_service_accounts(
        &self,
        request: Request<pb::ListServiceAccountsRequest>,
    ) -> Result<Response<pb::ListServiceAccountsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list(request))?;
        let page = called.answer(self.app.list_service_accounts(&called.ctx, &query, service_account).await)?;
        let (service_accounts, next_page_token) = (page.items, page.next);
        Ok(Response::new(pb::ListServiceAccountsResponse { service_accounts, next_page_token }))
    }

    async fn disable_service_account(
        &self,
        request: Request<pb::DisableServiceAccountRequest>,
    ) -> Result<Response<pb::DisableServiceAccountResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::DisableServiceAccountRequest { service_account: handle, etag, request_id: _ } = request;
        let command = called.parsed(ending(fields, &handle, etag))?;
        let done = called.answer(self.app.disable_service_account(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let service_account = Some(service_account(done.value));
        Ok(Response::new(pb::DisableServiceAccountResponse { service_account, consistency_token }))
    }

    async fn enable_service_account(
        &self,
        request: Request<pb::EnableServiceAccountRequest>,
    ) -> Result<Response<pb::EnableServiceAccountResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::EnableServiceAccountRequest { service_account: handle, etag, request_id: _ } = request;
        let command = called.parsed(ending(fields, &handle, etag))?;
        let done = called.answer(self.app.enable_service_account(&called.ctx, &command).await)?;
        let consistency_token = self.token(&done);
        let service_account = Some(service_account(done.value));
        Ok(Response::new(pb::EnableServiceAccountResponse { service_account, consistency_token }))
    }

    async fn delete_service_account(
        &self,
        request: Request<pb::DeleteServiceAccountRequest>,
    ) -> Result<Response<pb::DeleteServiceAccountResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::DeleteServiceAccountRequest { service_account: handle, etag, request_id: _ } = request;
        let command = called.parsed(ending(fields, &handle, etag))?;
        let done = called.answer(self.app.delete_service_account(&called.ctx, &command).await)?;
        Ok(Response::new(pb::DeleteServiceAccountResponse { consistency_token: self.token(&done) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<pb::ListApiKeysRequest>,
    ) -> Result<Response<pb::ListApiKeysResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(list_keys(request))?;
        let page = called.answer(self.app.list_api_keys(&called.ctx, &query, api_key).await)?;
        Ok(Response::new(pb::ListApiKeysResponse { api_keys: page.items, next_page_token: page.next }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<pb::RevokeApiKeyRequest>,
    ) -> Result<Response<pb::RevokeApiKeyResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::RevokeApiKeyRequest { api_key: key, request_id: _ } = request;
        let key = fields.id("api_key", &key).into();
        let key = called.parsed(fields.finish(key))?;
        let done = called.answer(self.app.revoke_api_key(&called.ctx, key).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::RevokeApiKeyResponse { api_key: Some(api_key(done.value)), consistency_token }))
    }
}

fn list(request: pb::ListServiceAccountsRequest) -> Result<ListServiceAccounts, Error> {
    let mut fields = Fields::default();
    let query = pb::ListServiceAccountsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListServiceAccountsRequest { name, organization, disabled, page_size, page_token } = request;
    let query = ListServiceAccounts {
        name: fields.text("name", &name, 0..=SLUG_CHARS_MAX),
        organization: fields.optional_handle(Named::Organization, "organization", &organization),
        disabled,
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn list_keys(request: pb::ListApiKeysRequest) -> Result<ListApiKeys, Error> {
    let mut fields = Fields::default();
    let query = pb::ListApiKeysRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let pb::ListApiKeysRequest { service_account, live, page_size, page_token, created_by } = request;
    if service_account.is_empty() && created_by.is_empty() {
        fields.wrong("service_account", "is empty, and so is created_by: one of them is required");
    }
    let query = ListApiKeys {
        service_account: fields.optional_handle(Named::ServiceAccount, "service_account", &service_account),
        created_by: fields.optional_handle(Named::Principal, "created_by", &created_by),
        live,
        page: fields.page(page_size, page_token, &query),
    };
    fields.finish(query)
}

fn ending(mut fields: Fields, handle: &str, etag: String) -> Result<EndServiceAccount, Error> {
    let service_account = fields.handle(Named::ServiceAccount, "service_account", handle);
    fields.finish(EndServiceAccount { service_account, etag: none_if_empty(etag) })
}

/// A service account on the wire.
pub(super) fn service_account(ServiceAccountView { account, slug }: ServiceAccountView) -> pb::ServiceAccount {
    let etag = account.etag();
    let ServiceAccount { id, name, title, organization, spiffe_id, disabled_at, created_at, created_by: _, version: _ } =
        account;
    let slug = slug.unwrap_or_default();
    pb::ServiceAccount {
        id: id.to_string(),
        name,
        title,
        organization: organization.map(|id| pb::OrganizationRef { id: id.to_string(), slug }),
        spiffe_id: spiffe_id.unwrap_or_default(),
        disable_time: disabled_at.map(instant),
        create_time: Some(instant(created_at)),
        etag,
    }
}

/// An API key on the wire, which never has its secret.
pub(super) fn api_key(ApiKeyView { key, account, created_by: maker }: ApiKeyView) -> pb::ApiKey {
    let ApiKey {
        id,
        service_account,
        secret_hash: _,
        title,
        created_at,
        created_by,
        expires_at,
        revoked_at,
        last_used_at,
    } = key;
    pb::ApiKey {
        id: id.to_string(),
        service_account: Some(principal(service_account.into(), Some(&account))),
        title,
        expire_time: expires_at.map(instant),
        revoke_time: revoked_at.map(instant),
        last_use_time: last_used_at.map(instant),
        created_by: created_by.map(|id| principal(id, maker.as_ref())),
        create_time: Some(instant(created_at)),
    }
}
