//! Security class 30: resources taken before the credential is looked at. Requests whose last byte never comes, to public
//! RPCs, to health and reflection, and with a credential; and headers as large as they may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Ruler, resident_mib, without_end};
use crate::support::{Binary, Raw, Reachable as _, framed};

/// So many connections are open at any time.
const CONNECTIONS: usize = 7;
/// As many calls on each.
const CALLS: usize = 1000;
/// Between two calls on a connection: what is measured is what calls hold, and not how many a second are begun.
const PACE: Duration = Duration::from_millis(8);
/// How long they stay: far longer than it takes to open them.
const STAY: Duration = Duration::from_secs(2);
/// The memory that the server may use.
const RESIDENT_MIB_MAX: u64 = 256;

const SIGN_IN: &str = "/countersign.v1.SessionService/SignIn";
const CHECK: &str = "/countersign.v1.AuthorizationService/CheckPermission";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// What one connection is filled with: a path, how large each message says that it is, a credential, other headers.
struct Flood {
    path: &'static str,
    bytes: usize,
    authorization: Option<String>,
    padding: String,
    /// Whether each call is taken back as soon as it was made.
    reset: bool,
}

impl Flood {
    /// Opens as many calls as it can, sends all but the last byte of each, and stays for a while.
    async fn pour(&self, binary: std::net::SocketAddr, opened: &AtomicUsize) {
        let mut wire = Raw::connect(binary).await;
        let message = framed(0, &vec![b'x'; self.bytes]);
        let all_but_one = message.slice(..message.len() - 1);
        let mut headers = vec![("x-padding", self.padding.as_str())];
        headers.extend(self.authorization.as_deref().map(|value| ("authorization", value)));
        let mut calls = vec![];
        for _ in 0..CALLS {
            let Ok(Some((answer, mut body))) =
                tokio::time::timeout(Duration::from_millis(500), wire.call(self.path, &headers)).await
            else {
                break;
            };
            let _refused_already = body.send_data(all_but_one.clone(), false);
            if self.reset {
                body.send_reset(h2::Reason::CANCEL);
            }
            calls.push((answer, body));
            opened.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(PACE).await;
        }
        tokio::time::sleep(STAY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_an_end_take_neither_memory_nor_time_from_others() {
    let home = tempfile::tempdir().unwrap();
    let binary = Binary::spawn(home.path(), None).await;
    let ruler = Ruler::new(&binary).await;
    let key = format!("Bearer {}", binary.operator_key());
    let flood = |path, bytes, authorization: Option<&String>, padding: usize| Flood {
        path,
        bytes,
        authorization: authorization.cloned(),
        padding: "p".repeat(padding),
        reset: false,
    };
    let floods = Arc::new([
        flood(SIGN_IN, 16 << 10, None, 1),
        flood(SIGN_IN, 1 << 20, None, 1),
        flood(HEALTH, 16 << 10, None, 1),
        flood(REFLECTION, 16 << 10, None, 1),
        flood(CHECK, 1 << 20, Some(&key), 1),
        flood(SIGN_IN, 1, None, 15 << 10),
        Flood { reset: true, ..flood(SIGN_IN, 16 << 10, None, 1) },
    ]);
    let (opened, largest) = (Arc::new(AtomicUsize::new(0)), AtomicU64::new(0));
    let (address, process) = (binary.address(), binary.process());
    let look = async {
        loop {
            largest.fetch_max(resident_mib(process), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let pour = without_end(CONNECTIONS, |number| {
        let (floods, opened) = (Arc::clone(&floods), Arc::clone(&opened));
        async move { floods[number % floods.len()].pour(address, &opened).await }
    });
    ruler.unharmed_by(400, async { tokio::join!(look, pour).1 }).await;
    let (largest, opened) = (largest.into_inner(), opened.load(Ordering::Relaxed));
    assert!(opened > CALLS, "{opened} calls are no flood");
    assert!(largest < RESIDENT_MIB_MAX, "{largest} MiB");
    assert!(binary.terminate());
}
