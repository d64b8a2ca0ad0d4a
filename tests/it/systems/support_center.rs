//! A software vendor's customer portal. Newcomers are recognised by the domain of their address, and approved by an
//! administrator of their own company, or by the vendor's support where a company has none.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{
    ALLOWED, At, Caller, Letter, PASSWORD, Person, Portal, TestApp, ask, both_backends, by_default, denied, everywhere,
    grants, identifiers, refusal, role, text, within,
};

const VERIFY: &str = "Verify your e-mail address";
const RECEIVED: &str = "Symmetry Registration: Admin Approval Required";
const WAITING: &str = "A New User Is Waiting for your Approval";
const APPROVED: &str = "Your registration was approved";

fn policy() -> Policy {
    let kind = |name: &str, exclusive| pb::Kind { name: name.to_owned(), exclusive };
    let subject = |subject: &str| pb::MailText { subject: subject.to_owned(), ..Default::default() };
    Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        code_schemes: vec![pb::CodeScheme {
            name: "domain".to_owned(),
            format: pb::CodeFormat::Domain.into(),
            unique: true,
        }],
        approval: pb::ApprovalAuthority::Organization.into(),
        approval_fallback: pb::ApprovalFallback::Realm.into(),
        kinds: vec![kind("client", false), kind("vendor", true)],
        mails: [("registration_received", RECEIVED), ("approval_waiting", WAITING)]
            .map(|(name, words)| (name.to_owned(), subject(words)))
            .into(),
        base_url: "https://support.symmetry.example".to_owned(),
        ..Default::default()
    }
}

fn roles() -> [pb::CreateRoleRequest; 4] {
    let manages_users =
        ["users.read", "users.approve", "users.suspend", "roles.assign"].map(|name| format!("countersign.{name}"));
    let manages_users = grants(Reach::All, &manages_users.each_ref().map(String::as_str));
    let approvals = pb::RoleTopic { topic: "approvals".to_owned(), reach: Reach::All.into() };
    [
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["release_notes.read", "documentation.read"]),
            assignable: Some(by_default(within(&["client"]))),
            ..role("user")
        },
        pb::CreateRoleRequest {
            grants: manages_users.clone(),
            assignable: Some(within(&["client"])),
            may_assign: text(&["user", "administrator"]),
            topics: vec![approvals.clone()],
            ..role("administrator")
        },
        pb::CreateRoleRequest {
            grants: [manages_users, grants(Reach::All, &["countersign.organizations.*"])].concat(),
            assignable: Some(everywhere(&["vendor"])),
            may_assign: text(&["user", "administrator"]),
            topics: vec![approvals],
            ..role("vendor_support")
        },
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["countersign.access.check"]),
            assignable: Some(everywhere(&[])),
            ..role("sibling_service")
        },
    ]
}

/// The portal, its support and the service that asks for decisions.
struct Center {
    portal: Portal,
    vera: Person,
    hub: Caller,
}

impl Center {
    async fn open(app: &TestApp) -> Self {
        let portal = app.realm("symmetry", policy()).await;
        portal.declare(&["release_notes.read", "documentation.read"]).await;
        portal.define(roles()).await;
        for (slug, kind) in [("symmetry", "vendor"), ("acme", "client"), ("globex", "client")] {
            let organization = pb::CreateOrganizationRequest {
                slug: slug.to_owned(),
                title: slug.to_owned(),
                kind: kind.to_owned(),
                identifiers: identifiers(&[("domain", &format!("{slug}.example"))]),
                ..Default::default()
            };
            portal.organization(organization).await;
        }
        let hub = portal.service(app, "hub", "sibling_service").await;
        let vera = portal.person(app, "vera@symmetry.example", &[], &[]).await;
        portal.operator.assign(&vera.email, "vendor_support", At::Realm).await.unwrap();
        app.mailed().await;
        Self { portal, vera, hub }
    }

    /// An administrator whom the vendor's support designated.
    async fn administrator(&self, app: &TestApp, email: &str) -> Person {
        self.portal.newcomer(app, email, &[]).await;
        let roles = text(&["administrator"]);
        let approval = pb::ApproveRegistrationRequest { user: email.to_owned(), roles, ..Default::default() };
        self.vera.caller.approvals().approve_registration(approval).await.unwrap();
        app.mailed().await;
        self.portal.enter(app, email).await
    }
}

