//! Every RPC of the contract, fed with whatever: bytes that are no message, and messages that nobody would send.
//!
//! Nothing of it is a fault of the server's, and what is refused has changed nothing. A seed brings each message back.
//! What was found here once stands in [`bad_input`](super::bad_input) by name.

mod arbitrary;

use std::time::Duration;

use countersign::domain::realm::Position;
use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb::{self, ErrorReason};
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use self::arbitrary::{Arbitrary, paths};
use crate::access::{Cast, Persona, World, cast, signed_in_again};
use crate::support::{TestApp, both_backends, refusal, violations};

/// So many of each are sent to each RPC by each caller: some 20 seconds' worth for all.
const RANDOM_BYTES: u64 = 4;
const RANDOM_MESSAGES: u64 = 10;
/// A stream that has nothing to say for so long is left.
const PATIENCE: Duration = Duration::from_secs(10);
/// As much of a message as is shown of one that was answered wrongly.
const SHOWN_CHARS: usize = 1500;

const ME: &str = "/countersign.v1.SessionService/GetMe";

both_backends!(whatever_a_member_sends_is_answered_and_changes_nothing_if_refused, async |app: &TestApp| {
    feed(app, "member").await;
});

both_backends!(whatever_an_operator_sends_is_answered_and_changes_nothing_if_refused, async |app: &TestApp| {
    feed(app, "operator").await;
});

async fn feed(app: &TestApp, name: &str) {
    let world = World::open(app).await;
    let cast = cast(&world).await;
    let mut who = persona(&cast, name);
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let mut wrong = vec![];
    for (path, method) in Methods::read().unwrap().all() {
        let input = input(&pool, method);
        let known = [world.known(), paths(&input)].concat();
        for number in 0..RANDOM_BYTES + RANDOM_MESSAGES {
            let seed = ((method.index as u64) << 16) + number;
            let mut random = Arbitrary::new(seed, &known);
            let message = if number < RANDOM_BYTES {
                Sent { bytes: random.bytes(&input), text: None }
            } else {
                let message = random.message(&input);
                Sent { bytes: message.encode_to_vec(), text: Some(format!("{message:?}")) }
            };
            wrong.extend(send(&world, &who, path, &message).await);
        }
        // Among what somebody may do to themselves is to sign out.
        if world.wire.call(&who.carried, ME, vec![]).await.is_err() {
            who = signed_in_again(&world, &who).await;
        }
    }
    world.wire.call(&who.carried, ME, vec![]).await.unwrap();
    assert!(wrong.is_empty(), "{} answers are wrong:\n{}", wrong.len(), wrong.join("\n\n"));
}

fn persona(cast: &Cast, name: &str) -> Persona {
    cast.personas.iter().find(|persona| persona.name == name).unwrap().clone()
}

fn input(pool: &DescriptorPool, method: &Method) -> MessageDescriptor {
    let (service, name) = method.full_name.split_once('/').unwrap();
    let service = pool.get_service_by_name(service).unwrap();
    service.methods().find(|known| known.name() == name).unwrap().input()
}

/// What is sent.
struct Sent {
    bytes: Vec<u8>,
    /// `None` = no message of the type.
    text: Option<String>,
}

/// Answers what is wrong with what came of it.
async fn send(world: &World<'_>, who: &Persona, path: &str, sent: &Sent) -> Option<String> {
    let before = stands(world).await;
    let called = world.wire.call(&who.carried, path, sent.bytes.clone());
    let status = tokio::time::timeout(PATIENCE, called).await.ok()?.err()?;
    let wrong = well_said(&status, sent.text.is_some()).err();
    let wrong = wrong.or((stands(world).await != before).then_some("it was refused and changed something"))?;
    let text = sent.text.clone().unwrap_or_else(|| format!("{:x?}", sent.bytes));
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    Some(format!("{path} by {}: {wrong}\n{} {:?}\n{shown}", who.name, status.code(), status.message()))
}

/// Where every realm stands, and the latest that each is told to have had done.
async fn stands(world: &World<'_>) -> (Vec<Option<i64>>, Vec<Position>) {
    let realms = world.app.inner().app.store().realms().await.unwrap();
    (world.last_done().await, realms.iter().map(|realm| realm.position).collect())
}

/// Whether a refusal is the caller's fault, and says in what.
fn well_said(status: &Status, readable: bool) -> Result<(), &'static str> {
    if matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss) {
        return Err("a fault of the server's");
    }
    if status.get_error_details().error_info().is_none() {
        return Err("no reason is given");
    }
    match refusal::<()>(Err(status.clone())).1 {
        ErrorReason::InvalidFields if violations::<()>(Err(status.clone())).is_empty() => Err("no field is named"),
        ErrorReason::MessageMalformed if readable => Err("the message was one of the type"),
        _ => Ok(()),
    }
}
