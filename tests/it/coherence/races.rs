//! Fifty at once, and one effect. Security class 13: a race in one-time use.

use countersign::grpc::pb;
use tokio::task::JoinSet;
use tonic::Status;

use super::{Yard, service, times};
use crate::support::{At, TestApp, both_backends, refusal};

const CALLERS: usize = 50;

/// What fifty of the same call answer, when none waits for another.
async fn at_once<T, F>(call: impl Fn() -> F) -> Vec<Result<T, Status>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    (0..CALLERS).for_each(|_| drop(calls.spawn(call())));
    calls.join_all().await
}

/// What all of them answer.
fn one_answer<T: PartialEq + std::fmt::Debug>(answers: Vec<Result<T, Status>>) -> T {
    let mut answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    answers.remove(0)
}

both_backends!(one_code_opens_one_door_once, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    yard.portal.stranger.register("ann@acme.example", "Ann", &[]).await.unwrap();
    let code = app.code_for("ann@acme.example").await;
    let answers = at_once(|| {
        let (stranger, code) = (yard.portal.stranger.clone(), code.clone());
        async move { stranger.verify(&code).await }
    })
    .await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(opened.len(), 1, "{:?}", refused.first());
    let mut refusals: Vec<_> = refused.into_iter().map(refusal).collect();
    refusals.dedup();
    assert_eq!(refusals.len(), 1, "the refusals tell the losers apart: {refusals:?}");
    assert_eq!(times(&yard.till, "user.email_verified").await, 1);
});

both_backends!(fifty_approvals_are_one, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    yard.portal.newcomer(app, "ann@acme.example", &[]).await;
    app.mailed().await;
    let answers = at_once(|| {
        let approver = yard.till.clone();
        async move { approver.approve("ann@acme.example").await }
    })
    .await;
    assert_eq!(one_answer(answers).email, "ann@acme.example");
    assert_eq!(times(&yard.till, "user.approved").await, 1);
    assert_eq!(app.mailed().await, ["ann@acme.example: Your registration was approved"]);
});

both_backends!(one_request_makes_one_key_and_shows_it_once, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let before = times(&yard.till, "api_key.created").await;
    let request = pb::CreateApiKeyRequest {
        service_account: "packer".to_owned(),
        request_id: uuid::Uuid::from_u128(50).to_string(),
        ..Default::default()
    };
    let answers = at_once(|| {
        let (operator, request) = (yard.portal.operator.clone(), request.clone());
        async move { Ok(operator.service_accounts().create_api_key(request).await?.into_inner()) }
    })
    .await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    let shown = |answer: &&pb::CreateApiKeyResponse| !answer.secret.is_empty();
    assert_eq!(answers.iter().filter(shown).count(), 1);
    assert!(answers.iter().all(|answer| answer.secret.is_empty() == answer.secret_already_delivered));
    one_answer(answers.into_iter().map(|answer| Ok(answer.api_key)).collect());
    assert_eq!(times(&yard.till, "api_key.created").await, before + 1);
});

both_backends!(one_assignment_is_made_once_with_a_request_id_or_without, async |app: &TestApp| {
    let yard = Yard::open(app).await;
    let before = times(&yard.till, "role.assigned").await;
    let request = pb::AssignRoleRequest {
        principal: "packer".to_owned(),
        role: "ships".to_owned(),
        scope: Some(pb::assign_role_request::Scope::RealmWide(true)),
        request_id: uuid::Uuid::from_u128(51).to_string(),
        ..Default::default()
    };
    let answers = at_once(|| {
        let (operator, request) = (yard.portal.operator.clone(), request.clone());
        async move { Ok(operator.assignments().assign_role(request).await?.into_inner().entry) }
    })
    .await;
    assert!(one_answer(answers).is_some());
    assert_eq!(times(&yard.till, "role.assigned").await, before + 1);
    assert!(yard.may_ship().await);

    service(&yard.portal.operator, "loader").await;
    let answers = at_once(|| {
        let operator = yard.portal.operator.clone();
        async move { operator.assign("loader", "ships", At::Realm).await }
    })
    .await;
    one_answer(answers);
    assert_eq!(times(&yard.till, "role.assigned").await, before + 2);
});
