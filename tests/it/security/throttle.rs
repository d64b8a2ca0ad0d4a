//! Guessing passwords is slow for whoever guesses, and stops nobody else.

use std::time::Duration;

use countersign::domain::throttle::{FIRST_WAIT, FREE_FAILURES};
use countersign::grpc::pb::{self, ErrorReason, Policy};
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Backend, Caller, PASSWORD, Portal, Reachable as _, TestApp, both_backends, refusal};

const ANN: &str = "ann@acme.example";
const NOBODY: &str = "nobody@acme.example";
const GUESS: &str = "not the password of anybody";
const NEW: &str = "seven crooked lanterns hum";
/// Where the stranger is, and where somebody is who has not been there before.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];
const ON_A_JOURNEY: [u8; 4] = [127, 0, 0, 3];
const GUESSES: usize = 200;

const FAILED: (Code, ErrorReason) = (Code::Unauthenticated, ErrorReason::SignInFailed);
const LIMITED: (Code, ErrorReason) = (Code::ResourceExhausted, ErrorReason::RateLimited);

async fn open_realm(app: &TestApp, failed_sign_ins: i32) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://open.example".to_owned(),
        failed_sign_ins,
        ..Default::default()
    };
    let portal = app.realm("open", policy).await;
    portal.newcomer(app, ANN, &[]).await;
    app.mailed().await;
    portal
}

async fn guess(who: &Caller, email: &str) -> Result<String, Status> {
    who.sign_in_with(email, GUESS).await
}

/// Guesses until one has to wait. Answers how often, and how long.
async fn until_limited(who: &Caller, email: &str) -> (u32, Duration) {
    let mut guesses = 0;
    loop {
        let refused = guess(who, email).await;
        let wait = refused.as_ref().unwrap_err().get_details_retry_info().and_then(|info| info.retry_delay);
        match refusal(refused) {
            FAILED => guesses += 1,
            limited => {
                assert_eq!(limited, LIMITED);
                return (guesses, wait.unwrap());
            }
        }
    }
}

// Class 15: a lockout that is bypassed in parallel.
both_backends!(of_two_hundred_guesses_at_once_no_more_than_the_limit_are_compared, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    let replica = match app.inner().app.store().is_shared() {
        true => Some(app.replica().await),
        false => None,
    };
    let mut strangers = vec![app.anonymous_from(ELSEWHERE).in_realm("open")];
    strangers.extend(replica.iter().map(|replica| replica.anonymous_from(ON_A_JOURNEY).in_realm("open")));
    let compared = || {
        let others = replica.as_ref().map_or(0, |replica| replica.inner().app.hasher().compared());
        app.inner().app.hasher().compared() + others
    };
    for email in [ANN, NOBODY] {
        let before = compared();
        let mut calls = JoinSet::new();
        for number in 0..GUESSES {
            let stranger = strangers[number % strangers.len()].clone();
            calls.spawn(async move { refusal(guess(&stranger, email).await) });
        }
        let answers = calls.join_all().await;
        let failed = answers.iter().filter(|answer| **answer == FAILED).count();
        let others: Vec<_> = answers.iter().filter(|answer| ![FAILED, LIMITED].contains(answer)).collect();
        assert!(others.is_empty(), "{others:?}");
        assert_eq!(failed, FREE_FAILURES as usize, "{email}");
        assert_eq!(compared() - before, u64::from(FREE_FAILURES), "{email}");
    }
    drop(portal);
    if let Some(replica) = replica {
        replica.finish().await;
    }
});

