//! Panels of single numbers: stat, gauge and bar gauge.

use std::fmt::Write as _;

use serde_json::Value;

use super::data::Series;
use super::field::Field;
use super::graph::Drawn;
use super::page::escape;

/// Draws one tile for each series.
///
/// # Errors
/// A setting or unit that this cannot draw.
pub fn draw(kind: &str, series: &[Series], config: &Value, options: &Value, (width, height): (f64, f64)) -> Result<Drawn, String> {
    let calc = options["reduceOptions"]["calcs"][0].as_str().unwrap_or("lastNotNull");
    let mut html = String::new();
    let mut notes = Vec::new();
    let each = width / series.len().max(1) as f64;
    for one in series {
        let field = Field::of(config, &one.ref_id, &one.name)?;
        let Some(value) = one.reduce(calc)? else { continue };
        let (text, colour) = (field.show(value)?, field.judged(value));
        let name = match (options["textMode"].as_str(), series.len()) {
            (Some("value"), _) | (None | Some("auto"), 1) => String::new(),
            _ => escape(&one.name),
        };
        let shown = escape(&text);
        match kind {
            "stat" => {
                let size = (height * 0.5).min(each * 0.85 / text.chars().count().max(1) as f64 * 1.75).min(60.0);
                if size < 16.0 {
                    notes.push(format!("{text} has room for letters of {size:.0} pixels"));
                }
                let style = match options["colorMode"].as_str() {
                    Some("background") => format!("background:{colour};color:#111"),
                    Some("none") => String::new(),
                    _ => format!("color:{colour}"),
                };
                let line = if options["graphMode"] == "area" { spark(one, each, height) } else { String::new() };
                let _ = write!(
                    html,
                    "<div class=stat style=\"{style}\">{line}<small>{name}</small><span style=\"font-size:{size:.0}px\">{shown}</span></div>"
                );
            }
            _ => {
                let (low, high) = (field.number("/min").unwrap_or(0.0), field.number("/max"));
                let high = high.ok_or("a gauge without max: its end would move with the data")?;
                let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
                if kind == "bargauge" {
                    let bar = format!("<u style=\"width:{:.0}%;background:{colour}\"></u>", share * 100.0);
                    let _ = write!(
                        html,
                        "<div class=bar><em>{}</em><s>{bar}</s><span style=\"color:{colour}\">{shown}</span></div>",
                        escape(&one.name)
                    );
                } else {
                    let radius = (each / 2.0 - 12.0).min(height - 40.0).max(10.0);
                    let (sin, cos) = (std::f64::consts::PI * (1.0 - share)).sin_cos();
                    let arc = |x: f64, y: f64| format!("M{:.1} 0A{radius:.1} {radius:.1} 0 0 1 {x:.1} {y:.1}", -radius);
                    let _ = write!(
                        html,
                        "<div class=stat><svg width={:.0} height={:.0} viewBox=\"{:.0} {:.0} {:.0} {:.0}\" fill=none stroke-width=16><path stroke=\"#333\" d=\"{}\"/><path stroke=\"{colour}\" d=\"{}\"/></svg><span style=\"font-size:24px;color:{colour}\">{shown}</span><small>{name}</small></div>",
                        2.0 * radius + 16.0,
                        radius + 16.0,
                        -radius - 8.0,
                        -radius - 8.0,
                        2.0 * radius + 16.0,
                        radius + 16.0,
                        arc(radius, 0.0),
                        arc(radius * cos, -radius * sin),
                    );
                }
            }
        }
    }
    let direction = if kind == "bargauge" { "column" } else { "row" };
    Ok(Drawn { html: format!("<div class=stats style=\"flex-direction:{direction}\">{html}</div>"), notes })
}

fn spark(series: &Series, width: f64, height: f64) -> String {
    let values = || series.points.iter().map(|(_, v)| *v);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let count = series.points.len().saturating_sub(1).max(1) as f64;
    let y = |v: f64| height - if high > low { (v - low) / (high - low) * height * 0.4 } else { 0.0 };
    let line: String = values().enumerate().map(|(n, v)| format!("L{:.1} {:.1}", n as f64 / count * width, y(v))).collect();
    format!(
        "<svg class=spark width={width:.0} height={height:.0}><path fill=\"#ffffff30\" d=\"M0 {height:.0}{line}L{width:.0} {height:.0}Z\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::super::data::Series;
    use super::draw;
    use serde_json::json;

    fn one(value: f64) -> Vec<Series> {
        vec![Series { name: "taken".into(), points: vec![(0.0, value)], ..Series::default() }]
    }

    #[test]
    fn a_stat_has_the_colour_of_its_threshold() {
        let config = json!({"defaults": {"unit": "percentunit", "thresholds": {"steps": [{"color": "green", "value": null}, {"color": "red", "value": 0.8}]}}});
        let options = json!({"colorMode": "background", "textMode": "value"});
        let html = |value: f64| draw("stat", &one(value), &config, &options, (190.0, 100.0)).unwrap().html;
        assert!(html(0.5).contains("background:#73bf69") && html(0.5).contains(">50%<"));
        assert!(html(0.9).contains("background:#f2495c"));
        assert!(!html(0.9).contains("taken"));
    }

    #[test]
    fn gauges_need_an_end() {
        let with = json!({"defaults": {"unit": "percentunit", "max": 1}});
        assert!(draw("bargauge", &one(0.25), &with, &json!({}), (300.0, 100.0)).unwrap().html.contains("width:25%"));
        assert!(draw("gauge", &one(0.5), &with, &json!({}), (300.0, 200.0)).unwrap().html.contains(">50%<"));
        assert!(draw("gauge", &one(0.5), &json!({}), &json!({}), (300.0, 200.0)).unwrap_err().contains("without max"));
    }
}
