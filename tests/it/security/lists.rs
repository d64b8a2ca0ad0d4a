//! A plain member lists nobody. Security class 28: membership enumeration (CVE-2026-2366).

use countersign::grpc::access::Methods;

use crate::access::{Aim, Target, World, cast, forms, request};
use crate::support::{TestApp, both_backends};

both_backends!(no_answer_to_a_plain_member_names_anybody_else, async |app: &TestApp| {
    let world = World::open(app).await;
    let cast = cast(&world).await;
    let member = cast.personas.iter().find(|persona| persona.name == "member").unwrap();
    let mut lists = 0;
    for (path, method) in Methods::read().unwrap().all() {
        lists += usize::from(method.name.starts_with("List"));
        for form in std::iter::once("").chain(forms(method)) {
            for target in Target::ALL {
                let Some(message) = request(&world, method, form, Aim { target, who: member }).await else { continue };
                let Ok(answer) = world.wire.call(&member.carried, path, message).await else { continue };
                let mut named = world.named_in(&answer);
                // Where somebody belongs, they know.
                named.retain(|name| name != "own organization itself");
                assert!(named.is_empty(), "{} {form} about {target:?} names {named:?}", method.name);
            }
        }
    }
    assert!(lists >= 3, "{lists} lists were asked for");
});
