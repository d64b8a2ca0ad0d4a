//! `RegistrationService`: asking for one more membership.

use std::time::Duration;

use countersign::grpc::pb::{self, ErrorReason, MembershipState, Policy, Reach};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    ALLOWED, Person, Portal, TestApp, ask, both_backends, by_default, everywhere, grants, identifiers, refusal, role,
    violations, within,
};

const ACME: [(&str, &str); 1] = [("code", "acme-1")];
const GLOBEX: [(&str, &str); 1] = [("code", "globex-1")];
const ANN: &str = "ann@acme.example";

fn scheme(name: &str, format: pb::CodeFormat) -> pb::CodeScheme {
    pb::CodeScheme { name: name.to_owned(), format: format.into(), unique: true }
}

fn policy() -> Policy {
    Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        code_schemes: vec![scheme("code", pb::CodeFormat::Text)],
        approval: pb::ApprovalAuthority::Organization.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        kinds: ["brand", "partner"]
            .map(|name| pb::Kind { name: name.to_owned(), exclusive: name == "partner" })
            .to_vec(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    }
}

/// Two brands and a partner; an administrator of each brand; Ann, a member of the first.
struct Brands {
    portal: Portal,
    acme: Person,
    globex: Person,
    ann: Person,
}

impl Brands {
    async fn open(app: &TestApp) -> Self {
        let portal = app.realm("brands", policy()).await;
        portal.declare(&["shop.read"]).await;
        portal
            .define([
                pb::CreateRoleRequest {
                    grants: grants(Reach::All, &["countersign.users.read", "countersign.users.approve"]),
                    assignable: Some(within(&[])),
                    topics: vec![pb::RoleTopic { topic: "approvals".to_owned(), reach: Reach::All.into() }],
                    ..role("administrator")
                },
                pb::CreateRoleRequest {
                    grants: grants(Reach::All, &["shop.read"]),
                    assignable: Some(by_default(within(&[]))),
                    ..role("reader")
                },
                pb::CreateRoleRequest {
                    grants: grants(Reach::All, &["countersign.access.check"]),
                    assignable: Some(everywhere(&[])),
                    ..role("checker")
                },
            ])
            .await;
        for (slug, kind, code) in [("acme", "brand", ACME), ("globex", "brand", GLOBEX)] {
            organization(&portal, slug, kind, &code).await;
        }
        organization(&portal, "agency", "partner", &[("code", "agency-1")]).await;
        let acme = portal.person(app, "ada@acme.example", &ACME, &["administrator"]).await;
        let globex = portal.person(app, "gus@globex.example", &GLOBEX, &["administrator"]).await;
        let ann = portal.person(app, ANN, &ACME, &[]).await;
        Self { portal, acme, globex, ann }
    }

    /// The state of Ann's membership there, as she reads it.
    async fn state(&self, slug: &str) -> Option<MembershipState> {
        let memberships = self.portal.operator.user(&self.ann.id).await.unwrap().memberships;
        let there = memberships.iter().find(|held| held.organization.as_ref().is_some_and(|at| at.slug == slug));
        there.map(pb::Membership::state)
    }
}

async fn organization(portal: &Portal, slug: &str, kind: &str, codes: &[(&str, &str)]) {
    let request = pb::CreateOrganizationRequest {
        slug: slug.to_owned(),
        title: slug.to_owned(),
        kind: kind.to_owned(),
        identifiers: identifiers(codes),
        ..Default::default()
    };
    portal.organization(request).await;
}

both_backends!(a_later_membership_waits_for_those_who_decide_there_and_is_decided_alone, async |app: &TestApp| {
    let brands = Brands::open(app).await;
    let Brands { portal, acme, globex, ann } = &brands;
    let service = portal.service(app, "shop", "checker").await;
    let pending = ("globex".to_owned(), MembershipState::Pending);
    assert_eq!(ann.caller.join(&GLOBEX).await.unwrap(), pending);
    assert_eq!(app.mailed().await, [format!("{}: A New User Is Waiting for your Approval", globex.email)]);
    assert_eq!(ann.caller.join(&GLOBEX).await.unwrap(), pending);
    assert_eq!(app.mailed().await, [""; 0]);
    assert_eq!(acme.caller.waiting().await.unwrap(), [""; 0]);
    assert_eq!(globex.caller.waiting().await.unwrap(), [ANN]);
    let there = || pb::CheckPermissionRequest { organization: "globex".to_owned(), ..ask(&ann.id, "shop.read") };
    let globex_id = portal.operator.user(&globex.id).await.unwrap().memberships[0].organization.clone().unwrap().id;
    let there = pb::CheckPermissionRequest { organization: globex_id, ..there() };
    assert_ne!(service.check(there.clone()).await.unwrap(), ALLOWED);

    // The other company's administrator decides nothing of it.
    let decided = |organization: &str| pb::ApproveRegistrationRequest {
        user: ANN.to_owned(),
        organization: organization.to_owned(),
        ..Default::default()
    };
    let refused = acme.caller.approvals().approve_registration(decided("globex")).await;
    assert_eq!(refusal(refused), (Code::NotFound, ErrorReason::NotFound));
    let before = portal.operator.user(&ann.id).await.unwrap().approval;
    globex.caller.approvals().approve_registration(decided("globex")).await.unwrap();
    assert_eq!(portal.operator.user(&ann.id).await.unwrap().approval, before);
    assert_eq!(service.check(there).await.unwrap(), ALLOWED);
    assert_eq!(app.mailed().await, [format!("{ANN}: Your registration was approved")]);
    // It ended no session.
    ann.caller.user("").await.unwrap();
});

