//! What goes on beside probes: pings and throughput tests.

use std::sync::Arc;

use sage_common::app::Section;
use sage_common::commands::check::Row;
use sage_common::deadline::Deadline;
use sage_common::error::Invalid;
use sage_common::prober::background::Background;
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;

use crate::config::file::FileConfig;
use crate::ping::{self, Ping};
use crate::throughput::{self, Throughput};

/// All of it.
pub struct Work {
    ping: Option<Ping>,
    throughput: Option<Throughput>,
}

impl Background<FileConfig> for Work {
    fn make(config: &FileConfig, before: Option<&Self>) -> Result<Self, Invalid> {
        let ping = config.ping.as_ref().map(|ping| Ping::make(ping, before.and_then(|before| before.ping.as_ref())));
        let tests = config.throughput.as_ref();
        let throughput = tests.map(|tests| Throughput::make(tests, before.and_then(|before| before.throughput.as_ref())));
        Ok(Self { ping: ping.transpose()?, throughput: throughput.transpose()? })
    }

    fn start(work: &Arc<Self>, tasks: &Tasks) {
        if let Some(ping) = &work.ping {
            ping.start(tasks);
        }
        if work.throughput.is_some() {
            Throughput::start(work, |work| work.throughput.as_ref(), tasks);
        }
    }

    fn found(&self, out: &mut Sink) {
        if let Some(ping) = &self.ping {
            ping::metrics::write(ping, out);
        }
        if let Some(throughput) = &self.throughput {
            throughput.write(out);
        }
    }

    fn sections() -> Vec<Section> {
        let section = |collector, help, when: &'static str, metrics| Section { collector, help, when: when.into(), metrics };
        vec![
            section("ping", "Pings of the targets below `ping:`, on /metrics.", "each ping", ping::metrics::ALL),
            section("throughput", "Transfers of the targets below `throughput:`, on /metrics.", "each test", throughput::ALL),
        ]
    }

    async fn once(&self, deadline: Deadline) -> Vec<Row> {
        let mut rows = match &self.ping {
            Some(ping) => ping.once(deadline).await,
            None => Vec::new(),
        };
        rows.extend(self.throughput.iter().flat_map(Throughput::rows));
        rows
    }
}
