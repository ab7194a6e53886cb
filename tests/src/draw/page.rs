//! The page around the panels: each at its place of the grid, with title and marks as Grafana puts them.

use std::fmt::Write as _;

use crate::lint::dashboards::Grid;

/// Width of the page, as on a screen of an office.
pub const WIDTH: f64 = 1600.0;
const MARGIN: f64 = 16.0;
const GAP: f64 = 8.0;
/// A line of the grid without the gap below it.
const CELL: f64 = 30.0;
/// Height of a panel's title.
pub const TITLE: f64 = 32.0;
const PADDING: f64 = 8.0;

const STYLE: &str = r"
body { margin: 0; background: #111217; color: #ccccdc; font: 14px Inter, Helvetica, Arial, sans-serif; position: relative }
header { height: 48px; line-height: 48px; padding: 0 16px; font-size: 18px; white-space: nowrap }
header small { font-size: 13px; color: #9fa7b3; margin-left: 16px }
.panel { position: absolute; background: #181b1f; border: 1px solid #25282d; border-radius: 2px; overflow: hidden; box-sizing: border-box }
.row { position: absolute; line-height: 30px; font-size: 16px; font-weight: 500 }
h2 { margin: 0; height: 32px; line-height: 32px; padding: 0 8px; font-size: 14px; font-weight: 500; white-space: nowrap; display: flex; gap: 6px }
h2 span { overflow: hidden; text-overflow: ellipsis }
h2 i { font: 11px Inter; line-height: 32px; color: #8e8e9c }
.body { padding: 0 8px 8px }
.empty { position: absolute; inset: 32px 0 0; display: flex; align-items: center; justify-content: center; color: #9fa7b3 }
svg text { fill: #ccccdc; font-size: 12px }
.grid { stroke: #ccccdc18; fill: none }
.graph { display: flex }
.legend { overflow: hidden; font-size: 12px; position: relative; white-space: nowrap }
.legend span { display: inline-block; line-height: 24px; padding-right: 10px }
.legend span { white-space: nowrap } .legend:not(:has(table)) { white-space: normal }
.legend i { display: inline-block; width: 14px; height: 4px; border-radius: 2px; margin-right: 8px; vertical-align: middle }
.legend b { position: absolute; right: 0; bottom: 0; background: #3d2b1f; color: #ff9830; padding: 0 6px }
.legend table { border-collapse: collapse; width: 100% }
.legend td, .legend th { height: 24px; line-height: 20px; padding: 2px 8px; box-sizing: border-box; text-align: left }
.legend th { color: #8ab8ff; font-weight: 500 }
td.n, th.n { text-align: right !important }
.table { overflow: hidden } .rows { border-collapse: collapse; width: 100%; font-size: 14px }
.rows td, .rows th { height: 36px; padding: 0 6px; box-sizing: border-box; border-bottom: 1px solid #25282d; text-align: left }
.rows th { color: #8ab8ff; font-weight: 500 } .rows .link { color: #6e9fff; text-decoration: underline }
.stats { position: absolute; inset: 32px 0 0; display: flex }
.stat { flex: 1; display: flex; flex-direction: column; align-items: center; justify-content: center; position: relative; font-weight: 500 }
.stat .spark { position: absolute; inset: 0 }
.bar { flex: 1; display: flex; align-items: center; padding: 2px 8px; gap: 8px } .bar em { font-style: normal; width: 40% }
.bar s { flex: 1; height: 60%; background: #22252b; display: block } .bar u { display: block; height: 100% }
.text { padding: 0 8px; line-height: 1.5; white-space: pre-wrap }
";

/// A panel's rectangle on the page, in pixels, with the page's first line of the grid at `top`.
fn place(grid: Grid, top: u32) -> (f64, f64, f64, f64) {
    let column = (WIDTH - 2.0 * MARGIN + GAP) / 24.0;
    let x = MARGIN + f64::from(grid.x) * column;
    let y = 48.0 + f64::from(grid.y.saturating_sub(top)) * (CELL + GAP);
    (x, y, f64::from(grid.w) * column - GAP, f64::from(grid.h) * (CELL + GAP) - GAP)
}

/// The room that a panel has below its title.
#[must_use]
pub fn room(grid: Grid) -> (f64, f64) {
    let (_, _, width, height) = place(grid, 0);
    (width - 2.0 * PADDING - 2.0, height - TITLE - PADDING - 2.0)
}

/// Whether a title is too long for its panel, by the mean width of the font's letters; two marks stand beside it.
#[must_use]
pub fn cut(title: &str, grid: Grid) -> bool {
    let (_, _, width, _) = place(grid, 0);
    title.chars().count() as f64 * 7.4 + 16.0 + 24.0 > width
}

/// One panel, drawn.
#[derive(Debug)]
pub struct Block {
    /// Where.
    pub grid: Grid,
    /// Its title.
    pub title: String,
    /// A headline rather than a panel.
    pub row: bool,
    /// What is below the title.
    pub body: String,
}

/// The page of these panels and its height in pixels; the topmost stands at the top.
#[must_use]
pub fn page(title: &str, what: &str, blocks: &[&Block]) -> (String, u32) {
    let top = blocks.iter().map(|b| b.grid.y).min().unwrap_or(0);
    let mut body = String::new();
    let mut end = 0.0f64;
    for block in blocks {
        let (x, y, width, height) = place(block.grid, top);
        end = end.max(y + height);
        let style = format!("left:{x:.0}px;top:{y:.0}px;width:{width:.0}px;height:{height:.0}px");
        let title = escape(&block.title);
        let _ = if block.row {
            write!(body, "<div class=row style=\"{style}\">⌄ {title}</div>")
        } else {
            write!(body, "<div class=panel style=\"{style}\"><h2><span>{title}</span><i>i ↗</i></h2>{}</div>", block.body)
        };
    }
    let height = (end + MARGIN) as u32;
    let (title, what) = (escape(title), escape(what));
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}: preview, not Grafana</title><style>{STYLE}</style>\n\
         <body style=\"height:{height}px;width:{WIDTH:.0}px\"><header>{title}<small>preview, not Grafana · {what}</small></header>\n{body}</body></html>\n"
    );
    (html, height)
}

/// Text that is safe between tags and in quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::{Block, Grid, cut, page, room};

    #[test]
    fn panels_stand_in_the_grid() {
        let block = |x, y, w, title: &str| Block { grid: Grid { x, y, w, h: 8 }, title: title.into(), row: false, body: String::new() };
        let (html, height) = page("Board", "a & b", &[&block(0, 10, 12, "Left <1>"), &block(12, 10, 12, "Right")]);
        assert_eq!(height, 48 + 8 * 38 - 8 + 16);
        assert!(html.contains("left:16px;top:48px;width:780px;height:296px"), "{html}");
        assert!(
            html.contains("left:804px;top:48px;width:780px") && html.contains("Left &lt;1&gt;") && html.contains("a &amp; b"),
            "{html}"
        );
        assert!(html.contains("preview, not Grafana"));
    }

    #[test]
    fn a_long_title_is_cut() {
        let grid = Grid { x: 0, y: 0, w: 3, h: 4 };
        assert!(!cut("Sessions blocked", grid));
        assert!(cut("Slow statements a minute", grid));
        assert_eq!(room(Grid { w: 12, h: 8, ..grid }), (762.0, 254.0));
    }
}
