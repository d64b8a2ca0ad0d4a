//! A government-contracting portal, run twice. Companies are known by two codes together, nobody can add users, and who
//! is not approved reads "inactive account". The operator approves a company's first administrator.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    ALLOWED, At, Caller, Person, Portal, TestApp, ask, both_backends, by_default, denied, everywhere, grants,
    identifiers, refusal, role, text, within,
};

/// Two branches of one company share the first code.
const HEAD_OFFICE: [(&str, &str); 2] = [("uei", "ZQGGHJH74DW7"), ("cage", "1ABC2")];
const BRANCH: [(&str, &str); 2] = [("uei", "ZQGGHJH74DW7"), ("cage", "3DEF4")];

const ASSIGNED: &str = "A role was assigned to you";
const REVOKED: &str = "A role was revoked from you";

fn policy(portal: &str) -> Policy {
    let scheme = |name: &str, format: pb::CodeFormat| pb::CodeScheme {
        name: name.to_owned(),
        format: format.into(),
        unique: false,
    };
    Policy {
        self_registration: pb::SelfRegistration::ByOrganizationCode.into(),
        code_schemes: vec![scheme("uei", pb::CodeFormat::Uei), scheme("cage", pb::CodeFormat::Cage)],
        approval: pb::ApprovalAuthority::Organization.into(),
        organizations_per_user: pb::OrganizationsPerUser::One.into(),
        messages: [("APPROVAL_PENDING".to_owned(), "inactive account".to_owned())].into(),
        base_url: format!("https://{portal}.example"),
        ..Default::default()
    }
}

const PERMISSIONS: [&str; 4] =
    ["administration.open", "proposals.submit_open", "proposals.submit_on_vehicle", "task_orders.view"];

fn roles() -> [pb::CreateRoleRequest; 5] {
    let administers = [
        "administration.open",
        "proposals.submit_open",
        "task_orders.view",
        "countersign.users.read",
        "countersign.users.approve",
        "countersign.users.suspend",
        "countersign.roles.assign",
        "countersign.roles.grant",
    ];
    [
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["task_orders.view"]),
            assignable: Some(by_default(within(&[]))),
            ..role("staff")
        },
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["proposals.submit_open", "task_orders.view"]),
            assignable: Some(within(&[])),
            ..role("open_market_proposal_manager")
        },
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &administers),
            assignable: Some(within(&[])),
            may_assign: text(&["administrator", "open_market_proposal_manager", "staff"]),
            ..role("administrator")
        },
        pb::CreateRoleRequest {
            grants: grants(Reach::All, &["proposals.submit_on_vehicle"]),
            assignable: Some(within(&[])),
            restricted: true,
            resource_type: "vehicle".to_owned(),
            ..role("contract_manager")
        },
        pb::CreateRoleRequest {
            grants: grants(
                Reach::All,
                &[
                    "countersign.users.read",
                    "countersign.roles.assign",
                    "countersign.roles.assign_restricted",
                    "countersign.access.check",
                    "countersign.organizations.read",
                    "countersign.organizations.identify",
                ],
            ),
            assignable: Some(everywhere(&[])),
            ..role("contract_service")
        },
    ]
}

/// One portal, the service that owns its contracts, and the first administrator of the head office.
struct Contracts {
    portal: Portal,
    service: Caller,
    ada: Person,
}

impl Contracts {
    async fn open(app: &TestApp, name: &str) -> Self {
        let portal = app.realm(name, policy(name)).await;
        let closed = Policy { administrators_create_users: false, ..Default::default() };
        portal.decide(closed, &["administrators_create_users"]).await;
        portal.declare(&PERMISSIONS).await;
        portal.define(roles()).await;
        for (slug, codes) in [("head-office", HEAD_OFFICE), ("branch", BRANCH)] {
            let organization = pb::CreateOrganizationRequest {
                slug: slug.to_owned(),
                title: slug.to_owned(),
                identifiers: identifiers(&codes),
                ..Default::default()
            };
            portal.organization(organization).await;
        }
        let service = portal.service(app, "contracts", "contract_service").await;
        let ada = portal.person(app, "ada@contractor.example", &HEAD_OFFICE, &["administrator"]).await;
        Self { portal, service, ada }
    }

