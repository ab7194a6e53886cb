//! `/targets`: the configured targets as Prometheus' HTTP discovery (http_sd) reads them, so that they are listed once.
//!
//! Each entry is whole: the address is the one by which this exporter was asked, the target goes into the query, and
//! `instance` is the target's name. No relabeling is needed.

use serde_json::json;

/// Targets by name and description, as JSON. `host` is the exporter as its client calls it.
pub fn list(targets: &[(String, String)], host: &str) -> String {
    let entry = |(name, address): &(String, String)| {
        json!({
            "targets": [host],
            "labels": {
                "__metrics_path__": "/probe",
                "__param_target": name,
                "__meta_sage_target": name,
                "__meta_sage_address": address,
                "instance": name,
            },
        })
    };
    serde_json::Value::Array(targets.iter().map(entry).collect()).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_cannot_break_the_list() {
        let list = super::list(&[("a\"b".to_owned(), "h:1".to_owned())], "x:9121");
        assert_eq!(
            list,
            r#"[{"labels":{"__meta_sage_address":"h:1","__meta_sage_target":"a\"b","__metrics_path__":"/probe","__param_target":"a\"b","instance":"a\"b"},"targets":["x:9121"]}]"#
        );
        assert_eq!(super::list(&[], "x"), "[]");
    }
}
