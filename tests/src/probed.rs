//! The prober as its tests ask it.

use std::time::Duration;

use crate::exporter::Exporter;
use crate::http::encode;
use crate::page::Page;
use crate::watched::scrape_at;

/// The exporter's binary.
pub const BINARY: &str = "sage-http-exporter";
/// More than a probe needs that is to be well.
pub const AMPLE: Duration = Duration::from_secs(10);

/// Where `module` probes `target`.
pub fn path(module: &str, target: impl ToString) -> String {
    format!("/probe?module={module}&target={}", encode(&target.to_string()))
}

/// The page of a probe of `target` by `module`.
#[track_caller]
pub fn ask(exporter: &Exporter, module: &str, target: impl ToString) -> Page {
    scrape_at(exporter, &path(module, target), AMPLE)
}

/// The reason that the probe gives for its failure.
pub fn why(page: &Page) -> Option<&str> {
    page.series("probe_error_info").first().and_then(|sample| sample.labels.get("reason")).map(String::as_str)
}
