//! Of a call that is wrong in two ways, which of them it is told: the credential comes before the realm.

use countersign::grpc::access::Methods;
use countersign::grpc::pb::ErrorReason;
use tonic::Code;

use super::personas::{Cast, cast};
use super::wire::Carried;
use super::world::{ELSEWHERE, World};
use crate::support::{TestApp, both_backends, refusal};

/// RPCs that are public, that write, and that are asked for each request of a service.
const PATHS: [&str; 4] = [
    "/countersign.v1.AuthorizationService/CheckPermission",
    "/countersign.v1.UserService/SuspendUser",
    "/countersign.v1.SessionService/GetSigningKeys",
    "/countersign.v1.SessionService/SignIn",
];

/// Credentials that count nowhere, whatever realm comes with them.
const ENDED: [&str; 8] = [
    "nonsense",
    "a tampered token",
    "an expired token",
    "an expired key",
    "a revoked key",
    "the key of a disabled account",
    "the token of a suspended person",
    "two at once",
];

fn carried<'a>(cast: &'a Cast, name: &str) -> &'a Carried {
    let found = cast.credentials.iter().find(|(known, _)| *known == name);
    &found.unwrap_or_else(|| panic!("no credential is called {name:?}")).1
}

both_backends!(a_credential_that_no_longer_counts_is_told_so_whatever_realm_it_names, async |app: &TestApp| {
    let world = World::open(app).await;
    let cast = cast(&world).await;
    let methods = Methods::read().unwrap();
    for path in PATHS {
        assert!(methods.get(path).is_some(), "{path} is no RPC");
        for name in ENDED {
            for realm in [ELSEWHERE, "no-such-realm", "platform", "", " ", "00000000-0000-0000-0000-000000000000"] {
                let carried = Carried { realm: Some(realm.to_owned()), ..carried(&cast, name).clone() };
                let (code, reason) = refusal(world.wire.call(&carried, path, vec![]).await);
                assert_eq!(code, Code::Unauthenticated, "{path} with {name} in {realm:?}: {reason:?}");
            }
        }
        let good = Carried { realm: Some("no-such-realm".to_owned()), ..carried(&cast, "of another realm").clone() };
        let told = refusal(world.wire.call(&good, path, vec![]).await);
        assert_eq!(told, (Code::NotFound, ErrorReason::RealmUnknown), "{path}");
    }
});
