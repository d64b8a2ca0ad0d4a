//! `UserService`: blocking, vouching, changing, deleting and restoring accounts.

use countersign::grpc::pb::{self, ErrorReason, Policy, Reach};
use tonic::Code;

use crate::support::{
    At, Caller, Person, Portal, Reachable as _, TestApp, both_backends, by_default, grants, identifiers, refusal, role,
    within,
};

const ANN: &str = "ann@acme.example";
const BOB: &str = "bob@acme.example";
const CID: &str = "cid@globex.example";
/// The codes of the two companies.
const ACME: [(&str, &str); 1] = [("code", "acme-1")];
const GLOBEX: [(&str, &str); 1] = [("code", "globex-1")];

const NOT_FOUND: (Code, ErrorReason) = (Code::NotFound, ErrorReason::NotFound);
const ENDED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::CredentialInvalid);

fn failed(reason: ErrorReason) -> (Code, ErrorReason) {
    (Code::FailedPrecondition, reason)
}

fn gate(reason: ErrorReason) -> (Code, ErrorReason) {
    (Code::PermissionDenied, reason)
}

/// Two companies, and people whom the policy approves.
async fn realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        code_schemes: vec![pb::CodeScheme {
            name: "code".to_owned(),
            format: pb::CodeFormat::Text.into(),
            unique: true,
        }],
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://people.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("people", policy).await;
    let administers = grants(Reach::All, &["countersign.users.*", "countersign.roles.assign"]);
    portal
        .define([
            pb::CreateRoleRequest { assignable: Some(by_default(within(&[]))), ..role("user") },
            pb::CreateRoleRequest { grants: administers, assignable: Some(within(&[])), ..role("administrator") },
            pb::CreateRoleRequest {
                grants: grants(Reach::All, &["countersign.users.read", "countersign.users.delete"]),
                assignable: Some(within(&[])),
                ..role("remover")
            },
        ])
        .await;
    for (slug, codes) in [("acme", ACME), ("globex", GLOBEX)] {
        let organization = pb::CreateOrganizationRequest {
            slug: slug.to_owned(),
            title: slug.to_owned(),
            identifiers: identifiers(&codes),
            ..Default::default()
        };
        portal.organization(organization).await;
    }
    portal
}

/// Somebody of a company who is in.
async fn member(app: &TestApp, portal: &Portal, email: &str, codes: &[(&str, &str)]) -> Person {
    portal.newcomer(app, email, codes).await;
    app.mailed().await;
    portal.enter(app, email).await
}

async fn administrator(app: &TestApp, portal: &Portal, email: &str) -> Person {
    let somebody = member(app, portal, email, &ACME).await;
    portal.operator.assign(email, "administrator", At::Organization("acme")).await.unwrap();
    app.mailed().await;
    somebody
}

/// A service account of the company that administers it.
async fn bot_of_acme(app: &TestApp, portal: &Portal) -> Caller {
    let (name, organization) = ("bot".to_owned(), "acme".to_owned());
    let account = pb::CreateServiceAccountRequest { name, organization, ..Default::default() };
    let mut client = portal.operator.service_accounts();
    client.create_service_account(account).await.unwrap();
    let key = pb::CreateApiKeyRequest { service_account: "bot".to_owned(), ..Default::default() };
    let key = client.create_api_key(key).await.unwrap().into_inner().secret;
    portal.operator.assign("bot", "administrator", At::Organization("acme")).await.unwrap();
    app.as_key(&key)
}

/// What holds an account, in the order of the causes.
fn causes(user: &pb::User) -> Vec<pb::HoldCause> {
    user.holds.iter().map(pb::Hold::cause).collect()
}

both_backends!(a_block_is_a_hold_of_its_own_and_quiet, async |app: &TestApp| {
    let portal = realm(app).await;
    let ann = member(app, &portal, ANN, &[]).await;
    let operator = &portal.operator;
    let blocked = operator.block(ANN, "a lost laptop").await.unwrap();
    assert_eq!((blocked.status(), blocked.holds[0].note.as_str()), (pb::UserStatus::Active, "a lost laptop"));
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
    operator.block(ANN, "again").await.unwrap();
    assert_eq!(app.mailed().await, [""; 0]);

    operator.suspend(ANN, "on leave").await.unwrap();
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), gate(ErrorReason::Blocked));
    assert_eq!(causes(&operator.reinstate(ANN).await.unwrap()), [pb::HoldCause::Blocked]);
    operator.suspend(ANN, "on leave").await.unwrap();
    assert_eq!(causes(&operator.unblock(ANN).await.unwrap()), [pb::HoldCause::Administrator]);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), gate(ErrorReason::Suspended));
    operator.reinstate(ANN).await.unwrap();
    portal.enter(app, ANN).await;
});

