//! Every RPC that writes leaves an event in the audit log, done or refused. The list of RPCs is the contract's.

use countersign::app::Requirement;
use countersign::domain::ids::PrincipalId;
use countersign::grpc::access::{Method, Methods};

use crate::access::{Aim, Persona, Target, World, cast, leaver, request};
use crate::support::{TestApp, both_backends};

/// Where each RPC is tried: what it can be about first.
const TARGETS: [Target; 3] = [Target::OwnOrganization, Target::Realm, Target::Oneself];

both_backends!(every_writing_rpc_leaves_an_event_of_whoever_called, async |app: &TestApp| {
    let world = World::open(app).await;
    let personas = cast(&world).await.personas;
    let named = |name: &str| personas.iter().find(|persona| persona.name == name).unwrap();
    for (path, method) in Methods::read().unwrap().all().into_iter().filter(|(_, method)| method.writes) {
        let open = method.needs == Requirement::Public;
        // The one whom a missing permission stops, the one whom a gate does. To act on oneself takes no permission.
        let only_own = matches!(&method.needs, Requirement::Any { permissions, own: true } if permissions.is_empty());
        let unpermitted = Some(named("member")).filter(|_| !only_own);
        for refused in unpermitted.into_iter().chain([named("newcomer")]).filter(|_| !open) {
            let message = asked(&world, method, refused).await;
            let before = count(&world).await;
            world.wire.call(&refused.carried, path, message).await.unwrap_err();
            assert_eq!(new_events(&world, before).await, [told(method.name, refused, true)], "{}", method.name);
        }
        // The operator has no password to change, and joins nothing.
        let leaver = if method.needs == Requirement::OwnPassword { Some(leaver(&world).await) } else { None };
        let doer = leaver.as_ref().unwrap_or(named(if only_own { "member" } else { "operator" }));
        let message = asked(&world, method, doer).await;
        let before = count(&world).await;
        world.wire.call(&doer.carried, path, message).await.unwrap();
        let events = new_events(&world, before).await;
        assert!(!events.is_empty(), "{} left no event", method.name);
        assert!(events.iter().all(|event| *event == told(method.name, doer, false)), "{events:?}");
    }
});

both_backends!(a_reading_rpc_leaves_none, async |app: &TestApp| {
    let world = World::open(app).await;
    let personas = cast(&world).await.personas;
    for (path, method) in Methods::read().unwrap().all().into_iter().filter(|(_, method)| !method.writes) {
        for who in &personas {
            let message = asked(&world, method, who).await;
            let before = count(&world).await;
            let _answered = world.wire.call(&who.carried, path, message).await;
            assert_eq!(count(&world).await, before, "{} by {}", method.name, who.name);
        }
    }
});

type Event = (String, Option<PrincipalId>, bool);

fn told(rpc: &str, who: &Persona, refused: bool) -> Event {
    (rpc.to_owned(), Some(PrincipalId(who.id.parse().unwrap())), refused)
}

async fn asked(world: &World<'_>, method: &Method, who: &Persona) -> Vec<u8> {
    for target in TARGETS {
        if let Some(message) = Box::pin(request(world, method, "", Aim { target, who })).await {
            return message;
        }
    }
    panic!("{} is about none of {TARGETS:?}", method.name)
}

async fn count(world: &World<'_>) -> usize {
    world.told(100_000).await.len()
}

/// The events since there were so many, newest first.
async fn new_events(world: &World<'_>, before: usize) -> Vec<Event> {
    let mut events = world.told(100_000).await;
    events.truncate(events.len() - before);
    events
}

both_backends!(a_flood_of_anonymous_refusals_is_a_line_a_minute, async |app: &TestApp| {
    let portal = app.realm("flooded", countersign::grpc::pb::Policy::default()).await;
    let rows = app.inner().app.store().rows(app.inner().app.store().realm_named("flooded").await.unwrap().unwrap().id);
    let filter = countersign::store::AuditFilter::default();
    let before = rows.list_audit(&filter, 1_000).await.unwrap().len();
    let wrong = "a password that nobody chose";
    for n in 0..100 {
        let email = format!("nobody-{n}@nowhere.example");
        portal.stranger.register(&email, "Nobody", &[]).await.unwrap_err();
        portal.stranger.verify("nonsense").await.unwrap_err();
        let request = countersign::grpc::pb::SignInRequest { email, password: wrong.to_owned() };
        portal.stranger.sessions().sign_in(request).await.unwrap_err();
    }
    app.clock().advance(std::time::Duration::from_secs(120));
    app.inner().app.write_refusals(app.clock().now()).await.unwrap();
    let events = rows.list_audit(&filter, 1_000).await.unwrap();
    let lines = &events[..events.len() - before];
    // Three for each minute that it took.
    assert!((3..=30).contains(&lines.len()), "{lines:?}");
    let counted = |rpc: &str, reason: &str| {
        let of = lines.iter().filter(|event| event.line.action == rpc && event.line.reason.as_deref() == Some(reason));
        of.map(|event| event.line.details["count"].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!(counted("Register", "CODES_UNKNOWN"), 100);
    assert_eq!(counted("VerifyEmail", "CODE_INVALID"), 100);
    assert_eq!(counted("SignIn", "SIGN_IN_FAILED"), 100);
});
