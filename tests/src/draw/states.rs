//! State timelines: a band for each series, coloured by its value at each time, with a gap where it has none.

use std::fmt::Write as _;

use serde_json::Value;

use super::data::{Series, Window};
use super::field::Field;
use super::graph::Drawn;
use super::page::escape;

/// The least height of a band that a person can read.
const LEAST: f64 = 18.0;
const CHARACTER: f64 = 6.6;

/// Draws one band for each series.
///
/// # Errors
/// A setting or unit that this cannot draw.
pub fn draw(series: &[Series], config: &Value, window: Window, (width, height): (f64, f64)) -> Result<Drawn, String> {
    let longest = series.iter().map(|s| s.name.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * CHARACTER + 12.0).min(width * 0.4);
    let bottom = height - 24.0;
    let each = (bottom - 4.0) / series.len().max(1) as f64;
    let x = |time: f64| left + (time - window.start) / (window.end - window.start) * (width - left);
    let mut out = format!("<svg width={width:.0} height={height:.0} viewBox=\"0 0 {width:.0} {height:.0}\">");
    for (place, one) in series.iter().enumerate() {
        let field = Field::of(config, &one.ref_id, &one.name)?;
        let (top, tall) = (4.0 + place as f64 * each, each * 0.8);
        let _ = write!(out, "<text x={:.1} y={:.1} text-anchor=end>{}</text>", left - 8.0, top + tall / 2.0 + 4.0, escape(&one.name));
        let same = |a: &(f64, f64), b: &(f64, f64)| a.1 == b.1 && b.0 - a.0 <= window.step * 1.5;
        for part in one.points.chunk_by(same) {
            let (first, last) = (part[0], part[part.len() - 1]);
            let (from, to) = (x(first.0), x((last.0 + window.step).min(window.end)));
            let (text, colour) = (field.show(first.1)?, field.judged(first.1));
            let _ = write!(
                out,
                "<rect x={from:.1} y={top:.1} width={:.1} height={tall:.1} fill=\"{colour}\" fill-opacity=0.7 />",
                (to - from).max(1.0)
            );
            if text.chars().count() as f64 * CHARACTER + 8.0 < to - from && tall >= 12.0 {
                let _ =
                    write!(out, "<text x={:.1} y={:.1} style=\"fill:#fff\">{}</text>", from + 4.0, top + tall / 2.0 + 4.0, escape(&text));
            }
        }
    }
    for time in window.marks((width - left) / 90.0).into_iter().filter(|t| x(*t) + 28.0 < width) {
        let _ = write!(out, "<text x={:.1} y={:.1} text-anchor=middle>{}</text>", x(time), bottom + 17.0, window.clock(time));
    }
    let notes = if each < LEAST { vec![format!("{} bands of {each:.0} pixels", series.len())] } else { Vec::new() };
    Ok(Drawn { html: out + "</svg>", notes })
}

#[cfg(test)]
mod tests {
    use super::super::data::{Series, Window};
    use super::draw;
    use serde_json::json;

    #[test]
    fn a_band_changes_colour_and_stops() {
        let window = Window { start: 0.0, end: 100.0, step: 10.0 };
        let config = json!({"defaults": {"mappings": [{"type": "value", "options": {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}}}]}});
        let points = vec![(0.0, 1.0), (10.0, 1.0), (20.0, 0.0), (30.0, 0.0), (70.0, 0.0)];
        let one = Series { name: "db01 up".into(), points, ..Series::default() };
        let drawn = draw(std::slice::from_ref(&one), &config, window, (600.0, 100.0)).unwrap();
        assert_eq!(drawn.html.matches("<rect").count(), 3, "{}", drawn.html);
        assert_eq!((drawn.html.matches("#f2495c").count(), drawn.html.matches(">down<").count()), (2, 2), "{}", drawn.html);
        assert!(drawn.html.contains(">db01 up</text>") && drawn.notes.is_empty());
        assert_eq!(draw(&vec![one; 10], &config, window, (600.0, 100.0)).unwrap().notes, ["10 bands of 7 pixels"]);
    }
}
