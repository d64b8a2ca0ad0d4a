//! What the contract's comments say of failures is what is sent: the comments are the manual.

use std::collections::{BTreeMap, BTreeSet};

use countersign::app::{Kind, Reason};
use countersign::domain::message::Template;
use countersign::grpc::pb;
use prost_reflect::{DescriptorPool, FileDescriptor};

/// Reasons that any RPC may answer: told once, where credentials, gates and misses are.
const EVERYWHERE: [&str; 10] = [
    "CREDENTIAL_MISSING",
    "CREDENTIAL_INVALID",
    "CREDENTIALS_CONFLICT",
    "REALM_UNKNOWN",
    "APPROVAL_PENDING",
    "PERMISSION_MISSING",
    "NOT_FOUND",
    "NO_SUCH_ENTRY",
    "WRONG_ORGANIZATION",
    "OUT_OF_REACH",
];

fn files() -> Vec<FileDescriptor> {
    DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap().files().collect()
}

/// The comment above what stands at a path of a file, in one line.
fn comment(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
    let there = info.location.iter().find(|location| location.path == path);
    let text = there.map(|location| location.leading_comments().to_owned()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The comment of each RPC of the contract, by its name.
fn rpcs() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for file in files().iter().filter(|file| file.package_name() == "countersign.v1") {
        for service in file.services() {
            for method in service.methods() {
                all.insert(method.name().to_owned(), comment(file, method.path()));
            }
        }
    }
    all
}

/// The names in capitals of a text, of two words or more.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    words.filter(|word| word.contains('_') && !word.starts_with('_'))
}

#[test]
fn each_error_that_an_rpc_promises_is_a_reason() {
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    // What errors depend on: codes, and values of the policy.
    let beside = ["FAILED_PRECONDITION", "PERMISSION_DENIED", "INVALID_ARGUMENT", "BY_ORGANIZATION_CODE"];
    for (rpc, comment) in rpcs() {
        let Some((_, errors)) = comment.split_once("Errors:") else { continue };
        let unknown: Vec<_> = names(errors).filter(|name| !known.contains(name) && !beside.contains(name)).collect();
        assert!(unknown.is_empty(), "{rpc} promises {unknown:?}");
    }
}

#[test]
fn each_rule_that_an_rpc_was_refused_by_is_promised() {
    let matrix = include_str!("../../golden/access_matrix.txt");
    let comments = rpcs();
    let mut rpc = "";
    let mut refusals = 0;
    for line in matrix.lines() {
        if let Some((head, _)) = line.split_once(": ").filter(|_| !line.starts_with([' ', '#'])) {
            rpc = head.split(' ').next().unwrap();
        }
        let Some(comment) = comments.get(rpc) else { continue };
        for (code, reason) in line.match_indices('(').filter_map(|(at, _)| {
            let code = line[..at].rsplit(' ').next()?;
            Some((code, line[at + 1..].split_once(')')?.0))
        }) {
            // A denial is an answer, and not an error.
            let told = code == "DENIED" || EVERYWHERE.contains(&reason) || names(comment).any(|name| name == reason);
            refusals += usize::from(Reason::ALL.iter().any(|known| known.name() == reason));
            assert!(told, "{rpc} answers {code}({reason}), and its comment says nothing of it");
        }
    }
    assert!(refusals > 300, "{refusals} refusals were found");
}

#[test]
fn each_reason_says_the_code_that_it_comes_with() {
    let files = files();
    let file = files.iter().find(|file| file.name().ends_with("/errors.proto")).unwrap();
    let vocabulary = file.enums().find(|it| it.name() == "ErrorReason").unwrap();
    for value in vocabulary.values().filter(|value| value.number() != 0) {
        let said = comment(file, value.path());
        let name = value.name().trim_start_matches("ERROR_REASON_").to_owned();
        let kind = Reason::ALL.iter().find(|reason| reason.name() == name).unwrap().kind();
        let codes: Vec<_> = CODES.iter().filter(|(text, _)| said.contains(text)).map(|(_, kind)| *kind).collect();
        match said.split([':', ',']).next().unwrap() {
            "A gate" | "A miss" => {
                assert_eq!((kind, codes.as_slice()), (Kind::PermissionDenied, [].as_slice()), "{name}")
            }
            // Answered about a subject; no call fails with it, unless the comment says a code as well.
            "DENIED" if codes.is_empty() => {}
            _ => assert_eq!(codes, [kind], "{name}: {said}"),
        }
    }
}

const CODES: [(&str, Kind); 12] = [
    ("INVALID_ARGUMENT", Kind::InvalidArgument),
    ("UNAUTHENTICATED", Kind::Unauthenticated),
    ("PERMISSION_DENIED", Kind::PermissionDenied),
    ("NOT_FOUND", Kind::NotFound),
    ("ALREADY_EXISTS", Kind::AlreadyExists),
    ("FAILED_PRECONDITION", Kind::FailedPrecondition),
    ("ABORTED", Kind::Aborted),
    ("RESOURCE_EXHAUSTED", Kind::ResourceExhausted),
    ("UNIMPLEMENTED", Kind::Unimplemented),
    ("DEADLINE_EXCEEDED", Kind::DeadlineExceeded),
    ("UNAVAILABLE", Kind::Unavailable),
    ("INTERNAL", Kind::Internal),
];

#[test]
fn the_policy_names_every_mail_and_no_other() {
    let files = files();
    let file = files.iter().find(|file| file.name().ends_with("/realm.proto")).unwrap();
    let policy = file.messages().find(|it| it.name() == "Policy").unwrap();
    let mails = policy.get_field_by_name("mails").unwrap();
    let said = comment(file, mails.path());
    let is_name = |text: &&str| text.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    let named: BTreeSet<_> = said.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert_eq!(named, Template::ALL.iter().map(|template| template.name()).collect::<BTreeSet<_>>());
}