    /// A member of the head office whom its administrator set active.
    async fn colleague(&self, app: &TestApp, email: &str) -> Person {
        self.portal.newcomer(app, email, &HEAD_OFFICE).await;
        self.ada.caller.approve(email).await.unwrap();
        app.mailed().await;
        self.portal.enter(app, email).await
    }
}

both_backends!(who_registers_with_the_codes_waits_for_that_companys_administrator_alone, async |app: &TestApp| {
    let polaris = Contracts::open(app, "polaris").await;
    let oasis = Contracts::open(app, "oasis-plus").await;
    for (portal, email, codes) in [
        (&polaris.portal, "cole@contractor.example", HEAD_OFFICE),
        (&polaris.portal, "bea@contractor.example", BRANCH),
        (&oasis.portal, "otto@contractor.example", HEAD_OFFICE),
    ] {
        portal.newcomer(app, email, &codes).await;
        let expected = ["Registration: Admin Approval Required", "Verify your e-mail address"];
        assert_eq!(app.mailed().await, expected.map(|subject| format!("{email}: {subject}")));
    }
    assert_eq!(polaris.ada.caller.waiting().await.unwrap(), ["cole@contractor.example"]);
    assert_eq!(oasis.ada.caller.waiting().await.unwrap(), ["otto@contractor.example"]);
    let not_found = (Code::NotFound, ErrorReason::NotFound);
    for elsewhere in ["bea@contractor.example", "otto@contractor.example", "nobody@contractor.example"] {
        assert_eq!(refusal(polaris.ada.caller.user(elsewhere).await), not_found, "{elsewhere}");
        assert_eq!(refusal(polaris.ada.caller.approve(elsewhere).await), not_found, "{elsewhere}");
    }

    let cole = polaris.ada.caller.user("cole@contractor.example").await.unwrap();
    assert_eq!(cole.status(), pb::UserStatus::Initial);
    let refused = polaris.portal.stranger.sign_in(&cole.email).await;
    let words = refused.as_ref().unwrap_err().get_error_details();
    assert_eq!(words.localized_message().unwrap().message, "inactive account");
    assert_eq!(refusal(refused), (Code::PermissionDenied, ErrorReason::ApprovalPending));
    for permission in PERMISSIONS {
        let verdict = polaris.service.check(ask(&cole.id, permission)).await.unwrap();
        assert_eq!(verdict, denied(ErrorReason::ApprovalPending), "{permission}");
    }
});

both_backends!(codes_count_together_and_in_their_form, async |app: &TestApp| {
    let polaris = Contracts::open(app, "polaris").await;
    let stranger = &polaris.portal.stranger;
    let register = async |codes: &[(&str, &str)]| stranger.register("eve@contractor.example", "Eve", codes).await;
    let unknown = (Code::FailedPrecondition, ErrorReason::CodesUnknown);
    assert_eq!(refusal(register(&[HEAD_OFFICE[0], ("cage", "9ZZZ9")]).await), unknown);
    assert_eq!(refusal(register(&[("uei", "AAAAAAAAAAAA"), BRANCH[1]]).await), unknown);
    let malformed = (Code::InvalidArgument, ErrorReason::InvalidFields);
    assert_eq!(refusal(register(&[HEAD_OFFICE[0]]).await), malformed);
    assert_eq!(refusal(register(&[("uei", "ZQGGHJH74DWO"), HEAD_OFFICE[1]]).await), malformed, "never O");
    assert_eq!(app.mailed().await, [""; 0]);
});