both_backends!(a_newcomer_is_announced_once_verified_to_their_own_companys_administrators, async |app: &TestApp| {
    let center = Center::open(app).await;
    let adam = center.administrator(app, "adam@acme.example").await;
    center.administrator(app, "alma@acme.example").await;
    center.administrator(app, "axel@acme.example").await;
    let gina = center.administrator(app, "gina@globex.example").await;
    adam.caller.suspend("axel@acme.example", "on leave").await.unwrap();
    assert_eq!(app.mailed().await, ["axel@acme.example: Your account was suspended"]);

    let stranger = &center.portal.stranger;
    stranger.register("nora@acme.example", "Nora", &[]).await.unwrap();
    assert_eq!(app.mailed().await, [format!("nora@acme.example: {VERIFY}")]);
    assert_eq!(adam.caller.waiting().await.unwrap(), [""; 0], "who only claims an address is not shown");
    assert_eq!(center.vera.caller.waiting().await.unwrap(), ["nora@acme.example"]);

    let gates = stranger.verify(&app.code_for("nora@acme.example").await).await.unwrap();
    assert_eq!(gates, [ErrorReason::ApprovalPending]);
    assert_eq!(
        app.mailed().await,
        [
            format!("adam@acme.example: {WAITING}"),
            format!("alma@acme.example: {WAITING}"),
            format!("nora@acme.example: {RECEIVED}"),
        ],
    );
    let told = app.mails_to("adam@acme.example").await;
    assert!(told.last().is_some_and(|mail| mail.text.contains("nora@acme.example")), "{told:#?}");
    assert_eq!(adam.caller.waiting().await.unwrap(), ["nora@acme.example"]);
    assert_eq!(gina.caller.waiting().await.unwrap(), [""; 0]);
});

both_backends!(an_administrators_approval_opens_at_once, async |app: &TestApp| {
    let center = Center::open(app).await;
    let adam = center.administrator(app, "adam@acme.example").await;
    let gina = center.administrator(app, "gina@globex.example").await;
    center.portal.newcomer(app, "nora@acme.example", &[]).await;
    app.mailed().await;
    let nora = adam.caller.user("nora@acme.example").await.unwrap();
    let question = || ask(&nora.id, "documentation.read");

    let stranger = &center.portal.stranger;
    let closed = (Code::PermissionDenied, ErrorReason::ApprovalPending);
    assert_eq!(refusal(stranger.sign_in(&nora.email).await), closed);
    assert_eq!(center.hub.check(question()).await.unwrap(), denied(ErrorReason::ApprovalPending));
    assert_eq!(refusal(gina.caller.approve(&nora.email).await), (Code::NotFound, ErrorReason::NotFound));
    assert_eq!(refusal(adam.caller.approve(&adam.email).await).1, ErrorReason::NotOnOneself);

    adam.caller.approve(&nora.email).await.unwrap();
    assert_eq!(center.hub.check(question()).await.unwrap(), ALLOWED);
    assert_eq!(app.mailed().await, [format!("nora@acme.example: {APPROVED}")]);
    let nora = center.portal.enter(app, &nora.email).await;
    let told = app.mails_to(&nora.email).await;
    assert!(told.last().is_some_and(|mail| !mail.text.contains("missing")), "{told:#?}");
    assert_eq!(refusal(nora.caller.waiting().await), (Code::PermissionDenied, ErrorReason::PermissionMissing));

    let again = adam.caller.approve(&nora.email).await.unwrap();
    assert_eq!(again.status(), pb::UserStatus::Active);
    assert_eq!(app.mailed().await, [""; 0], "approving what is approved changes nothing");
});

both_backends!(
    approved_before_verified_by_the_vendor_the_mail_has_a_link_for_what_is_missing,
    async |app: &TestApp| {
        let center = Center::open(app).await;
        let stranger = &center.portal.stranger;
        stranger.register("adam@acme.example", "Adam", &[]).await.unwrap();
        assert_eq!(
            app.mailed().await,
            [
                format!("adam@acme.example: {VERIFY}"),
                // The company has nobody: realm-wide approvers hear at once.
                format!("vera@symmetry.example: {WAITING}"),
            ],
        );
        center.vera.caller.approve("adam@acme.example").await.unwrap();
        assert_eq!(app.mailed().await, ["adam@acme.example: Set your password"]);
        let told: Vec<Letter> = app.mails_to("adam@acme.example").await;
        let link = told.last().and_then(Letter::code);
        assert!(told.last().is_some_and(|mail| mail.text.contains("approved the registration")), "{told:#?}");

        let failed = (Code::Unauthenticated, ErrorReason::SignInFailed);
        assert_eq!(refusal(stranger.sign_in("adam@acme.example").await), failed);
        let question = || ask("adam@acme.example", "documentation.read");
        assert_eq!(center.hub.check(question()).await.unwrap(), denied(ErrorReason::EmailNotVerified));

        assert_eq!(stranger.reset(&link.unwrap(), PASSWORD).await.unwrap(), []);
        assert_eq!(center.hub.check(question()).await.unwrap(), ALLOWED);
        center.portal.enter(app, "adam@acme.example").await;
        assert_eq!(app.mailed().await, ["adam@acme.example: Your password was changed"]);
    }
);