// Class 15: a lockout that is bypassed through a sibling endpoint. The policy's number counts them together.
both_backends!(sign_in_reset_codes_and_change_password_have_one_counter, async |app: &TestApp| {
    let portal = open_realm(app, 6).await;
    let ann = portal.enter(app, ANN).await;
    portal.stranger.ask_for_reset(ANN).await.unwrap();
    let code = app.code_for(ANN).await;
    let forged = format!("{}{}", &code[..code.len() - 4], if code.ends_with("AAAA") { "BBBB" } else { "AAAA" });
    app.mailed().await;
    let wrong = (Code::FailedPrecondition, ErrorReason::PasswordWrong);
    let invalid = (Code::FailedPrecondition, ErrorReason::CodeInvalid);
    for _ in 0..2 {
        assert_eq!(refusal(guess(&portal.stranger, ANN).await), FAILED);
        assert_eq!(refusal(ann.caller.change_password(GUESS, NEW).await), wrong);
        assert_eq!(app.mailed().await, [""; 0]);
        assert_eq!(refusal(portal.stranger.reset(&forged, NEW).await), invalid);
    }
    assert_eq!(app.mailed().await, [format!("{ANN}: Your account was suspended")]);
    let suspended = (Code::PermissionDenied, ErrorReason::Suspended);
    assert_eq!(refusal(portal.stranger.sign_in(ANN).await), suspended);
    assert_eq!(portal.stranger.reset(&code, NEW).await.unwrap(), [], "the mailbox lifts it");
});

both_backends!(right_sign_ins_at_once_all_succeed, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let stranger = portal.stranger.clone();
        calls.spawn(async move { stranger.sign_in(ANN).await.map(drop).map_err(|refused| refused.code()) });
    }
    assert_eq!(calls.join_all().await, [Ok(()); 8]);
});

// What is counted at an address that is nobody's follows nobody.
both_backends!(guesses_belong_to_the_account_that_exists_and_end_with_it, async |app: &TestApp| {
    let portal = open_realm(app, 5).await;
    let bob = "bob@acme.example";
    let stranger = app.anonymous_from(ELSEWHERE).in_realm("open");
    for _ in 0..4 {
        assert_eq!(refusal(guess(&stranger, bob).await), FAILED);
    }
    portal.newcomer(app, bob, &[]).await;
    assert_eq!(refusal(guess(&portal.stranger, bob).await), FAILED, "one typo");
    portal.stranger.sign_in(bob).await.expect("one typo suspends nobody");

    // Nor does who registers the address anew inherit anything.
    for _ in 0..4 {
        assert_eq!(refusal(guess(&stranger, bob).await), FAILED);
    }
    portal.operator.delete(bob).await.unwrap();
    portal.operator.clear_tombstone(bob, "SUP-1").await.unwrap();
    portal.newcomer(app, bob, &[]).await;
    assert_eq!(refusal(guess(&portal.stranger, bob).await), FAILED);
    portal.stranger.sign_in(bob).await.unwrap();
    app.mailed().await;
});

both_backends!(who_has_just_proven_the_mailbox_waits_for_nobody, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    let bob = "bob@acme.example";
    let stranger = app.anonymous_from(ELSEWHERE).in_realm("open");
    portal.stranger.register(bob, "Bob", &[]).await.unwrap();
    until_limited(&stranger, bob).await;
    portal.stranger.verify(&app.code_for(bob).await).await.expect("the link is not throttled by strangers");
    portal.stranger.sign_in(bob).await.unwrap();
    app.mailed().await;
});

// Class 15: beside a code that is right, too, guesses count; without one nothing is compared.
both_backends!(a_wrong_password_beside_a_proven_code_counts, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    portal.stranger.register("bob@acme.example", "Bob", &[]).await.unwrap();
    let code = app.code_for("bob@acme.example").await;
    let invalid = (Code::FailedPrecondition, ErrorReason::CodeInvalid);
    let verify = async |code: &str, password: &str| {
        let request = pb::VerifyEmailRequest { code: code.to_owned(), password: password.to_owned() };
        refusal(portal.stranger.registrations().verify_email(request).await)
    };
    let compared = || app.inner().app.hasher().compared();
    let before = compared();
    for forged in ["", "nonsense", &code.chars().rev().collect::<String>()] {
        assert_eq!(verify(forged, PASSWORD).await, invalid);
    }
    assert_eq!(compared(), before, "a made-up code costs no hash");
    for _ in 0..FREE_FAILURES {
        assert_eq!(verify(&code, GUESS).await, invalid);
    }
    assert_eq!(verify(&code, PASSWORD).await, LIMITED);
    assert_eq!(compared() - before, u64::from(FREE_FAILURES));
});

