//! A panel of curves as SVG, with the legend that Grafana would put below or beside it: one scale for each unit and side,
//! limits as dashed lines, gaps where scrapes are missing, and no more of the legend than fits.

use std::fmt::Write as _;

use serde_json::Value;

use super::data::{Series, Window};
use super::field::Field;
use super::page::escape;
use super::unit;

/// Height of a line of a legend.
const LINE: f64 = 24.0;
const AXIS_CHARACTER: f64 = 6.6;

/// A drawn panel.
#[derive(Debug)]
pub struct Drawn {
    /// HTML of the panel below its title.
    pub html: String,
    /// What a person should look at: a legend that does not fit, too many curves.
    pub notes: Vec<String>,
}

/// Curves that share a unit and a side share a scale.
struct Scale {
    unit: String,
    /// Digits after the point of its marks, where the panel says so.
    decimals: Option<usize>,
    right: bool,
    low: f64,
    high: f64,
    step: f64,
}

struct Curve<'a> {
    series: &'a Series,
    field: Field,
    colour: String,
    scale: usize,
    /// Value to draw, with those that it is stacked upon, and the base of its area.
    points: Vec<(f64, f64, f64)>,
}

/// Draws series of the same panel into `width` by `height` pixels.
///
/// # Errors
/// A setting or unit that this cannot draw.
pub fn draw(series: &[Series], config: &Value, options: &Value, window: Window, size: (f64, f64)) -> Result<Drawn, String> {
    let (width, height) = size;
    let mut curves = Vec::new();
    for (place, one) in series.iter().enumerate() {
        let field = Field::of(config, &one.ref_id, &one.name)?;
        let colour = field.colour(place);
        curves.push(Curve { series: one, field, colour, scale: 0, points: one.points.iter().map(|(t, v)| (*t, *v, f64::NAN)).collect() });
    }
    stack(&mut curves);
    let legend = legend(&curves, options, size)?;
    let area = (width - legend.beside, height - legend.below);
    let scales = scales(&mut curves, area.1)?;
    let svg = svg(&curves, &scales, window, area)?;
    let mut notes = legend.notes;
    if curves.len() > 24 {
        notes.push(format!("{} curves", curves.len()));
    }
    let direction = if legend.beside > 0.0 { "row" } else { "column" };
    Ok(Drawn { html: format!("<div class=graph style=\"flex-direction:{direction}\">{svg}{}</div>", legend.html), notes })
}

