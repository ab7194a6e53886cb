//! One run of one collector: its slice, its panics, its report.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::collector::{Entry, Run, Support};
use crate::deadline::Deadline;
use crate::error::{CollectError, ErrorKind};
use crate::scrape::report::{CollectorReport, Status};
use crate::service::Service;
use crate::sink::{NO_LIMIT, Sink};

/// A collector is not started with less time than this.
const SHORTEST_SLICE: Duration = Duration::from_millis(20);

/// One collector's samples and how it did.
pub(crate) struct Part {
    pub(crate) report: CollectorReport,
    pub(crate) sink: Sink,
    /// Our own cut-off fired in the middle of a request.
    pub(crate) cut: bool,
}

impl Part {
    pub(crate) fn without_run(name: &'static str, status: Status, note: Option<String>) -> Self {
        let report = CollectorReport { note, ..CollectorReport::new(name, status) };
        Self { report, sink: Sink::new(0), cut: false }
    }

    pub(crate) fn failed(name: &'static str, error: &CollectError) -> Self {
        let report = CollectorReport::new(name, Status::Failed(error.kind)).failed(error);
        Self { report, sink: Sink::new(0), cut: false }
    }
}

/// Runs one collector over a session, within its slice; the server is told nine tenths of it.
pub(crate) async fn run_one<S: Service>(entry: &Entry<S>, run: &dyn Run<S::Session>, session: &S::Session, deadline: Deadline) -> Part {
    let slice = deadline.slice(entry.timeout);
    let name = entry.about.name;
    if slice.remaining() < SHORTEST_SLICE {
        let text = "the time of this scrape was used up by the collectors before it".to_owned();
        return Part::without_run(name, Status::TimedOut, Some(text));
    }
    // Rounded, so that a session is told again only when the slice has really changed.
    let told = Duration::from_millis((slice.remaining().as_millis() as u64 + 50) / 100 * 90);
    match slice.run(S::limit(session, told.max(SHORTEST_SLICE))).await {
        Ok(Ok(())) => timed_run(entry, run, session, slice).await,
        Ok(Err(error)) => Part::failed(name, &error),
        Err(_) => Part { cut: true, ..Part::without_run(name, Status::TimedOut, None) },
    }
}

/// Runs one collector within `slice`, times it and catches its panics.
pub(crate) async fn timed_run<S: Service, T>(entry: &Entry<S>, run: &dyn Run<T>, session: &T, slice: Deadline) -> Part {
    let name = entry.about.name;
    match run.supports(session) {
        Support::Yes => {}
        Support::NotHere(why) => return Part::without_run(name, Status::NotHere, Some(why.to_owned())),
        Support::Denied(grant) => return Part::without_run(name, Status::Denied, Some(format!("hint: {grant}"))),
    }
    let started = Instant::now();
    let mut sink = Sink::new(NO_LIMIT);
    let result = slice.run(AssertUnwindSafe(run.collect(session, &mut sink)).catch_unwind()).await;
    let mut report = CollectorReport { duration: started.elapsed(), ..CollectorReport::new(name, Status::Ok) };
    let mut cut = false;
    match result {
        Ok(Ok(Ok(()))) => {
            report.series = sink.series();
            if let Some(why) = sink.found_nothing() {
                report.status = Status::NotHere;
                report.note = Some(why.to_owned());
                return Part { report, sink, cut };
            }
            if report.series == 0 {
                report.status = Status::Empty;
            }
            report.lacks = sink.lacking();
            report.note = match (report.lacks, sink.wants()) {
                (Some(grant), _) => Some(format!("reads less than it could; hint: {grant}")),
                (None, more) => more.map(|grant| format!("tells more with: {grant}")),
            };
            if let Some((kind, text)) = sink.take_flaw() {
                (report.status, report.note) = (Status::Failed(kind), Some(text));
            }
            return Part { report, sink, cut };
        }
        Ok(Ok(Err(error))) => {
            report.status = match error.kind {
                ErrorKind::Permission => Status::Denied,
                ErrorKind::Timeout => Status::TimedOut,
                kind => Status::Failed(kind),
            };
            report = report.failed(&error);
        }
        Ok(Err(_panic)) => {
            tracing::error!(collector = name, "the collector panicked; this is a bug of the exporter");
            report.status = Status::Failed(ErrorKind::Internal);
            report.note = Some("the collector panicked; this is a bug of the exporter".to_owned());
            cut = true;
        }
        Err(_) => {
            report.status = Status::TimedOut;
            report.note = Some(format!("no answer within {} ms", report.duration.as_millis()));
            cut = true;
        }
    }
    Part { report, sink: Sink::new(0), cut }
}
