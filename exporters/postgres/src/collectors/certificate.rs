//! When the certificate ends that the server shows to its clients.
//!
//! From the TLS handshake of our own last login, whatever `sslmode` makes of it; no grant is needed and no file is read.
//! There is nothing to tell over a Unix socket and where the server offers no TLS.

use sage_common::collector::{Collector, NoOptions, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::service::Local;
use sage_common::sink::Sink;

use crate::service::Postgres;

sage_common::metrics! {
    /// When the first certificate of the chain that the server showed at the last login ends, as a Unix time (TLS handshake).
    ENDS: Gauge "pg_ssl_certificate_expiry_timestamp_seconds" [];
}

/// See the file.
pub struct Certificate;

impl Collector for Certificate {
    type Session = Local<Postgres>;
    type Options = NoOptions;
    const HELP: &'static str = "End of the server's certificate, from our own logins over TLS.";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn supports(&self, here: &Local<Postgres>) -> Support {
        match here.state.certificate_end() {
            Some(_) => Support::Yes,
            None => Support::NotHere("the exporter's own logins go without TLS, so that it sees no certificate"),
        }
    }

    async fn collect(&self, here: &Local<Postgres>, out: &mut Sink) -> Result<(), CollectError> {
        put!(out, ENDS {} = here.state.certificate_end());
        Ok(())
    }
}
