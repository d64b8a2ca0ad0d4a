//! The facts of an account: whose they are to write, and that none moves with another.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{
    At, Portal, TestApp, ask, both_backends, denied, everywhere, grants, identifiers, refusal, role, within,
};

const ANN: &str = "ann@acme.example";

async fn realm(app: &TestApp, approval: pb::ApprovalAuthority) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: approval.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    app.realm("people", policy).await
}

// Class 4: whatever a plain user puts into the message and the mask, of all that is theirs only the name changes.
both_backends!(a_plain_user_writes_no_fact_about_themself, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::None).await;
    portal.newcomer(app, ANN, &[]).await;
    let ann = portal.enter(app, ANN).await;
    let before = ann.caller.user("").await.unwrap();
    let far = Some(prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 });
    let full = |paths: &[&str]| pb::UpdateUserRequest {
        display_name: "Ann".to_owned(),
        valid_from: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        valid_until: far,
        password_must_change: true,
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..Default::default()
    };
    let facts = [
        "id",
        "email",
        "email_verified",
        "status",
        "approval",
        "approval.state",
        "holds",
        "deleted",
        "memberships",
        "manager",
        "create_time",
        "etag",
        "roles",
        "realm",
        "organization",
        "attributes",
        "session_epoch",
        "password",
    ];
    for path in facts {
        let invalid = (Code::InvalidArgument, ErrorReason::InvalidFields);
        assert_eq!(refusal(ann.caller.update(full(&[path])).await), invalid, "{path}");
        assert_eq!(refusal(ann.caller.update(full(&["display_name", path])).await), invalid, "{path}");
    }
    let oneself = (Code::FailedPrecondition, ErrorReason::NotOnOneself);
    for paths in [vec!["*"], vec!["valid_from"], vec!["valid_until"], vec!["password_must_change"], vec![]] {
        assert_eq!(refusal(ann.caller.update(full(&paths)).await), oneself, "{paths:?}");
        let named = pb::UpdateUserRequest { user: ANN.to_owned(), ..full(&paths) };
        assert_eq!(refusal(ann.caller.update(named).await), oneself, "{paths:?}");
    }
    assert_eq!(ann.caller.user("").await.unwrap(), before);
    let name = pb::UpdateUserRequest { display_name: "Ann Lee".to_owned(), ..Default::default() };
    let after = ann.caller.update(name).await.unwrap();
    assert_eq!(pb::User { display_name: "Ann Lee".to_owned(), etag: after.etag.clone(), ..before }, after);
    // Nobody else's.
    portal.newcomer(app, "bob@acme.example", &[]).await;
    let other = pb::UpdateUserRequest { user: "bob@acme.example".to_owned(), ..Default::default() };
    assert_eq!(refusal(ann.caller.update(other).await), (Code::NotFound, ErrorReason::NotFound));
});

// Class 24: `Ann@x` beside `ann@x` is one address, of one account, in every call that takes one.
both_backends!(two_spellings_of_an_address_are_one_account, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::None).await;
    portal.newcomer(app, ANN, &[]).await;
    app.mailed().await;
    portal.stranger.register("Ann@ACME.example", "Ann", &[]).await.unwrap();
    assert_eq!(app.mailed().await, [format!("{ANN}: Somebody registered with your e-mail address")]);
    portal.operator.delete("ANN@acme.example").await.unwrap();
    portal.stranger.register("aNN@acme.example", "Ann", &[]).await.unwrap();
    let restored = portal.operator.restore("Ann@Acme.Example").await.unwrap();
    assert_eq!(restored.email, ANN);
    let told = ["Your account was deleted", "Your account was restored"].map(|subject| format!("{ANN}: {subject}"));
    let mut expected = [told.to_vec(), vec![format!("{ANN}: Somebody registered with your e-mail address")]].concat();
    expected.sort();
    assert_eq!(app.mailed().await, expected);
});

