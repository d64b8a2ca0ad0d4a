//! The port that Prometheus asks: `GET /metrics`, and nothing else.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// How often samples of histograms are folded into buckets: until then each takes 16 bytes.
const UPKEEP: Duration = Duration::from_secs(1);
/// As many may ask at once.
const CONNECTIONS: usize = 16;
/// How long one may hold its connection.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long nobody is accepted after the system could not give a connection.
const PAUSE: Duration = Duration::from_millis(200);

/// Binds the port and answers on it from now on.
///
/// # Errors
/// The address can't be bound.
pub(super) fn serve(address: SocketAddr, metrics: PrometheusHandle) -> std::io::Result<AbortHandle> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let serving = tokio::spawn(async move {
        let (seats, mut upkeep) = (Arc::new(Semaphore::new(CONNECTIONS)), tokio::time::interval(UPKEEP));
        loop {
            tokio::select! {
                _ = upkeep.tick() => metrics.run_upkeep(),
                accepted = listener.accept() => match (accepted, Arc::clone(&seats).try_acquire_owned()) {
                    (Ok((stream, _)), Ok(seat)) => {
                        let metrics = metrics.clone();
                        tokio::spawn(async move {
                            let _over = tokio::time::timeout(PATIENCE, answer_on(stream, metrics)).await;
                            drop(seat);
                        });
                    }
                    (Ok(_), Err(_)) => {}
                    (Err(error), _) => {
                        tracing::debug!(%error, "nobody can ask for metrics");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
            }
        }
    });
    Ok(serving.abort_handle())
}

async fn answer_on(stream: TcpStream, metrics: PrometheusHandle) {
    let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request, &metrics))));
    let mut http = http1::Builder::new();
    if let Err(error) = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection for metrics failed");
    }
}

fn answer(request: &Request<Incoming>, metrics: &PrometheusHandle) -> Response<String> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => (StatusCode::OK, metrics.render()),
        ("/metrics", _) => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let text = http::HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(http::header::CONTENT_TYPE, text);
    response
}
