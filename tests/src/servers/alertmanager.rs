//! A real Alertmanager in a temp folder on a free port: receives and groups alerts.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const PROGRAM: &str = "/usr/bin/prometheus-alertmanager";
const START_LIMIT: Duration = Duration::from_secs(30);

/// A running Alertmanager; stopped and removed when dropped.
#[derive(Debug)]
pub struct Alertmanager {
    process: Process,
    address: SocketAddr,
    #[allow(dead_code, reason = "removed when dropped")]
    folder: TempFolder,
}

impl Alertmanager {
    /// Starts it with one receiver that sends nothing, and waits until it is ready.
    ///
    /// # Panics
    /// With its log when it is not.
    pub fn start() -> Self {
        let config = json!({
            "route": { "receiver": "nobody", "group_by": ["client", "site", "host", "product"], "group_wait": "1s" },
            "receivers": [{ "name": "nobody" }],
        });
        Self::start_with(&format!("{config:#}"))
    }

    /// As [`Self::start`], with a configuration of the caller's.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(config: &str) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let folder = TempFolder::new("alertmanager");
        let config = folder.write("alertmanager.yml", config);
        let mut command = process::command(super::require(PROGRAM), folder.path());
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        command.arg("--cluster.listen-address="); // no cluster: it would listen on every interface
        let mut process = Process::start("alertmanager", command, folder.path());
        process.wait_ready(START_LIMIT, || http::get(address, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == 200));
        Self { process, address, folder }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// The alerts it holds, as its API v2 gives them (`labels`, `annotations`, `status`...).
    ///
    /// # Panics
    /// When it does not answer.
    #[track_caller]
    pub fn alerts(&self) -> Vec<Value> {
        let response = http::get(self.address, "/api/v2/alerts", &[], Duration::from_secs(10));
        let response = response.unwrap_or_else(|e| panic!("alerts: {e}\n{}", self.logs()));
        assert_eq!(response.status, 200, "alerts: {}", response.text());
        serde_json::from_slice(&response.body).expect("a list of alerts")
    }
}
