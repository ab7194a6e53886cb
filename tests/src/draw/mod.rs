//! Previews of dashboards: each panel's queries asked of a real Prometheus and drawn as Grafana would, near enough that a
//! person sees what is cut, empty, crowded or in the wrong unit. It is not Grafana, and the page says so.

pub mod chromium;
pub mod data;
mod field;
mod graph;
pub mod page;
mod stat;
mod states;
mod table;
pub mod unit;

use crate::lint::dashboards::{Dashboard, Panel};
use crate::servers::prometheus::Api;
use data::Window;
use page::Block;

/// A dashboard, drawn.
#[derive(Debug)]
pub struct Picture {
    /// Its title.
    pub title: String,
    /// The choice of variables and what else stands beside the title.
    pub what: String,
    /// What a person should look at, by panel.
    pub notes: Vec<String>,
    blocks: Vec<Block>,
}

impl Picture {
    /// Asks and draws all panels; `filled` puts the choice of variables into a query, `what` tells that choice.
    ///
    /// # Errors
    /// A setting that this cannot draw, or a query that is refused; the text names the panel.
    pub fn draw(board: &Dashboard, prometheus: Api, window: Window, what: &str, filled: impl Fn(&str) -> String) -> Result<Self, String> {
        let mut picture = Self { title: board.title.clone(), what: what.to_owned(), notes: Vec::new(), blocks: Vec::new() };
        for panel in &board.panels {
            let name = format!("panel {} {:?}", panel.id, panel.title);
            let (body, mut notes) = draw(panel, prometheus, window, &filled).map_err(|e| format!("{name}: {e}"))?;
            let row = panel.kind == "row";
            if !row && page::cut(&panel.title, panel.grid_pos) {
                notes.push("the title is cut".to_owned());
            }
            picture.notes.extend(notes.into_iter().map(|n| format!("{name}: {n}")));
            picture.blocks.push(Block { grid: panel.grid_pos, title: panel.title.clone(), row, body });
        }
        picture.blocks.sort_by_key(|b| (b.grid.y, b.grid.x));
        Ok(picture)
    }

    /// The whole page, and its height in pixels.
    #[must_use]
    pub fn page(&self) -> (String, u32) {
        page::page(&self.title, &self.what, &self.blocks.iter().collect::<Vec<_>>())
    }

    /// A page for each headline with the panels below it, which is as much as a screen shows: name, page, height.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, String, u32)> {
        let all: Vec<&Block> = self.blocks.iter().collect();
        let parts = all.chunk_by(|_, next| !next.row);
        let name = |part: &[&Block]| part.first().filter(|b| b.row).map_or_else(|| self.title.clone(), |b| b.title.clone());
        let parts = parts.map(|part| {
            let (html, height) = page::page(&self.title, &self.what, part);
            (name(part), html, height)
        });
        parts.collect()
    }
}

/// What stands below a panel's title, and what to look at.
fn draw(panel: &Panel, prometheus: Api, window: Window, filled: impl Fn(&str) -> String) -> Result<(String, Vec<String>), String> {
    match panel.kind.as_str() {
        "row" => return Ok((String::new(), Vec::new())),
        "text" => {
            let text = panel.options["content"].as_str().unwrap_or_default();
            return Ok((format!("<div class=text>{}</div>", page::escape(text)), Vec::new()));
        }
        _ => {}
    }
    let series = data::ask(panel, prometheus, window, filled)?;
    if series.is_empty() {
        let told = if panel.may_be_empty() { Vec::new() } else { vec!["no data".to_owned()] };
        return Ok(("<div class=empty>No data</div>".to_owned(), told));
    }
    let (config, options, room) = (&panel.field_config, &panel.options, page::room(panel.grid_pos));
    let drawn = match panel.kind.as_str() {
        "timeseries" => graph::draw(&series, config, options, window, room)?,
        "state-timeline" => states::draw(&series, config, window, room)?,
        "table" => table::draw(&series, config, options, &panel.transformations, room.1)?,
        "stat" | "gauge" | "bargauge" => stat::draw(&panel.kind, &series, config, options, room)?,
        other => return Err(format!("no picture of panels of type {other}")),
    };
    Ok((format!("<div class=body>{}</div>", drawn.html), drawn.notes))
}
