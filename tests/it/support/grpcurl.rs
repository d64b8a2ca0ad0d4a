//! grpcurl, as an operator calls it.

use std::process::Command;

/// The command, without arguments.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where their tools are")]
pub(crate) fn grpcurl() -> Command {
    let program = std::env::var("COUNTERSIGN_TEST_GRPCURL");
    Command::new(program.unwrap_or_else(|_| panic!("grpcurl is missing: run ./tests/run, which installs it")))
}
