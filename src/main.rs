//! The command: arguments in, exit code out. Everything else is the library's.

use std::process::ExitCode;

use clap::Parser;
use countersign::command::Command;

fn main() -> ExitCode {
    Command::parse().run()
}
