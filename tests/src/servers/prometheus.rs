//! A real Prometheus in a temp folder on a free port: scrapes what a test or the demo gives it, holds the shipped
//! rules, and answers questions through its API.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::poll;
use crate::process::{self, Process};
use crate::temp::{TempFolder, free_port};

const PROGRAM: &str = "/usr/bin/prometheus";
const START_LIMIT: Duration = Duration::from_secs(30);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// One scrape job with one target.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// job_name.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Path; empty: `/metrics`.
    pub path: String,
    /// Query of the URL.
    pub params: Vec<(String, String)>,
    /// Labels of the target.
    pub labels: Vec<(String, String)>,
    /// Further settings of the job as an object: `scheme`, `tls_config`, `basic_auth`; null: none.
    pub access: Value,
}

/// What a Prometheus is started with.
#[derive(Debug, Clone)]
pub struct PrometheusOptions {
    /// What it scrapes.
    pub jobs: Vec<Job>,
    /// Of scrapes and rule evaluations; also the bound of the scrape timeout, at most 10 s.
    pub interval: Duration,
    /// Rule files, copied; see [`shipped_rules`].
    pub rules: Vec<PathBuf>,
    /// Where alerts are sent.
    pub alertmanager: Option<SocketAddr>,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self { jobs: Vec::new(), interval: Duration::from_secs(1), rules: Vec::new(), alertmanager: None }
    }
}

/// One loaded rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its group.
    pub group: String,
    /// Alert or series name.
    pub name: String,
    /// `alerting` or `recording`.
    pub kind: String,
    /// `ok`, `err` or `unknown` (not evaluated yet).
    pub health: String,
    /// Between two evaluations of its group.
    pub interval: Duration,
}

impl Rule {
    /// Evaluated without an error, or not to be expected to have been within `time`.
    pub fn is_well_after(&self, time: Duration) -> bool {
        self.health == "ok" || self.health == "unknown" && self.interval > time
    }
}

/// One pending or firing alert.
#[derive(Debug, Clone)]
pub struct Alert {
    /// All labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Rendered annotations.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
}

/// A running Prometheus; stopped and removed when dropped.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    folder: TempFolder,
}

/// The rule files of this repository: `alert-rules/*.yml` and `alert-rules/generated/*.yml`, without the tests and the
/// limits that the generated ones are made from.
pub fn shipped_rules() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../alert-rules");
    let folders = [root.clone(), root.join("generated")];
    let entries = folders.iter().filter_map(|f| fs::read_dir(f).ok()).flatten().flatten().map(|e| e.path());
    let rule = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".yml") && !name.ends_with(".test.yml") && name != "thresholds.yml"
    };
    let mut files: Vec<PathBuf> = entries.filter(rule).collect();
    files.sort();
    files
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    ///
    /// # Panics
    /// With its log when it is not.
    pub fn start(options: &PrometheusOptions) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), options)
    }

    /// As [`Self::start`], at an address chosen by the caller, for jobs that have to name Prometheus itself.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_at(address: SocketAddr, options: &PrometheusOptions) -> Self {
        Self::launch(address, options, None)
    }

    /// Starts one with this configuration file, word for word.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_with(config: &str) -> Self {
        let folder = TempFolder::new("prometheus");
        folder.write("prometheus.yml", config);
        Self::run(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), folder, None)
    }

    /// Starts one without jobs that speaks TLS alone, with this certificate and key (files). The other functions here,
    /// which ask in plain HTTP, are not for it, and it may take a moment longer until `/-/ready` says so.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub fn start_tls(certificate: &Path, key: &Path) -> Self {
        let web = json!({ "tls_server_config": { "cert_file": certificate, "key_file": key } });
        Self::launch(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())), &PrometheusOptions::default(), Some(&web))
    }

    fn launch(address: SocketAddr, options: &PrometheusOptions, web: Option<&Value>) -> Self {
        let folder = TempFolder::new("prometheus");
        for (number, file) in options.rules.iter().enumerate() {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            fs::copy(file, folder.join(&format!("{number:02}-{name}.rules"))).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        }
        folder.write("prometheus.yml", &format!("{:#}", configuration(options)));
        Self::run(address, folder, web)
    }

    fn run(address: SocketAddr, folder: TempFolder, web: Option<&Value>) -> Self {
        let mut command = process::command(super::require(PROGRAM), folder.path());
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        // What fires before Prometheus has found its Alertmanager, some seconds after the start, is not lost for a minute.
        command.arg("--rules.alert.resend-delay=2s");
        if let Some(web) = web {
            command.arg(format!("--web.config.file={}", folder.write("web.yml", &format!("{web:#}")).display()));
        }
        // A TLS server tells a client that speaks without it that it was a bad request.
        let status = if web.is_some() { 400 } else { 200 };
        let mut process = Process::start("prometheus", command, folder.path());
        process.wait_ready(START_LIMIT, || http::get(address, "/-/ready", &[], Duration::from_secs(1)).is_ok_and(|r| r.status == status));
        Self { process, address, folder }
    }

    /// Takes other jobs, as after a change of a site's inventory; all else stays as it was started.
    ///
    /// # Panics
    /// With its log when it refuses the configuration.
    #[track_caller]
    pub fn reload(&self, options: &PrometheusOptions) {
        let loads = "prometheus_config_last_reload_success_timestamp_seconds";
        let loaded = || {
            let page = http::get(self.address, "/metrics", &[], ANSWER_LIMIT).map(|r| r.text()).unwrap_or_default();
            let line = page.lines().find_map(|l| l.strip_prefix(loads)?.strip_prefix(' '));
            line.and_then(|v| v.parse::<f64>().ok()).unwrap_or_default()
        };
        let before = loaded();
        self.folder.write("prometheus.yml", &format!("{:#}", configuration(options)));
        process::signal("HUP", &[self.process.pid()]);
        let done = poll::within(START_LIMIT, || (loaded() > before).then_some(()));
        assert!(done.is_some(), "the configuration was not taken:\n{}", self.logs());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://address`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its temp folder.
    pub fn folder(&self) -> &TempFolder {
        &self.folder
    }

    /// Its log.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// An instant query: labels (`__name__` among them) and value of each series. A scalar has no labels.
    ///
    /// # Panics
    /// When Prometheus refuses the expression or does not answer.
    #[track_caller]
    pub fn query(&self, promql: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        self.api().query(promql, None).unwrap_or_else(|e| panic!("{e}\n{}", self.logs()))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.api().get(path).unwrap_or_else(|e| panic!("{e}\n{}", self.logs()))
    }

    /// Its questions and answers without the process.
    pub fn api(&self) -> Api {
        Api { address: self.address }
    }

    /// Loaded rules, in order.
    ///
    /// # Panics
    /// When Prometheus does not answer.
    #[track_caller]
    pub fn rules(&self) -> Vec<Rule> {
        let data = self.get("/api/v1/rules");
        let groups = list(&data["groups"]).iter();
        let rules = groups.flat_map(|g| list(&g["rules"]).iter().map(move |r| (g, r)));
        rules
            .map(|(group, rule)| Rule {
                group: text(&group["name"]),
                name: text(&rule["name"]),
                kind: text(&rule["type"]),
                health: text(&rule["health"]),
                interval: Duration::from_secs_f64(group["interval"].as_f64().unwrap_or_default()),
            })
            .collect()
    }

    /// Pending and firing alerts.
    ///
    /// # Panics
    /// When Prometheus does not answer.
    #[track_caller]
    pub fn alerts(&self) -> Vec<Alert> {
        let data = self.get("/api/v1/alerts");
        let alerts = list(&data["alerts"]).iter();
        alerts.map(|a| Alert { labels: texts(&a["labels"]), annotations: texts(&a["annotations"]), state: text(&a["state"]) }).collect()
    }
}