/// Puts curves of the same stack upon each other, in order.
fn stack(curves: &mut [Curve<'_>]) {
    let mut sums: std::collections::BTreeMap<(String, i64), f64> = std::collections::BTreeMap::new();
    for curve in curves.iter_mut().filter(|c| c.field.text("/custom/stacking/mode") == "normal") {
        let group = format!("{} {}", curve.field.text("/custom/stacking/group"), curve.field.unit());
        for (time, value, base) in &mut curve.points {
            let sum = sums.entry((group.clone(), (*time * 1e3) as i64)).or_default();
            *base = *sum;
            *sum += *value;
            *value = *sum;
        }
    }
}

fn scales(curves: &mut [Curve<'_>], height: f64) -> Result<Vec<Scale>, String> {
    let mut scales: Vec<Scale> = Vec::new();
    for curve in curves {
        let (unit, side) = (curve.field.unit(), curve.field.text("/custom/axisPlacement"));
        let same = scales.iter().position(|s| s.unit == unit && (side.is_empty() || side == "auto" || s.right == (side == "right")));
        curve.scale = same.unwrap_or_else(|| {
            // The first unit stands left, all others right, where nothing else is said.
            let right = side == "right" || (side != "left" && !scales.is_empty());
            let decimals = curve.field.number("/decimals").map(|d| d as usize);
            scales.push(Scale { unit: unit.to_owned(), decimals, right, low: f64::INFINITY, high: f64::NEG_INFINITY, step: 1.0 });
            scales.len() - 1
        });
        let Some(scale) = scales.get_mut(curve.scale) else { continue };
        for (_, value, base) in curve.points.iter().filter(|(_, v, _)| v.is_finite()) {
            scale.low = scale.low.min(if base.is_finite() { *base } else { *value });
            scale.high = scale.high.max(*value);
        }
        let (min, max) = (curve.field.number("/min"), curve.field.number("/max"));
        scale.low = min.map_or(scale.low, |m| scale.low.min(m));
        scale.high = max.map_or(scale.high, |m| scale.high.max(m));
    }
    for scale in &mut scales {
        if !scale.low.is_finite() || !scale.high.is_finite() {
            (scale.low, scale.high) = (0.0, 1.0);
        }
        let room = if scale.high > scale.low { (scale.high - scale.low) * 0.08 } else { scale.high.abs().max(1.0) * 0.5 };
        scale.high += room;
        if scale.low != 0.0 {
            scale.low = if scale.low > 0.0 && scale.low < room { 0.0 } else { scale.low - room };
        }
        scale.step = unit::step(scale.high - scale.low, (height / 45.0).max(2.0), &scale.unit);
        if scale.decimals == Some(0) && matches!(scale.unit.as_str(), "short" | "none") {
            scale.step = scale.step.max(1.0);
            scale.high = scale.high.max(scale.low + 1.0);
        }
        unit::format(1.0, &scale.unit, None)?;
    }
    Ok(scales)
}

fn marks(scale: &Scale) -> Vec<(f64, String)> {
    let first = (scale.low / scale.step - 1e-9).ceil();
    let count = ((scale.high - first * scale.step) / scale.step).floor().clamp(0.0, 50.0) as usize;
    let values = (0..=count).map(|n| (first + n as f64) * scale.step);
    values.map(|v| (v, unit::format(v, &scale.unit, None).unwrap_or_default())).collect()
}

fn svg(curves: &[Curve<'_>], scales: &[Scale], window: Window, (width, height): (f64, f64)) -> Result<String, String> {
    let texts: Vec<Vec<(f64, String)>> = scales.iter().map(marks).collect();
    let wide = |n: usize| texts[n].iter().map(|(_, t)| t.chars().count()).max().unwrap_or(0) as f64 * AXIS_CHARACTER + 14.0;
    let side = |right: bool| (0..scales.len()).filter(|n| scales[*n].right == right).map(wide).sum::<f64>();
    let (left, right) = (side(false).max(10.0), width - side(true).max(10.0));
    let (top, bottom) = (8.0, height - 24.0);
    let x = |time: f64| left + (time - window.start) / (window.end - window.start) * (right - left);
    let y = |scale: &Scale, value: f64| bottom - (value - scale.low) / (scale.high - scale.low) * (bottom - top);
    let mut out = format!("<svg width={width:.0} height={height:.0} viewBox=\"0 0 {width:.0} {height:.0}\">");
    let mut put = |text: std::fmt::Arguments<'_>| out.write_fmt(text).map_err(|e| e.to_string());
    let (mut at_left, mut at_right) = (left, right);
    for (n, scale) in scales.iter().enumerate() {
        for (value, text) in &texts[n] {
            let line = y(scale, *value);
            let (place, anchor) = if scale.right { (at_right + 6.0, "start") } else { (at_left - 6.0, "end") };
            put(format_args!("<text x={place:.1} y={:.1} text-anchor={anchor}>{}</text>", line + 4.0, escape(text)))?;
            if n == 0 {
                put(format_args!("<path class=grid d=\"M{left:.1} {line:.1}H{right:.1}\"/>"))?;
            }
        }
        if scale.right {
            at_right += wide(n);
        } else {
            at_left -= wide(n);
        }
    }
    for time in window.marks((right - left) / 90.0) {
        put(format_args!("<path class=grid d=\"M{:.1} {top}V{bottom:.1}\"/>", x(time)))?;
        if x(time) + 28.0 > width {
            continue;
        }
        put(format_args!("<text x={:.1} y={:.1} text-anchor=middle>{}</text>", x(time), bottom + 17.0, window.clock(time)))?;
    }
    put(format_args!("<g clip-path=\"inset(0)\">"))?;
    for curve in curves {
        let Some(scale) = scales.get(curve.scale) else { continue };
        let points: Vec<(f64, f64, f64, f64)> = curve
            .points
            .iter()
            .filter(|(_, v, _)| v.is_finite())
            .map(|(t, v, b)| (*t, x(*t), y(scale, *v), y(scale, if b.is_finite() { *b } else { scale.low.max(0.0).min(scale.high) })))
            .collect();
        for part in points.chunk_by(|a, b| b.0 - a.0 <= window.step * 1.5) {
            put(format_args!("{}", stroke(curve, part)))?;
        }
    }
    out.push_str("</g></svg>");
    Ok(out)
}

/// A part of a curve without a gap: time, and in pixels x, y and the base of the area.
fn stroke(curve: &Curve<'_>, part: &[(f64, f64, f64, f64)]) -> String {
    let colour = &curve.colour;
    let width = curve.field.number("/custom/lineWidth").unwrap_or(1.0);
    let fill = curve.field.number("/custom/fillOpacity").unwrap_or(0.0) / 100.0;
    if curve.field.text("/custom/drawStyle") == "bars" {
        let bars = part.iter().map(|(_, x, y, base)| {
            format!("<rect x={:.1} y={y:.1} width=3 height={:.1} fill=\"{colour}\"/>", x - 1.5, (base - y).max(0.0))
        });
        return bars.collect();
    }
    let dots = curve.field.text("/custom/showPoints");
    if dots == "always" || (part.len() == 1 && dots != "never") {
        return part.iter().map(|(_, x, y, _)| format!("<circle cx={x:.1} cy={y:.1} r=2 fill=\"{colour}\"/>")).collect();
    }
    let mut line = String::new();
    let steps = curve.field.text("/custom/lineInterpolation") == "stepAfter";
    for (n, (_, x, y, _)) in part.iter().enumerate() {
        let _ = match (n, steps) {
            (0, _) => write!(line, "M{x:.1} {y:.1}"),
            (_, true) => write!(line, "H{x:.1}V{y:.1}"),
            _ => write!(line, "L{x:.1} {y:.1}"),
        };
    }
    let dash = if curve.field.text("/custom/lineStyle/fill") == "dash" { " stroke-dasharray=\"10 10\"" } else { "" };
    let back: String = part.iter().rev().map(|(_, x, _, base)| format!("L{x:.1} {base:.1}")).collect();
    let area =
        if fill > 0.0 { format!("<path d=\"{line}{back}Z\" fill=\"{colour}\" fill-opacity={fill} stroke=none />") } else { String::new() };
    format!("{area}<path d=\"{line}\" fill=none stroke=\"{colour}\" stroke-width={width}{dash} />")
}

struct Legend {
    html: String,
    below: f64,
    beside: f64,
    notes: Vec<String>,
}

fn legend(curves: &[Curve<'_>], options: &Value, (width, height): (f64, f64)) -> Result<Legend, String> {
    let wanted = &options["legend"];
    let curves: Vec<&Curve<'_>> = curves.iter().filter(|c| c.field.get("/custom/hideFrom/legend") != true).collect();
    if wanted["showLegend"] == false || curves.is_empty() {
        return Ok(Legend { html: String::new(), below: 0.0, beside: 0.0, notes: Vec::new() });
    }
    let calcs: Vec<&str> = wanted["calcs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let table = wanted["displayMode"] == "table";
    let beside = wanted["placement"] == "right";
    let mut rows: Vec<(Vec<f64>, String)> = Vec::new();
    let mut longest = 0;
    for curve in &curves {
        let mut values = Vec::new();
        let mut cells = String::new();
        for calc in &calcs {
            let value = curve.series.reduce(calc)?;
            let text = value.map(|v| curve.field.show(v)).transpose()?.unwrap_or_default();
            values.push(value.unwrap_or(f64::NEG_INFINITY));
            let _ = if table { write!(cells, "<td class=n>{}</td>", escape(&text)) } else { write!(cells, " {}: {}", calc, escape(&text)) };
        }
        longest = longest.max(curve.series.name.chars().count());
        let (mark, name) = (format!("<i style=\"background:{}\"></i>", curve.colour), escape(&curve.series.name));
        let row = if table { format!("<tr><td>{mark}{name}</td>{cells}</tr>") } else { format!("<span>{mark}{name}{cells}</span>") };
        rows.push((values, row));
    }
    if let Some(sort) = wanted["sortBy"].as_str() {
        let place = calcs.iter().position(|c| title(c) == sort).ok_or_else(|| format!("the legend has no {sort} to sort by"))?;
        rows.sort_by(|a, b| b.0[place].total_cmp(&a.0[place]));
    }
    let lines = if table { rows.len() as f64 + 1.0 } else { wrapped(&curves, width) };
    let (most, room) = if beside { (height, height) } else { ((height * 0.35).floor(), height) };
    let full = lines * LINE;
    let below = if beside { 0.0 } else { full.min(most).min(room) };
    let beside = match (beside, wanted["width"].as_f64()) {
        (false, _) => 0.0,
        (true, Some(fixed)) => fixed,
        (true, None) => (longest as f64 * AXIS_CHARACTER + 30.0 + calcs.len() as f64 * 62.0).min(width * 0.35),
    };
    let shown = if beside > 0.0 { height } else { below };
    let mut notes = Vec::new();
    let hidden = ((full - shown) / LINE).ceil();
    if hidden >= 1.0 {
        notes.push(format!("{hidden} of {lines} lines of the legend are below its edge"));
    }
    let mut html: String = rows.into_iter().map(|(_, row)| row).collect();
    if table {
        let heads: String = calcs.iter().map(|c| format!("<th class=n>{}</th>", title(c))).collect();
        html = format!("<table><tr><th>Name</th>{heads}</tr>{html}</table>");
    }
    let size = if beside > 0.0 { format!("width:{beside:.0}px;height:{height:.0}px") } else { format!("height:{below:.0}px") };
    let more = if hidden >= 1.0 { format!("<b>{hidden} more</b>") } else { String::new() };
    Ok(Legend { html: format!("<div class=legend style=\"{size}\">{html}{more}</div>"), below, beside, notes })
}

/// Lines that names take one after another.
fn wrapped(curves: &[&Curve<'_>], width: f64) -> f64 {
    let (mut lines, mut used) = (1.0, 0.0);
    for curve in curves {
        let wide = curve.series.name.chars().count() as f64 * 6.3 + 32.0;
        if used + wide > width && used > 0.0 {
            (lines, used) = (lines + 1.0, 0.0);
        }
        used += wide;
    }
    lines
}

/// How Grafana heads a calculation.
fn title(calc: &str) -> &'static str {
    match calc {
        "lastNotNull" => "Last *",
        "last" => "Last",
        "max" => "Max",
        "min" => "Min",
        "mean" => "Mean",
        "sum" => "Total",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::{Series, Window};
    use super::{Value, draw};
    use serde_json::json;

    const WINDOW: Window = Window { start: 0.0, end: 100.0, step: 10.0 };

    fn series(name: &str, ref_id: &str, points: &[(f64, f64)]) -> Series {
        Series { ref_id: ref_id.to_owned(), name: name.to_owned(), labels: Default::default(), points: points.to_vec() }
    }

    fn table() -> Value {
        json!({"legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}})
    }

    #[test]
    fn draws_gaps_limits_and_two_scales() {
        let config = json!({"defaults": {"unit": "s", "min": 0}, "overrides": [
            {"matcher": {"id": "byFrameRefID", "options": "B"}, "properties": [{"id": "unit", "value": "short"}, {"id": "custom.lineStyle", "value": {"fill": "dash"}}]}]});
        let all = [series("<a>", "A", &[(0.0, 1.0), (10.0, 2.0), (50.0, 3.0), (60.0, 0.5)]), series("b", "B", &[(0.0, 9.0), (10.0, 9.0)])];
        let drawn = draw(&all, &config, &table(), WINDOW, (500.0, 250.0)).unwrap();
        assert_eq!(drawn.html.matches("stroke-width").count(), 3, "two parts of one, one of the other: {}", drawn.html);
        assert_eq!(drawn.html.matches("stroke-dasharray").count(), 1);
        assert!(drawn.html.contains("&lt;a&gt;</td><td class=n>500 ms</td><td class=n>3 s</td>"), "{}", drawn.html);
        assert!(drawn.html.contains("text-anchor=start>5</text>"), "a scale of its own at the right: {}", drawn.html);
        assert_eq!(drawn.notes, Vec::<String>::new());
    }

    #[test]
    fn stacked_curves_end_at_their_sum() {
        let config = json!({"defaults": {"unit": "short", "min": 0, "custom": {"stacking": {"mode": "normal", "group": "A"}}}});
        let all = [series("a", "A", &[(0.0, 1.0), (10.0, 1.0)]), series("b", "A", &[(0.0, 3.0), (10.0, 3.0)])];
        let drawn = draw(&all, &config, &table(), WINDOW, (500.0, 250.0)).unwrap();
        assert!(drawn.html.contains("text-anchor=end>4</text>"), "the scale reaches the sum: {}", drawn.html);
    }

    #[test]
    fn counts_have_whole_marks_and_limits_no_line_in_the_legend() {
        let config = json!({"defaults": {"unit": "short", "decimals": 0, "min": 0}, "overrides": [
            {"matcher": {"id": "byFrameRefID", "options": "B"}, "properties": [{"id": "custom.hideFrom", "value": {"legend": true}}]}]});
        let all = [series("waiting", "A", &[(0.0, 0.0), (10.0, 0.0)]), series("limit", "B", &[(0.0, 0.5), (10.0, 0.5)])];
        let drawn = draw(&all, &config, &json!({"legend": {"displayMode": "list"}}), WINDOW, (500.0, 250.0)).unwrap();
        assert!(drawn.html.contains(">0</text>") && drawn.html.contains(">1</text>") && !drawn.html.contains(">0."), "{}", drawn.html);
        assert!(drawn.html.contains("waiting") && !drawn.html.contains("limit"), "{}", drawn.html);
        assert_eq!(drawn.html.matches("stroke-width").count(), 2);
    }

    #[test]
    fn tells_what_does_not_fit() {
        let all: Vec<Series> = (0..30).map(|n| series(&format!("s{n}"), "A", &[(0.0, 1.0)])).collect();
        let drawn = draw(&all, &json!({"defaults": {"unit": "short"}}), &table(), WINDOW, (500.0, 250.0)).unwrap();
        assert_eq!(drawn.notes, ["28 of 31 lines of the legend are below its edge", "30 curves"]);
        let odd = draw(&all, &json!({"defaults": {"unit": "furlongs"}}), &table(), WINDOW, (500.0, 250.0));
        assert_eq!(odd.unwrap_err(), "no picture of the unit furlongs");
    }
}
