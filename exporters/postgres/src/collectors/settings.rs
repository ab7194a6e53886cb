//! All settings with a number or a switch, under the names that postgres_exporter gives them.
//!
//! From pg_settings, all versions. Sizes are turned into bytes and times into seconds, and the name says which. Settings
//! of extensions have a dot in their name, which becomes an underscore. A value that cannot be read is left out.

use sage_common::collector::{Collector, NoOptions};
use sage_common::desc::{Info, Kind};
use sage_common::error::CollectError;
use sage_common::sink::Sink;

use crate::session::Pg;

const METRICS: &[Info] = &[Info::pattern(
    "pg_settings_",
    Kind::Gauge,
    "The setting of this name; switches are 0 or 1, sizes in bytes (_bytes), times in seconds (_seconds) (pg_settings).",
)];

const SQL: &str = "SELECT name, setting, coalesce(unit, ''), vartype FROM pg_settings WHERE vartype IN ('bool', 'integer', 'real')";

/// See the file.
pub struct Settings;

impl Collector for Settings {
    type Session = Pg;
    type Options = NoOptions;
    const HELP: &'static str = "Settings of the server (pg_settings).";
    const METRICS: &'static [Info] = METRICS;

    fn new(_: NoOptions) -> Self {
        Self
    }

    async fn collect(&self, session: &Pg, out: &mut Sink) -> Result<(), CollectError> {
        for row in session.rows(SQL).await? {
            let (name, setting, unit, vartype): (&str, &str, &str, &str) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let Some((name, value)) = normalise(name, setting, unit, vartype) else {
                tracing::debug!(setting = name, unit, "a setting has a value or unit that is not known here");
                continue;
            };
            // An extension may call its settings as it likes; one odd name must not spoil the others.
            if let Ok(mut family) = out.family(&name, Kind::Gauge, "Setting of the server (pg_settings).") {
                family.put(value);
            }
        }
        Ok(())
    }
}

/// Full metric name and value in base units.
fn normalise(name: &str, setting: &str, unit: &str, vartype: &str) -> Option<(String, f64)> {
    // One string for all of it: there are hundreds of settings in each scrape.
    let mut full = String::with_capacity("pg_settings__seconds".len() + name.len());
    full.push_str("pg_settings_");
    full.extend(name.chars().map(|c| if matches!(c, '.' | '-') { '_' } else { c.to_ascii_lowercase() }));
    if vartype == "bool" {
        return Some((full, f64::from(u8::from(setting == "on"))));
    }
    let value: f64 = setting.parse().ok()?;
    if unit.is_empty() {
        return Some((full, value));
    }
    // A unit may carry its own factor, such as 8kB for pages.
    let digits = unit.len() - unit.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (factor, base) = unit.split_at(digits);
    let factor: f64 = if factor.is_empty() { 1.0 } else { factor.parse().ok()? };
    let (suffix, scale) = match base {
        "B" => ("_bytes", 1.0),
        "kB" => ("_bytes", 1024.0),
        "MB" => ("_bytes", 1024.0 * 1024.0),
        "GB" => ("_bytes", 1024.0 * 1024.0 * 1024.0),
        "us" => ("_seconds", 1e-6),
        "ms" => ("_seconds", 1e-3),
        "s" => ("_seconds", 1.0),
        "min" => ("_seconds", 60.0),
        "h" => ("_seconds", 3600.0),
        "d" => ("_seconds", 86400.0),
        _ => return None,
    };
    // -1 and 0 mean "off" or "as another setting says", not a quantity.
    let value = if value == -1.0 { value } else { value * factor * scale };
    full.push_str(suffix);
    Some((full, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_become_base_units() {
        for (name, setting, unit, vartype, want) in [
            ("shared_buffers", "16384", "8kB", "integer", Some(("pg_settings_shared_buffers_bytes", 134_217_728.0))),
            ("max_wal_size", "1024", "MB", "integer", Some(("pg_settings_max_wal_size_bytes", 1_073_741_824.0))),
            ("autovacuum_vacuum_cost_delay", "2", "ms", "real", Some(("pg_settings_autovacuum_vacuum_cost_delay_seconds", 0.002))),
            ("log_rotation_age", "1440", "min", "integer", Some(("pg_settings_log_rotation_age_seconds", 86400.0))),
            ("autovacuum_work_mem", "-1", "kB", "integer", Some(("pg_settings_autovacuum_work_mem_bytes", -1.0))),
            ("fsync", "on", "", "bool", Some(("pg_settings_fsync", 1.0))),
            ("pg_stat_statements.max", "5000", "", "integer", Some(("pg_settings_pg_stat_statements_max", 5000.0))),
            ("odd", "1", "parsecs", "integer", None),
            ("odd", "many", "", "integer", None),
        ] {
            let got = normalise(name, setting, unit, vartype);
            assert_eq!(got.as_ref().map(|(n, v)| (n.as_str(), *v)), want, "{name}");
        }
    }
}
