//! Metric declarations, checked at compile time.
//!
//! A metric is declared once, as one full literal name, by `metrics!`. A bad name, an empty help, a counter without
//! `_total` or a doubtful label does not compile. The catalogue (`metrics` command, READMEs, linter) is made from the
//! same declarations. Rules: the Prometheus pages on naming and on writing exporters.

#![allow(clippy::indexing_slicing)] // const fns have no iterators; an index out of bounds here does not compile

/// What a family's values mean, in the words of the text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A value that may go up and down.
    Gauge,
    /// A value that only grows until its source restarts.
    Counter,
    /// Cumulative buckets with sum and count.
    Histogram,
    /// Quantiles computed by the source, with sum and count.
    Summary,
    /// The source does not say.
    Unknown,
}

/// A metric family whose samples carry `N` labels.
#[derive(Debug)]
pub struct Desc<const N: usize> {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    labels: [&'static str; N],
}

/// The same declaration with the number of labels erased: what catalogue, linter and encoder work with.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Info {
    /// Full name of the family; for a pattern the prefix that all its names share.
    pub name: &'static str,
    /// Meaning, unit and source.
    pub help: &'static str,
    /// Type as written in the TYPE line.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Label names in the order of declaration.
    pub labels: &'static [&'static str],
    /// True when names are made at run time from the product's own names, as `pg_settings_*` are.
    pub pattern: bool,
}

impl Info {
    /// Declares families whose names are made at run time below `prefix`.
    pub const fn pattern(prefix: &'static str, kind: Kind, help: &'static str) -> Self {
        check_name(prefix);
        check_help(help);
        Self { name: prefix, help, kind, labels: &[], pattern: true }
    }
}

