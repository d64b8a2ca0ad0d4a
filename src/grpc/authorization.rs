//! `AuthorizationService`: checks and their reasons; its lists and its stream stand beside.

mod lists;
mod watch;

use tonic::{Request, Response, Status};

use super::api::{Api, Called};
use super::convert::{Fields, gate, reach, reason};
use super::pb::authorization_service_server::AuthorizationService;
use super::pb::{self, batch_check_result};
use crate::app::{About, Answered, Asked, At, ChainView, Ctx, Error, Explained, Freshness, How, MissView};
use crate::domain::decision::Decision;
use crate::domain::handle::Named;
use crate::domain::ids::RoleId;

/// More questions than this are not answered at once.
const BATCH_MAX: usize = 1000;

#[tonic::async_trait]
impl AuthorizationService for Api {
    async fn check_permission(
        &self,
        request: Request<pb::CheckPermissionRequest>,
    ) -> Result<Response<pb::CheckPermissionResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let (asked, how) = called.parsed(self.question(&called.ctx, request))?;
        let answered = called.answer(self.app.check(&called.ctx, &asked, how).await)?;
        let At { value: Answered { decision, reason: why, detail }, revision, position } = answered;
        Ok(Response::new(pb::CheckPermissionResponse {
            decision: shown(decision).into(),
            reason: why.map_or(pb::ErrorReason::Unspecified, reason).into(),
            detail,
            revision: revision.0,
            consistency_token: self.token_at(called.ctx.realm, position),
        }))
    }

    async fn batch_check_permissions(
        &self,
        request: Request<pb::BatchCheckPermissionsRequest>,
    ) -> Result<Response<pb::BatchCheckPermissionsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let (asked, how) = called.parsed(self.questions(&called.ctx, request))?;
        let answered = called.answer(self.app.check_batch(&called.ctx, &asked, how).await)?;
        Ok(Response::new(pb::BatchCheckPermissionsResponse {
            results: answered.value.into_iter().map(result).collect(),
            revision: answered.revision.0,
            consistency_token: self.token_at(called.ctx.realm, answered.position),
        }))
    }

    async fn explain_decision(
        &self,
        request: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::ExplainDecisionResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let (asked, freshness) = called.parsed(self.inquiry(&called.ctx, request))?;
        let explained = called.answer(self.app.explain(&called.ctx, &asked, freshness).await)?;
        let At { value: Explained { answered, allowed_by, gates, misses, left_off }, revision, position } = explained;
        let Answered { decision, reason: why, detail } = answered;
        Ok(Response::new(pb::ExplainDecisionResponse {
            decision: shown(decision).into(),
            reason: why.map_or(pb::ErrorReason::Unspecified, reason).into(),
            detail,
            allowed_by: allowed_by.map(chain),
            failing_gates: gates.into_iter().map(|(failing, words)| gate(failing, words)).collect(),
            near_misses: misses.into_iter().map(miss).collect(),
            near_misses_left_off: i32::try_from(left_off).unwrap_or(i32::MAX),
            revision: revision.0,
            consistency_token: self.token_at(called.ctx.realm, position),
        }))
    }

    async fn list_effective_permissions(
        &self,
        request: Request<pb::ListEffectivePermissionsRequest>,
    ) -> Result<Response<pb::ListEffectivePermissionsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(self.effective(&called.ctx, request))?;
        let listed =
            called.answer(self.app.list_effective_permissions(&called.ctx, &query, lists::permission).await)?;
        Ok(Response::new(self.effective_page(&called.ctx, listed)))
    }

    async fn list_allowed_organizations(
        &self,
        request: Request<pb::ListAllowedOrganizationsRequest>,
    ) -> Result<Response<pb::ListAllowedOrganizationsResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(self.allowed(&called.ctx, request))?;
        let listed =
            called.answer(self.app.list_allowed_organizations(&called.ctx, &query, lists::organization).await)?;
        Ok(Response::new(self.allowed_page(&called.ctx, listed)))
    }

    async fn list_principals_with_permission(
        &self,
        request: Request<pb::ListPrincipalsWithPermissionRequest>,
    ) -> Result<Response<pb::ListPrincipalsWithPermissionResponse>, Status> {
        let (called, request) = Called::new(request)?;
        let query = called.parsed(self.holding(&called.ctx, request))?;
        let listed = called.answer(self.app.list_principals(&called.ctx, &query, lists::holder).await)?;
        Ok(Response::new(self.holding_page(&called.ctx, listed)))
    }

    type WatchChangesStream = watch::Steps;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        self.follow(request).await.map(Response::new)
    }
}

impl Api {
    fn inquiry(&self, ctx: &Ctx, request: pb::ExplainDecisionRequest) -> Result<(Asked, Freshness), Error> {
        let pb::ExplainDecisionRequest { subject, permission, organization, owner, resource, consistency } = request;
        let mut fields = Fields::default();
        let about = about(&mut fields, subject.map(Subject::from));
        let asked = asked(&mut fields, about, permission, &organization, &owner, resource);
        let freshness = self.freshness(ctx, &mut fields, consistency);
        fields.finish((asked, freshness))
    }

    fn question(&self, ctx: &Ctx, request: pb::CheckPermissionRequest) -> Result<(Asked, How), Error> {
        let pb::CheckPermissionRequest { subject, permission, organization, owner, resource, consistency, with_reason } =
            request;
        let mut fields = Fields::default();
        let about = about(&mut fields, subject.map(Subject::from));
        let asked = asked(&mut fields, about, permission, &organization, &owner, resource);
        let freshness = self.freshness(ctx, &mut fields, consistency);
        fields.finish((asked, How { freshness, with_reason }))
    }