// What becomes of the new password does not make a right current one a guess.
both_backends!(a_right_current_password_is_no_guess_whatever_the_new_one_is, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    let ann = portal.enter(app, ANN).await;
    for _ in 0..2 * FREE_FAILURES {
        assert_eq!(crate::support::violations(ann.caller.change_password(PASSWORD, PASSWORD).await), ["new_password"]);
        assert_eq!(crate::support::violations(ann.caller.change_password(PASSWORD, "short").await), ["new_password"]);
    }
    ann.caller.change_password(PASSWORD, NEW).await.unwrap();
    app.mailed().await;
});

// Class 16: a lockout as denial of service.
both_backends!(a_strangers_failures_do_not_keep_the_owner_out, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    portal.enter(app, ANN).await;
    let stranger = app.anonymous_from(ELSEWHERE).in_realm("open");
    let journey = app.anonymous_from(ON_A_JOURNEY).in_realm("open");
    assert_eq!(until_limited(&stranger, ANN).await.0, FREE_FAILURES);
    // At home, where she signed in before, she gets in, and that stops no guessing for long.
    portal.stranger.sign_in(ANN).await.unwrap();
    until_limited(&stranger, ANN).await;
    // Elsewhere she waits, or proves the mailbox: the stranger may go on and on.
    assert_eq!(refusal(journey.sign_in(ANN).await), LIMITED);
    journey.ask_for_reset(ANN).await.unwrap();
    let code = app.code_for(ANN).await;
    assert_eq!(refusal(guess(&stranger, ANN).await), LIMITED);
    assert_eq!(journey.reset(&code, NEW).await.unwrap(), []);
    until_limited(&stranger, ANN).await;
    journey.sign_in_with(ANN, NEW).await.unwrap();
});

both_backends!(the_wait_grows_and_ends_with_the_right_password, async |app: &TestApp| {
    let portal = open_realm(app, 0).await;
    let stranger = app.anonymous_from(ELSEWHERE).in_realm("open");
    for email in [ANN, NOBODY] {
        require(until_limited(&stranger, email).await, FREE_FAILURES, FIRST_WAIT);
        app.clock().advance(FIRST_WAIT);
        require(until_limited(&stranger, email).await, 1, 2 * FIRST_WAIT);
    }
    assert_eq!(refusal(stranger.sign_in(ANN).await), LIMITED, "nor is the right one compared");
    app.clock().advance(2 * FIRST_WAIT);
    stranger.sign_in(ANN).await.unwrap();
    // They begin anew.
    require(until_limited(&stranger, ANN).await, FREE_FAILURES, FIRST_WAIT);
    let ann = portal.operator.user(ANN).await.unwrap();
    assert_eq!(ann.status(), pb::UserStatus::Active, "no status shows it");
});

/// The time of the test itself is taken off the wait.
#[track_caller]
fn require((guesses, wait): (u32, Duration), expected: u32, longest: Duration) {
    assert_eq!(guesses, expected);
    assert!(wait <= longest && wait > longest / 2, "{wait:?} of {longest:?}");
}

// Class 25: a long password as denial of service.
#[tokio::test]
async fn an_endless_password_costs_what_a_wrong_one_costs() {
    let app = TestApp::start(Backend::Sqlite).await;
    let portal = open_realm(&app, 0).await;
    let endless = "x".repeat(16_000);
    let before = app.inner().app.hasher().compared();
    assert_eq!(refusal(portal.stranger.sign_in_with(ANN, &endless).await), FAILED);
    assert_eq!(app.inner().app.hasher().compared() - before, 1);
    let ann = portal.enter(&app, ANN).await;
    let refused = ann.caller.change_password(PASSWORD, &endless).await;
    assert_eq!(crate::support::violations(refused), ["new_password"]);
    app.finish().await;
}
