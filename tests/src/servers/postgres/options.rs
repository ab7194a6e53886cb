//! What a server is started with, and the versions that tests can have.

use std::path::PathBuf;
use std::time::Duration;

/// A major version: Debian's 15, or one that scripts/setup.sh has put below target/servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// The oldest that is supported.
    V13,
    /// Debian's, the one that all tests run against which name none.
    #[default]
    V15,
    /// Since 17 the checkpointer has a view of its own.
    V17,
    /// The newest.
    V18,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 4] = [Self::V13, Self::V15, Self::V17, Self::V18];

    /// The number before the dot.
    pub fn major(self) -> u32 {
        match self {
            Self::V13 => 13,
            Self::V15 => 15,
            Self::V17 => 17,
            Self::V18 => 18,
        }
    }

    /// The folder of its programs. Links are followed, since the server's user may not enter the folder that holds them.
    pub(super) fn programs(self) -> PathBuf {
        if self == Self::V15 {
            return "/usr/lib/postgresql/15/bin".into();
        }
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../target");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| own.into(), PathBuf::from);
        let folder = target.join(format!("servers/postgres-{}", self.major()));
        folder.canonicalize().unwrap_or(folder).join("bin")
    }
}

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Which server; a missing one fails the test.
    pub version: Version,
    /// Further lines of postgresql.conf; they win over the harness's own.
    pub settings: Vec<String>,
    /// Statements that take at least this long are logged; `None`: none is.
    pub slow_query: Option<Duration>,
    /// Whether pages have checksums (18 has them always).
    pub checksums: bool,
}

impl Default for PostgresOptions {
    /// Slow statements are logged, as the exporter wants it.
    fn default() -> Self {
        Self { version: Version::default(), settings: Vec::new(), slow_query: Some(Duration::from_secs(1)), checksums: false }
    }
}

impl PostgresOptions {
    /// The defaults on this version.
    pub fn of(version: Version) -> Self {
        Self { version, ..Self::default() }
    }
}
