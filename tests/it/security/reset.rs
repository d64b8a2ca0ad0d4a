//! The password changes by a code that was mailed for it, or by the password before, and in no other way.

use std::time::Duration;

use countersign::grpc::pb::{self, Policy};
use tokio::task::JoinSet;

use super::widening::dice::Dice;
use crate::support::{Letter, PASSWORD, Portal, TestApp, both_backends};

const ANN: &str = "ann@acme.example";
const EVE: &str = "eve@acme.example";
const CALLERS: usize = 50;
const STEPS: usize = 60;

async fn open_realm(app: &TestApp) -> Portal {
    let policy = Policy {
        self_registration: pb::SelfRegistration::Open.into(),
        approval: pb::ApprovalAuthority::None.into(),
        base_url: "https://open.example".to_owned(),
        ..Default::default()
    };
    let portal = app.realm("open", policy).await;
    for email in [ANN, EVE] {
        portal.newcomer(app, email, &[]).await;
    }
    portal
}

// Class 13: a race in one-time use.
both_backends!(of_fifty_uses_of_one_code_one_sets_a_password, async |app: &TestApp| {
    let portal = open_realm(app).await;
    portal.stranger.ask_for_reset(ANN).await.unwrap();
    let code = app.code_for(ANN).await;
    let mut calls = JoinSet::new();
    for caller in 0..CALLERS {
        let (stranger, code) = (portal.stranger.clone(), code.clone());
        let new = format!("the crooked lantern of {caller}");
        calls.spawn(async move { stranger.reset(&code, &new).await.map(|_| new) });
    }
    let set: Vec<_> = calls.join_all().await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(set.len(), 1, "{set:?}");
    portal.stranger.sign_in_with(ANN, &set[0]).await.unwrap();
    let changed = |mails: &[String]| mails.iter().filter(|mail| mail.ends_with("Your password was changed")).count();
    assert_eq!(changed(&app.mailed().await), 1);
});

// Class 2: a step of a proof skipped; class 7: a code of one purpose accepted for another.
both_backends!(no_order_of_calls_sets_a_password_without_that_accounts_code, async |app: &TestApp| {
    let portal = open_realm(app).await;
    let eve = portal.enter(app, EVE).await;
    for seed in 0..3 {
        let mut dice = Dice::new(seed);
        let mut codes = vec![String::new(), "nonsense".to_owned()];
        for step in 0..STEPS {
            let to = *dice.pick(&[ANN, EVE]);
            // Whatever Eve reads: her own mails, and nothing of Ann's.
            let known = dice.pick(&codes).clone();
            let mangled: String = known.chars().rev().collect();
            let _answered = match dice.below(8) {
                0 => portal.stranger.ask_for_reset(to).await.map(drop),
                1 => portal.stranger.register(to, "Eve", &[]).await.map(drop),
                2 => portal.stranger.verify(&known).await.map(drop),
                3 => portal.stranger.reset(&known, "eve knows this one by heart").await.map(drop),
                4 => portal.stranger.reset(&mangled, "eve knows this one by heart").await.map(drop),
                5 => eve.caller.change_password(PASSWORD, "eve knows this one by heart").await.map(drop),
                6 => portal.stranger.sign_in_with(to, "eve knows this one by heart").await.map(drop),
                _ => {
                    app.clock().advance(Duration::from_secs(60));
                    Ok(())
                }
            };
            if step % 10 == 0 {
                codes.extend(app.mails_to(EVE).await.iter().filter_map(Letter::code));
            }
        }
    }
    app.clock().advance(Duration::from_secs(3600));
    portal.stranger.sign_in(ANN).await.expect("Ann has the password that she chose");
});
