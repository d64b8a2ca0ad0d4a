//! Every persona and every credential at every RPC, about every target; what came of it is `golden/access_matrix.txt`.

use std::fmt::Write as _;

use countersign::app::clock::Clock;
use countersign::app::{ACCESS_TOKEN_TTL, Requirement};
use countersign::grpc::access::{Method, Methods};
use countersign::grpc::pb;
use prost_reflect::prost::Message as _;
use tonic::{Code, Status};

use super::golden::assert_reviewed;
use super::personas::{Cast, Persona, cast};
use super::requests::{Aim, forms, request};
use super::world::{Target, World};
use crate::support::{Backend, TestApp, refusal, run};

/// The head of the table.
const HEAD: &str = "\
# Who may call what, of whom, and what everybody else is told.
#
# Of each RPC: what it needs, and whether it writes; then, by persona, what came of the call and about which targets.
# `names`: whom and what of the world a list, or an explanation, tells of. Below all RPCs: what comes of a call with a
# credential that does not count.
#
# Targets: `the realm` = the realm as a whole, or who belongs to no organization; `other as own` = somebody of the other
# organization in a request that names the own one; `own team` = who is led by the manager; `other team` = who is led by
# somebody else; `nowhere` = an id that is nobody's; `nowhere in other` = the same in a request that names the other
# organization. The member, the manager and the organization administrator belong to the own organization; the realm
# administrator too, whose role is realm-wide. The service is the realm's and may check. The newcomer waits for approval.
";

/// What came of a call: as the table has it, and in words.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Told {
    answer: String,
    message: String,
}

impl Told {
    /// Whether it says that there is nothing.
    fn is_silent(&self) -> bool {
        ["NOT_FOUND", "_UNKNOWN"].iter().any(|nothing| self.answer.contains(nothing))
    }
}

/// What came of the calls of one caller, by target.
type Answers = Vec<(Target, Told)>;

/// Each answer with those whom it was given to.
type Grouped<'a> = Vec<(String, Vec<&'a str>)>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_answered_as_was_reviewed_on_sqlite() {
    run(Backend::Sqlite, compare).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_is_answered_as_was_reviewed_on_postgres() {
    run(Backend::Postgres, compare).await;
}

async fn compare(app: &TestApp) {
    let world = World::open(app).await;
    let (mut cast, mut renewed) = (cast(&world).await, Clock::elapsed());
    let mut table = HEAD.to_owned();
    let mut without_right: Vec<(Grouped<'_>, Vec<String>)> = vec![];
    for (path, method) in Methods::read().unwrap().all() {
        for form in std::iter::once("").chain(forms(method)) {
            let rpc = Rpc { path, method, form };
            if Clock::elapsed() - renewed > ACCESS_TOKEN_TTL / 4 {
                (cast, renewed) = (cast.renewed(&world).await, Clock::elapsed());
            }
            write_head(&mut table, &rpc);
            ask_everybody(&world, &cast, &rpc, &mut table).await;
            let answers = Box::pin(ask_without_right(&world, &cast, &rpc)).await;
            match without_right.iter_mut().find(|(known, _)| *known == answers) {
                Some((_, rpcs)) => rpcs.push(rpc.name()),
                None => without_right.push((answers, vec![rpc.name()])),
            }
        }
    }
    for (answers, rpcs) in without_right {
        writeln!(table, "\nBy credential: {}", rpcs.join("; ")).unwrap();
        for (answer, credentials) in answers {
            writeln!(table, "  {answer}: {}", credentials.join(", ")).unwrap();
        }
    }
    assert_reviewed("access_matrix.txt", &table);
}

/// An RPC in one of its forms.
struct Rpc<'a> {
    path: &'a str,
    method: &'static Method,
    form: &'a str,
}

impl Rpc<'_> {
    /// `SetManager`, or `RevokeRole, by its id`.
    fn name(&self) -> String {
        let form = if self.form.is_empty() { String::new() } else { format!(", {}", self.form) };
        format!("{}{form}", self.method.name)
    }

    /// What subjects of its requests are kept under.
    fn key(&self) -> String {
        format!("{} {}", self.method.name, self.form)
    }
}

