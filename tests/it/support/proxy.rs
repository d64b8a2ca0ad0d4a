//! A way to the database that can hang.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::Throwaway;

/// Hands connections on to a database until it hangs.
pub(crate) struct Proxy {
    address: SocketAddr,
    url: String,
    way: Arc<Mutex<Way>>,
}

/// What may happen to connections.
#[derive(Clone, Default)]
struct Way {
    server: String,
    cut: CancellationToken,
    hung: CancellationToken,
}

impl Proxy {
    /// Opens a way to a database.
    pub(crate) async fn to(database: &Throwaway) -> Self {
        Self::to_server(database.url()).await
    }

    /// Opens a way to the server of this URL.
    pub(crate) async fn to_server(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = host_of(url).to_owned();
        let url = url.replacen(&server, &address.to_string(), 1);
        let way = Way { server, ..Way::default() };
        let proxy = Self { address, url, way: Arc::new(Mutex::new(way)) };
        let way = Arc::clone(&proxy.way);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let way = way.lock().clone();
                tokio::spawn(way.cut.run_until_cancelled_owned(hand_on(stream, way.server, way.hung)));
            }
        });
        proxy
    }

    /// Leads to another server from now on, and ends the connections that there were, as a failover does.
    pub(crate) fn lead_to(&self, url: &str) {
        let server = host_of(url).to_owned();
        std::mem::replace(&mut *self.way.lock(), Way { server, ..Way::default() }).cut.cancel();
    }

    /// Where the database seems to be.
    pub(crate) fn url(&self) -> &str {
        assert!(self.url.contains(&self.address.to_string()), "{} is not of the form expected", self.url);
        &self.url
    }

    /// Hands nothing on any more, and says nothing.
    pub(crate) fn hang(&self) {
        self.way.lock().hung.cancel();
    }

    /// Lets new connections through, and ends those that there were.
    pub(crate) fn mend(&self) {
        let mut way = self.way.lock();
        let mended = Way { server: way.server.clone(), ..Way::default() };
        std::mem::replace(&mut *way, mended).cut.cancel();
    }
}

async fn hand_on(mut client: TcpStream, server: String, hung: CancellationToken) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    if hung.run_until_cancelled_owned(copy_bidirectional(&mut client, &mut server)).await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// `HOST:PORT` of a URL.
fn host_of(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap();
    let (server, _) = rest.split_once('/').unwrap();
    server.rsplit('@').next().unwrap()
}
