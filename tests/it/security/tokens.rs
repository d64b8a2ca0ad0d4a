//! Security class 7: a token of one purpose accepted for another (CVE-2026-4282). Each kind of token, at each field of
//! the contract that takes one, and as a credential. The fields are found in the descriptor set: an RPC that is added
//! tomorrow is asked tomorrow.

use std::fmt;

use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind as FieldKind, MethodDescriptor, ReflectMessage as _, Value};
use tonic::{Code, Status};

use crate::access::{Aim, Persona, Target, World, cast, request};
use crate::support::{Caller, Reachable as _, TestApp, both_backends, refusal};

/// What somebody may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    AccessToken,
    RefreshToken,
    ApiKey,
    /// Of a mail.
    Code,
    PageToken,
    ConsistencyToken,
    /// No secret at all.
    Id,
}

/// A field of a request, by the names on the way to it.
#[derive(Clone, PartialEq, Eq)]
struct Field(Vec<String>);

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Field {
    fn last(&self) -> &str {
        self.0.last().map(String::as_str).unwrap_or_default()
    }

    /// The kinds that it takes.
    fn takes(&self, rpc: &str) -> &'static [Kind] {
        match (rpc, self.last()) {
            ("IntrospectToken", "token") => &[Kind::AccessToken, Kind::ApiKey],
            (_, "access_token") => &[Kind::AccessToken],
            (_, "refresh_token") => &[Kind::RefreshToken],
            (_, "page_token") => &[Kind::PageToken],
            (_, "at_least_as_fresh") | ("WatchChanges", "consistency_token") => &[Kind::ConsistencyToken],
            (_, "code") => &[Kind::Code],
            _ => panic!("{rpc} has a field {self}: say which kind of token it takes"),
        }
    }

    /// Writes a text into the field; of a list, into that of its only item.
    fn write(names: &[String], message: &mut DynamicMessage, text: &str) {
        let (name, rest) = names.split_first().unwrap();
        if rest.is_empty() {
            message.set_field_by_name(name, Value::String(text.to_owned()));
            return;
        }
        let field = message.descriptor().get_field_by_name(name).unwrap();
        let FieldKind::Message(inner) = field.kind() else { panic!("{name} is no message") };
        let mut next = if field.is_list() || !message.has_field(&field) {
            DynamicMessage::new(inner)
        } else {
            message.get_field(&field).as_message().unwrap().clone()
        };
        if let (true, Some(first)) =
            (field.is_list(), message.get_field(&field).as_list().and_then(|list| list.first()))
        {
            next = first.as_message().unwrap().clone();
        }
        Self::write(rest, &mut next, text);
        let next = Value::Message(next);
        message.set_field(&field, if field.is_list() { Value::List(vec![next]) } else { next });
    }
}

/// The fields below a message that take a token or a code.
fn fields(message: &prost_reflect::MessageDescriptor, above: &[String], found: &mut Vec<Field>) {
    for field in message.fields().filter(|field| !field.is_map()) {
        let path = [above, &[field.name().to_owned()]].concat();
        match field.kind() {
            FieldKind::Message(inner) if inner.package_name() == "countersign.v1" && path.len() < 4 => {
                fields(&inner, &path, found);
            }
            FieldKind::String => {
                let name = field.name();
                if name.ends_with("token") || name == "code" || name.contains("fresh") {
                    found.push(Field(path));
                }
            }
            _ => {}
        }
    }
}

fn descriptor(pool: &DescriptorPool, method: &Method) -> MethodDescriptor {
    let (service, name) = method.full_name.split_once('/').unwrap();
    pool.get_service_by_name(service).unwrap().methods().find(|method| method.name() == name).unwrap()
}

/// Whether a token was taken for what the field wants.
fn counted(rpc: &str, field: &Field, answer: Result<Vec<u8>, Status>) -> bool {
    use pb::ErrorReason::TokenInvalid;
    let answer = match answer {
        Ok(answer) => answer,
        Err(status) => {
            let about_it = matches!(
                status.code(),
                Code::InvalidArgument | Code::Unauthenticated | Code::FailedPrecondition | Code::NotFound
            );
            assert!(about_it, "{rpc} {field}: {status:?}");
            return false;
        }
    };
    match (rpc, field.last()) {
        ("IntrospectToken", "token") => pb::IntrospectTokenResponse::decode(&*answer).unwrap().active,
        ("SignOut", _) => !pb::SignOutResponse::decode(&*answer).unwrap().consistency_token.is_empty(),
        ("CheckPermission", "access_token") => {
            pb::CheckPermissionResponse::decode(&*answer).unwrap().reason() != TokenInvalid
        }
        ("ExplainDecision", "access_token") => {
            pb::ExplainDecisionResponse::decode(&*answer).unwrap().reason() != TokenInvalid
        }
        ("ListEffectivePermissions", "access_token") => {
            pb::ListEffectivePermissionsResponse::decode(&*answer).unwrap().reason() != TokenInvalid
        }
        ("ListAllowedOrganizations", "access_token") => {
            pb::ListAllowedOrganizationsResponse::decode(&*answer).unwrap().reason() != TokenInvalid
        }
        ("BatchCheckPermissions", "access_token") => {
            pb::BatchCheckPermissionsResponse::decode(&*answer).unwrap().results[0].reason() != TokenInvalid
        }
        _ => true,
    }
}

