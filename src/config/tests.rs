use std::ffi::OsString;
use std::path::Path;

use clap::{Args, Command, FromArgMatches};

use super::source::{Flags, gather};
use super::{Config, ConfigError, DatabaseUrl, SETTINGS};

/// Settings from a file's text, variables and arguments.
pub(super) fn load(file: &str, environment: &[(&str, &str)], args: &[&str]) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    if !file.is_empty() {
        std::fs::write(dir.path().join("countersign.toml"), file).unwrap();
    }
    let variables = environment.iter().map(|(name, text)| (OsString::from(name), OsString::from(text)));
    Config::checked(gather(&flags(args).unwrap(), dir.path(), variables)?)
}

fn flags(args: &[&str]) -> Result<Flags, clap::Error> {
    let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
    Flags::from_arg_matches(&command.try_get_matches_from(args)?)
}

pub(super) fn refusal(file: &str, environment: &[(&str, &str)], args: &[&str]) -> String {
    load(file, environment, args).unwrap_err().to_string()
}

#[test]
fn the_later_source_wins_and_is_named() {
    let file = "database_pool = 3\nhash_queue = 4\nreflection = false";
    let config = load(file, &[("COUNTERSIGN_HASH_QUEUE", "5")], &["--reflection=true"]).unwrap();
    assert_eq!((config.database_pool.get(), config.hash_queue, config.reflection), (3, Some(5), true));
    let lines = config.describe();
    for expected in [
        "hash_queue = 5  # environment COUNTERSIGN_HASH_QUEUE",
        "reflection = true  # flag --reflection",
        "shutdown_grace = 20s  # default",
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected} is not in {lines:#?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("database_pool = 3  # file ")));
}

#[test]
fn defaults_follow_the_data_directory() {
    let config = load("", &[], &["--data-dir", "elsewhere"]).unwrap();
    assert_eq!(config.mail_dir, Path::new("elsewhere/mail"));
    assert_eq!(config.root_key_file, Path::new("elsewhere/root.key"));
    assert!(matches!(config.database_url, DatabaseUrl::Sqlite(path) if path == Path::new("elsewhere/countersign.db")));
}

#[test]
fn a_name_that_no_setting_has_is_refused_with_its_source() {
    assert!(refusal("listem = 'x'", &[], &[]).starts_with("no setting is called \"listem\" (file "));
    let unknown = refusal("", &[("COUNTERSIGN_LISTEM", "x")], &[]);
    assert_eq!(unknown, "no setting is called \"COUNTERSIGN_LISTEM\" (environment COUNTERSIGN_LISTEM)");
    assert!(flags(&["--listem", "x"]).is_err());
    assert!(refusal("[log]\nformat = 'json'", &[], &[]).starts_with("no setting is called \"log\""));
}

#[test]
fn what_kubernetes_adds_for_services_of_this_name_is_no_setting() {
    for service in ["", "METRICS_", "SMTP_", "WEB_API_"] {
        let added = [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "50051"),
            ("SERVICE_PORT_GRPC_WEB", "50051"),
            ("PORT", "tcp://10.0.0.1:50051"),
            ("PORT_50051_TCP", "tcp://10.0.0.1:50051"),
            ("PORT_50051_TCP_PROTO", "tcp"),
            ("PORT_50051_TCP_PORT", "50051"),
            ("PORT_50051_TCP_ADDR", "10.0.0.1"),
            ("PORT_9000_UDP_ADDR", "10.0.0.1"),
        ]
        .map(|(name, text)| (format!("COUNTERSIGN_{service}{name}"), text));
        let config = load("", &added.each_ref().map(|(name, text)| (name.as_str(), *text)), &[]).unwrap();
        assert_eq!(config.smtp_port, None, "{service}");
    }
    for name in ["COUNTERSIGN_PORT", "COUNTERSIGN_METRICS_PORT", "COUNTERSIGN_PORT_X_TCP", "COUNTERSIGN_SERVICES_HOST"]
    {
        assert!(refusal("", &[(name, "50051")], &[]).contains(name), "a mistyped setting");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let environment = [
        ("COUNTERSIGN_LISTEM", "x"),
        ("COUNTERSIGN_DATABASE_POOL", "0"),
        ("COUNTERSIGN_SHUTDOWN_GRACE", "20"),
        ("COUNTERSIGN_LOG_FORMAT", "xml"),
    ];
    let told = refusal("hash_permits = 0\nnothing = 1", &environment, &["--listen", "localhost"]);
    assert!(told.starts_with("7 settings are wrong:\n"), "{told}");
    for name in ["LISTEM", "database_pool", "shutdown_grace", "log_format", "hash_permits", "nothing", "--listen"] {
        assert!(told.contains(name), "{name}: {told}");
    }
    let told = refusal("", &[], &["--listen", "0.0.0.0:1", "--tls-client-required", "--smtp-host", "mail"]);
    assert!(told.starts_with("3 settings are wrong:\n"), "{told}");
}

#[test]
fn a_torn_file_is_told_with_its_line() {
    let told = refusal("listen = '127.0.0.1:1'\n\nreflection = yes\n", &[], &[]);
    assert!(told.contains("countersign.toml: line 3: "), "{told}");
}

#[test]
fn a_malformed_value_is_refused_with_what_would_be_right() {
    assert_eq!(
        refusal("", &[("COUNTERSIGN_SHUTDOWN_GRACE", "20")], &[]),
        "shutdown_grace (environment COUNTERSIGN_SHUTDOWN_GRACE): expected a duration with its unit, such as 500ms or \
         30s, got \"20\""
    );
    for (name, text) in [
        ("COUNTERSIGN_DATABASE_POOL", "0"),
        ("COUNTERSIGN_LISTEN", "localhost"),
        ("COUNTERSIGN_DATA_DIR", ""),
        ("COUNTERSIGN_OTLP_ENDPOINT", "https://collector:4317"),
        ("COUNTERSIGN_TRUSTED_PROXIES", "10.0.0.0/8, mesh"),
        ("COUNTERSIGN_LOG_FILTER", "countersign=loud"),
        ("COUNTERSIGN_MAIL_FROM", "nobody"),
    ] {
        assert!(refusal("", &[(name, text)], &[]).contains(name), "{name}={text}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused_by_name() {
    let both = refusal("root_key_file = 'root.key'", &[("COUNTERSIGN_ROOT_KEY", "c2VjcmV0")], &[]);
    assert!(both.starts_with("root_key (environment COUNTERSIGN_ROOT_KEY) contradicts root_key_file (file "), "{both}");
    let plaintext = refusal("", &[], &["--listen", "0.0.0.0:50051"]);
    assert!(plaintext.starts_with("listen (flag --listen) contradicts allow_plaintext (default)"), "{plaintext}");
    load("", &[], &["--listen", "0.0.0.0:50051", "--allow-plaintext"]).unwrap();
    load("", &[], &["--listen", "0.0.0.0:50051", "--tls-cert-file", "c", "--tls-key-file", "k"]).unwrap();
    for (args, named) in [
        (vec!["--tls-cert-file", "c"], "tls_cert_file (flag --tls-cert-file) contradicts tls_key_file (default)"),
        (vec!["--tls-key-file", "k"], "tls_key_file (flag --tls-key-file) contradicts tls_cert_file (default)"),
        (
            vec!["--tls-client-ca-files", "example.org=a"],
            "tls_client_ca_files (flag --tls-client-ca-files) contradicts tls_cert_file",
        ),
        (
            vec!["--tls-cert-file", "c", "--tls-key-file", "k", "--tls-client-required"],
            "tls_client_required (flag --tls-client-required) contradicts tls_client_ca_files (default)",
        ),
    ] {
        let refused = refusal("", &[], &args);
        assert!(refused.starts_with(named), "{refused}");
    }
    let twice = refusal("", &[], &["--metrics-listen", "127.0.0.1:50051"]);
    assert!(twice.contains("both name one address"), "{twice}");
}

#[test]
fn secrets_are_shown_nowhere() {
    let environment = [
        ("COUNTERSIGN_ROOT_KEY", "hunter2"),
        ("COUNTERSIGN_DATABASE_URL", "postgres://app:hunter2@db:5432/portal?password=hunter2&sslmode=verify-full"),
    ];
    let config = load("", &environment, &[]).unwrap();
    let shown = config.describe().join("\n");
    assert!(shown.contains("database_url = postgres://(hidden)@db:5432/portal  #"), "{shown}");
    assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    let mistyped = refusal("", &[("COUNTERSIGN_DATABASE_URL", "postgers://app:hunter2@db/portal")], &[]);
    assert!(!mistyped.contains("hunter2"));
    for (setting, text) in [("SMTP_HOST", "ann:hunter2@mail"), ("OTLP_ENDPOINT", "http://ann:hunter2@collector:4317")] {
        let mistyped = refusal("", &[(&format!("COUNTERSIGN_{setting}"), text)], &[]);
        assert!(!mistyped.contains("hunter2"), "{mistyped}");
    }
    let torn = refusal("root_key = 'hunter2", &[], &[]);
    assert!(!torn.contains("hunter2"), "{torn}");
    assert!(flags(&["--root-key", "hunter2"]).is_err());
}

#[test]
fn a_named_file_must_exist() {
    let missing = Flags { config: Some("missing.toml".into()), ..Flags::default() };
    let error = gather(&missing, Path::new("."), std::iter::empty()).unwrap_err();
    assert!(error.to_string().starts_with("configuration file missing.toml: "));
}

#[test]
fn every_value_can_be_given_as_it_is_shown() {
    let config = load("", &[], &[]).unwrap();
    let shown: String = config.shown().into_iter().map(|(name, text)| format!("{name} = '{text}'\n")).collect();
    let shown = shown.replace("root_key_file = 'data/root.key'\n", "");
    assert_eq!(load(&shown, &[], &[]).unwrap().shown(), config.shown());
    assert_eq!(config.shown().len(), SETTINGS.len());
}

#[test]
fn each_trust_domain_has_one_file() {
    let args = ["--tls-cert-file", "c", "--tls-key-file", "k", "--tls-client-ca-files"];
    let load = |files: &'static str| load("", &[], &[&args[..], &[files]].concat());
    let read = load("example.org=a.pem, other.example = b.pem").unwrap().tls_client_ca_files.0;
    assert_eq!(read, [("example.org".to_owned(), "a.pem".into()), ("other.example".to_owned(), "b.pem".into())]);
    for wrong in ["a.pem", "=a.pem", "example.org=", "Example.org=a", "example.org=a, example.org=b"] {
        assert!(load(wrong).is_err(), "{wrong}");
    }
}
