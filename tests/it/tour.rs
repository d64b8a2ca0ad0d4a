//! The README's tour, word for word, against the real binary.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Binary;

/// What stands in the README's blocks that are marked as the tour, in their order.
fn tour() -> String {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks: Vec<_> = readme.split("```sh tour\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 5, "the tour is gone from the README");
    blocks.concat()
}

#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where their tools are")]
#[tokio::test(flavor = "multi_thread")]
async fn the_tour_of_the_readme_runs_as_written() {
    let grpcurl = std::env::var("COUNTERSIGN_TEST_GRPCURL")
        .unwrap_or_else(|_| panic!("grpcurl is missing: run ./tests/run, which installs it"));
    let home = tempfile::tempdir().unwrap();
    let server = Binary::spawn(&home.path().join("data"), None).await;
    let path = format!("{}:{}", Path::new(&grpcurl).parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", &tour()]).current_dir(home.path()).stdin(Stdio::null());
    shell.env("PATH", path).env("ADDRESS", server.address().to_string());
    // The port is free now; between here and its use nobody asks for it by number.
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    shell.env("BINARY", env!("CARGO_BIN_EXE_countersign")).env("OTHER", other.to_string());
    let walked = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&walked.stdout), String::from_utf8_lossy(&walked.stderr));
    assert!(walked.status.success(), "{said}\n{complained}");
    assert!(said.contains("DECISION_ALLOWED") && said.contains("DECISION_DENIED"), "{said}");
    assert!(server.terminate(), "the server did not end well");
}
