//! Numbers as Grafana writes them: the units that the dashboards use, their steps and their number of digits. A unit that
//! is not known here is an error, since its picture would show what Grafana does not.

use std::time::{SystemTime, UNIX_EPOCH};

const SHORT: &[(f64, &str)] = &[(1.0, ""), (1e3, " K"), (1e6, " Mil"), (1e9, " Bil"), (1e12, " Tri")];
const COUNT: &[(f64, &str)] = &[(1.0, ""), (1e3, "K"), (1e6, "M"), (1e9, "B"), (1e12, "T")];
const IEC: &[(f64, &str)] = &[
    (1.0, " B"),
    (1024.0, " KiB"),
    (1_048_576.0, " MiB"),
    (1_073_741_824.0, " GiB"),
    (1_099_511_627_776.0, " TiB"),
    (1_125_899_906_842_624.0, " PiB"),
];
const SI: &[(f64, &str)] = &[(1.0, " B"), (1e3, " kB"), (1e6, " MB"), (1e9, " GB"), (1e12, " TB"), (1e15, " PB")];
const TIME: &[(f64, &str)] = &[
    (1e-9, " ns"),
    (1e-6, " µs"),
    (1e-3, " ms"),
    (1.0, " s"),
    (60.0, " mins"),
    (3600.0, " hours"),
    (86_400.0, " days"),
    (604_800.0, " weeks"),
    (31_556_900.0, " years"),
];

/// A value with its unit. `decimals` fixes the digits after the point; without it there are three digits in all.
///
/// # Errors
/// A unit that this does not know; the text names it.
pub fn format(value: f64, unit: &str, decimals: Option<usize>) -> Result<String, String> {
    let counted = |suffix: &str| format!("{} {suffix}", scaled(value, COUNT, decimals));
    Ok(match unit {
        "" | "none" => number(value, decimals),
        "short" => scaled(value, SHORT, decimals),
        "bytes" => scaled(value, IEC, decimals),
        "decbytes" => scaled(value, SI, decimals),
        "binBps" => scaled(value, IEC, decimals) + "/s",
        "Bps" => scaled(value, SI, decimals) + "/s",
        "ops" => counted("ops/s"),
        "reqps" => counted("req/s"),
        "cps" => counted("c/s"),
        "rps" => counted("reads/s"),
        "wps" => counted("writes/s"),
        "percent" => number(value, decimals) + "%",
        "percentunit" => number(value * 100.0, decimals) + "%",
        "s" => scaled(value, TIME, decimals),
        "ms" => scaled(value / 1e3, TIME, decimals),
        "µs" => scaled(value / 1e6, TIME, decimals),
        // In milliseconds since 1970.
        "dateTimeFromNow" => ago(value / 1e3),
        "d" => scaled(value * 86_400.0, TIME.get(6..).unwrap_or(TIME), decimals),
        "bool_on_off" => (if value == 0.0 { "Off" } else { "On" }).to_owned(),
        "bool_yes_no" => (if value == 0.0 { "No" } else { "Yes" }).to_owned(),
        _ => match unit.split_once(':') {
            Some(("suffix", suffix)) => number(value, decimals) + suffix,
            Some(("prefix", prefix)) => format!("{prefix}{}", number(value, decimals)),
            _ => return Err(format!("no picture of the unit {unit}")),
        },
    })
}

/// How long ago a Unix time is, in one unit.
fn ago(time: f64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    scaled((now - time).max(0.0), TIME.get(3..).unwrap_or(TIME), Some(0)) + " ago"
}

/// In the largest step that leaves a number of one or more; zero in the step of one.
fn scaled(value: f64, steps: &[(f64, &str)], decimals: Option<usize>) -> String {
    let fits = steps.iter().rev().find(|(size, _)| value.abs() >= *size).or(steps.first());
    let fits = if value == 0.0 { steps.iter().find(|(size, _)| *size >= 1.0) } else { fits };
    let (size, name) = fits.copied().unwrap_or((1.0, ""));
    number(value / size, decimals) + name
}

fn number(value: f64, decimals: Option<usize>) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN" } else { "∞" }.to_owned();
    }
    let digits = decimals.unwrap_or_else(|| auto(value));
    let text = format!("{value:.digits$}");
    // Minus nothing is nothing.
    if text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.')) { text.trim_start_matches('-').to_owned() } else { text }
}

/// Three digits in all, none after the point of a whole number.
fn auto(value: f64) -> usize {
    if value.fract() == 0.0 { 0 } else { (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize }
}

/// A distance between marks of an axis that is easy to read, such that about `count` of them fit `span`.
#[must_use]
pub fn step(span: f64, count: f64, unit: &str) -> f64 {
    let least = span / count.max(1.0);
    if matches!(unit, "bytes" | "binBps") {
        return 2f64.powf(least.max(1.0).log2().ceil());
    }
    // A share is counted in percent.
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|f| f * power).find(|s| *s >= least * 0.999).unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::{format, step};

    #[test]
    fn writes_numbers_as_grafana_does() {
        for (value, unit, decimals, text) in [
            (0.0, "short", None, "0"),
            (1_234_567.0, "short", None, "1.23 Mil"),
            (12_345.0, "ops", None, "12.3K ops/s"),
            (0.25, "percentunit", Some(0), "25%"),
            (0.123_45, "percentunit", None, "12.3%"),
            (16_777_216.0, "bytes", None, "16 MiB"),
            (1500.0, "Bps", None, "1.50 kB/s"),
            (1536.0, "binBps", None, "1.50 KiB/s"),
            (0.0, "s", None, "0 s"),
            (0.001_25, "s", None, "1.25 ms"),
            (90.0, "s", None, "1.50 mins"),
            (172_800.0, "s", Some(0), "2 days"),
            (250.0, "µs", None, "250 µs"),
            (1e18, "dateTimeFromNow", None, "0 s ago"),
            (0.5, "d", None, "0.500 days"),
            (30.0, "d", None, "4.29 weeks"),
            (1.0, "bool_yes_no", None, "Yes"),
            (3.0, "suffix: xids", None, "3 xids"),
            (-0.000_000_000_01, "none", Some(1), "0.0"),
            (f64::NAN, "short", None, "NaN"),
        ] {
            assert_eq!(format(value, unit, decimals).as_deref(), Ok(text), "{value} {unit}");
        }
        assert_eq!(format(1.0, "furlongs", None).unwrap_err(), "no picture of the unit furlongs");
    }

    #[test]
    fn marks_are_easy_to_read() {
        assert_eq!(step(100.0, 5.0, "short"), 20.0);
        assert_eq!(step(0.9, 5.0, "percentunit"), 0.2);
        assert_eq!(step(3_000_000.0, 4.0, "bytes"), 1_048_576.0);
    }
}