/// The request that the operator would be answered well, about whatever it can be about.
async fn base(world: &World<'_>, method: &Method, who: &Persona) -> Vec<u8> {
    for target in [Target::OwnOrganization, Target::Realm, Target::Oneself] {
        if let Some(message) = Box::pin(request(world, method, "", Aim { target, who })).await {
            return message;
        }
    }
    panic!("{} has no request", method.name)
}

/// One of each kind, all of which count where they should.
async fn one_of_each(app: &TestApp, operator: &Caller) -> Vec<(Kind, String)> {
    let stranger = app.anonymous().in_realm("matrix");
    let name = uuid::Uuid::new_v4().simple().to_string();
    let [waits, goes_on] = ["waits", "goes-on"].map(|way| format!("{name}@{way}.example"));
    for email in [&waits, &goes_on] {
        stranger.register(email, "Somebody", &[]).await.unwrap();
    }
    stranger.verify(&app.code_for(&goes_on).await).await.unwrap();
    operator.approve(&goes_on).await.unwrap();
    let tokens = stranger.begin(&goes_on).await.unwrap();
    let users = pb::ListUsersRequest { page_size: 1, ..Default::default() };
    let page = operator.users().list_users(users).await.unwrap().into_inner().next_page_token;
    let request = pb::SuspendUserRequest { user: waits, reason: "x".to_owned(), ..Default::default() };
    let changed = operator.users().suspend_user(request).await.unwrap().into_inner();
    vec![
        (Kind::AccessToken, tokens.access_token),
        (Kind::RefreshToken, tokens.refresh_token),
        (Kind::ApiKey, operator.service(&format!("service-{name}")).await.unwrap()),
        (Kind::Code, app.code_for(&goes_on).await),
        (Kind::PageToken, page),
        (Kind::ConsistencyToken, changed.consistency_token),
        (Kind::Id, changed.user.unwrap().id),
    ]
}

both_backends!(a_token_of_one_kind_is_none_of_another, async |app: &TestApp| {
    let world = World::open(app).await;
    let personas = cast(&world).await.personas;
    let who = personas.iter().find(|persona| persona.name == "operator").unwrap();
    let operator = app.as_key(who.carried.credentials[0].trim_start_matches("Bearer ")).in_realm("matrix");
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let (mut held, mut accepted) = (one_of_each(app, &operator).await, vec![]);
    for (path, method) in Methods::read().unwrap().all() {
        let input = descriptor(&pool, method).input();
        let mut found = vec![];
        fields(&input, &[], &mut found);
        for field in found {
            for (kind, text) in held.clone() {
                let mut message = DynamicMessage::decode(input.clone(), &*base(&world, method, who).await).unwrap();
                if message.descriptor().get_field_by_name("with_reason").is_some() {
                    message.set_field_by_name("with_reason", Value::Bool(true));
                }
                Field::write(&field.0, &mut message, &text);
                let answer = world.wire.call(&who.carried, path, message.encode_to_vec()).await;
                if counted(method.name, &field, answer) {
                    assert!(field.takes(method.name).contains(&kind), "{} {field} took a {kind:?}", method.name);
                    accepted.push((method.name, field.last().to_owned(), kind));
                    if method.writes {
                        held = one_of_each(app, &operator).await;
                    }
                } else {
                    field.takes(method.name);
                }
            }
        }
    }
    // What is taken shows that the others were refused for what they are.
    for taken in [
        ("CheckPermission", "access_token", Kind::AccessToken),
        ("CheckPermission", "at_least_as_fresh", Kind::ConsistencyToken),
        ("RefreshSession", "refresh_token", Kind::RefreshToken),
        ("SignOut", "refresh_token", Kind::RefreshToken),
        ("IntrospectToken", "token", Kind::AccessToken),
        ("IntrospectToken", "token", Kind::ApiKey),
    ] {
        let is_it = |(rpc, field, kind): &(&str, String, Kind)| (*rpc, field.as_str(), *kind) == taken;
        assert!(accepted.iter().any(is_it), "{taken:?} was not taken: {accepted:?}");
    }
});

both_backends!(only_an_access_token_and_a_key_are_credentials, async |app: &TestApp| {
    World::open(app).await;
    let operator = app.as_operator().in_realm("matrix");
    for (kind, text) in one_of_each(app, &operator).await {
        let me = app.as_key(&text).sessions().get_me(pb::GetMeRequest {}).await;
        match kind {
            Kind::AccessToken | Kind::ApiKey => drop(me.unwrap()),
            _ => assert_eq!(refusal(me), (Code::Unauthenticated, pb::ErrorReason::CredentialInvalid), "{kind:?}"),
        }
    }
});