// Class 26: roles that somebody gave to a newcomer, default ones among them, confer nothing before the approval.
both_backends!(who_waits_may_nothing_whatever_roles_they_hold, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::Realm).await;
    portal.declare(&["shop.read"]).await;
    let anywhere = pb::Assignable { by_default: true, ..within(&[]) };
    let realm_wide = grants(Reach::All, &["shop.read", "countersign.users.*"]);
    portal
        .define([
            pb::CreateRoleRequest {
                grants: grants(Reach::All, &["shop.read"]),
                assignable: Some(anywhere),
                ..role("reader")
            },
            pb::CreateRoleRequest { grants: realm_wide, assignable: Some(everywhere(&[])), ..role("boss") },
            pb::CreateRoleRequest {
                grants: grants(Reach::All, &["countersign.access.check"]),
                assignable: Some(everywhere(&[])),
                ..role("checker")
            },
        ])
        .await;
    let acme = pb::CreateOrganizationRequest {
        slug: "acme".to_owned(),
        title: "Acme".to_owned(),
        identifiers: identifiers(&[]),
        ..Default::default()
    };
    let acme = portal.organization(acme).await;
    let service = portal.service(app, "shop", "checker").await;
    portal.newcomer(app, ANN, &[]).await;
    let ann = portal.operator.user(ANN).await.unwrap();
    portal.operator.add_member("acme", ANN).await.unwrap();
    portal.operator.assign(ANN, "boss", At::Realm).await.unwrap();
    let pending = denied(ErrorReason::ApprovalPending);
    for organization in [acme, String::new()] {
        for permission in ["shop.read", "countersign.users.read"] {
            let question =
                pb::CheckPermissionRequest { organization: organization.clone(), ..ask(&ann.id, permission) };
            assert_eq!(service.check(question).await.unwrap(), pending, "{permission} in {organization:?}");
        }
    }
    let gate = (Code::PermissionDenied, ErrorReason::ApprovalPending);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), gate);
    app.mailed().await;
});

/// What is known of the account, beside what the service says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Facts {
    approval: pb::ApprovalState,
    blocked: bool,
    suspended: bool,
    verified: bool,
    deleted: bool,
}

impl Facts {
    fn of(user: &pb::User) -> Self {
        let held = |cause| user.holds.iter().any(|hold| hold.cause() == cause);
        Self {
            approval: user.approval.as_ref().unwrap().state(),
            blocked: held(pb::HoldCause::Blocked),
            suspended: held(pb::HoldCause::Administrator),
            verified: user.email_verified.is_some(),
            deleted: user.deleted.is_some(),
        }
    }
}

// A random sequence of what administrators do to one account: each call moves its own fact, or none and says why.
both_backends!(lifting_one_fact_lifts_no_other, async |app: &TestApp| {
    let portal = realm(app, pb::ApprovalAuthority::Realm).await;
    let operator = &portal.operator;
    portal.stranger.register(ANN, "Ann", &[]).await.unwrap();
    let id = operator.user(ANN).await.unwrap().id;
    let mut known = Facts::of(&operator.user(&id).await.unwrap());
    let mut seed = 20_251_126_u64;
    let mut told = vec![];
    for step in 0..120 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut next = known.clone();
        let (name, answer) = match (seed >> 33) % 9 {
            0 => ("block", operator.block(&id, "so").await.inspect(|_| next.blocked = true)),
            1 => ("unblock", operator.unblock(&id).await.inspect(|_| next.blocked = false)),
            2 => ("suspend", operator.suspend(&id, "so").await.inspect(|_| next.suspended = true)),
            3 => ("reinstate", operator.reinstate(&id).await.inspect(|_| next.suspended = false)),
            4 => ("approve", operator.approve(&id).await.inspect(|_| next.approval = pb::ApprovalState::Approved)),
            5 => ("reject", operator.reject(&id, "so").await.inspect(|_| next.approval = pb::ApprovalState::Rejected)),
            6 => ("mark verified", operator.mark_verified(&id).await.inspect(|_| next.verified = true)),
            7 => ("delete", operator.delete(&id).await.inspect(|_| next.deleted = true)),
            _ => ("restore", operator.restore(&id).await.inspect(|_| next.deleted = false)),
        };
        told.push(name);
        match answer {
            Ok(_) => known = next,
            Err(refused) => {
                assert_eq!(refused.code(), Code::FailedPrecondition, "{name}: {refused:?}");
                assert!(known.deleted || name == "reject", "{name}: {refused:?}");
            }
        }
        let found = Facts::of(&operator.user(&id).await.unwrap());
        assert_eq!(found, known, "after {step}: {told:?}");
    }
    app.mailed().await;
});