both_backends!(what_closes_an_account_ends_its_sessions, async |app: &TestApp| {
    let portal = realm(app).await;
    let ann = member(app, &portal, ANN, &[]).await;
    let at = |seconds: i64| {
        let now = app.clock().now().0.div_euclid(1_000_000);
        Some(prost_types::Timestamp { seconds: now + seconds, nanos: 0 })
    };
    let about = || pb::UpdateUserRequest { user: ANN.to_owned(), ..Default::default() };
    let operator = &portal.operator;
    operator.update(pb::UpdateUserRequest { valid_until: at(3600), ..about() }).await.unwrap();
    ann.caller.user("").await.unwrap();
    operator.update(pb::UpdateUserRequest { valid_until: at(-1), ..about() }).await.unwrap();
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), gate(ErrorReason::NoLongerValid));
    let backwards = pb::UpdateUserRequest { valid_from: at(0), ..about() };
    assert_eq!(refusal(operator.update(backwards).await), (Code::InvalidArgument, ErrorReason::InvalidFields));
    let paths = ["valid_from", "valid_until"].map(str::to_owned).into();
    let always = pb::UpdateUserRequest { update_mask: Some(prost_types::FieldMask { paths }), ..about() };
    operator.update(always).await.unwrap();
    let ann = portal.enter(app, ANN).await;

    operator.update(pb::UpdateUserRequest { password_must_change: true, ..about() }).await.unwrap();
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
    let access_token = portal.stranger.sign_in(ANN).await.unwrap();
    assert_eq!(access_token, "", "signing in opens ChangePassword, and nothing else");
    let paths = vec!["password_must_change".to_owned()];
    let back = pb::UpdateUserRequest { update_mask: Some(prost_types::FieldMask { paths }), ..about() };
    assert_eq!(refusal(operator.update(back).await), (Code::InvalidArgument, ErrorReason::InvalidFields));
});

both_backends!(an_administrators_word_opens_one_gate_approves_nobody_and_founds_nothing, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.define([pb::CreateRoleRequest { assignable: Some(within(&[])), ..role("founder") }]).await;
    let founding = Policy {
        unknown_codes: pb::UnknownCodes::CreateOrganization.into(),
        founding: pb::Founding::FirstVerified.into(),
        founding_role: "founder".to_owned(),
        ..Default::default()
    };
    portal.decide(founding, &["unknown_codes", "founding", "founding_role"]).await;
    portal.stranger.register(ANN, "Ann", &[("code", "initech-1")]).await.unwrap();
    let first_link = app.code_for(ANN).await;
    let marked = portal.operator.mark_verified(ANN).await.unwrap();
    let how = marked.email_verified.as_ref().map(pb::EmailVerification::how);
    assert_eq!(how, Some(pb::VerificationMethod::Administrator));
    assert_eq!(marked.approval.unwrap().state(), pb::ApprovalState::Pending);
    assert_eq!(marked.memberships[0].state(), pb::MembershipState::Pending);
    let failed = (Code::Unauthenticated, ErrorReason::SignInFailed);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), failed, "nobody knows who chose the password");

    // The person's own proof still does both, also by a newer link, and the password with it is theirs.
    let asked = pb::ResendVerificationRequest { email: ANN.to_owned() };
    portal.stranger.registrations().resend_verification(asked).await.unwrap();
    let link = app.code_for(ANN).await;
    assert_ne!(link, first_link);
    portal.stranger.verify(&link).await.unwrap();
    let ann = portal.enter(app, ANN).await;
    let founded = portal.operator.user(&ann.id).await.unwrap();
    assert_eq!(founded.memberships[0].state(), pb::MembershipState::Active);
    assert_eq!(founded.email_verified.unwrap().how(), pb::VerificationMethod::Link);
    let founders = pb::ListUsersRequest { role: "founder".to_owned(), ..Default::default() };
    assert_eq!(portal.operator.list(founders).await.unwrap(), [ANN]);
    app.mailed().await;
});

