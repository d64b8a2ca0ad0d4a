//! `NotificationService`: the mails that were written, by who reaches whom, and putting dead letters back.

use countersign::grpc::pb::{self, ErrorReason, MessageState, Policy, Reach};
use prost_reflect::prost::Message as _;
use tonic::{Code, Status};

use crate::support::{
    At, Caller, Person, Portal, TestApp, both_backends, everywhere, grants, refusal, role, violations, within,
};

const NOT_FOUND: (Code, ErrorReason) = (Code::NotFound, ErrorReason::NotFound);

/// A realm with two organizations, a role over mails for each of them, and one for the whole realm.
async fn realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        organizations_per_user: pb::OrganizationsPerUser::Many.into(),
        base_url: "https://mails.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("mails", policy).await;
    for slug in ["acme", "globex"] {
        let (slug, title) = (slug.to_owned(), slug.to_owned());
        let organization = pb::CreateOrganizationRequest { slug, title, ..Default::default() };
        portal.organization(organization).await;
    }
    let (mails, both) = (["countersign.mail.manage"], ["countersign.mail.manage", "countersign.users.read"]);
    let of = |name, assignable, reach, patterns: &[&str]| pb::CreateRoleRequest {
        grants: grants(reach, patterns),
        assignable: Some(assignable),
        ..role(name)
    };
    portal
        .define([
            of("postmaster", within(&[]), Reach::All, &both),
            of("leader", within(&[]), Reach::Team, &both),
            of("realm-postmaster", everywhere(&[]), Reach::All, &both),
            of("sorter", everywhere(&[]), Reach::All, &mails),
        ])
        .await;
    portal
}

/// Somebody who is in, in an organization, with a role there or realm-wide.
async fn somebody(app: &TestApp, portal: &Portal, email: &str, organization: &str, role: Option<&str>) -> Person {
    portal.newcomer(app, email, &[]).await;
    let somebody = portal.enter(app, email).await;
    portal.operator.add_member(organization, &somebody.id).await.unwrap();
    if let Some(role) = role {
        let realm_wide = matches!(role, "realm-postmaster" | "sorter");
        let at = if realm_wide { At::Realm } else { At::Organization(organization) };
        portal.operator.assign(&somebody.id, role, at).await.unwrap();
    }
    somebody
}

async fn list(caller: &Caller, query: pb::ListMessagesRequest) -> Result<Vec<pb::Message>, Status> {
    Ok(caller.notifications().list_messages(query).await?.into_inner().messages)
}

fn dead() -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { state: MessageState::Dead.into(), ..Default::default() }
}

fn to(recipient: &str) -> pb::ListMessagesRequest {
    pb::ListMessagesRequest { recipient: recipient.to_owned(), ..dead() }
}

/// The addresses of the dead letters that a caller sees, the newest first.
async fn addresses(caller: &Caller, query: pb::ListMessagesRequest) -> Vec<String> {
    list(caller, query).await.unwrap().into_iter().map(|message| message.recipient).collect()
}

async fn retry(caller: &Caller, message: &str) -> Result<pb::Message, Status> {
    let request = pb::RetryMessageRequest { message: message.to_owned(), ..Default::default() };
    Ok(caller.notifications().retry_message(request).await?.into_inner().message.unwrap())
}

both_backends!(a_dead_letter_is_listed_and_put_back, async |app: &TestApp| {
    let portal = realm(app).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let id = app.dead_letter("mails", &bob.email, Some(&bob.id)).await;
    app.mailed().await;
    let letters = list(&portal.operator, dead()).await.unwrap();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.id.as_str(), letter.template.as_str()), (id.as_str(), "user_suspended"));
    assert_eq!(
        (letter.recipient.as_str(), letter.attempts, letter.last_error.as_str()),
        (bob.email.as_str(), 1, "550 5.1.1")
    );
    assert_eq!(letter.user.as_ref().map(|user| user.handle.as_str()), Some(bob.email.as_str()));

    let back = retry(&portal.operator, &id).await.unwrap();
    assert_eq!((back.state(), back.attempts), (MessageState::Waiting, 0));
    assert_eq!(app.mailed().await.len(), 1);
    assert!(list(&portal.operator, dead()).await.unwrap().is_empty());
    let refused = refusal(retry(&portal.operator, &id).await);
    assert_eq!(refused, (Code::FailedPrecondition, ErrorReason::AlreadyDelivered));
    let left = pb::ListMessagesRequest { state: MessageState::Delivered.into(), ..to(&bob.id) };
    let left = list(&portal.operator, left).await.unwrap();
    assert!(left.iter().any(|message| message.id == id && message.delivery_time.is_some()), "{left:?}");
});

