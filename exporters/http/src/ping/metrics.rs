//! The series of pings.
#![allow(clippy::indexing_slicing)] // a constant is made by places; one out of bounds does not compile

use sage_common::desc::{Info, Kind};
use sage_common::error::CollectError;
use sage_common::os::icmp::Family;
use sage_common::put;
use sage_common::sink::Sink;

use super::Ping;
use super::config::Method;

sage_common::metrics! {
    /// Pings that left for the target.
    SENT: Counter "ping_sent_total" [target, ip_version, direction];
    /// Pings that were answered within the timeout of their group.
    RECEIVED: Counter "ping_received_total" [target, ip_version, direction];
    /// Pings that left and were not answered within the timeout.
    LOST: Counter "ping_lost_total" [target, ip_version, direction];
    /// Answers to pings that had been answered already.
    DUPLICATES: Counter "ping_duplicates_total" [target, ip_version, direction];
    /// Answers that came after the timeout, within a minute; these pings are among the lost ones.
    LATE: Counter "ping_late_total" [target, ip_version, direction];
    /// Pings that could not be sent, and look-ups of the name that failed, by reason: resolve, forbidden, permission,
    /// unreachable, too_big, overloaded, connect, send.
    ERRORS: Counter "ping_errors_total" [target, ip_version, direction, reason];
    /// Round trip times in seconds, by the kernel's time stamps of the replies.
    RTT: Histogram "ping_rtt_seconds" [target, ip_version, direction];
    /// The last round trip time, in seconds.
    RTT_LAST: Gauge "ping_rtt_last_seconds" [target, ip_version, direction];
    /// Shortest round trip time of the window (the last 60 pings unless configured), in seconds.
    RTT_BEST: Gauge "ping_rtt_best_seconds" [target, ip_version, direction];
    /// Longest round trip time of the window, in seconds.
    RTT_WORST: Gauge "ping_rtt_worst_seconds" [target, ip_version, direction];
    /// Mean round trip time of the window, in seconds.
    RTT_MEAN: Gauge "ping_rtt_mean_seconds" [target, ip_version, direction];
    /// Standard deviation of the round trip times of the window, in seconds.
    RTT_DEVIATION: Gauge "ping_rtt_std_deviation_seconds" [target, ip_version, direction];
    /// Smoothed difference of successive round trip times, in seconds: J = J + (|D| - J) / 16 (RFC 3550, section 6.4.1).
    JITTER: Gauge "ping_jitter_seconds" [target, ip_version, direction];
    /// Share of the window that was lost or could not be sent, 0 to 1.
    LOSS: Gauge "ping_loss_ratio" [target, ip_version, direction];
    /// 1 when this machine itself was last heard over the ICMP sockets of the family, else 0.
    SELF_CHECK: Gauge "ping_self_check_success" [ip_version];
    /// ICMP sockets that were opened anew after a silence or a fault.
    REOPENED: Counter "ping_sockets_reopened_total" [ip_version];
    /// Pings sent, by the name of smokeping_prober; only with smokeping_names.
    SMOKEPING_REQUESTS: Counter legacy "smokeping_requests_total" [host, ip, source];
    /// Round trip times in seconds, by the name of smokeping_prober and with our buckets; only with smokeping_names.
    SMOKEPING_RTT: Histogram legacy "smokeping_response_duration_seconds" [host, ip, source];
}

/// Names the target's address: the only series that does.
const INFO: &str = "ping_target_info";
const INFO_HELP: &str =
    "The target's address and the method of its last ping (icmp, tcp), with the labels of its own in the configuration; always 1.";

/// All families.
pub const ALL: &[Info] = &{
    const LABELS: &[&str] = &["target", "direction", "ip", "ip_version", "method"];
    let info = Info { name: INFO, help: INFO_HELP, kind: Kind::Gauge, labels: LABELS, pattern: false };
    let mut all = [info; METRICS.len() + 1];
    let mut at = 0;
    while at < METRICS.len() {
        all[at] = METRICS[at];
        at += 1;
    }
    all
};

