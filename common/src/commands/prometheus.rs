//! `scrape-config`: the job of Prometheus for this exporter as it is configured.

use std::net::SocketAddr;

use crate::app::Scrapes;
use crate::os;
use crate::service::Meta;
use crate::web::Face;

/// What the job depends on.
pub struct Wish<'a> {
    /// The exporter.
    pub meta: &'a Meta,
    /// Where it listens, as configured.
    pub listen: &'a [String],
    /// Path of the metrics.
    pub path: &'a str,
    /// What its port asks of clients.
    pub face: Face,
    /// What there is to scrape.
    pub scrapes: Scrapes,
}

/// Where Prometheus finds the exporter, and a remark where that is not certain.
fn address(wish: &Wish<'_>) -> (String, &'static str) {
    let first = wish.listen.first().cloned().unwrap_or_else(|| format!("127.0.0.1:{}", wish.meta.port));
    let host = os::host::name().unwrap_or_else(|| "localhost".to_owned());
    if let Some(port) = first.strip_prefix(':') {
        return (format!("{host}:{port}"), "");
    }
    match first.parse::<SocketAddr>() {
        Ok(at) if at.ip().is_unspecified() => (format!("{host}:{}", at.port()), ""),
        Ok(at) if at.ip().is_loopback() => {
            (first, "# The exporter listens on loopback: this job is for a Prometheus on the same machine. For others see tls-init.\n")
        }
        _ => (first, ""),
    }
}

/// The job as YAML.
pub fn job(wish: &Wish<'_>) -> String {
    let Wish { meta, face, .. } = wish;
    let (address, remark) = address(wish);
    let name = meta.name;
    let host = os::host::name().unwrap_or_else(|| "HOST".to_owned());
    let mut access = String::new();
    if face.tls {
        access.push_str("    scheme: https\n");
    }
    if let Some(user) = &face.user {
        access.push_str(&format!("    basic_auth:\n      username: {user}\n      password_file: /etc/prometheus/{name}-{host}.password\n"));
    }
    if face.tls {
        access.push_str(&format!("    tls_config:\n      ca_file: /etc/prometheus/{name}-{host}.crt\n"));
        if face.client_certificates {
            access.push_str("      cert_file: /etc/prometheus/prometheus.crt\n      key_file: /etc/prometheus/prometheus.key\n");
        }
    }
    let job = |suffix: &str, path: &str, params: &str, series: usize, targets: &str, end: &str| {
        let path = if path == "/metrics" { String::new() } else { format!("    metrics_path: {path}\n") };
        format!(
            "  - job_name: {name}{suffix}\n{path}{params}{access}    sample_limit: {series}\n    label_limit: 30\n    \
             label_value_length_limit: 256\n    static_configs:\n      - targets: [{targets}]\n        labels: {{client: CLIENT, site: SITE, \
             host: {host}, product: {name}, service: SERVICE, criticality: high, team: TEAM}}\n{end}"
        )
    };
    let relabel = format!(
        "    relabel_configs:\n      # What is listed above is asked for by name; the scrape itself goes to the exporter.\n      \
         - source_labels: [__address__]\n        target_label: __param_target\n      \
         - source_labels: [__param_target]\n        target_label: instance\n      \
         - target_label: __address__\n        replacement: {address}\n"
    );
    let quoted = |names: &[String]| names.iter().map(|name| format!("'{}'", name.replace('\'', "''"))).collect::<Vec<_>>().join(", ");
    let mut jobs = String::new();
    match &wish.scrapes {
        Scrapes::Targets { others, max_series } => {
            // The page's own cap, and the exporter's own series beside it.
            let series = max_series + 5_000;
            jobs.push_str(&job("", wish.path, "", series, &quoted(std::slice::from_ref(&address)), ""));
            if !others.is_empty() {
                jobs.push_str(&job("-targets", "/probe", "", series, &quoted(others), &relabel));
            }
        }
        Scrapes::Free { module, example } => {
            let params = format!("    params:\n      module: [{module}]\n");
            jobs.push_str(&job("", "/probe", &params, 1_000, &quoted(&[(*example).to_owned()]), &relabel));
            jobs.push_str(&job("-exporter", wish.path, "", 1_000, &quoted(std::slice::from_ref(&address)), ""));
        }
    }
    format!(
        "# For prometheus.yml. The rules need all seven labels: write what this site calls them. `rules` prints the rules.\n\
         {remark}scrape_configs:\n{jobs}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta { name: "x", product: "X", port: 9999, version: "0", members: "" };

    fn made(listen: &[&str], face: Face, scrapes: Scrapes) -> String {
        let listen: Vec<String> = listen.iter().map(|s| (*s).to_owned()).collect();
        job(&Wish { meta: &META, listen: &listen, path: "/metrics", face, scrapes })
    }

    #[test]
    fn one_target_is_one_job() {
        let text = made(&[], Face::default(), Scrapes::Targets { others: vec![], max_series: 15_000 });
        assert!(
            text.contains("targets: ['127.0.0.1:9999']") && text.contains("on loopback") && text.contains("sample_limit: 20000"),
            "{text}"
        );
        assert!(!text.contains("metrics_path") && !text.contains("scheme") && !text.contains("relabel"), "{text}");
        let text = made(&[":9998"], Face::default(), Scrapes::Targets { others: vec![], max_series: 1 });
        assert!(!text.contains("loopback") && text.contains(":9998']"), "{text}");
    }

    #[test]
    fn further_targets_are_asked_for_by_name() {
        let face = Face { tls: true, user: Some("u".to_owned()), client_certificates: true };
        let text = made(&["192.0.2.1:1"], face, Scrapes::Targets { others: vec!["b".to_owned(), "c'd".to_owned()], max_series: 1 });
        for line in ["job_name: x-targets", "metrics_path: /probe", "targets: ['b', 'c''d']", "replacement: 192.0.2.1:1", "scheme: https"] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(text.contains("username: u\n") && text.matches("key_file").count() == 2, "{text}");
    }

    #[test]
    fn a_prober_has_a_job_for_what_it_probes_and_one_for_itself() {
        let text = made(&[], Face::default(), Scrapes::Free { module: "m".to_owned(), example: "https://a/" });
        assert!(
            text.contains("module: [m]") && text.contains("targets: ['https://a/']") && text.contains("job_name: x-exporter"),
            "{text}"
        );
    }
}
