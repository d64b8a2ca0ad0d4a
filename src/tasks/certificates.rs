//! The files of TLS may change at any time: an issuer writes a new certificate long before the old one ends.

use std::error::Error;
use std::sync::Arc;

use super::runner::{Fault, Next, Round};

/// Looks at the files once, and has new connections served what they hold. This floor knows no TLS: `serve` says how.
pub type Look = Arc<dyn Fn() -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync>;

/// Looks at the files again and again.
pub(super) struct Certificates(pub(super) Look);

impl Round for Certificates {
    async fn round(&self) -> Result<Next, Fault> {
        let look = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || look()).await??;
        Ok(Next::AfterPeriod)
    }
}