impl<const N: usize> Desc<N> {
    /// A metric of ours: every naming rule holds, or it does not compile.
    pub const fn new(name: &'static str, help: &'static str, kind: Kind, labels: [&'static str; N]) -> Self {
        assert!(!matches!(kind, Kind::Counter) || ends_with(name, "_total"), "a counter's name ends in _total");
        assert!(matches!(kind, Kind::Counter) || !ends_with(name, "_total"), "only a counter's name ends in _total");
        assert!(
            !ends_with(name, "_bucket") && !ends_with(name, "_sum") && !ends_with(name, "_count") || matches!(kind, Kind::Unknown),
            "_bucket, _sum and _count are reserved; a peer's name is declared `legacy`"
        );
        let mut i = 0;
        while i < N {
            assert!(!is_target_label(labels[i]), "this label name belongs to the target's own labels");
            i += 1;
        }
        Self::legacy(name, help, kind, labels)
    }

    /// A peer's metric, kept by name and labels for the dashboards that use it: the naming lints are waived.
    pub const fn legacy(name: &'static str, help: &'static str, kind: Kind, labels: [&'static str; N]) -> Self {
        check_name(name);
        check_help(help);
        let mut i = 0;
        while i < N {
            check_label(labels[i]);
            let mut j = i + 1;
            while j < N {
                assert!(!same(labels[i], labels[j]), "a label stands twice");
                j += 1;
            }
            i += 1;
        }
        Self { name, help: trim_start(help), kind, labels }
    }

    /// The declaration with its label count erased.
    pub const fn info(&'static self) -> Info {
        Info { name: self.name, help: self.help, kind: self.kind, labels: &self.labels, pattern: false }
    }

    /// Where each of `given` stands among the declared labels; a foreign or missing name does not compile.
    pub const fn order(&self, given: [&str; N]) -> [usize; N] {
        let mut order = [0; N];
        let mut i = 0;
        while i < N {
            let mut found = false;
            let mut j = 0;
            while j < N {
                if same(self.labels[i], given[j]) {
                    order[i] = j;
                    found = true;
                }
                j += 1;
            }
            assert!(found, "the labels given are not those of the metric's declaration");
            i += 1;
        }
        order
    }
}

/// Labels that service discovery sets on the target; a metric label of the same name would be renamed `exported_*`.
const fn is_target_label(label: &str) -> bool {
    const TAKEN: [&str; 14] = [
        "job",
        "instance",
        "client",
        "site",
        "host",
        "product",
        "service",
        "criticality",
        "team",
        "cluster",
        "env",
        "region",
        "zone",
        "type",
    ];
    let mut i = 0;
    while i < TAKEN.len() {
        if same(TAKEN[i], label) {
            return true;
        }
        i += 1;
    }
    false
}

/// True when `name` is a metric name that we emit: lower-case ASCII words joined by underscores.
pub const fn valid_name(name: &str) -> bool {
    let b = name.as_bytes();
    if b.is_empty() || !b[0].is_ascii_lowercase() {
        return false;
    }
    let mut i = 0;
    while i < b.len() {
        if !(b[i].is_ascii_lowercase() || b[i].is_ascii_digit() || b[i] == b'_') {
            return false;
        }
        i += 1;
    }
    true
}

/// True when `name` is one that Prometheus takes for a metric or a label: for names that others have chosen.
pub fn legal_name(name: &str) -> bool {
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

const fn check_name(name: &str) {
    assert!(valid_name(name), "a metric name is lower-case ASCII letters, digits and underscores");
}

const fn check_label(label: &str) {
    assert!(valid_name(label), "a label name is lower-case ASCII letters, digits and underscores");
    assert!(!same(label, "le") && !same(label, "quantile"), "le and quantile belong to histograms and summaries");
}

const fn check_help(help: &str) {
    assert!(help.len() > 1, "help says meaning, unit and source");
}

const fn trim_start(s: &'static str) -> &'static str {
    if !s.is_empty() && s.as_bytes()[0] == b' ' { s.split_at(1).1 } else { s }
}

const fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && ends_with(a, b)
}

const fn ends_with(s: &str, end: &str) -> bool {
    let (s, end) = (s.as_bytes(), end.as_bytes());
    if s.len() < end.len() {
        return false;
    }
    let mut i = 0;
    while i < end.len() {
        if s[s.len() - end.len() + i] != end[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Declares the metrics of one collector: a constant for each, and `METRICS`, their list for the catalogue.
///
/// ```
/// use sage_common::metrics;
/// metrics! {
///     /// Bytes of write-ahead log on disk (pg_ls_waldir).
///     SIZE: Gauge "pg_wal_size_bytes" [];
///     /// Transactions committed (pg_stat_database.xact_commit).
///     COMMITS: Counter legacy "pg_stat_database_xact_commit" [datid, datname];
/// }
/// assert_eq!(METRICS.len(), 2);
/// ```
///
/// A counter without `_total` does not compile:
/// ```compile_fail
/// sage_common::metrics! {
///     /// Transactions committed.
///     COMMITS: Counter "pg_commits" [datname];
/// }
/// ```
#[macro_export]
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $name:ident : $kind:ident $($legacy:ident)? $full:literal [$($label:ident),* $(,)?];)*) => {
        $(
            $(#[doc = $help])+
            pub(crate) const $name: &$crate::desc::Desc<{ $crate::metrics!(@count $($label)*) }> = {
                static DESC: $crate::desc::Desc<{ $crate::metrics!(@count $($label)*) }> =
                    $crate::metrics!(@new $($legacy)?)(
                        $full, concat!($($help),+), $crate::desc::Kind::$kind, [$(stringify!($label)),*]);
                &DESC
            };
        )*
        /// The metrics declared above, for the catalogue.
        #[allow(dead_code)] // a test may declare metrics that no catalogue shows
        pub(crate) const METRICS: &[$crate::desc::Info] = &[$($name.info()),*];
    };
    (@new) => { $crate::desc::Desc::new };
    (@new legacy) => { $crate::desc::Desc::legacy };
    (@count) => { 0 };
    (@count $head:ident $($tail:ident)*) => { 1 + $crate::metrics!(@count $($tail)*) };
}

#[cfg(test)]
mod tests {
    use super::*;

    metrics! {
        /// A size.
        SIZE: Gauge "x_size_bytes" [];
        /// First line,
        /// second line.
        READS: Counter legacy "x_reads" [a, b];
    }

    #[test]
    fn declarations_reach_the_catalogue() {
        let names: Vec<_> = METRICS.iter().map(|m| (m.name, m.help, m.kind, m.labels)).collect();
        assert_eq!(
            names,
            [("x_size_bytes", "A size.", Kind::Gauge, &[] as &[&str]), ("x_reads", "First line, second line.", Kind::Counter, &["a", "b"]),]
        );
        assert_eq!(SIZE.order([]), [0; 0]);
    }

    #[test]
    fn order_finds_labels_by_name() {
        assert_eq!(READS.order(["b", "a"]), [1, 0]);
        assert_eq!(READS.order(["a", "b"]), [0, 1]);
    }

    #[test]
    fn names_are_ascii_snake_case() {
        for bad in ["", "9x", "X", "x-y", "x:y", "é"] {
            assert!(!valid_name(bad), "{bad}");
        }
        assert!(valid_name("pg_wal_size_bytes"));
    }
}
