//! Members of the balancers of mod_proxy.
//!
//! From the ProxyBalancer lines of server-status?auto (ProxyStatus On). Members beyond the limit are counted in
//! `sage_series_dropped`.

use sage_common::collector::{Collector, Support};
use sage_common::desc::Info;
use sage_common::error::CollectError;
use sage_common::put;
use sage_common::sink::Sink;

use crate::session::Session;

sage_common::metrics! {
    /// Always 1; the flags of a member of a balancer, such as Init Ok or Init Err (ProxyBalancer, Status).
    STATUS: Gauge legacy "apache_proxy_balancer_status" [balancer, worker, status];
    /// How often a member of a balancer was chosen (ProxyBalancer, Elected).
    ELECTED: Counter legacy "apache_proxy_balancer_accesses_total" [balancer, worker];
    /// Requests that a member of a balancer works on (ProxyBalancer, Busy).
    BUSY: Gauge legacy "apache_proxy_balancer_busy" [balancer, worker];
    /// Kilobytes sent to a member of a balancer (ProxyBalancer, Sent).
    SENT: Counter legacy "apache_proxy_balancer_request_kbytes_total" [balancer, worker];
    /// Kilobytes received from a member of a balancer (ProxyBalancer, Rcvd).
    RECEIVED: Counter legacy "apache_proxy_balancer_response_kbytes_total" [balancer, worker];
    /// 1 when a member of a balancer may get requests, 0 when its flags hold Err, Dis, Stop or Drn (ProxyBalancer, Status).
    UP: Gauge "apache_proxy_balancer_member_up" [balancer, worker];
}

sage_common::options! {
    /// Options of `balancers`.
    pub struct Options {
        /// Members with series, in the order of the page.
        pub max_members: usize = 200,
    }
}

/// See the file.
pub struct Balancers {
    options: Options,
}

fn is_up(status: &str) -> bool {
    !status.split_ascii_whitespace().any(|flag| matches!(flag, "Err" | "Dis" | "Stop" | "Drn"))
}

impl Collector for Balancers {
    type Session = Session;
    type Options = Options;
    const HELP: &'static str = "Members of the balancers of mod_proxy (server-status).";
    const METRICS: &'static [Info] = METRICS;

    fn new(options: Options) -> Self {
        Self { options }
    }

    fn supports(&self, session: &Session) -> Support {
        match session.page() {
            Ok(page) if page.members().is_empty() => Support::NotHere("the page has no balancers"),
            Ok(_) => Support::Yes,
            Err(_) => Support::NotHere("there is no page: see status"),
        }
    }

    async fn collect(&self, session: &Session, out: &mut Sink) -> Result<(), CollectError> {
        let members = session.page()?.members();
        out.drop_series(STATUS.info().name, members.len().saturating_sub(self.options.max_members) as u64);
        for member in members.iter().take(self.options.max_members) {
            let (balancer, worker) = (member.balancer, member.name);
            put!(out, STATUS { balancer, worker, status: member.status } = 1);
            put!(out, ELECTED { balancer, worker } = member.elected);
            put!(out, BUSY { balancer, worker } = member.busy);
            put!(out, SENT { balancer, worker } = member.sent_kilobytes);
            put!(out, RECEIVED { balancer, worker } = member.received_kilobytes);
            put!(out, UP { balancer, worker } = is_up(member.status));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_who_gets_requests() {
        for (status, up) in
            [("Init Ok", true), ("Ok", true), ("Init Err", false), ("Init Dis Ok", false), ("Init Stby Ok", true), ("", true)]
        {
            assert_eq!(is_up(status), up, "{status}");
        }
    }
}
