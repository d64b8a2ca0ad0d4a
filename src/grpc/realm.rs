//! `RealmService`.

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, TITLE_CHARS_MAX, instant, none_if_empty};
use super::mask::Mask;
use super::pb::{self, realm_service_server::RealmService};
use super::policy;
use crate::app::{CreateRealm, Draft, UpdateRealm};
use crate::domain::realm::{PLATFORM_REALM, Realm};
use crate::domain::workload::SpiffePrefix;

const PREFIXES: &str = "spiffe_prefixes";
/// So many prefixes at most are a realm's.
const PREFIXES_MAX: usize = 32;

#[tonic::async_trait]
impl RealmService for Api {
    async fn create_realm(
        &self,
        request: Request<pb::CreateRealmRequest>,
    ) -> Result<Response<pb::CreateRealmResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let pb::CreateRealmRequest { name, title, request_id: _ } = request;
        let name = fields.slug("name", &name);
        if name == PLATFORM_REALM {
            fields.wrong("name", format!("is {name:?}, which is the service's own"));
        }
        let title = fields.text("title", &title, 0..=TITLE_CHARS_MAX);
        let title = none_if_empty(title).unwrap_or_else(|| name.clone());
        let command = called.parsed(fields.finish(CreateRealm { name, title }))?;
        let done = called.answer(self.app.create_realm(&called.ctx, &command).await)?;
        let consistency_token = self.token_at(done.value.id, done.value.position);
        Ok(Response::new(pb::CreateRealmResponse { realm: Some(realm(done.value)), consistency_token }))
    }

    async fn get_realm(&self, request: Request<pb::GetRealmRequest>) -> Result<Response<pb::GetRealmResponse>, Status> {
        let (called, pb::GetRealmRequest { realm: named }) = Called::new(request)?;
        let mut fields = Fields::default();
        let named = none_if_empty(fields.text("realm", &named, 0..=63));
        let named = called.parsed(fields.finish(named))?;
        let found = called.answer(self.app.get_realm(&called.ctx, named.as_deref()).await)?;
        Ok(Response::new(pb::GetRealmResponse { realm: Some(realm(found)) }))
    }

    async fn list_realms(
        &self,
        request: Request<pb::ListRealmsRequest>,
    ) -> Result<Response<pb::ListRealmsResponse>, Status> {
        let (called, pb::ListRealmsRequest { page_size, page_token }) = Called::new(request)?;
        let mut fields = Fields::default();
        let page = fields.page(page_size, page_token, &pb::ListRealmsRequest::default());
        let page = called.parsed(fields.finish(page))?;
        let listed = |found| pb::Realm { policy: None, ..realm(found) };
        let page = called.answer(self.app.list_realms(&called.ctx, &page, listed).await)?;
        Ok(Response::new(pb::ListRealmsResponse { realms: page.items, next_page_token: page.next }))
    }

    async fn update_realm(
        &self,
        request: Request<pb::UpdateRealmRequest>,
    ) -> Result<Response<pb::UpdateRealmResponse>, Status> {
        let (mut called, request) = Called::new(request)?;
        let mut fields = Fields::default();
        called.ctx.repeat = fields.repeat(&request.request_id, &request);
        let draft = update(fields, request);
        let done = called.answer(self.app.update_realm(&called.ctx, &draft).await)?;
        let consistency_token = self.token(&done);
        Ok(Response::new(pb::UpdateRealmResponse { realm: Some(realm(done.value)), consistency_token }))
    }
}

fn update(mut fields: Fields, request: pb::UpdateRealmRequest) -> Draft<UpdateRealm> {
    let pb::UpdateRealmRequest { realm, title, state, policy, update_mask, etag, request_id: _, spiffe_prefixes } =
        request;
    let known = |path: &str| ["title", "state", PREFIXES].contains(&path) || policy::is_path(path);
    let mask = Mask::read(&mut fields, update_mask, known);
    let title = mask.asks("title", !title.is_empty()).then(|| fields.text("title", &title, 1..=TITLE_CHARS_MAX));
    let suspended = match mask.asks("state", state != 0) {
        true => suspended(&mut fields, state),
        false => None,
    };
    let spiffe_prefixes =
        mask.asks(PREFIXES, !spiffe_prefixes.is_empty()).then(|| prefixes(&mut fields, &spiffe_prefixes));
    let draft = UpdateRealm {
        realm: none_if_empty(fields.text("realm", &realm, 0..=63)),
        title,
        suspended,
        spiffe_prefixes,
        settings: policy::settings(&mut fields, &mask, policy.unwrap_or_default()),
        etag: none_if_empty(etag),
    };
    fields.draft(draft)
}

fn prefixes(fields: &mut Fields, given: &[String]) -> Vec<SpiffePrefix> {
    fields.count(PREFIXES, given.len(), 0..=PREFIXES_MAX);
    let mut read = vec![];
    for (at, text) in given.iter().enumerate() {
        match SpiffePrefix::parse(text) {
            Some(prefix) => read.push(prefix),
            None => {
                let form = "spiffe://TRUST-DOMAIN/ or spiffe://TRUST-DOMAIN/PATH/";
                fields.wrong(&format!("{PREFIXES}[{at}]"), format!("is {text:?}, allowed is {form}"));
            }
        }
    }
    read
}

fn suspended(fields: &mut Fields, state: i32) -> Option<bool> {
    match pb::RealmState::try_from(state) {
        Ok(pb::RealmState::Active) => Some(false),
        Ok(pb::RealmState::Suspended) => Some(true),
        Ok(pb::RealmState::Unspecified) | Err(_) => {
            fields.wrong("state", format!("is {state}, REALM_STATE_ACTIVE or REALM_STATE_SUSPENDED is allowed"));
            None
        }
    }
}

/// A realm on the wire.
fn realm(realm: Realm) -> pb::Realm {
    let etag = realm.etag();
    let Realm {
        id,
        name,
        title,
        platform: _,
        suspended,
        policy,
        spiffe_prefixes,
        position: _,
        catalogue_revision: _,
        version: _,
        created_at,
    } = realm;
    let state = if suspended { pb::RealmState::Suspended } else { pb::RealmState::Active };
    pb::Realm {
        id: id.to_string(),
        name,
        title,
        state: state.into(),
        policy: Some(policy::policy(policy)),
        create_time: Some(instant(created_at)),
        etag,
        spiffe_prefixes: spiffe_prefixes.iter().map(|prefix| prefix.as_str().to_owned()).collect(),
    }
}
