//! A realm of a test, and the people in it.

use countersign::crypto::random_mark;
use countersign::domain::account::User;
use countersign::domain::change::Key;
use countersign::grpc::pb;
use countersign::store::Lock;

use super::{At, Caller, Reachable as _, TestApp};

/// A realm, with the operator who made it.
pub(crate) struct Portal {
    pub(crate) name: String,
    /// The platform's operator in this realm.
    pub(crate) operator: Caller,
    /// A stranger in this realm.
    pub(crate) stranger: Caller,
}

/// Somebody who is in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    /// The person, signed in.
    pub(crate) caller: Caller,
}

impl Portal {
    /// Creates the realm, then gives it what is populated in `policy`.
    pub(crate) async fn open(operator: Caller, anybody: Caller, name: &str, policy: pb::Policy) -> Self {
        let created = pb::CreateRealmRequest { name: name.to_owned(), ..Default::default() };
        operator.realms().create_realm(created).await.unwrap();
        let (operator, stranger) = (operator.in_realm(name), anybody.in_realm(name));
        let portal = Self { name: name.to_owned(), operator, stranger };
        portal.decide(policy, &[]).await;
        portal
    }

    /// Writes these settings of the policy, or, without any, what is populated.
    pub(crate) async fn decide(&self, policy: pb::Policy, settings: &[&str]) {
        let paths: Vec<_> = settings.iter().map(|setting| format!("policy.{setting}")).collect();
        let update_mask = (!paths.is_empty()).then_some(prost_types::FieldMask { paths });
        let request = pb::UpdateRealmRequest { policy: Some(policy), update_mask, ..Default::default() };
        self.operator.realms().update_realm(request).await.unwrap();
    }

    /// Lets the realm's service accounts have SPIFFE ids that begin so.
    pub(crate) async fn spiffe_prefixes(&self, prefixes: &[&str]) {
        let spiffe_prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
        let request = pb::UpdateRealmRequest { spiffe_prefixes, ..Default::default() };
        self.operator.realms().update_realm(request).await.unwrap();
    }

    /// Enters permissions into the catalogue.
    pub(crate) async fn declare(&self, permissions: &[&str]) {
        for name in permissions {
            let request = pb::DeclarePermissionRequest { name: (*name).to_owned(), ..Default::default() };
            self.operator.roles().declare_permission(request).await.unwrap();
        }
    }

    /// Creates roles, in this order.
    pub(crate) async fn define(&self, roles: impl IntoIterator<Item = pb::CreateRoleRequest>) {
        for role in roles {
            let name = role.name.clone();
            let created = self.operator.roles().create_role(role).await;
            created.unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        }
    }

    /// Creates an organization. Answers its id.
    pub(crate) async fn organization(&self, organization: pb::CreateOrganizationRequest) -> String {
        let created = self.operator.organizations().create_organization(organization).await.unwrap();
        created.into_inner().organization.unwrap().id
    }

    /// Lets somebody register, and prove their address by the link in the mail. Nobody has approved them yet.
    pub(crate) async fn newcomer(&self, app: &TestApp, email: &str, codes: &[(&str, &str)]) {
        let name = email.split('@').next().unwrap_or_default();
        self.stranger.register(email, name, codes).await.unwrap();
        self.stranger.verify(&app.code_for(email).await).await.unwrap();
    }

    /// A person who registered, verified, was approved by the operator with these roles on top, and signed in. The
    /// mails of it count as read.
    pub(crate) async fn person(&self, app: &TestApp, email: &str, codes: &[(&str, &str)], roles: &[&str]) -> Person {
        self.newcomer(app, email, codes).await;
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        let request = pb::ApproveRegistrationRequest { user: email.to_owned(), roles, ..Default::default() };
        self.operator.approvals().approve_registration(request).await.unwrap();
        app.mailed().await;
        self.enter(app, email).await
    }

    /// Writes into somebody's account behind the service's back, which is told that it did.
    pub(crate) async fn alter(&self, app: &TestApp, email: &str, change: impl FnOnce(&mut User)) {
        let inner = &app.inner().app;
        let realm = inner.store().realm_named(&self.name).await.unwrap().unwrap().id;
        let tx = inner.store().begin(realm, Lock::Realm).await.unwrap();
        let mut user = tx.rows().user_by_identity(email).await.unwrap().unwrap();
        change(&mut user);
        tx.rows().update_user(&user).await.unwrap();
        let stale = vec![Key::Principal(user.id.into())];
        let committed = tx.commit(stale, random_mark(), app.clock().now()).await.unwrap();
        inner.snapshots().committed(&committed).await;
    }

    /// A person who may, signing in.
    pub(crate) async fn enter(&self, app: &TestApp, email: &str) -> Person {
        let caller = app.as_token(&self.stranger.sign_in(email).await.unwrap());
        let id = caller.user("").await.unwrap().id;
        Person { id, email: email.to_owned(), caller }
    }

    /// A service of the realm with a role, by its key.
    pub(crate) async fn service(&self, app: &TestApp, name: &str, role: &str) -> Caller {
        let key = self.operator.service(name).await.unwrap();
        self.operator.assign(name, role, At::Realm).await.unwrap();
        app.as_key(&key)
    }
}
