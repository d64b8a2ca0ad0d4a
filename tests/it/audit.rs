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
        // The one whom a missing permission stops, the one whom a gate does.
        for refused in [named("member"), named("newcomer")].into_iter().filter(|_| !open) {
            let message = asked(&world, method, refused).await;
            let before = count(&world).await;
            world.wire.call(&refused.carried, path, message).await.unwrap_err();
            assert_eq!(new_events(&world, before).await, [told(method.name, refused, true)], "{}", method.name);
        }
        // The operator has no password to change.
        let leaver = if method.needs == Requirement::OwnPassword { Some(leaver(&world).await) } else { None };
        let able = leaver.as_ref().unwrap_or(named("operator"));
        let message = asked(&world, method, able).await;
        let before = count(&world).await;
        world.wire.call(&able.carried, path, message).await.unwrap();
        let events = new_events(&world, before).await;
        assert!(!events.is_empty(), "{} left no event", method.name);
        assert!(events.iter().all(|event| *event == told(method.name, able, false)), "{events:?}");
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
