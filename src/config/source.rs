//! Where settings come from: a file, the environment, flags. Each gives text by name; none of them knows what a setting
//! means, only whether there is one of that name.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command, FromArgMatches};

use super::{ConfigError, SETTINGS};

/// Who gave a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// The table.
    Default,
    /// A file, by path.
    File(PathBuf),
    /// A variable, by name.
    Environment(String),
    /// A flag, by name without its dashes.
    Flag(String),
}

/// What the sources gave: setting → text and who gave it last.
pub(super) type Given = HashMap<&'static str, (String, Source)>;

/// The file that is read when no other is named.
const FILE: &str = "countersign.toml";

/// What every variable of ours begins with.
const PREFIX: &str = "COUNTERSIGN_";

/// What a test run hands to its tests begins with this after our prefix.
const OF_TESTS: &str = "TEST_";

/// The flags of every subcommand that reads settings: `--config FILE` and one flag per setting that is not secret.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file named by `--config`; then it must exist.
    pub config: Option<PathBuf>,
    /// Setting → value.
    pub values: Vec<(&'static str, String)>,
}

impl clap::Args for Flags {
    fn augment_args(cmd: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("TOML file of settings [default: {FILE}, if it exists]"));
        let settings = SETTINGS.iter().filter(|setting| setting.flag).map(|setting| {
            let help = match setting.default {
                "" => setting.help.trim().to_owned(),
                default => format!("{} [default: {default}]", setting.help.trim()),
            };
            let arg = Arg::new(setting.name).long(setting.name.replace('_', "-")).value_name("VALUE").help(help);
            if setting.switch { arg.num_args(0..=1).require_equals(true).default_missing_value("true") } else { arg }
        });
        cmd.arg(file).args(settings)
    }

    fn augment_args_for_update(cmd: Command) -> Command {
        Self::augment_args(cmd)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let value = |name| matches.get_one::<String>(name).map(|value| (name, value.clone()));
        let names = SETTINGS.iter().filter(|setting| setting.flag).map(|setting| setting.name);
        Ok(Self { config: matches.get_one("config").cloned(), values: names.filter_map(value).collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Collects what the sources give, the later over the earlier: the file (looked for in `dir` if no flag names one), the
/// environment, the flags; and beside it every name that no setting has.
///
/// # Errors
/// A file that can't be read.
pub(super) fn gather(
    flags: &Flags,
    dir: &Path,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Given, Vec<ConfigError>), ConfigError> {
    let (mut given, mut wrong) = (Given::new(), vec![]);
    let entries = from_file(flags.config.as_deref(), dir)?.into_iter().chain(from_environment(environment));
    for entry in entries {
        match entry {
            Ok((name, text)) => drop(given.insert(name, text)),
            Err(error) => wrong.push(error),
        }
    }
    for (name, text) in &flags.values {
        given.insert(name, (text.clone(), Source::Flag(name.replace('_', "-"))));
    }
    Ok((given, wrong))
}

/// A setting and its text, or what is wrong about its name or form.
type Entry = Result<(&'static str, (String, Source)), ConfigError>;

fn from_file(named: Option<&Path>, dir: &Path) -> Result<Vec<Entry>, ConfigError> {
    let path = named.map_or_else(|| dir.join(FILE), Path::to_path_buf);
    let wrong = |problem: String| ConfigError::File { path: path.clone(), problem };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        read => read.map_err(|error| wrong(error.to_string()))?,
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| wrong(where_and_what(&text, &error)))?;
    let entries = table.into_iter().map(|(key, value)| {
        let from = Source::File(path.clone());
        let name = setting(&key).ok_or_else(|| ConfigError::Unknown { name: key, from: from.clone() })?;
        match text_of(value) {
            Some(text) => Ok((name, (text, from))),
            None => Err(ConfigError::Invalid { name, from, problem: "expected a value, not a table".to_owned() }),
        }
    });
    Ok(entries.collect())
}

/// The line, and what is wrong there. Not the excerpt, in which a secret may stand.
fn where_and_what(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

/// The text that the environment would give for a value of the file.
fn text_of(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Array(items) => Some(items.into_iter().map(text_of).collect::<Option<Vec<_>>>()?.join(",")),
        toml::Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

fn from_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<Entry> {
    let ours = variables.filter_map(|(variable, text)| {
        let variable = variable.into_string().ok()?;
        let key = variable.strip_prefix(PREFIX)?.to_owned();
        let foreign = key.starts_with(OF_TESTS) || is_injected(&key, &text.to_string_lossy());
        (!foreign).then_some((variable, key, text))
    });
    let entries = ours.map(|(variable, key, text)| {
        let from = Source::Environment(variable.clone());
        let upper = key.chars().all(|c| !c.is_ascii_lowercase());
        let name = setting(&key.to_ascii_lowercase()).filter(|_| upper);
        let name = name.ok_or_else(|| ConfigError::Unknown { name: variable, from: from.clone() })?;
        match text.into_string() {
            Ok(text) => Ok((name, (text, from))),
            Err(_) => Err(ConfigError::Invalid { name, from, problem: "expected UTF-8".to_owned() }),
        }
    });
    entries.collect()
}

/// Whether Kubernetes sets a variable of this name, after our prefix, and text in every container, for a Service named
/// `countersign` or `countersign-…`: `[X_]SERVICE_HOST`, `[X_]SERVICE_PORT[_NAME]`, `[X_]PORT` with an address, and
/// `[X_]PORT_50051_TCP[_PROTO|_PORT|_ADDR]`
/// (<https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>).
fn is_injected(key: &str, text: &str) -> bool {
    const PROTOCOLS: [&str; 3] = ["TCP", "UDP", "SCTP"];
    let words: Vec<_> = key.split('_').collect();
    let about_service = |at: usize| match &words[at..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        ["PORT"] => PROTOCOLS.iter().any(|protocol| text.starts_with(&format!("{}://", protocol.to_ascii_lowercase()))),
        ["PORT", number, protocol, rest @ ..] => {
            number.parse::<u16>().is_ok()
                && PROTOCOLS.contains(protocol)
                && matches!(rest, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    };
    (0..words.len()).any(about_service)
}

fn setting(name: &str) -> Option<&'static str> {
    SETTINGS.iter().map(|setting| setting.name).find(|known| *known == name)
}