both_backends!(a_deleted_account_is_out_and_its_address_is_nobodys_until_support_frees_it, async |app: &TestApp| {
    let portal = realm(app).await;
    let (operator, stranger) = (&portal.operator, &portal.stranger);
    let ann = member(app, &portal, ANN, &ACME).await;
    assert_eq!(refusal(operator.clear_tombstone(ANN, "SUP-1").await), NOT_FOUND);
    let deleted = operator.delete(ANN).await.unwrap();
    assert_eq!(deleted.status(), pb::UserStatus::Deleted);
    operator.delete(&ann.id).await.unwrap();
    assert_eq!(app.mailed().await, [format!("{ANN}: Your account was deleted")]);
    assert_eq!(refusal(ann.caller.user("").await), ENDED);
    assert_eq!(refusal(stranger.sign_in(ANN).await), (Code::Unauthenticated, ErrorReason::SignInFailed));
    assert_eq!(refusal(operator.user(ANN).await), NOT_FOUND);
    let grant = pb::GrantPermissionRequest {
        principal: ann.id.clone(),
        pattern: "countersign.users.read".to_owned(),
        reach: Reach::Own.into(),
        scope: Some(pb::grant_permission_request::Scope::Organization("acme".to_owned())),
        ..Default::default()
    };
    let attributed = pb::UpdateMemberRequest {
        organization: "acme".to_owned(),
        user: ann.id.clone(),
        attributes: [("shift".to_owned(), "night".to_owned())].into(),
        ..Default::default()
    };
    for refused in [
        refusal(operator.suspend(&ann.id, "too").await),
        refusal(operator.assign(&ann.id, "remover", At::Organization("acme")).await),
        refusal(operator.assignments().grant_permission(grant).await),
        refusal(operator.add_member("globex", &ann.id).await),
        refusal(operator.organizations().update_member(attributed).await),
    ] {
        assert_eq!(refused, failed(ErrorReason::AccountDeleted));
    }

    // Class 24: the address in any spelling, past its tombstone.
    let as_ever = stranger.register(BOB, "Bob", &ACME).await.unwrap();
    app.mailed().await;
    for spelling in [ANN, "ANN@Acme.example", "aNN@acme.EXAMPLE"] {
        assert_eq!(stranger.register(spelling, "Ann", &ACME).await.unwrap(), as_ever);
    }
    let told = format!("{ANN}: Somebody registered with your e-mail address");
    assert_eq!(app.mailed().await, [told.as_str(); 3]);
    assert_eq!(
        operator.list(pb::ListUsersRequest { email: "ann".to_owned(), ..Default::default() }).await.unwrap(),
        [""; 0]
    );

    let unticketed = operator.clear_tombstone(ANN, "").await;
    assert_eq!(refusal(unticketed), (Code::InvalidArgument, ErrorReason::InvalidFields));
    let local = administrator(app, &portal, "ada@acme.example").await;
    assert_eq!(refusal(local.caller.clear_tombstone(ANN, "SUP-1").await), gate(ErrorReason::WrongOrganization));
    operator.clear_tombstone("Ann@ACME.example", "SUP-1").await.unwrap();
    assert_eq!(refusal(operator.clear_tombstone(ANN, "SUP-1").await), NOT_FOUND);
    let again = member(app, &portal, ANN, &ACME).await;
    assert_ne!(again.id, ann.id);
    let taken = (Code::AlreadyExists, ErrorReason::AlreadyExists);
    assert_eq!(refusal(operator.restore(&ann.id).await), taken);

    // The later one's tombstone keeps the earlier one from the address, and not the later one.
    operator.delete(ANN).await.unwrap();
    assert_eq!(refusal(operator.restore(&ann.id).await), taken);
    assert_eq!(operator.restore(ANN).await.unwrap().id, again.id);
    app.mailed().await;
});

both_backends!(what_was_deleted_comes_back_as_it_was, async |app: &TestApp| {
    let portal = realm(app).await;
    let operator = &portal.operator;
    administrator(app, &portal, ANN).await;
    let before = operator.suspend(ANN, "on leave").await.unwrap();
    operator.delete(ANN).await.unwrap();
    app.mailed().await;
    let back = operator.restore(ANN).await.unwrap();
    let (before, etag) = (pb::User { etag: String::new(), ..before }, back.etag.clone());
    assert_eq!(pb::User { etag: String::new(), ..back }, before);
    assert_eq!(app.mailed().await, [format!("{ANN}: Your account was restored")]);
    assert_eq!(operator.restore(ANN).await.unwrap().etag, etag);
    assert_eq!(app.mailed().await, [""; 0]);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), gate(ErrorReason::Suspended));
    operator.reinstate(ANN).await.unwrap();
    let ann = portal.enter(app, ANN).await;
    // What she held she holds: she reads a colleague.
    portal.newcomer(app, BOB, &ACME).await;
    ann.caller.user(BOB).await.unwrap();
    // Her tombstone went: the address is taken by her, and by nothing else.
    assert_eq!(refusal(operator.clear_tombstone(ANN, "SUP-1").await), NOT_FOUND);
    app.mailed().await;
});

both_backends!(where_the_policy_allows_it_a_deleted_address_registers_again, async |app: &TestApp| {
    let portal = realm(app).await;
    let allowed = Policy { reregistration_after_delete: pb::Reregistration::Allowed.into(), ..Default::default() };
    portal.decide(allowed, &["reregistration_after_delete"]).await;
    let ann = member(app, &portal, ANN, &[]).await;
    portal.operator.delete(ANN).await.unwrap();
    let again = member(app, &portal, ANN, &[]).await;
    assert_ne!(again.id, ann.id);
    let taken = (Code::AlreadyExists, ErrorReason::AlreadyExists);
    assert_eq!(refusal(portal.operator.restore(&ann.id).await), taken);
});

