//! The exporter's own metrics: its process and its HTTP answers. Written on `/metrics` only, never on `/probe`.
//!
//! Read anew at each scrape; what the system does not tell of our process is absent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::os::own;
use crate::put;
use crate::reload::Loaded;
use crate::service::Meta;
use crate::sink::Sink;
use crate::web::Reload;

crate::metrics! {
    /// Always 1; tells which exporter, version and revision runs.
    BUILD_INFO: Gauge "sage_build_info" [exporter, version, revision];
    /// 1 when the last load of the configuration (at start, by SIGHUP or /-/reload) succeeded; 0: the one before stays in force.
    RELOAD_SUCCESS: Gauge "sage_config_last_reload_success" [];
    /// When the configuration in use was loaded, as a Unix time.
    RELOAD_TIME: Gauge "sage_config_last_reload_timestamp_seconds" [];
    /// 1 when the web configuration file (--web.config.file) was taken at its last change; 0: the one before stays in force.
    WEB_SUCCESS: Gauge "sage_web_config_last_reload_success" [];
    /// When the web configuration in use was loaded, as a Unix time.
    WEB_TIME: Gauge "sage_web_config_last_reload_timestamp_seconds" [];
    /// When the certificate of the exporter's own port ends, as a Unix time (not_after of cert_file).
    WEB_CERTIFICATE: Gauge "sage_web_certificate_not_after_timestamp_seconds" [];
    /// Requests answered, by HTTP status code.
    REQUESTS: Counter "sage_http_requests_total" [code];
    /// CPU time that the exporter used, user and system, in seconds (/proc/self/stat).
    CPU: Counter "process_cpu_seconds_total" [];
    /// Open file descriptors of the exporter (/proc/self/fd).
    OPEN_FDS: Gauge "process_open_fds" [];
    /// Most file descriptors that the exporter may open (/proc/self/limits).
    MAX_FDS: Gauge "process_max_fds" [];
    /// Resident memory of the exporter in bytes (/proc/self/stat).
    RSS: Gauge "process_resident_memory_bytes" [];
    /// Virtual memory of the exporter in bytes (/proc/self/stat).
    VIRTUAL: Gauge "process_virtual_memory_bytes" [];
    /// When the exporter was started, as a Unix time (/proc/self/stat).
    START_TIME: Gauge "process_start_time_seconds" [];
    /// Threads of the exporter (/proc/self/stat).
    THREADS: Gauge "process_threads" [];
}

/// The status codes that we answer with.
const CODES: [u16; 9] = [200, 400, 401, 403, 404, 405, 429, 500, 503];

/// Counts of the answers by status code.
#[derive(Default)]
pub struct Answers {
    counts: [AtomicU64; CODES.len()],
}

impl Answers {
    /// Counts one answer.
    pub fn count(&self, code: u16) {
        if let Some(count) = CODES.iter().position(|c| *c == code).and_then(|i| self.counts.get(i)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write(&self, out: &mut Sink) {
        for (code, count) in CODES.iter().zip(&self.counts) {
            put!(out, REQUESTS { code } = count.load(Ordering::Relaxed));
        }
    }
}

/// Writes the exporter's own metrics.
pub fn write(meta: &Meta, loaded: Loaded, web: Option<Reload>, answers: &Answers, out: &mut Sink) {
    // Set by packagers; a build from a plain checkout has none.
    let revision = option_env!("SAGE_REVISION").unwrap_or("unknown");
    put!(out, BUILD_INFO { exporter: meta.name, version: meta.version, revision } = 1);
    put!(out, RELOAD_SUCCESS {} = u8::from(loaded.success));
    put!(out, RELOAD_TIME {} = loaded.at.duration_since(SystemTime::UNIX_EPOCH).ok());
    if let Some(web) = web {
        put!(out, WEB_SUCCESS {} = u8::from(web.success));
        put!(out, WEB_TIME {} = web.loaded.duration_since(SystemTime::UNIX_EPOCH).ok());
        put!(out, WEB_CERTIFICATE {} = web.not_after.and_then(|end| end.duration_since(SystemTime::UNIX_EPOCH).ok()));
    }
    answers.write(out);
    process(out);
}

fn process(out: &mut Sink) {
    let own = own::read();
    put!(out, CPU {} = own.cpu_seconds);
    put!(out, RSS {} = own.resident_bytes);
    put!(out, VIRTUAL {} = own.virtual_bytes);
    put!(out, THREADS {} = own.threads);
    put!(out, START_TIME {} = own.started);
    put!(out, OPEN_FDS {} = own.open_files);
    put!(out, MAX_FDS {} = own.max_files);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::NO_LIMIT;

    #[test]
    fn the_process_is_seen() {
        let mut out = Sink::new(NO_LIMIT);
        let answers = Answers::default();
        answers.count(200);
        answers.count(999);
        let web = Reload { success: true, loaded: SystemTime::now(), not_after: Some(SystemTime::now()) };
        let loaded = Loaded { success: true, at: SystemTime::now() };
        write(&Meta { name: "x", product: "X", port: 1, version: "0", members: "" }, loaded, Some(web), &answers, &mut out);
        out.settle();
        let text = String::from_utf8(crate::expo::write(&out, crate::expo::Format::Text)).unwrap();
        assert!(text.contains("sage_http_requests_total{code=\"200\"} 1\n"), "{text}");
        for family in METRICS.iter().filter(|family| own::SEEN || !family.name.starts_with("process_")) {
            assert!(text.contains(&format!("\n{}", family.name)), "{} is missing from\n{text}", family.name);
        }
    }
}
