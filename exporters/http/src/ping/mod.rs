//! Pings on their own interval: loss, round trip, jitter, duplicates and late replies of each target.
//!
//! Each target has a task, a state and an error of its own, so that none waits for another one. Targets of a group share a
//! socket for each family (line.rs). Names are resolved again and again; the last address stays while that fails.

pub mod config;
mod line;
pub mod metrics;
mod schedule;
mod stats;
mod target;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sage_common::commands::check::Row;
use sage_common::deadline::Deadline;
use sage_common::error::{CollectError, ErrorKind, Invalid};
use sage_common::net::dial;
use sage_common::os::icmp::{self, Family};
use sage_common::tasks::Tasks;
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until, timeout};

use self::config::{GroupConfig, Method, PingConfig};
use self::line::Line;
use self::schedule::Schedule;
use self::target::Target;
use crate::address;
use crate::probes::icmp::host;
use crate::random::up_to;

/// Names that are resolved at once: a dead resolver holds a thread for each.
const LOOKUPS: usize = 8;
/// Longest look-up.
const LOOKUP: Duration = Duration::from_secs(10);
/// Time to the next look-up of a name that has no address yet.
const SOON: Duration = Duration::from_secs(5);
/// Longest time over which the first pings are spread.
const SPREAD: Duration = Duration::from_secs(10);

/// All pings of one configuration.
pub struct Ping {
    groups: Vec<Arc<Group>>,
    labels: Vec<String>,
    smokeping_names: bool,
}

/// Targets that are pinged in the same way, and their sockets.
struct Group {
    config: GroupConfig,
    source: Option<IpAddr>,
    resolve_interval: Duration,
    lookups: Arc<Semaphore>,
    targets: Vec<Arc<Target>>,
    lines: [Line; 2],
}