both_backends!(what_one_may_not_do_to_an_account, async |app: &TestApp| {
    let portal = realm(app).await;
    let ada = administrator(app, &portal, "ada@acme.example").await;
    let remover = member(app, &portal, BOB, &ACME).await;
    portal.operator.assign(BOB, "remover", At::Organization("acme")).await.unwrap();
    let cid = member(app, &portal, CID, &GLOBEX).await;
    app.mailed().await;

    for refused in [
        ada.caller.delete(CID).await,
        ada.caller.block(&cid.id, "why not").await,
        ada.caller.mark_verified(CID).await,
        ada.caller.restore(CID).await,
        ada.caller.update(pb::UpdateUserRequest { user: cid.id.clone(), ..Default::default() }).await,
    ] {
        assert_eq!(refusal(refused), NOT_FOUND);
    }
    let oneself = failed(ErrorReason::NotOnOneself);
    assert_eq!(refusal(ada.caller.delete(&ada.email).await), oneself);
    assert_eq!(refusal(ada.caller.block(&ada.email, "myself").await), oneself);
    assert_eq!(refusal(remover.caller.delete(&ada.email).await), gate(ErrorReason::ReachesUp));

    // The last person who can assign roles stays, as far as the company's own go.
    let bot = bot_of_acme(app, &portal).await;
    let orphaned = failed(ErrorReason::WouldOrphan);
    assert_eq!(refusal(bot.delete(&ada.email).await), orphaned);
    assert_eq!(refusal(bot.block(&ada.email, "why not").await), orphaned);
    let soon = prost_types::Timestamp { seconds: 4_102_444_800, nanos: 0 };
    let until = pb::UpdateUserRequest { user: ada.email.clone(), valid_until: Some(soon), ..Default::default() };
    assert_eq!(refusal(bot.update(until).await), orphaned);
    let deputy = administrator(app, &portal, "dan@acme.example").await;
    bot.delete(&ada.email).await.unwrap();
    assert_eq!(refusal(deputy.caller.reinstate(&ada.id).await), failed(ErrorReason::AccountDeleted));
    let untouched = portal.operator.user(CID).await.unwrap();
    assert_eq!((untouched.status(), untouched.holds.len()), (pb::UserStatus::Active, 0));

    // Somebody who is also a member elsewhere is not hers alone to delete.
    let many = Policy { organizations_per_user: pb::OrganizationsPerUser::Many.into(), ..Default::default() };
    portal.decide(many, &["organizations_per_user"]).await;
    portal.operator.add_member("globex", BOB).await.unwrap();
    let (code, _) = refusal(deputy.caller.delete(BOB).await);
    assert_eq!(code, Code::PermissionDenied);
    app.mailed().await;
});

both_backends!(who_leads_others_is_deleted_once_somebody_else_leads_them, async |app: &TestApp| {
    let portal = realm(app).await;
    let operator = &portal.operator;
    for name in ["boss", "lead", "one", "two"] {
        member(app, &portal, &format!("{name}@acme.example"), &ACME).await;
    }
    let [boss, lead, one, two] = ["boss", "lead", "one", "two"].map(|name| format!("{name}@acme.example"));
    operator.set_manager(&lead, &boss).await.unwrap();
    operator.set_manager(&one, &lead).await.unwrap();
    operator.set_manager(&two, &lead).await.unwrap();
    let remains = failed(ErrorReason::TeamRemains);
    assert_eq!(refusal(operator.delete(&lead).await), remains);
    assert_eq!(refusal(operator.delete_led_by(&lead, &lead).await), remains);
    assert_eq!(refusal(operator.delete_led_by(&lead, "nobody@acme.example").await), NOT_FOUND);
    // Who may delete and may not set managers does not get there by deleting.
    let remover = member(app, &portal, BOB, &ACME).await;
    operator.assign(BOB, "remover", At::Organization("acme")).await.unwrap();
    assert_eq!(refusal(remover.caller.delete_led_by(&lead, &boss).await).0, Code::PermissionDenied);
    assert_eq!(operator.user(&one).await.unwrap().manager.unwrap().handle, lead);

    operator.delete_led_by(&lead, &one).await.unwrap();
    let leads = async |user: &str| operator.user(user).await.unwrap().manager.map(|manager| manager.handle);
    assert_eq!((leads(&one).await, leads(&two).await), (Some(boss), Some(one)));
    app.mailed().await;
});