both_backends!(a_rejected_membership_leaves_the_account_and_comes_again_as_the_policy_says, async |app: &TestApp| {
    let brands = Brands::open(app).await;
    let Brands { portal, globex, ann, .. } = &brands;
    ann.caller.join(&GLOBEX).await.unwrap();
    let rejected = pb::RejectRegistrationRequest {
        user: ANN.to_owned(),
        organization: "globex".to_owned(),
        reason: "who?".to_owned(),
        ..Default::default()
    };
    globex.caller.approvals().reject_registration(rejected).await.unwrap();
    assert_eq!(brands.state("globex").await, Some(MembershipState::Rejected));
    assert_eq!(brands.state("acme").await, Some(MembershipState::Active));
    ann.caller.user("").await.unwrap();
    let decided = (Code::FailedPrecondition, ErrorReason::AlreadyDecided);
    assert_eq!(refusal(ann.caller.join(&GLOBEX).await), decided);
    let allowed = Policy { reregistration_after_reject: pb::Reregistration::Allowed.into(), ..Default::default() };
    portal.decide(allowed, &["reregistration_after_reject"]).await;
    assert_eq!(ann.caller.join(&GLOBEX).await.unwrap().1, MembershipState::Pending);
    assert_eq!(globex.caller.waiting().await.unwrap(), [ANN]);

    // Nobody decides: it expires by itself, and the account does not.
    app.mailed().await;
    app.clock().advance(Duration::from_secs(30 * 86_400));
    app.inner().app.let_time_pass().await.unwrap();
    assert_eq!(brands.state("globex").await, None);
    assert_eq!(brands.state("acme").await, Some(MembershipState::Active));
    assert_eq!(app.mailed().await, [format!("{ANN}: Your registration expired")]);
});

both_backends!(what_keeps_somebody_from_joining, async |app: &TestApp| {
    let brands = Brands::open(app).await;
    let Brands { portal, ann, .. } = &brands;
    let unknown = ann.caller.join(&[("code", "nobody-1")]).await.unwrap_err();
    let info = unknown.get_error_details();
    let info = info.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["scheme"].as_str()), ("CODES_UNKNOWN", "code"));
    assert!(!unknown.message().contains("globex"), "{unknown:?}");
    let failed = |reason| (Code::FailedPrecondition, reason);
    assert_eq!(refusal(ann.caller.join(&[("code", "agency-1")]).await), failed(ErrorReason::ExclusiveKind));
    assert_eq!(violations(ann.caller.join(&[("duns", "1"), ("code", "globex-1")]).await), ["codes.duns"]);
    assert_eq!(violations(ann.caller.join(&[]).await), ["codes.code"]);
    let one = Policy { organizations_per_user: pb::OrganizationsPerUser::One.into(), ..Default::default() };
    portal.decide(one, &["organizations_per_user"]).await;
    assert_eq!(refusal(ann.caller.join(&GLOBEX).await), failed(ErrorReason::OneOrganizationPerUser));
    // What a registration would make, joining does not.
    let making = Policy { unknown_codes: pb::UnknownCodes::CreateOrganization.into(), ..Default::default() };
    portal.decide(making, &["unknown_codes"]).await;
    assert_eq!(refusal(ann.caller.join(&[("code", "nobody-1")]).await), failed(ErrorReason::CodesUnknown));
    let service = portal.service(app, "shop", "checker").await;
    assert_eq!(refusal(service.join(&GLOBEX).await), (Code::NotFound, ErrorReason::NotFound));
    assert_eq!(app.mailed().await, [""; 0]);
});

both_backends!(where_nobody_decides_the_codes_alone_make_a_member, async |app: &TestApp| {
    let brands = Brands::open(app).await;
    let Brands { portal, ann, .. } = &brands;
    let nobody = Policy { approval: pb::ApprovalAuthority::None.into(), ..Default::default() };
    portal.decide(nobody, &["approval"]).await;
    assert_eq!(ann.caller.join(&GLOBEX).await.unwrap().1, MembershipState::Active);
    let readers =
        pb::ListUsersRequest { role: "reader".to_owned(), organization: "globex".to_owned(), ..Default::default() };
    assert!(portal.operator.list(readers).await.unwrap().contains(&ANN.to_owned()));
    assert_eq!(app.mailed().await, [""; 0]);
});

// Security class 23: the domain of an address is the whole of it, and only where its person proved the address.
both_backends!(a_domain_is_compared_as_a_whole_and_proven, async |app: &TestApp| {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        code_schemes: vec![scheme("domain", pb::CodeFormat::Domain)],
        approval: pb::ApprovalAuthority::None.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        email_verification: pb::EmailVerificationRule::Optional.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy).await;
    organization(&portal, "corp", "", &[("domain", "corp.example")]).await;
    let corp = [("domain", "corp.example")];
    for (at, email) in
        ["mia@evil-corp.example", "mia@corp.example.evil", "mia@sub.corp.example", "mia@xn--orp-yla.example"]
            .iter()
            .enumerate()
    {
        portal.stranger.register(email, &format!("Mia {at}"), &[]).await.unwrap();
        let code = app.code_for(email).await;
        portal.stranger.verify(&code).await.unwrap();
        let mia = portal.enter(app, email).await;
        assert_eq!(violations(mia.caller.join(&corp).await), ["codes.domain"], "{email}");
    }
    portal.stranger.register("ann@corp.example", "Ann", &[]).await.unwrap();
    let ann = portal.enter(app, "ann@corp.example").await;
    let unproven = (Code::PermissionDenied, ErrorReason::EmailNotVerified);
    assert_eq!(refusal(ann.caller.join(&corp).await), unproven);
    // Nor by an administrator's word, which ends what was begun with a password of nobody knows whom.
    portal.operator.mark_verified(&ann.email).await.unwrap();
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(ann.caller.join(&corp).await), ended);
    app.mailed().await;
});
