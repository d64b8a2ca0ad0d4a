//! How long a call may take.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Response};
use tonic::Status;
use tonic::body::Body;

use crate::app::clock::Clock;
use crate::app::{CallId, Reason};
use crate::grpc::status;

static TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// No call takes longer, whatever its caller would wait: it holds a connection and, maybe, a realm's lock.
const LONGEST: Duration = Duration::from_secs(30);

/// When a call is over, in time since the machine started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Duration);

/// The caller's deadline from now, bounded by ours. One that can't be read counts as none.
pub(super) fn of(headers: &HeaderMap) -> Deadline {
    let asked = headers.get(&TIMEOUT).and_then(|value| value.to_str().ok()).and_then(parse);
    Deadline(Clock::elapsed() + asked.map_or(LONGEST, |asked| asked.min(LONGEST)))
}

impl Deadline {
    /// In time since the machine started.
    pub(super) fn at(self) -> Duration {
        self.0
    }

    /// Waits no longer than this. What begins too late is not begun.
    pub(super) async fn bound(
        self,
        answer: impl Future<Output = Result<Response<Body>, Status>>,
        call: CallId,
    ) -> Result<Response<Body>, Status> {
        let passed = || status::plain(Reason::DeadlineExceeded, "the deadline has passed", call);
        let left = self.0.saturating_sub(Clock::elapsed());
        if left.is_zero() {
            return Err(passed());
        }
        tokio::time::timeout(left, answer).await.unwrap_or_else(|_| Err(passed()))
    }
}

/// `TimeoutValue TimeoutUnit` of the gRPC protocol: 1 to 8 digits, then H, M, S, m, u or n.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(n * 3600),
        "M" => Duration::from_secs(n * 60),
        "S" => Duration::from_secs(n),
        "m" => Duration::from_millis(n),
        "u" => Duration::from_micros(n),
        "n" => Duration::from_nanos(n),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_own_form_is_read_and_no_other() {
        assert_eq!(parse("1n"), Some(Duration::from_nanos(1)));
        assert_eq!(parse("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for text in ["", "n", "1", "1x", "123456789S", "-1S", "1.5S", "１S"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