both_backends!(many_dead_letters_are_put_back_at_once_or_none_is, async |app: &TestApp| {
    let portal = realm(app).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let mut messages = vec![];
    for _ in 0..3 {
        messages.push(app.dead_letter("mails", &bob.email, Some(&bob.id)).await);
    }
    app.mailed().await;
    let retry = async |messages: Vec<String>| {
        let request = pb::RetryMessageRequest { messages, ..Default::default() };
        portal.operator.notifications().retry_message(request).await.map(|answer| answer.into_inner().messages)
    };
    let unknown = [messages.clone(), vec![uuid::Uuid::new_v4().to_string()]].concat();
    assert_eq!(refusal(retry(unknown).await).0, Code::NotFound);
    assert_eq!(list(&portal.operator, dead()).await.unwrap().len(), 3);
    assert_eq!(crate::support::violations(retry(vec![messages[0].clone(); 101]).await), ["messages"]);
    let back: Vec<_> = retry(messages.clone()).await.unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(back, messages);
    assert_eq!(app.mailed().await.len(), 3);
});

both_backends!(putting_back_twice_is_once, async |app: &TestApp| {
    let portal = realm(app).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let message = app.dead_letter("mails", &bob.email, Some(&bob.id)).await;
    app.mailed().await;
    let request =
        pb::RetryMessageRequest { message, request_id: uuid::Uuid::new_v4().to_string(), ..Default::default() };
    let mut mails = portal.operator.notifications();
    let first = mails.retry_message(request.clone()).await.unwrap().into_inner();
    assert_eq!(app.mailed().await.len(), 1);
    assert_eq!(mails.retry_message(request).await.unwrap().into_inner(), first);
    assert!(app.mailed().await.is_empty());
    let put_back = pb::ListEventsRequest { action: "RetryMessage".to_owned(), ..Default::default() };
    let events = portal.operator.audit().list_events(put_back).await.unwrap().into_inner().events;
    let events: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
    assert_eq!(events, ["message.retried"]);
});

both_backends!(an_organization_reaches_the_mails_of_those_who_are_its_own, async |app: &TestApp| {
    let portal = realm(app).await;
    let ann = somebody(app, &portal, "ann@acme.example", "acme", Some("postmaster")).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let cid = somebody(app, &portal, "cid@globex.example", "globex", None).await;
    let of_bob = app.dead_letter("mails", &bob.email, Some(&bob.id)).await;
    let of_cid = app.dead_letter("mails", &cid.email, Some(&cid.id)).await;
    let of_nobody = app.dead_letter("mails", "eve@else.example", None).await;
    assert_eq!(addresses(&ann.caller, dead()).await, ["bob@acme.example"]);
    assert_eq!(addresses(&ann.caller, to(&cid.email)).await, [""; 0]);
    for beyond in [&of_cid, &of_nobody, &uuid::Uuid::new_v4().to_string()] {
        assert_eq!(refusal(retry(&ann.caller, beyond).await), NOT_FOUND);
    }
    assert_eq!(refusal(retry(&bob.caller, &of_bob).await), (Code::PermissionDenied, ErrorReason::PermissionMissing));
    // Somebody of two organizations is not one's own alone.
    portal.operator.add_member("globex", &bob.id).await.unwrap();
    assert_eq!(addresses(&ann.caller, dead()).await, [""; 0]);
    assert_eq!(refusal(retry(&ann.caller, &of_bob).await), NOT_FOUND);
    portal.operator.assign(&ann.id, "realm-postmaster", At::Realm).await.unwrap();
    assert_eq!(addresses(&ann.caller, dead()).await, ["eve@else.example", "cid@globex.example", "bob@acme.example"]);
    retry(&ann.caller, &of_nobody).await.unwrap();
});

