//! What goes on beside probes: pings.

use std::sync::Arc;

use sage_common::app::Section;
use sage_common::background::Background;
use sage_common::check::Row;
use sage_common::deadline::Deadline;
use sage_common::error::Invalid;
use sage_common::sink::Sink;
use sage_common::tasks::Tasks;

use crate::config::file::FileConfig;
use crate::ping::{self, Ping};

/// All of it.
pub struct Work {
    ping: Option<Ping>,
}

impl Background<FileConfig> for Work {
    fn make(config: &FileConfig, before: Option<&Self>) -> Result<Self, Invalid> {
        let ping = config.ping.as_ref().map(|ping| Ping::make(ping, before.and_then(|before| before.ping.as_ref())));
        Ok(Self { ping: ping.transpose()? })
    }

    fn start(work: &Arc<Self>, tasks: &Tasks) {
        if let Some(ping) = &work.ping {
            ping.start(tasks);
        }
    }

    fn found(&self, out: &mut Sink) {
        if let Some(ping) = &self.ping {
            ping::metrics::write(ping, out);
        }
    }

    fn sections() -> Vec<Section> {
        vec![Section {
            collector: "ping",
            help: "Pings of the targets below `ping:`, on /metrics.",
            when: "each ping",
            metrics: ping::metrics::ALL,
        }]
    }

    async fn once(&self, deadline: Deadline) -> Vec<Row> {
        match &self.ping {
            Some(ping) => ping.once(deadline).await,
            None => Vec::new(),
        }
    }
}