both_backends!(set_active_then_moved_to_another_group_works_at_once, async |app: &TestApp| {
    let Contracts { portal, service, ada } = Contracts::open(app, "polaris").await;
    portal.newcomer(app, "cole@contractor.example", &HEAD_OFFICE).await;
    app.mailed().await;
    let cole = ada.caller.approve("cole@contractor.example").await.unwrap();
    assert_eq!(cole.status(), pb::UserStatus::Active);
    assert_eq!(app.mailed().await, ["cole@contractor.example: Your registration was approved"]);
    let (view, submit) = (|| ask(&cole.id, "task_orders.view"), || ask(&cole.id, "proposals.submit_open"));
    portal.enter(app, &cole.email).await;
    assert_eq!(service.check(view()).await.unwrap(), ALLOWED);
    assert_eq!(service.check(submit()).await.unwrap(), denied(ErrorReason::NoSuchEntry));

    let here = At::Organization("head-office");
    assert_eq!(ada.caller.revoke(&cole.email, "staff", here).await.unwrap(), 1);
    ada.caller.assign(&cole.email, "open_market_proposal_manager", here).await.unwrap();
    assert_eq!(service.check(view()).await.unwrap(), ALLOWED);
    assert_eq!(service.check(submit()).await.unwrap(), ALLOWED);
    assert_eq!(app.mailed().await, [ASSIGNED, REVOKED].map(|subject| format!("{}: {subject}", cole.email)));

    ada.caller.suspend(&cole.email, "on leave").await.unwrap();
    assert_eq!(service.check(submit()).await.unwrap(), denied(ErrorReason::Suspended));
    let closed = (Code::PermissionDenied, ErrorReason::Suspended);
    assert_eq!(refusal(portal.stranger.sign_in(&cole.email).await), closed);
    ada.caller.reinstate(&cole.email).await.unwrap();
    assert_eq!(service.check(submit()).await.unwrap(), ALLOWED);
    let told = ["Your account was reinstated", "Your account was suspended"];
    assert_eq!(app.mailed().await, told.map(|subject| format!("{}: {subject}", cole.email)));
});

both_backends!(five_wrong_passwords_suspend_and_the_mailbox_opens_again, async |app: &TestApp| {
    let contracts = Contracts::open(app, "polaris").await;
    let cole = contracts.colleague(app, "cole@contractor.example").await;
    let Contracts { portal, service, ada } = &contracts;
    portal.decide(Policy { failed_sign_ins: 5, ..Default::default() }, &["failed_sign_ins"]).await;
    let suspended = format!("{}: Your account was suspended", cole.email);
    let mistype = async || {
        for _ in 0..5 {
            let refused = portal.stranger.sign_in_with(&cole.email, "not the password of cole").await;
            assert_eq!(refusal(refused), (Code::Unauthenticated, ErrorReason::SignInFailed));
        }
        assert_eq!(app.mailed().await, [suspended.as_str()]);
        assert_eq!(ada.caller.user(&cole.id).await.unwrap().status(), pb::UserStatus::Suspended);
        let verdict = service.check(ask(&cole.id, "task_orders.view")).await.unwrap();
        assert_eq!(verdict, denied(ErrorReason::Suspended));
    };
    mistype().await;
    let ended = (Code::Unauthenticated, ErrorReason::CredentialInvalid);
    assert_eq!(refusal(cole.caller.user("").await), ended, "every session ends");
    ada.caller.reinstate(&cole.email).await.unwrap();
    assert_eq!(app.mailed().await, [format!("{}: Your account was reinstated", cole.email)]);
    portal.enter(app, &cole.email).await;

    mistype().await;
    portal.stranger.ask_for_reset(&cole.email).await.unwrap();
    let code = app.code_for(&cole.email).await;
    assert_eq!(portal.stranger.reset(&code, "seven crooked lanterns hum").await.unwrap(), []);
    portal.stranger.sign_in_with(&cole.email, "seven crooked lanterns hum").await.unwrap();
    assert_eq!(service.check(ask(&cole.id, "task_orders.view")).await.unwrap(), ALLOWED);
    let told = ["Reset your password", "Your password was changed"];
    assert_eq!(app.mailed().await, told.map(|subject| format!("{}: {subject}", cole.email)));

    // What an administrator suspended, neither lifts.
    ada.caller.suspend(&cole.email, "on leave").await.unwrap();
    portal.stranger.ask_for_reset(&cole.email).await.unwrap();
    let code = app.code_for(&cole.email).await;
    let gates = portal.stranger.reset(&code, "a quiet harbour of tin").await.unwrap();
    assert_eq!(gates, [ErrorReason::Suspended]);
    assert_eq!(ada.caller.user(&cole.id).await.unwrap().status(), pb::UserStatus::Suspended);
});