/// A Prometheus that runs, ours or another, asked over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Api {
    /// As [`Prometheus::query`], at a Unix time or now.
    ///
    /// # Errors
    /// The expression is refused, or no answer came.
    pub fn query(&self, promql: &str, time: Option<f64>) -> Result<Vec<Sample>, String> {
        let time = time.map(|t| format!("&time={t}")).unwrap_or_default();
        let data = self.get(&format!("/api/v1/query?query={}{time}", http::encode(promql)))?;
        if data["resultType"] == "scalar" {
            return Ok(vec![(BTreeMap::new(), number(&data["result"][1]))]);
        }
        Ok(list(&data["result"]).iter().map(|r| (texts(&r["metric"]), number(&r["value"][1]))).collect())
    }

    /// A query from a Unix time to another: labels, and time and value of each point, of each series.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn query_range(&self, promql: &str, start: f64, end: f64, step: f64) -> Result<Vec<Points>, String> {
        let data = self.get(&format!("/api/v1/query_range?query={}&start={start}&end={end}&step={step}", http::encode(promql)))?;
        let points = |r: &Value| list(&r["values"]).iter().map(|v| (number(&v[0]), number(&v[1]))).collect();
        Ok(list(&data["result"]).iter().map(|r| (texts(&r["metric"]), points(r))).collect())
    }

    fn get(&self, path: &str) -> Result<Value, String> {
        let response = http::get(self.address, path, &[], ANSWER_LIMIT).map_err(|e| format!("{path}: {e}"))?;
        let mut answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if answer["status"] != "success" {
            return Err(format!("{path}: {}", response.text()));
        }
        Ok(answer["data"].take())
    }
}

/// Labels of a series, and its value.
pub type Sample = (BTreeMap<String, String>, f64);

/// Labels of a series, and time and value of its points.
pub type Points = (BTreeMap<String, String>, Vec<(f64, f64)>);

/// A time or a value, which comes as text.
fn number(value: &Value) -> f64 {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).expect("a sample is two numbers")
}

/// The configuration as JSON, which is YAML too and leaves no quoting to get wrong.
fn configuration(options: &PrometheusOptions) -> Value {
    let interval = format!("{}ms", options.interval.as_millis());
    let timeout = format!("{}ms", options.interval.min(Duration::from_secs(10)).as_millis());
    let jobs: Vec<Value> = options
        .jobs
        .iter()
        .map(|job| {
            let params: BTreeMap<&str, [&str; 1]> = job.params.iter().map(|(n, v)| (n.as_str(), [v.as_str()])).collect();
            let labels: BTreeMap<&str, &str> = job.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let mut settings = json!({
                "job_name": job.name,
                "metrics_path": if job.path.is_empty() { "/metrics" } else { &job.path },
                "params": params,
                "static_configs": [{ "targets": [job.address], "labels": labels }],
            });
            for (name, value) in job.access.as_object().into_iter().flatten() {
                settings[name] = value.clone();
            }
            settings
        })
        .collect();
    let mut config = json!({
        "global": { "scrape_interval": interval, "scrape_timeout": timeout, "evaluation_interval": interval },
        "rule_files": ["*.rules"],
        "scrape_configs": jobs,
    });
    if let Some(address) = options.alertmanager {
        config["alerting"] = json!({ "alertmanagers": [{ "static_configs": [{ "targets": [address.to_string()] }] }] });
    }
    config
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    value.as_object().into_iter().flatten().map(|(n, v)| (n.clone(), text(v))).collect()
}