both_backends!(a_leader_reaches_the_mails_of_the_team, async |app: &TestApp| {
    let portal = realm(app).await;
    let ann = somebody(app, &portal, "ann@acme.example", "acme", Some("leader")).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let cid = somebody(app, &portal, "cid@acme.example", "acme", None).await;
    for whose in [&ann, &bob, &cid] {
        app.dead_letter("mails", &whose.email, Some(&whose.id)).await;
    }
    portal.operator.set_manager(&bob.id, &ann.id).await.unwrap();
    assert_eq!(addresses(&ann.caller, dead()).await, ["bob@acme.example"]);
});

both_backends!(whoever_reads_no_users_sees_and_finds_no_address, async |app: &TestApp| {
    let portal = realm(app).await;
    let sorter = somebody(app, &portal, "sue@acme.example", "acme", Some("sorter")).await;
    let bob = somebody(app, &portal, "bob@acme.example", "acme", None).await;
    let id = app.dead_letter("mails", &bob.email, Some(&bob.id)).await;
    let letters = list(&sorter.caller, dead()).await.unwrap();
    assert_eq!((letters[0].id.as_str(), letters[0].recipient.as_str(), &letters[0].user), (id.as_str(), "", &None));
    for recipient in [&bob.email, &bob.id] {
        assert_eq!(addresses(&sorter.caller, to(recipient)).await, [""; 0]);
    }
    let back = retry(&sorter.caller, &id).await.unwrap();
    assert_eq!((back.recipient.as_str(), back.user), ("", None));
});

both_backends!(a_realm_has_its_own_mails_alone, async |app: &TestApp| {
    let portal = realm(app).await;
    let other = app.realm("elsewhere", Policy::default()).await;
    let id = app.dead_letter("mails", "eve@else.example", None).await;
    assert_eq!(refusal(retry(&other.operator, &id).await), NOT_FOUND);
    assert!(list(&other.operator, pb::ListMessagesRequest::default()).await.unwrap().is_empty());
    assert_eq!(addresses(&portal.operator, to("eve@else.example")).await, ["eve@else.example"]);
});

both_backends!(pages_go_on_for_their_query_and_filters_are_checked, async |app: &TestApp| {
    let portal = realm(app).await;
    for number in 0..5 {
        app.dead_letter("mails", &format!("{number}@else.example"), None).await;
    }
    let mut mails = portal.operator.notifications();
    let mut query = pb::ListMessagesRequest { page_size: 2, template: "user_suspended".to_owned(), ..dead() };
    let mut found = vec![];
    loop {
        let page = mails.list_messages(query.clone()).await.unwrap().into_inner();
        found.extend(page.messages.into_iter().map(|message| message.recipient));
        query.page_token = page.next_page_token;
        if query.page_token.is_empty() {
            break;
        }
        let other = pb::ListMessagesRequest { template: "role_assigned".to_owned(), ..query.clone() };
        let bound = (Code::InvalidArgument, ErrorReason::PageTokenInvalid);
        assert_eq!(refusal(mails.list_messages(other).await), bound);
    }
    assert_eq!(found, [4, 3, 2, 1, 0].map(|number| format!("{number}@else.example")));
    let other = pb::ListMessagesRequest { template: "role_assigned".to_owned(), ..dead() };
    assert!(list(&portal.operator, other).await.unwrap().is_empty());
    let template = "nothing".to_owned();
    let wrong = pb::ListMessagesRequest { state: 9, template, page_size: -1, ..Default::default() };
    assert_eq!(violations(mails.list_messages(wrong).await), ["state", "template", "page_size"]);
    assert_eq!(violations(retry(&portal.operator, "eve@else.example").await), ["message"]);
});

// Class 8 of `spec/security.md`: a link meant for the mailbox readable through the API.
both_backends!(no_code_and_no_link_of_a_mail_is_told, async |app: &TestApp| {
    let portal = realm(app).await;
    portal.stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let code = app.code_for("ann@acme.example").await;
    let mut mails = portal.operator.notifications();
    let answer = mails.list_messages(pb::ListMessagesRequest::default()).await.unwrap().into_inner();
    assert!(answer.messages.iter().any(|message| message.template == "verify_email"), "{answer:?}");
    let told = answer.encode_to_vec();
    for secret in [code.as_str(), "https://mails.example"] {
        assert!(!told.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
});