    fn questions(
        &self,
        ctx: &Ctx,
        request: pb::BatchCheckPermissionsRequest,
    ) -> Result<(Vec<Result<Asked, Error>>, How), Error> {
        let pb::BatchCheckPermissionsRequest { subject, items, consistency, with_reason } = request;
        let mut fields = Fields::default();
        if items.is_empty() || items.len() > BATCH_MAX {
            fields.wrong("items", format!("has {} items, 1 to {BATCH_MAX} are allowed", items.len()));
        }
        let everybody = subject.map(Subject::from);
        let freshness = self.freshness(ctx, &mut fields, consistency);
        fields.finish(())?;
        let asked = items.into_iter().map(|one| item(one, everybody.as_ref())).collect();
        Ok((asked, How { freshness, with_reason }))
    }

    /// How fresh the answer has to be; a token of another realm or of another making is an error.
    pub(super) fn freshness(&self, ctx: &Ctx, fields: &mut Fields, consistency: Option<pb::Consistency>) -> Freshness {
        use pb::consistency::Requirement;
        match consistency.and_then(|consistency| consistency.requirement) {
            None | Some(Requirement::MinimizeLatency(_)) => Freshness::Latest,
            Some(Requirement::FullyConsistent(_)) => Freshness::Full,
            Some(Requirement::AtLeastAsFresh(text)) => match self.app.position_of(&text) {
                Some((realm, position)) if realm == ctx.realm => Freshness::AtLeast(position),
                Some(_) | None => {
                    fields.wrong("consistency.at_least_as_fresh", "is not a consistency token of this realm");
                    Freshness::Full
                }
            },
        }
    }
}

/// Whom a question is about, as any of the requests says it.
#[derive(Clone)]
enum Subject {
    Principal(String),
    AccessToken(String),
}

/// Each request has a type of its own for the same choice.
macro_rules! subject_of {
    ($($request:ident),+) => {$(
        impl From<pb::$request::Subject> for Subject {
            fn from(named: pb::$request::Subject) -> Self {
                match named {
                    pb::$request::Subject::Principal(principal) => Self::Principal(principal),
                    pb::$request::Subject::AccessToken(token) => Self::AccessToken(token),
                }
            }
        }
    )+};
}
subject_of!(check_permission_request, batch_check_permissions_request, batch_check_item, explain_decision_request);
subject_of!(list_effective_permissions_request, list_allowed_organizations_request);

fn item(item: pb::BatchCheckItem, everybody: Option<&Subject>) -> Result<Asked, Error> {
    let pb::BatchCheckItem { subject, permission, organization, owner, resource } = item;
    let mut fields = Fields::default();
    let about = about(&mut fields, subject.map(Subject::from).or_else(|| everybody.cloned()));
    let asked = asked(&mut fields, about, permission, &organization, &owner, resource);
    fields.finish(asked)
}

fn about(fields: &mut Fields, subject: Option<Subject>) -> About {
    match subject {
        Some(Subject::AccessToken(token)) => About::AccessToken(token),
        Some(Subject::Principal(principal)) => {
            About::Principal(fields.handle(Named::Principal, "principal", &principal))
        }
        None => {
            fields.wrong("subject", "is missing");
            About::AccessToken(String::new())
        }
    }
}

fn asked(
    fields: &mut Fields,
    about: About,
    permission: String,
    organization: &str,
    owner: &str,
    resource: Option<pb::Resource>,
) -> Asked {
    Asked {
        about,
        permission: lists::named(fields, permission),
        organization: fields.optional_handle(Named::Organization, "organization", organization),
        owner: fields.optional_handle(Named::Principal, "owner", owner),
        resource: fields.resource("resource", resource),
    }
}

fn result(answered: Result<Answered, Error>) -> pb::BatchCheckResult {
    match answered {
        Ok(Answered { decision, reason: why, detail }) => pb::BatchCheckResult {
            outcome: Some(batch_check_result::Outcome::Decision(shown(decision).into())),
            reason: why.map_or(pb::ErrorReason::Unspecified, reason).into(),
            detail,
        },
        Err(error) => {
            let message = match &error {
                Error::Invalid(violations) => {
                    let one = |v: &crate::app::Violation| format!("{} {}", v.field, v.description);
                    violations.iter().map(one).collect::<Vec<_>>().join("; ")
                }
                other => other.to_string(),
            };
            let failed = pb::ItemError { reason: reason(error.reason()).into(), message };
            pb::BatchCheckResult {
                outcome: Some(batch_check_result::Outcome::Error(failed)),
                reason: pb::ErrorReason::Unspecified.into(),
                detail: String::new(),
            }
        }
    }
}

/// A decision on the wire.
fn shown(decision: Decision) -> pb::Decision {
    match decision {
        Decision::Allowed => pb::Decision::Allowed,
        Decision::Denied => pb::Decision::Denied,
    }
}

fn chain(view: ChainView) -> pb::Chain {
    let ChainView { entry, path, pattern, reach: at } = view;
    let role = |(id, name): (RoleId, String)| pb::RoleRef { id: id.to_string(), name };
    pb::Chain {
        entry: entry.map(super::entry::shown),
        path: path.into_iter().map(role).collect(),
        grant: Some(pb::PatternGrant { pattern: pattern.to_string(), reach: reach(at).into() }),
    }
}

fn miss(view: MissView) -> pb::NearMiss {
    let MissView { chain: of, reason: why, missing } = view;
    pb::NearMiss { chain: of.map(chain), reason: reason(why).into(), missing }
}