both_backends!(a_restricted_role_is_the_contract_services_to_give, async |app: &TestApp| {
    let contracts = Contracts::open(app, "polaris").await;
    let cole = contracts.colleague(app, "cole@contractor.example").await;
    let (ada, service, here) = (&contracts.ada.caller, &contracts.service, At::Organization("head-office"));
    let on = |id: &str| pb::Resource { r#type: "vehicle".to_owned(), id: id.to_owned() };
    let submit = |id: &str| pb::CheckPermissionRequest {
        resource: Some(on(id)),
        ..ask(&cole.id, "proposals.submit_on_vehicle")
    };
    let mine = Some(("vehicle", "alliant-2"));
    let restricted = (Code::PermissionDenied, ErrorReason::RoleRestricted);
    assert_eq!(refusal(ada.assign_on(&cole.id, "contract_manager", here, mine).await), restricted);
    let grant = pb::GrantPermissionRequest {
        principal: cole.id.clone(),
        pattern: "proposals.submit_on_vehicle".to_owned(),
        resource: Some(on("alliant-2")),
        scope: Some(pb::grant_permission_request::Scope::Organization("head-office".to_owned())),
        ..Default::default()
    };
    assert_eq!(refusal(ada.assignments().grant_permission(grant).await), restricted);
    assert_eq!(app.mailed().await, [""; 0]);

    let entry = service.assign_on(&cole.id, "contract_manager", here, mine).await.unwrap();
    assert_eq!(app.mailed().await, [format!("{}: {ASSIGNED}", cole.email)]);
    assert_eq!(service.check(submit("alliant-2")).await.unwrap(), ALLOWED);
    assert_eq!(service.check(submit("alliant-3")).await.unwrap(), denied(ErrorReason::OtherResource));
    let revoke = pb::RevokeRoleRequest { entry: entry.id, ..Default::default() };
    assert_eq!(refusal(ada.assignments().revoke_role(revoke).await), restricted);
    assert_eq!(service.check(submit("alliant-2")).await.unwrap(), ALLOWED);
});

both_backends!(new_codes_of_a_company_change_nobodys_roles, async |app: &TestApp| {
    let contracts = Contracts::open(app, "polaris").await;
    let cole = contracts.colleague(app, "cole@contractor.example").await;
    let new = [("uei", "AAAAAAAAAAAA"), ("cage", "5GHJ6")];
    let request = pb::SetIdentifiersRequest {
        organization: "head-office".to_owned(),
        identifiers: identifiers(&new),
        ..Default::default()
    };
    contracts.service.organizations().set_identifiers(request).await.unwrap();
    let verdict = contracts.service.check(ask(&cole.id, "task_orders.view")).await.unwrap();
    assert_eq!(verdict, ALLOWED);
    let verdict = contracts.service.check(ask(&contracts.ada.id, "administration.open")).await.unwrap();
    assert_eq!(verdict, ALLOWED);
    contracts.portal.newcomer(app, "dora@contractor.example", &new).await;
    assert_eq!(contracts.ada.caller.waiting().await.unwrap(), ["dora@contractor.example"]);
});