/// Writes all of them.
pub fn write(ping: &Ping, out: &mut Sink) {
    for group in &ping.groups {
        for target in &group.targets {
            let state = target.state();
            let (target, direction, stats) = (target.config.name(), target.direction, &state.stats);
            // Not known before the name is resolved.
            let ip_version = state.address.map_or("", |ip| version(Family::of(ip)));
            put!(out, SENT { target, ip_version, direction } = stats.sent);
            put!(out, RECEIVED { target, ip_version, direction } = stats.received);
            put!(out, LOST { target, ip_version, direction } = stats.lost);
            put!(out, DUPLICATES { target, ip_version, direction } = stats.duplicates);
            put!(out, LATE { target, ip_version, direction } = stats.late);
            for (reason, count) in &stats.errors {
                put!(out, ERRORS { target, ip_version, direction, reason } = *count);
            }
            put!(out, RTT { target, ip_version, direction } = stats.histogram.value());
            put!(out, RTT_LAST { target, ip_version, direction } = stats.last);
            put!(out, JITTER { target, ip_version, direction } = stats.jitter());
            let summary = stats.summary();
            put!(out, LOSS { target, ip_version, direction } = summary.map(|s| s.loss));
            if let Some([best, worst, mean, deviation]) = summary.and_then(|s| s.rtt) {
                put!(out, RTT_BEST { target, ip_version, direction } = best);
                put!(out, RTT_WORST { target, ip_version, direction } = worst);
                put!(out, RTT_MEAN { target, ip_version, direction } = mean);
                put!(out, RTT_DEVIATION { target, ip_version, direction } = deviation);
            }
            if ping.smokeping_names
                && let Some(ip) = state.address
            {
                let source = group.source.map(|ip| ip.to_string()).unwrap_or_default();
                put!(out, SMOKEPING_REQUESTS { host: target, ip, source } = stats.sent);
                put!(out, SMOKEPING_RTT { host: target, ip, source } = stats.histogram.value());
            }
        }
    }
    for family in [Family::V4, Family::V6] {
        let lines = || ping.groups.iter().flat_map(|group| &group.lines).filter(move |line| line.family == family);
        let ip_version = version(family);
        put!(out, SELF_CHECK { ip_version } = lines().filter_map(|line| line.check()).reduce(|a, b| a && b));
        let opened = lines().any(|line| line.check().is_some());
        put!(out, REOPENED { ip_version } = opened.then(|| lines().map(|line| line.reopened()).sum::<u64>()));
    }
    if let Err(error) = info(ping, out) {
        tracing::warn!(%error, "a family of the pings was left out");
    }
}

fn version(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

fn info(ping: &Ping, out: &mut Sink) -> Result<(), CollectError> {
    let own = ping.labels.iter().map(String::as_str);
    let names: Vec<&str> = ["target", "direction", "ip", "ip_version", "method"].into_iter().chain(own).collect();
    let mut family = out.labelled(INFO, Kind::Gauge, INFO_HELP, &names)?;
    for target in ping.groups.iter().flat_map(|group| &group.targets) {
        let state = target.state();
        let Some(ip) = state.address else { continue };
        let method = if state.method == Some(Method::Tcp) { "tcp" } else { "icmp" };
        let mut values = vec![target.config.name().to_owned(), target.direction.to_string(), ip.to_string()];
        values.extend([version(Family::of(ip)).to_owned(), method.to_owned()]);
        values.extend(ping.labels.iter().map(|name| target.config.labels.get(name).cloned().unwrap_or_default()));
        let values: Vec<&dyn std::fmt::Display> = values.iter().map(|value| value as &dyn std::fmt::Display).collect();
        family.put_with(&values, 1);
    }
    Ok(())
}
