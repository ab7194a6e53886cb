//! Memory of a whole host: the exporters of what a small machine runs, together, each at its real server.
//!
//! Resident memory counts the pages of the program's file as well, which the kernel shares and may drop; what a process has
//! for itself alone (RssAnon) is told beside it.

use std::any::Any;

use crate::bench::figures::{Aim, markdown};
use crate::bench::peer::Program;
use crate::exporter::Exporter;
use crate::http::encode;
use crate::process;
use crate::servers::apache::{Apache, ApacheOptions};
use crate::servers::nginx::{Nginx, NginxOptions};
use crate::servers::postgres::{Postgres, PostgresOptions};
use crate::servers::redis::Redis;
use crate::temp::TempFolder;

/// What it is called on the command line.
pub const NAME: &str = "host";
/// Scrapes of each before the memory is read.
const SCRAPES: usize = 500;
/// Aim for all of them.
const LIMIT: u64 = 24_000_000;

/// One exporter and what it watches.
pub struct Place {
    /// The exporter's folder below `exporters/`.
    pub exporter: &'static str,
    /// Its environment.
    pub env: Vec<(&'static str, String)>,
    /// Its flags.
    pub args: Vec<String>,
    /// What is asked for.
    pub path: String,
    /// The series that is 1 while all is well.
    pub up: &'static str,
    /// Stops the server when dropped.
    pub keep: Box<dyn Any>,
}

/// The four of a small host.
pub const PLACES: [fn() -> Place; 4] = [postgres, redis, nginx, http];

/// PostgreSQL as it is after installation, with a login for us.
///
/// # Panics
/// When the server does not start.
pub fn postgres() -> Place {
    let server = Postgres::start(PostgresOptions::default());
    server.create_monitor("bench", "bench-password", 5);
    let folder = TempFolder::new("bench");
    let password = folder.write_secret("password", "bench-password");
    let env = vec![
        ("DATA_SOURCE_URI", format!("127.0.0.1:{}/postgres?sslmode=disable", server.port())),
        ("DATA_SOURCE_USER", "bench".to_owned()),
        ("DATA_SOURCE_PASS_FILE", password.display().to_string()),
    ];
    Place { exporter: "postgres", env, args: Vec::new(), path: "/metrics".to_owned(), up: "pg_up", keep: Box::new((server, folder)) }
}

/// Redis as it is after installation.
pub fn redis() -> Place {
    let server = Redis::start();
    let env = vec![("REDIS_ADDR", format!("redis://{}", server.address()))];
    Place { exporter: "redis", env, args: Vec::new(), path: "/metrics".to_owned(), up: "redis_up", keep: Box::new(server) }
}

/// nginx with its status page.
pub fn nginx() -> Place {
    let server = Nginx::start(&NginxOptions::default());
    let args = vec![format!("--nginx.scrape-uri={}", server.url("/stub_status"))];
    Place { exporter: "nginx", env: Vec::new(), args, path: "/metrics".to_owned(), up: "sage_up", keep: Box::new(server) }
}

/// Apache with its status page.
pub fn apache() -> Place {
    let server = Apache::start(&ApacheOptions::default());
    let args = vec![format!("--scrape_uri={}", server.url("/server-status?auto"))];
    Place { exporter: "apache", env: Vec::new(), args, path: "/metrics".to_owned(), up: "apache_up", keep: Box::new(server) }
}

/// A page of nginx, probed.
pub fn http() -> Place {
    let server = Nginx::start(&NginxOptions::default());
    let path = format!("/probe?module=http_2xx&target={}", encode(&server.url("/")));
    Place { exporter: "http", env: Vec::new(), args: Vec::new(), path, up: "probe_success", keep: Box::new(server) }
}

impl Place {
    /// Starts the exporter and sees that it reaches its server.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&self) -> Exporter {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let env: Vec<(&str, &str)> = self.env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let exporter = Exporter::start(&format!("sage-{}-exporter", self.exporter), &args, &env);
        let page = exporter.page(&self.path);
        assert_eq!(page.value(self.up, &[]), Some(1.0), "{} does not reach its server:\n{}", self.exporter, exporter.logs());
        exporter
    }
}

/// Bytes of one exporter after its scrapes.
#[derive(Debug, Clone, Default)]
pub struct Share {
    exporter: &'static str,
    resident: u64,
    private: u64,
}

/// Starts all, scrapes all in turn, and reads the memory of each while all run.
///
/// # Panics
/// When a server or an exporter does not start or answer.
pub fn run() -> Vec<Share> {
    let running: Vec<(Place, Exporter)> =
        PLACES.iter().map(|place| place()).map(|place| (place.start(), place)).map(|(exporter, place)| (place, exporter)).collect();
    for _ in 1..SCRAPES {
        for (place, exporter) in &running {
            assert_eq!(exporter.get(&place.path).status, 200, "{}", exporter.logs());
        }
    }
    let bytes = |exporter: &Exporter, line: &str| process::memory_bytes(exporter.pid(), line).expect("it runs");
    let share = |(place, exporter): &(Place, Exporter)| Share {
        exporter: place.exporter,
        resident: bytes(exporter, "VmRSS"),
        private: bytes(exporter, "RssAnon"),
    };
    running.iter().map(share).collect()
}

fn total(shares: &[Share]) -> (u64, u64) {
    (shares.iter().map(|share| share.resident).sum(), shares.iter().map(|share| share.private).sum())
}

/// The table.
pub fn table(shares: &[Share]) -> String {
    let mega = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    let mut cells = vec![["one host".to_owned(), "resident".to_owned(), "of it private".to_owned(), "of program files".to_owned()]];
    let mut row = |name: &str, resident: u64, private: u64| {
        cells.push([name.to_owned(), mega(resident), mega(private), mega(resident.saturating_sub(private))]);
    };
    for share in shares {
        row(share.exporter, share.resident, share.private);
    }
    let (resident, private) = total(shares);
    row("all", resident, private);
    let about: Vec<String> = shares.iter().map(|share| Program::ours(share.exporter).about).collect();
    format!("{}\n{} exporters side by side after {SCRAPES} scrapes each: {}.\n", markdown(&cells), shares.len(), about.join(", "))
}

/// What was aimed at.
pub fn aim(shares: &[Share]) -> Aim {
    let (resident, _) = total(shares);
    let text = format!("{NAME}: four exporters at most {} MB resident ({:.1} MB)", LIMIT / 1_000_000, resident as f64 / 1e6);
    Aim { text, met: resident <= LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_the_sum() {
        let share = |resident, private| Share { exporter: "x", resident, private };
        assert_eq!(total(&[share(3, 1), share(4, 2)]), (7, 3));
        assert!(aim(&[share(24_000_000, 1)]).met);
        assert!(!aim(&[share(24_000_000, 1), share(1, 0)]).met);
    }
}
