//! A table of instant queries: rows of the same labels merged, columns named, ordered and hidden as the panel's
//! transformations say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use super::data::Series;
use super::field::Field;
use super::graph::Drawn;
use super::page::escape;

const ROW: f64 = 36.0;

enum Cell {
    Text(String),
    Number(f64, String),
}

/// Draws the rows that fit.
///
/// # Errors
/// A transformation, setting or unit that this cannot draw.
pub fn draw(series: &[Series], config: &Value, options: &Value, transformations: &[Value], height: f64) -> Result<Drawn, String> {
    let mut merged = false;
    let mut organize = &Value::Null;
    for one in transformations {
        match one["id"].as_str().unwrap_or_default() {
            "merge" => merged = true,
            "organize" => organize = &one["options"],
            other => return Err(format!("no picture of the transformation {other}")),
        }
    }
    let queries: BTreeSet<&str> = series.iter().map(|s| s.ref_id.as_str()).collect();
    if queries.len() > 1 && !merged {
        return Err("several queries of a table without merge: Grafana shows one of them at a time".to_owned());
    }
    let value_of = |ref_id: &str| if queries.len() > 1 { format!("Value #{ref_id}") } else { "Value".to_owned() };
    let hidden = |name: &str| organize["excludeByName"][name] == true;
    let mut names: BTreeSet<String> = queries.iter().map(|q| value_of(q)).collect();
    // Rows with the same labels, shown or not, are one row.
    let mut rows: BTreeMap<Vec<(String, String)>, BTreeMap<String, Cell>> = BTreeMap::new();
    for one in series {
        let labels: Vec<(String, String)> =
            one.labels.iter().filter(|(n, _)| *n != "__name__").map(|(n, v)| (n.clone(), v.clone())).collect();
        let row = rows.entry(labels.clone()).or_default();
        for (name, value) in labels {
            names.insert(name.clone());
            row.insert(name, Cell::Text(value));
        }
        let value = one.points.last().map_or(f64::NAN, |(_, v)| *v);
        row.insert(value_of(&one.ref_id), Cell::Number(value, one.ref_id.clone()));
    }
    let mut columns: Vec<&String> = names.iter().filter(|n| !hidden(n)).collect();
    columns.sort_by_key(|n| organize["indexByName"][n.as_str()].as_u64().unwrap_or(u64::MAX));
    let shown = |name: &str| organize["renameByName"][name].as_str().unwrap_or(name).to_owned();
    let mut rows: Vec<BTreeMap<String, Cell>> = rows.into_values().collect();
    if let Some(sort) = options["sortBy"][0]["displayName"].as_str() {
        let column = columns.iter().find(|c| shown(c) == sort).ok_or_else(|| format!("the table has no {sort} to sort by"))?;
        let key = |row: &BTreeMap<String, Cell>| match row.get(*column) {
            Some(Cell::Number(value, _)) => *value,
            _ => f64::NEG_INFINITY,
        };
        rows.sort_by(|a, b| key(b).total_cmp(&key(a)));
        if options["sortBy"][0]["desc"] != true {
            rows.reverse();
        }
    }
    let mut html = String::from("<table class=rows><tr>");
    for column in &columns {
        // Numbers and their heads stand at the right.
        let side = if column.starts_with("Value") { " class=n" } else { "" };
        let _ = write!(html, "<th{side}>{}</th>", escape(&shown(column)));
    }
    html.push_str("</tr>");
    for row in &rows {
        html.push_str("<tr>");
        for column in &columns {
            let text = match row.get(*column) {
                None => "<td></td>".to_owned(),
                Some(Cell::Text(text)) => {
                    let link = if Field::of(config, "", &shown(column))?.get("/links").is_array() { " class=link" } else { "" };
                    format!("<td{link}>{}</td>", escape(text))
                }
                Some(Cell::Number(value, ref_id)) => {
                    let field = Field::of(config, ref_id, &shown(column))?;
                    let style = match field.text("/custom/cellOptions/type") {
                        "color-text" => format!("color:{}", field.judged(*value)),
                        "color-background" => format!("background:{};color:#111", field.judged(*value)),
                        _ => String::new(),
                    };
                    format!("<td class=n style=\"{style}\">{}</td>", escape(&field.show(*value)?))
                }
            };
            html.push_str(&text);
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    let hidden = (((rows.len() as f64 + 1.0) * ROW - height) / ROW).ceil();
    let notes = if hidden >= 1.0 { vec![format!("{hidden} of {} rows are below its edge", rows.len())] } else { Vec::new() };
    Ok(Drawn { html: format!("<div class=table style=\"height:{height:.0}px\">{html}</div>"), notes })
}

#[cfg(test)]
mod tests {
    use super::super::data::Series;
    use super::draw;
    use serde_json::json;

    fn cell(ref_id: &str, database: &str, value: f64) -> Series {
        let labels = [("datname".to_owned(), database.to_owned()), ("job".to_owned(), "j".to_owned())].into();
        Series { ref_id: ref_id.into(), labels, points: vec![(0.0, value)], ..Series::default() }
    }

    #[test]
    fn merges_names_and_orders() {
        let all = [cell("A", "crm", 1024.0), cell("A", "shop", 2048.0), cell("B", "shop", 3.0)];
        let config = json!({"defaults": {"unit": "short"}, "overrides": [{"matcher": {"id": "byName", "options": "size"}, "properties": [{"id": "unit", "value": "bytes"}]}]});
        let options = json!({"sortBy": [{"displayName": "size", "desc": true}]});
        let steps = [
            json!({"id": "merge"}),
            json!({"id": "organize", "options": {"excludeByName": {"job": true}, "renameByName": {"Value #A": "size", "Value #B": "sessions"},
                "indexByName": {"datname": 0, "Value #A": 1, "Value #B": 2}}}),
        ];
        let drawn = draw(&all, &config, &options, &steps, 300.0).unwrap();
        assert!(drawn.html.contains("<th>datname</th><th class=n>size</th><th class=n>sessions</th>"), "{}", drawn.html);
        let (shop, crm) = (drawn.html.find("shop").unwrap(), drawn.html.find("crm").unwrap());
        assert!(shop < crm && drawn.html.contains(">2 KiB<") && !drawn.html.contains("job"), "{}", drawn.html);
        assert_eq!(draw(&all, &config, &options, &steps, 80.0).unwrap().notes, ["1 of 2 rows are below its edge"]);
        assert!(draw(&all, &config, &json!({}), &[], 300.0).unwrap_err().contains("without merge"));
        assert!(draw(&all, &config, &json!({}), &[json!({"id": "magic"})], 300.0).unwrap_err().contains("magic"));
    }
}