impl Ping {
    /// Makes them. Targets that were the same in `before` go on with their counters.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn make(config: &PingConfig, before: Option<&Self>) -> Result<Self, Invalid> {
        config.validate().map_err(|e| e.within("ping"))?;
        let known = before.iter().flat_map(|before| &before.groups).flat_map(|group| &group.targets);
        let known: HashMap<&str, &Arc<Target>> = known.map(|target| (target.made_from.as_str(), target)).collect();
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        let group = |group: &GroupConfig| {
            let shape = GroupConfig { targets: Vec::new(), ..group.clone() };
            let target = |target| {
                let made_from = format!("{shape:?} {target:?} {}", config.window);
                let new = |made_from| Target::new(target, group.direction, group.timeout.0, config.window, made_from);
                known.get(made_from.as_str()).map_or_else(|| Arc::new(new(made_from)), |known| Arc::clone(known))
            };
            let line = |family| Line::new(family, group.options(), group.payload_size, group.interval.0);
            Arc::new(Group {
                targets: group.targets.iter().map(target).collect(),
                config: shape.clone(),
                source: group.source_ip_address,
                resolve_interval: config.resolve_interval.0,
                lookups: Arc::clone(&lookups),
                lines: [line(Family::V4), line(Family::V6)],
            })
        };
        Ok(Self {
            groups: config.groups.iter().map(group).collect(),
            labels: config.label_names(),
            smokeping_names: config.smokeping_names,
        })
    }

    /// Starts the tasks. The first pings are spread over `spread` of the interval.
    fn begin(&self, tasks: &Tasks, spread: f64) {
        for group in &self.groups {
            for place in 0..group.lines.len() {
                let group = Arc::clone(group);
                tasks.keep("ping socket", move || receive(Arc::clone(&group), place));
            }
            for target in &group.targets {
                let (group, target) = (Arc::clone(group), Arc::clone(target));
                tasks.keep("ping", move || {
                    let (group, target) = (Arc::clone(&group), Arc::clone(&target));
                    async move {
                        tokio::join!(resolve(&group, &target), send(&group, &target, spread));
                    }
                });
            }
        }
    }

    /// Starts the tasks.
    pub fn start(&self, tasks: &Tasks) {
        self.begin(tasks, 1.0);
    }

    /// Pings each target for as long as its timeout says, and tells what came of it.
    pub async fn once(&self, deadline: Deadline) -> Vec<Row> {
        let tasks = Tasks::default();
        self.begin(&tasks, 0.0);
        let longest = self.groups.iter().map(|group| group.config.timeout.0).max().unwrap_or_default();
        let all = || self.groups.iter().flat_map(|group| &group.targets);
        let ended = async {
            while all().any(|target| target.state().stats.summary().is_none()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        deadline.slice(LOOKUP + longest).run(ended).await.ok();
        tasks.end();
        all()
            .map(|target| {
                let state = target.state();
                let (stats, name) = (&state.stats, format!("ping {}", target.config.name()));
                match (stats.last, stats.errors.keys().next()) {
                    (Some(rtt), _) => Row::new(name, "ok", rtt * 1e3, 1, "", true),
                    (None, Some(&reason)) => Row::new(name, reason, 0.0, 1, hint(reason, target), false),
                    (None, None) => Row::new(name, "lost", 0.0, 1, "no reply: is it up, and does it answer pings?", false),
                }
            })
            .collect()
    }
}

/// What to do about a ping that could not be sent.
fn hint(reason: &str, target: &Target) -> String {
    match reason {
        "permission" => "no ICMP socket may be opened: see the log, or write a `port:` for pings by TCP".to_owned(),
        "resolve" => format!("the name has no address: getent hosts {}", target.config.host),
        _ => "see the log with --log.level=debug".to_owned(),
    }
}

/// Hands the replies of one of the group's sockets to the targets.
async fn receive(group: Arc<Group>, place: usize) {
    let targets: HashMap<u64, &Arc<Target>> = group.targets.iter().map(|target| (target.key, target)).collect();
    if let Some(line) = group.lines.get(place) {
        line.keep(|key, number, from, at| {
            if let Some(target) = targets.get(&key) {
                target.reply(number, Some(from), at);
            }
        })
        .await;
    }
}

/// Keeps the address of a target.
async fn resolve(group: &Group, target: &Target) {
    // What was asked for is a host, or the configuration had been refused.
    let Some(host) = host(&target.config.host) else { return };
    loop {
        let looked_up = async {
            let _turn = group.lookups.acquire().await;
            timeout(LOOKUP, dial::resolve(&host, 0))
                .await
                .unwrap_or_else(|_| Err(CollectError::timeout("the resolver did not answer in time")))
        };
        let found = looked_up.await.and_then(|found| {
            let chosen = address::choose(&host, &found, group.config.preferred_ip_protocol, group.config.ip_protocol_fallback)?;
            target.moved(&found, chosen.ip().to_canonical());
            Ok(())
        });
        if let Err(error) = &found {
            tracing::debug!(target_name = target.config.name(), %error, "the name of a target was not resolved");
            let reason = if error.kind == ErrorKind::Timeout { "resolve" } else { error.kind.as_str() };
            if target.state().address.is_none() { target.unsent(reason) } else { target.state().stats.error(reason) }
        }
        if host.parse::<IpAddr>().is_ok() && found.is_ok() {
            return std::future::pending().await;
        }
        let rest = if found.is_ok() { group.resolve_interval } else { group.resolve_interval.min(SOON) };
        // Not all names at the same moment.
        sleep(rest + up_to(rest / 10)).await;
    }
}

/// Sends the pings of a target, each when it is due.
async fn send(group: &Group, target: &Target, spread: f64) {
    let config = &group.config;
    let first = up_to(config.interval.0.min(SPREAD)).mul_f64(spread);
    let mut schedule = Schedule::new(tokio::time::Instant::now() + first, config.count, config.spacing.0, config.interval.0);
    let mut connects = FuturesUnordered::new();
    loop {
        let due = schedule.due();
        let wake = target.expire(Instant::now()).map_or(due, |end| due.min(end.into()));
        tokio::select! {
            () = sleep_until(wake) => {}
            Some(connected) = connects.next() => {
                let (number, at): (u64, Option<Instant>) = connected;
                if let Some(at) = at {
                    target.reply(number, None, at);
                }
                continue;
            }
        }
        let now = tokio::time::Instant::now();
        if now < due {
            continue;
        }
        let address = target.state().address;
        // Nothing is due to a target whose name has no address; that is counted where it is looked up.
        let Some(to) = address else {
            if spread > 0.0 {
                schedule.sent(now);
            } else {
                sleep(Duration::from_millis(5)).await;
            }
            continue;
        };
        schedule.sent(now);
        if let Some((number, port)) = one(group, target, to).await {
            let (source, limit) = (group.source, config.timeout.0);
            connects.push(async move { (number, timeout(limit, connect(source, SocketAddr::new(to, port))).await.ok().flatten()) });
        }
    }
}

/// Sends one ping; number and port when it is a connection that is still to be made.
async fn one(group: &Group, target: &Target, to: IpAddr) -> Option<(u64, u16)> {
    let port = target.config.port.or(group.config.port);
    let line = group.lines.iter().find(|line| line.family == Family::of(to))?;
    if group.config.method != Method::Tcp {
        match (line.echo().await, port) {
            (Ok(echo), _) => {
                target.request(Method::Icmp, |number| {
                    echo.send(to, number as u16, &line.payload(target.key, number)).map_err(|e| icmp::reason(&e))
                });
                return None;
            }
            (Err(_), Some(_)) if group.config.method == Method::Auto => {}
            (Err(reason), _) => {
                target.unsent(reason);
                return None;
            }
        }
    }
    Some((target.request(Method::Tcp, |_| Ok(Instant::now()))?, port?))
}

/// Connects, and says when the other end has answered: also by a refusal.
async fn connect(source: Option<IpAddr>, to: SocketAddr) -> Option<Instant> {
    let made = match source {
        Some(source) => dial::connect_from(source, to).await,
        None => dial::connect(&[to]).await,
    };
    let at = Instant::now();
    match made {
        Ok(_) => Some(at),
        Err(error) if error.kind == ErrorKind::Refused => Some(at),
        Err(error) => {
            tracing::debug!(address = %to, %error, "a ping by TCP has no answer");
            None
        }
    }
}
