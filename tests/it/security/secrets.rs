//! A secret leaves once: in the answer that makes it, and in nothing else that is said, kept or exported.
//!
//! Security classes 3, a secret returned to the caller (CVE-2026-54693), and 8, a link meant for the mailbox readable
//! through the API (CVE-2026-16072). Of mails, only their files may tell a code; of keys, only the files that are theirs.

mod hidden;
mod process;

use countersign::config::DatabaseUrl;
use countersign::crypto::root_key::{Label, RootKey, RootKeys};
use countersign::domain::ids::RealmId;
use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb;
use countersign::store::Location;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use tonic::Status;

use self::hidden::Hidden;
use crate::access::{Aim, Cast, Target, World, cast, forms, request};
use crate::support::{PASSWORD, Reachable as _, TestApp, both_backends, everything_in};

/// The fields of answers that make a secret.
const MAKES: [&str; 3] = ["secret", "access_token", "refresh_token"];
/// How what may call begins: a key, a token.
const CREDENTIALS: [&str; 2] = ["cs_", "eyJ"];
/// As much of a key may be shown, so that people know which one it is.
const SHOWN_CHARS_MAX: usize = 12;

both_backends!(no_answer_and_no_row_tells_a_secret, async |app: &TestApp| {
    let world = World::open(app).await;
    let cast = cast(&world).await;
    let mut hidden = known(app, &cast).await;
    for (path, method) in Methods::read().unwrap().all() {
        for form in std::iter::once("").chain(forms(method)) {
            for name in ["member", "organization administrator", "operator"] {
                let who = cast.personas.iter().find(|persona| persona.name == name).unwrap();
                for target in [Target::OwnOrganization, Target::Realm, Target::Oneself] {
                    let Some(message) = request(&world, method, form, Aim { target, who }).await else { continue };
                    let result = world.wire.call(&who.carried, path, message).await;
                    if result.is_ok() && method.writes {
                        world.spent(&format!("{} {form}", method.name), target);
                    }
                    let what = format!("{} {form} by {name}", method.name);
                    told(&mut hidden, &what, method, result);
                }
            }
        }
    }
    repeated(&world, &mut hidden).await;
    codes(app, &mut hidden).await;
    let location = match &app.config().database_url {
        DatabaseUrl::Sqlite(file) => Location::Sqlite(file),
        DatabaseUrl::Postgres(url) => Location::Postgres(url.expose()),
    };
    hidden.require_absent("the record", &everything_in(location).await);
});

/// What is secret before anybody asks.
async fn known(app: &TestApp, cast: &Cast) -> Hidden {
    let mut hidden = Hidden::default();
    hidden.text("everybody's password", PASSWORD);
    hidden.text("the first operator's key", app.operator_key());
    for persona in &cast.personas {
        for credential in &persona.carried.credentials {
            hidden.text(persona.name, credential.strip_prefix("Bearer ").unwrap());
        }
    }
    let file = &app.config().root_key_file;
    hidden.text("the root key's text", std::fs::read_to_string(file).unwrap().trim());
    let keys = RootKeys::new(&RootKey::load(file).unwrap(), None);
    let store = app.inner().app.store();
    for realm in store.realms().await.unwrap() {
        for key in store.rows(realm.id).signing_keys().await.unwrap() {
            let bound_to: [&[u8]; 3] = [b"signing-key", realm_bytes(&realm.id), key.id.0.as_bytes()];
            let seed = keys.open(Label::Seal, &key.sealed_key, &bound_to).unwrap();
            hidden.bytes("a signing key", seed.expose());
        }
    }
    codes(app, &mut hidden).await;
    hidden
}

fn realm_bytes(realm: &RealmId) -> &[u8] {
    realm.0.as_bytes()
}

/// The codes of every mail so far.
async fn codes(app: &TestApp, hidden: &mut Hidden) {
    app.mailed().await;
    let before = hidden.len();
    for mail in app.config().mail_dir.read_dir().unwrap() {
        let mail = std::fs::read_to_string(mail.unwrap().path()).unwrap();
        // The plain part, in which a link stands as it is, comes first.
        if let Some((_, link)) = mail.split_once("?code=") {
            hidden.text("the code of a mail", link.split_ascii_whitespace().next().unwrap());
        }
    }
    assert!(hidden.len() > before, "no mail has a code");
}

/// Looks through an answer; what it makes is a secret from then on.
fn told(hidden: &mut Hidden, what: &str, method: &Method, result: Result<Vec<u8>, Status>) {
    match result {
        Ok(answer) => {
            hidden.require_absent(what, &answer);
            for secret in made(method, &answer) {
                hidden.text(what, &secret);
            }
        }
        Err(status) => {
            hidden.require_absent(what, status.message().as_bytes());
            hidden.require_absent(what, status.details());
        }
    }
}

/// The secrets that an answer makes. Fails if a field holds one that is not known for it.
fn made(method: &Method, answer: &[u8]) -> Vec<String> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let (service, name) = method.full_name.split_once('/').unwrap();
    let service = pool.get_service_by_name(service).unwrap();
    let output = service.methods().find(|known| known.name() == name).unwrap().output();
    let mut made = vec![];
    collect(&DynamicMessage::decode(output, answer).unwrap(), &mut made);
    made
}

fn collect(message: &DynamicMessage, made: &mut Vec<String>) {
    for (field, value) in message.fields() {
        let values = match value {
            Value::List(items) => items.iter().collect(),
            Value::Map(map) => map.values().collect(),
            one => vec![one],
        };
        for value in values {
            match value {
                Value::Message(inner) => collect(inner, made),
                Value::String(text) if MAKES.contains(&field.name()) => {
                    made.extend((!text.is_empty()).then(|| text.clone()))
                }
                Value::String(text) => {
                    let called = || format!("{}.{}", message.descriptor().name(), field.name());
                    let credential = CREDENTIALS.iter().any(|start| text.starts_with(start));
                    assert!(!credential || text.len() <= SHOWN_CHARS_MAX, "{} holds a credential", called());
                }
                _ => {}
            }
        }
    }
}

/// What is kept of an answer, so that the same call gets it again, is not its secret.
async fn repeated(world: &World<'_>, hidden: &mut Hidden) {
    let operator = world.app.as_operator();
    let account = pb::CreateServiceAccountRequest { name: "repeats".to_owned(), ..Default::default() };
    operator.service_accounts().create_service_account(account).await.unwrap();
    let request = pb::CreateApiKeyRequest {
        service_account: "repeats".to_owned(),
        request_id: uuid::Uuid::from_u128(7).to_string(),
        ..Default::default()
    };
    let first = operator.service_accounts().create_api_key(request.clone()).await.unwrap().into_inner();
    hidden.text("a key made once", &first.secret);
    let again = operator.service_accounts().create_api_key(request).await.unwrap().into_inner();
    assert!(again.secret_already_delivered, "{again:?}");
    hidden.require_absent("the same answer again", &again.encode_to_vec());
}
