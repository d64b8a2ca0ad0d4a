//! The contract as an operator's tool reads it from a running server.

use crate::support::{Backend, TestApp, grpcurl};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describing_an_rpc_shows_what_it_needs() {
    let app = TestApp::start(Backend::Sqlite).await;
    for (rpc, needs) in
        [("UserService.SuspendUser", "countersign.users.suspend"), ("SessionService.RefreshSession", "uncounted")]
    {
        let mut command = grpcurl();
        command.args(["-plaintext", &app.address().to_string(), "describe", &format!("countersign.v1.{rpc}")]);
        let told = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains("countersign.v1.access") && told.contains(needs), "{told}");
    }
    app.finish().await;
}