fn write_head(table: &mut String, rpc: &Rpc<'_>) {
    let needs = match &rpc.method.needs {
        Requirement::Public => "public".to_owned(),
        Requirement::OwnPassword => "own, also while the password must be changed".to_owned(),
        Requirement::Any { permissions, own } => {
            permissions.iter().map(String::as_str).chain(own.then_some("own")).collect::<Vec<_>>().join(" or ")
        }
    };
    let writes = if rpc.method.writes { "writes" } else { "reads" };
    writeln!(table, "\n{}: {needs}; {writes}", rpc.name()).unwrap();
}

async fn ask_everybody(world: &World<'_>, cast: &Cast, rpc: &Rpc<'_>, table: &mut String) {
    let mut answers: Vec<Answers> = vec![vec![]; cast.personas.len()];
    for target in Target::ALL {
        for (who, answers) in cast.personas.iter().zip(&mut answers) {
            let told = Box::pin(ask(world, rpc, Aim { target, who })).await;
            answers.extend(told.map(|told| (target, told)));
        }
    }
    for (who, answers) in cast.personas.iter().zip(&answers).rev() {
        require_silence(answers, &format!("{} by {}", rpc.name(), who.name));
        write_answers(table, who.name, answers);
    }
}

/// Who may not know is told the same, word by word, as if there were nothing.
fn require_silence(answers: &Answers, what: &str) {
    let told = |target: Target| answers.iter().find(|(of, _)| *of == target).map(|(_, told)| told);
    let knows = told(Target::OtherOrganization).is_some_and(|told| !told.is_silent());
    let alike = [
        (true, Target::OtherRealm, Target::Nowhere),
        (!knows, Target::OtherOrganization, Target::NowhereInOther),
        (!knows, Target::OtherAsOwn, Target::Nowhere),
    ];
    for (_, there, nowhere) in alike.into_iter().filter(|(applies, ..)| *applies) {
        let (Some(there), Some(nowhere)) = (told(there), told(nowhere)) else { continue };
        if there.is_silent() || (nowhere.is_silent() && there.answer != "OK") {
            assert_eq!(there, nowhere, "{what}");
        }
    }
}

/// What comes of one call; `None` if it can't be about this target. A refused one has changed nothing.
async fn ask(world: &World<'_>, rpc: &Rpc<'_>, aim: Aim<'_>) -> Option<Told> {
    let message = request(world, rpc.method, rpc.form, aim).await?;
    let before = world.last_done().await;
    let result = world.wire.call(&aim.who.carried, rpc.path, message).await;
    let what = format!("{} by {} about {:?}", rpc.name(), aim.who.name, aim.target);
    match &result {
        Ok(_) if rpc.method.writes => world.spent(&rpc.key(), aim.target),
        Ok(_) => {}
        Err(_) => assert_eq!(world.last_done().await, before, "{what} was refused and did something"),
    }
    require_sane(&result, &what);
    let message = result.as_ref().err().map(|status| status.message().to_owned()).unwrap_or_default();
    Some(Told { answer: told(world, rpc.method.name, result), message })
}

fn require_sane(result: &Result<Vec<u8>, Status>, what: &str) {
    if let Err(status) = result {
        let ours = matches!(status.code(), Code::Internal | Code::Unknown | Code::Unavailable | Code::InvalidArgument);
        assert!(!ours, "{what}: {status:?}");
    }
}

/// About the first target that the RPC can be about, which the operator could act on.
async fn ask_without_right(world: &World<'_>, cast: &Cast, rpc: &Rpc<'_>) -> Grouped<'static> {
    let mut answers = vec![];
    for (credential, carried) in &cast.credentials {
        let who = Persona { carried: carried.clone(), ..cast.personas.last().unwrap().clone() };
        let mut asked = None;
        for target in [Target::OwnOrganization, Target::Realm, Target::Oneself] {
            if asked.is_none() {
                let message = request(world, rpc.method, rpc.form, Aim { target, who: &who }).await;
                asked = message.map(|message| (message, target));
            }
        }
        let (message, target) = asked.unwrap();
        let before = world.last_done().await;
        let result = world.wire.call(carried, rpc.path, message).await;
        match &result {
            Ok(_) => world.spent(&rpc.key(), target),
            Err(_) => assert_eq!(world.last_done().await, before, "{} with {credential} did something", rpc.name()),
        }
        group(&mut answers, code_and_reason(result).unwrap_or_else(|_| "OK".to_owned()), credential);
    }
    answers
}

