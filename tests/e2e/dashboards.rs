//! Every query of every shipped dashboard, asked of a Prometheus that has scraped the real exporters at a PostgreSQL primary
//! under load and its standby, and at a Redis and its replica: each must return data, for each choice that its variables
//! offer. A panel can be empty by a typo that parses, by a label that the exporter does not set, or by a join that matches
//! nothing; only this shows it. Panels whose description says when they are empty may be so, but Prometheus takes their
//! queries.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::time::Duration;

use e2e::boards::{self, Choice, Stage};
use e2e::draw::Picture;
use e2e::draw::data::Window;
use e2e::lint::dashboards::Times;
use e2e::poll;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn every_query_of_every_dashboard_returns_data() {
    let stage = Stage::start();
    let prometheus = &stage.prometheus;
    let (mut queries, mut boards) = (Vec::new(), Vec::new());
    for (file, board) in boards::shipped() {
        let choice = Choice::of(&board, prometheus.api(), boards::now(), Times::default(), false).unwrap();
        for (name, found, _) in &choice.chosen {
            let enough = if name == "instance" { found.len() == 2 } else { !found.is_empty() };
            assert!(enough, "{file}: variable {name}: {found:?}");
        }
        for panel in &board.panels {
            for expr in panel.targets.iter().map(|t| &t.expr) {
                let query = choice.fill(expr);
                assert!(!query.contains('$'), "{file}: panel {}: a variable is left in {query}", panel.id);
                if panel.may_be_empty() {
                    prometheus.query(&query);
                } else {
                    queries.push((panel.id, query));
                }
            }
        }
        boards.push((file, board, choice));
    }
    assert!(queries.len() >= 60, "{} queries", queries.len());
    let mut empty = queries;
    let all = || {
        empty.retain(|(_, query)| prometheus.query(query).is_empty());
        empty.is_empty().then_some(())
    };
    if poll::within(LIMIT, all).is_none() {
        let list: Vec<String> = empty.iter().map(|(panel, query)| format!("panel {panel} is empty: {query}")).collect();
        panic!("{}\n{}", stage.page(), list.join("\n"));
    }
    // The drawing knows all that the dashboards use, so that previews can always be made.
    let end = boards::now();
    let window = Window { start: end - 30.0, end, step: 1.0 };
    for (file, board, choice) in &boards {
        let picture = Picture::draw(board, prometheus.api(), window, "in a test", |text| choice.fill(text));
        let picture = picture.unwrap_or_else(|e| panic!("{file}: {e}"));
        let (page, height) = picture.page();
        let curves = page.matches("stroke-width=1").count();
        assert!(page.contains("preview, not Grafana") && curves >= 20 && height > 1000, "{file}: {curves} curves, {height} pixels");
        assert!(!picture.notes.iter().any(|n| n.contains("no data")), "{file}: {:?}", picture.notes);
    }
}
