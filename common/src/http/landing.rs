//! The landing page: product, version, what is watched and how it is, links. Static text, no script.

use std::fmt::Write as _;

use crate::app::App;

/// The page as HTML.
pub fn page(app: &dyn App, telemetry_path: &str) -> String {
    let meta = app.meta();
    let mut rows = String::new();
    for (what, state) in app.overview() {
        // Writing to a String cannot fail.
        let _ = write!(rows, "<tr><td>{}</td><td>{}</td></tr>", escape(&what), escape(&state));
    }
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>sage-{name}-exporter</title><style>\
         body{{font:16px/1.5 sans-serif;max-width:48rem;margin:3rem auto;padding:0 1rem}}\
         td{{padding:.2rem 1.5rem .2rem 0;vertical-align:top;border-bottom:1px solid #ddd}}</style></head><body>\
         <h1>{product}</h1><p>sage-{name}-exporter {version}</p>\
         <p><a href=\"{path}\">metrics</a> &middot; <a href=\"/-/healthy\">healthy</a> &middot; <a href=\"/-/ready\">ready</a></p>\
         <table>{rows}</table></body></html>\n",
        name = meta.name,
        product = escape(meta.product),
        version = escape(meta.version),
        path = escape(telemetry_path),
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_break_the_page() {
        assert_eq!(super::escape("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }
}
