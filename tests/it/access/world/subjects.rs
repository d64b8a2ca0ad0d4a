//! How a subject of each kind is made, by calls that anybody could make.

use countersign::domain::account::{Verified, VerifiedHow};
use countersign::grpc::pb::{self, Reach};

use super::{Kind, Place, READ, READER, SCHEME, Subject, Target, World, nobody, organization};
use crate::support::{At, Portal, role};

impl World<'_> {
    /// A session of a user beside the one that calls; nobody's, of who can't sign in.
    pub(in crate::access) async fn another_session_of(&self, user: &str) -> String {
        let Ok(user) = self.portal.operator.user(user).await else { return nobody() };
        let began = self.portal.stranger.sign_in(&user.email).await.ok();
        began.and_then(|token| crate::support::session_of(&token)).unwrap_or_else(nobody)
    }

    /// The realm of a target, and its organization there.
    pub(super) fn home(&self, target: Target) -> (&Portal, Option<&Place>) {
        let portal = if target == Target::OtherRealm { &self.elsewhere } else { &self.portal };
        let place = match target {
            Target::Realm => None,
            Target::OtherRealm => Some(&self.foreign),
            Target::OtherOrganization | Target::OtherAsOwn => Some(&self.other),
            _ => Some(&self.own),
        };
        (portal, place)
    }

    pub(super) async fn make(&self, kind: Kind, target: Target) -> Subject {
        let (portal, place) = self.home(target);
        match kind {
            Kind::Company | Kind::SuspendedCompany => return self.company(kind).await,
            Kind::ServiceAccount | Kind::KeyHolder | Kind::Disabled => {
                return self.service_account(portal, place, kind).await;
            }
            Kind::Role => {
                let created = portal.operator.roles().create_role(role(&self.fresh("role"))).await.unwrap();
                let made = created.into_inner().role.unwrap();
                return Subject { id: made.id, handle: made.name, extra: String::new() };
            }
            Kind::Permission => {
                let name = format!("shop.{}", self.fresh("permission"));
                portal.declare(&[&name]).await;
                return Subject { id: name.clone(), handle: name, extra: String::new() };
            }
            _ => {}
        }
        let mut made = self.newcomer(portal, place).await;
        let operator = &portal.operator;
        match target {
            Target::OwnTeam => drop(operator.set_manager(&made.id, &self.manager).await.unwrap()),
            Target::OtherTeam => drop(operator.set_manager(&made.id, &self.other_manager).await.unwrap()),
            _ => {}
        }
        if !matches!(kind, Kind::Newcomer | Kind::Unproven) {
            if kind != Kind::Unvouched {
                self.prove(portal, &made.handle).await;
            }
            operator.approve(&made.id).await.unwrap();
        }
        match kind {
            Kind::Unproven => made.extra = self.app.code_for(&made.handle).await,
            Kind::Undelivered => {
                made.extra = self.app.dead_letter(&portal.name, &made.handle, Some(&made.id)).await;
            }
            Kind::Forgetful => {
                portal.stranger.ask_for_reset(&made.handle).await.unwrap();
                made.extra = self.app.code_for(&made.handle).await;
            }
            Kind::Suspended => drop(operator.suspend(&made.id, "on leave").await.unwrap()),
            Kind::Grantee => {
                let at = place.map_or(At::Realm, |place| At::Organization(&place.id));
                made.extra = grant(portal, &made.id, at).await;
            }
            Kind::Blocked => drop(operator.block(&made.id, "a lost laptop").await.unwrap()),
            Kind::Deleted => drop(operator.delete(&made.id).await.unwrap()),
            Kind::Holder => {
                let at = place.map_or(At::Realm, |place| At::Organization(&place.id));
                made.extra = operator.assign(&made.id, READER, at).await.unwrap().id;
            }
            Kind::SignedIn => made.extra = portal.stranger.begin(&made.handle).await.unwrap().access_token,
            Kind::Refreshable => made.extra = portal.stranger.begin(&made.handle).await.unwrap().refresh_token,
            _ => {}
        }
        made
    }

    pub(in crate::access) async fn newcomer(&self, portal: &Portal, place: Option<&Place>) -> Subject {
        let handle = format!("{}@people.example", self.fresh("person"));
        let code = match place {
            Some(place) => Some(self.code(place).await),
            None => None,
        };
        let codes: Vec<_> = code.iter().map(|code| (SCHEME, code.as_str())).collect();
        portal.stranger.register(&handle, "Somebody", &codes).await.unwrap();
        let id = portal.operator.user(&handle).await.unwrap().id;
        Subject { id, handle, extra: String::new() }
    }

    /// Has somebody have proven their mailbox, without the mail.
    pub(in crate::access) async fn prove(&self, portal: &Portal, email: &str) {
        let at = self.app.clock().now();
        portal.alter(self.app, email, |user| user.verified = Some(Verified { at, how: VerifiedHow::Link })).await;
    }

    async fn company(&self, kind: Kind) -> Subject {
        let slug = self.fresh("company");
        let id = organization(&self.portal, self.realms[0], &slug).await.id;
        if kind == Kind::SuspendedCompany {
            let (organization, reason) = (id.clone(), "no contract".to_owned());
            let request = pb::SuspendOrganizationRequest { organization, reason, ..Default::default() };
            self.portal.operator.organizations().suspend_organization(request).await.unwrap();
        }
        Subject { id, handle: slug, extra: String::new() }
    }

    /// The code of an organization that nobody is in.
    pub(in crate::access) async fn code_of_an_empty_organization(&self) -> String {
        let code = self.fresh("code");
        let identifiers = vec![pb::Identifier { scheme: SCHEME.to_owned(), value: code.clone() }];
        let slug = self.fresh("empty");
        let title = slug.clone();
        let request = pb::CreateOrganizationRequest { slug, title, identifiers, ..Default::default() };
        self.portal.organization(request).await;
        code
    }

    pub(super) async fn service_account(&self, portal: &Portal, place: Option<&Place>, kind: Kind) -> Subject {
        let name = self.fresh("service");
        let organization = place.map(|place| place.id.clone()).unwrap_or_default();
        let request = pb::CreateServiceAccountRequest { name: name.clone(), organization, ..Default::default() };
        let mut client = portal.operator.service_accounts();
        let account = client.create_service_account(request).await.unwrap().into_inner().service_account.unwrap();
        let mut made = Subject { id: account.id, handle: name.clone(), extra: String::new() };
        if kind == Kind::KeyHolder {
            let request = pb::CreateApiKeyRequest { service_account: name, ..Default::default() };
            made.extra = client.create_api_key(request).await.unwrap().into_inner().api_key.unwrap().id;
        } else if kind == Kind::Disabled {
            let request = pb::DisableServiceAccountRequest { service_account: name, ..Default::default() };
            client.disable_service_account(request).await.unwrap();
        }
        made
    }
}

/// Grants [`READ`] at OWN. Answers the id of the grant.
pub(super) async fn grant(portal: &Portal, principal: &str, at: At<'_>) -> String {
    use pb::grant_permission_request::Scope;
    let request = pb::GrantPermissionRequest {
        principal: principal.to_owned(),
        pattern: READ.to_owned(),
        reach: Reach::Own.into(),
        scope: Some(match at {
            At::Organization(organization) => Scope::Organization(organization.to_owned()),
            At::Realm => Scope::RealmWide(true),
        }),
        ..Default::default()
    };
    portal.operator.assignments().grant_permission(request).await.unwrap().into_inner().entry.unwrap().id
}
