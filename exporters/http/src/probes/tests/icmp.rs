//! Echo requests to this machine, and to where nobody is.

use std::time::Duration;

use crate::testing::{LONG, probe};

#[tokio::test]
async fn loopback_answers_both_families() {
    for (target, family) in [("127.0.0.1", 4.0), ("::1", 6.0), ("[::1]", 6.0)] {
        let page = probe("prober: icmp\nicmp: {payload_size: 1200, dont_fragment: true, ttl: 3}", target, LONG).await;
        assert!(page.outcome.success && page.outcome.answered, "{target}: {}", page.error());
        assert_eq!(page.value("probe_ip_protocol"), Some(family), "{target}");
        let phase = |name| page.value(&format!("probe_icmp_duration_seconds{{phase=\"{name}\"}}")).unwrap();
        assert!(phase("rtt") > 0.0 && phase("rtt") < 1.0 && phase("setup") > 0.0 && phase("resolve") > 0.0, "{}", page.text);
        assert!(page.value("probe_icmp_reply_hop_limit").is_some_and(|left| left > 3.0 && left < 256.0), "{}", page.text);
    }
}

#[tokio::test]
async fn probes_at_once_get_their_own_replies() {
    let probes = (0..50).map(|n| async move {
        let module = format!("prober: icmp\nicmp: {{payload_size: {}}}", n + 1);
        probe(&module, "127.0.0.1", LONG).await.outcome.success
    });
    assert_eq!(futures_util::future::join_all(probes).await, [true; 50]);
}

#[tokio::test]
async fn failures_have_their_reasons() {
    let page = probe("prober: icmp", "no-such-host.invalid", LONG).await;
    assert_eq!((page.reason(), page.value("probe_icmp_reply_hop_limit")), ("resolve", None));
    let page = probe("prober: icmp", "169.254.169.254", LONG).await;
    assert_eq!(page.reason(), "forbidden");
    let page = probe("prober: icmp\nicmp: {source_ip_address: 192.0.2.77}", "127.0.0.1", LONG).await;
    assert_eq!(page.reason(), "connect", "{}", page.error());
    let page = probe("prober: icmp\nicmp: {dont_fragment: true, payload_size: 65507}", "::1", LONG).await;
    assert_eq!(page.reason(), "connect", "{}", page.error());
    assert!(page.outcome.error.unwrap().hint.unwrap().contains("payload_size"));
    // From loopback there is no way to elsewhere: nothing comes back, or the system says so at once.
    let page = probe("prober: icmp\nicmp: {source_ip_address: 127.0.0.1}", "192.0.2.1", Duration::from_millis(100)).await;
    assert!(["timeout", "connect"].contains(&page.reason()), "{}", page.error());
    assert!(!page.outcome.answered);
}