fn group<'a>(grouped: &mut Grouped<'a>, answer: String, of: &'a str) {
    match grouped.iter_mut().find(|(known, _)| *known == answer) {
        Some((_, all)) => all.push(of),
        None => grouped.push((answer, vec![of])),
    }
}

fn write_answers(table: &mut String, persona: &str, answers: &Answers) {
    let mut grouped = vec![];
    for (target, told) in answers {
        group(&mut grouped, told.answer.clone(), target.name());
    }
    let mut name = persona;
    for (answer, targets) in &grouped {
        let targets = match grouped.len() {
            1 if targets.len() > 1 => "everywhere".to_owned(),
            _ => targets.join(", "),
        };
        writeln!(table, "  {name:<28}{answer}: {targets}").unwrap();
        name = "";
    }
}

/// The answer as the table has it.
fn told(world: &World<'_>, rpc: &str, result: Result<Vec<u8>, Status>) -> String {
    let answer = match code_and_reason(result) {
        Ok(refused) => return refused,
        Err(answer) => answer,
    };
    match rpc {
        "CheckPermission" => {
            let answer = pb::CheckPermissionResponse::decode(&*answer).unwrap();
            format!("OK {}", verdict(answer.decision(), answer.reason()))
        }
        "BatchCheckPermissions" => {
            let answer = pb::BatchCheckPermissionsResponse::decode(&*answer).unwrap();
            let result = &answer.results[0];
            let Some(pb::batch_check_result::Outcome::Decision(decision)) = result.outcome else {
                panic!("{answer:?}")
            };
            format!("OK {}", verdict(decision.try_into().unwrap(), result.reason()))
        }
        "ExplainDecision" => {
            let named = world.named_in(&answer).join(", ");
            let answer = pb::ExplainDecisionResponse::decode(&*answer).unwrap();
            let (gates, misses) = (answer.failing_gates.len(), answer.near_misses.len());
            let said = format!("{gates} gates, {misses} misses, names {named}");
            format!("OK {} [{}]", verdict(answer.decision(), answer.reason()), said.trim_end_matches(", names "))
        }
        "IntrospectToken" => {
            let answer = pb::IntrospectTokenResponse::decode(&*answer).unwrap();
            if answer.active { "OK active" } else { "OK inactive" }.to_owned()
        }
        "ListSessions" => match pb::ListSessionsResponse::decode(&*answer).unwrap().sessions.len() {
            0 => "OK none".to_owned(),
            _ => "OK some".to_owned(),
        },
        "ListEffectivePermissions" => {
            let answer = pb::ListEffectivePermissionsResponse::decode(&*answer).unwrap();
            match answer.permissions.as_slice() {
                [] => format!("OK none: {}", answer.reason().as_str_name().trim_start_matches("ERROR_REASON_")),
                some => format!("OK {}", some.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")),
            }
        }
        list if list.starts_with("List") => match world.named_in(&answer) {
            nobody if nobody.is_empty() => "OK names nobody".to_owned(),
            named => format!("OK names [{}]", named.join(", ")),
        },
        _ => "OK".to_owned(),
    }
}

fn verdict(decision: pb::Decision, reason: pb::ErrorReason) -> String {
    match decision {
        pb::Decision::Allowed => "ALLOWED".to_owned(),
        _ => format!("DENIED({})", reason.as_str_name().trim_start_matches("ERROR_REASON_")),
    }
}

/// The code and the reason of a refusal, `PERMISSION_DENIED(OUT_OF_REACH)`; else the answer.
fn code_and_reason(result: Result<Vec<u8>, Status>) -> Result<String, Vec<u8>> {
    let result = match result {
        Ok(answer) => return Err(answer),
        Err(status) => refusal::<()>(Err(status)),
    };
    let (code, reason) = result;
    let code = code_name(code);
    Ok(format!("{code}({})", reason.as_str_name().trim_start_matches("ERROR_REASON_")))
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::NotFound => "NOT_FOUND",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::Aborted => "ABORTED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        other => panic!("no cell of the table should say {other:?}"),
    }
}
