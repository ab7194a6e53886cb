//! Which tables of a database are due, the neediest first, and whether the role may vacuum them.
//!
//! From pg_class and the pg_stat_get_* functions: no table is opened. PostgreSQL 17 knows the right MAINTAIN; before it
//! the owners of table and database may vacuum.

use sage_common::error::{CollectError, ErrorKind};
use tokio_postgres::Row;

use super::worker::Worker;
use crate::grants::V17;

/// One table.
#[derive(Debug)]
pub struct Table {
    /// Schema and name as SQL has them.
    pub quoted: String,
    /// `schema.table`.
    pub name: String,
    /// Size as of its last VACUUM or ANALYZE.
    pub bytes: i64,
    /// Dead rows and rows changed since the last ANALYZE.
    pub need: i64,
    /// Whether this role may vacuum it.
    pub permitted: bool,
}

macro_rules! tables {
    ($permitted:literal) => {
        concat!(
            "SELECT format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname, c.relpages::int8 * current_setting('block_size')::int8,
              coalesce(pg_stat_get_dead_tuples(c.oid), 0) + coalesce(pg_stat_get_mod_since_analyze(c.oid), 0), ",
            $permitted,
            " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
            ORDER BY 4 DESC, greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) NULLS FIRST, c.oid LIMIT 100000"
        )
    };
}
const TABLES: &str = tables!(
    "pg_has_role(c.relowner, 'USAGE') OR (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database())"
);
const TABLES_17: &str = tables!(
    "has_table_privilege(c.oid, 'MAINTAIN') OR (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database())"
);

/// The tables of the worker's database, the neediest first, then those whose ANALYZE is longest ago.
///
/// # Errors
/// The server's.
pub async fn list(worker: &Worker, version: i32) -> Result<Vec<Table>, CollectError> {
    let sql = if version >= V17 as i32 { TABLES_17 } else { TABLES };
    worker
        .rows(sql, &[])
        .await?
        .iter()
        .map(|row| table(row).map_err(|e| CollectError::new(ErrorKind::Decode, "list the tables").caused_by(e)))
        .collect()
}

fn table(row: &Row) -> Result<Table, tokio_postgres::Error> {
    Ok(Table { quoted: row.try_get(0)?, name: row.try_get(1)?, bytes: row.try_get(2)?, need: row.try_get(3)?, permitted: row.try_get(4)? })
}

/// Patterns with `*` and `?` that take names in and leave names out.
#[derive(clap::Args, Clone, Debug)]
pub struct Filter {
    /// Databases to work in, with * and ?; may be given several times [default: all that allow connections]
    #[arg(long = "database", value_name = "PATTERN")]
    databases: Vec<String>,
    /// Databases to leave out
    #[arg(long = "exclude-database", value_name = "PATTERN")]
    exclude_databases: Vec<String>,
    /// Tables to work on: TABLE, SCHEMA.TABLE or DATABASE.SCHEMA.TABLE, with * and ? [default: all]
    #[arg(long = "table", value_name = "PATTERN")]
    tables: Vec<String>,
    /// Tables to leave out
    #[arg(long = "exclude-table", value_name = "PATTERN")]
    exclude_tables: Vec<String>,
}

impl Filter {
    /// Whether this database is worked in.
    pub fn takes_database(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        (self.databases.is_empty() || any(&self.databases)) && !any(&self.exclude_databases)
    }

    /// Whether this table (`schema.table`) is worked on.
    pub fn takes_table(&self, database: &str, table: &str) -> bool {
        let any = |patterns: &[String]| {
            patterns.iter().any(|pattern| match pattern.matches('.').count() {
                0 => table.split_once('.').is_some_and(|(_, name)| matches(pattern, name)),
                1 => matches(pattern, table),
                _ => matches(pattern, &format!("{database}.{table}")),
            })
        };
        (self.tables.is_empty() || any(&self.tables)) && !any(&self.exclude_tables)
    }
}

/// True when `text` is what `pattern` describes: `*` stands for any characters, `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last star: one character of the text further each time.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || text.get(t) == Some(c) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("*_log", "x_log_log", true),
            ("?", "é", true),
            ("?", "", false),
            ("", "", true),
            ("a", "ab", false),
            ("*a*b*", "xxaxxbxx", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn filters_take_tables_by_one_two_or_three_parts() {
        let list = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
        let filter = Filter {
            databases: list(&["shop*"]),
            exclude_databases: list(&["*_old"]),
            tables: list(&["orders", "audit.*", "shop1.public.x?"]),
            exclude_tables: list(&["*.*_tmp"]),
        };
        for (database, want) in [("shop", true), ("shop_old", false), ("other", false)] {
            assert_eq!(filter.takes_database(database), want, "{database}");
        }
        for (database, table, want) in [
            ("shop", "any.orders", true),
            ("shop", "audit.log", true),
            ("shop", "audit.log_tmp", false),
            ("shop1", "public.x1", true),
            ("shop2", "public.x1", false),
            ("shop", "public.other", false),
        ] {
            assert_eq!(filter.takes_table(database, table), want, "{database} {table}");
        }
        let all = Filter { databases: vec![], exclude_databases: vec![], tables: vec![], exclude_tables: vec![] };
        assert!(all.takes_database("x") && all.takes_table("x", "y.z"));
    }
}
