//! What a panel's queries return, named and reduced as Grafana does it.

use std::collections::BTreeMap;

use crate::lint::dashboards::{Panel, Target};
use crate::lint::template;
use crate::servers::prometheus::Api;

/// The time that a picture shows, in Unix seconds, and the distance of its points.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First moment.
    pub start: f64,
    /// Last moment.
    pub end: f64,
    /// Between two points.
    pub step: f64,
}

impl Window {
    /// Moments for the marks of an axis with room for `count` of them.
    #[must_use]
    pub fn marks(&self, count: f64) -> Vec<f64> {
        let least = (self.end - self.start) / count.max(1.0);
        let steps = [1.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 10_800.0, 21_600.0, 86_400.0];
        let step = steps.into_iter().find(|s| *s >= least).unwrap_or(86_400.0);
        let first = (self.start / step).ceil();
        let all = (0..100).map(|n| (first + f64::from(n)) * step);
        all.take_while(|t| *t <= self.end).collect()
    }

    /// The time of day (UTC), with seconds where the marks may need them.
    #[must_use]
    pub fn clock(&self, time: f64) -> String {
        let second = time as u64 % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        if self.end - self.start < 600.0 { format!("{hour:02}:{minute:02}:{second:02}") } else { format!("{hour:02}:{minute:02}") }
    }
}

/// One series of a panel.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The query it comes from.
    pub ref_id: String,
    /// As the legend shows it.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Time and value.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// One number for the whole series; none where it has no point.
    ///
    /// # Errors
    /// A calculation that this does not know.
    pub fn reduce(&self, calc: &str) -> Result<Option<f64>, String> {
        let mut values = self.points.iter().map(|(_, v)| *v).filter(|v| !v.is_nan());
        Ok(match calc {
            "lastNotNull" | "last" => values.next_back(),
            "max" => values.reduce(f64::max),
            "min" => values.reduce(f64::min),
            "sum" => Some(values.sum()),
            "mean" => (!self.points.is_empty()).then(|| values.sum::<f64>() / self.points.len() as f64),
            other => return Err(format!("no picture of the calculation {other}")),
        })
    }
}

/// Asks all queries of a panel, `filled` with the choice of its variables.
///
/// # Errors
/// A query is refused, or no answer came.
pub fn ask(panel: &Panel, prometheus: Api, window: Window, filled: impl Fn(&str) -> String) -> Result<Vec<Series>, String> {
    let mut out = Vec::new();
    for target in panel.targets.iter().filter(|t| !t.hide) {
        let expr = filled(&target.expr);
        let found = if target.instant {
            let last = prometheus.query(&expr, Some(window.end))?.into_iter();
            last.map(|(labels, value)| (labels, vec![(window.end, value)])).collect()
        } else {
            prometheus.query_range(&expr, window.start, window.end, window.step)?
        };
        out.extend(found.into_iter().map(|(labels, points)| {
            let name = name(target, &labels);
            Series { ref_id: target.ref_id.clone(), name, labels, points }
        }));
    }
    Ok(out)
}

/// What the legend calls a series.
fn name(target: &Target, labels: &BTreeMap<String, String>) -> String {
    if target.legend_format.is_empty() || target.legend_format == "__auto" {
        let pairs = labels.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| format!("{n}=\"{v}\""));
        return format!("{}{{{}}}", labels.get("__name__").map_or("", String::as_str), pairs.collect::<Vec<_>>().join(", "));
    }
    template::legend(&target.legend_format, |label| labels.get(label).cloned().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Series, Window};

    #[test]
    fn reduces_and_marks() {
        let series = Series { points: vec![(0.0, 1.0), (1.0, 5.0), (2.0, 3.0), (3.0, f64::NAN)], ..Series::default() };
        for (calc, value) in [("lastNotNull", 3.0), ("max", 5.0), ("min", 1.0), ("sum", 9.0)] {
            assert_eq!(series.reduce(calc).unwrap(), Some(value), "{calc}");
        }
        assert_eq!(Series::default().reduce("max"), Ok(None));
        assert!(series.reduce("median").unwrap_err().contains("median"));
        let window = Window { start: 61.0, end: 300.0, step: 1.0 };
        assert_eq!(window.marks(5.0), [120.0, 180.0, 240.0, 300.0]);
        assert_eq!(window.clock(3723.0), "01:02:03");
        assert_eq!(Window { end: 7200.0, ..window }.clock(3723.0), "01:02");
    }
}
