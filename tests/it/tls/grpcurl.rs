//! grpcurl, as an operator calls it: `-cacert`, `-cert`, `-key`.

use std::process::Output;

use countersign::grpc::pb;

use super::{Backend, World, shown};
use crate::support::grpcurl;

async fn call(world: &World, arguments: &[&str]) -> Output {
    let mut command = grpcurl();
    command.args(["-cacert", &shown(&world.files.path("ca.pem"))]).args(arguments);
    command.args([&world.app.address().to_string(), "countersign.v1.SessionService/GetMe"]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcurl_calls_with_a_key_or_with_a_certificate() {
    let world = World::start(Backend::Sqlite, &[]).await;
    let operator = world.operator().await;
    let spiffe_id = "spiffe://example.org/till";
    let spiffe_prefixes = vec!["spiffe://example.org/".to_owned()];
    let request = pb::UpdateRealmRequest { spiffe_prefixes, ..Default::default() };
    operator.realms().update_realm(request).await.unwrap();
    let asked = pb::CreateServiceAccountRequest {
        name: "till".to_owned(),
        spiffe_id: spiffe_id.to_owned(),
        ..Default::default()
    };
    operator.service_accounts().create_service_account(asked).await.unwrap();

    let bearer = format!("authorization: Bearer {}", crate::support::Reachable::operator_key(&world.app));
    let by_key = call(&world, &["-H", &bearer]).await;
    assert!(String::from_utf8_lossy(&by_key.stdout).contains("\"operator\""), "{by_key:?}");

    let pair = world.authority.client(&[spiffe_id]);
    let certificate = world.files.put("till.pem", &pair.certificate);
    let key = world.files.put("till.key", &pair.key);
    let by_certificate = call(&world, &["-cert", &certificate, "-key", &key]).await;
    assert!(String::from_utf8_lossy(&by_certificate.stdout).contains("\"till\""), "{by_certificate:?}");

    // Of the platform's realm and of another one: the certificate is transport.
    let both = call(&world, &["-cert", &certificate, "-key", &key, "-H", &bearer]).await;
    assert!(String::from_utf8_lossy(&both.stdout).contains("\"operator\""), "{both:?}");
    world.app.finish().await;
}
