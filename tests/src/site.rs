//! A client's site as its inventory describes it: the seven labels that every target carries, and the rules that say
//! which targets are expected. Demo and tests scrape with these labels, since alerts and dashboards rely on them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::servers::prometheus::Job;

/// The labels of a target: the seven of the inventory, and `instance`.
pub fn labels(host: &str, product: &str, team: &str, instance: &str) -> Vec<(String, String)> {
    let labels = [
        ("client", "acme"),
        ("site", "par"),
        ("host", host),
        ("product", product),
        ("service", "shop"),
        ("criticality", "high"),
        ("team", team),
        ("instance", instance),
    ];
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The rule file that says that the targets of these jobs are expected, as JSON, which is YAML too.
pub fn expected(jobs: &[Job]) -> String {
    let rule = |job: &Job| {
        let mut labels: BTreeMap<&str, &str> = job.labels.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        labels.insert("job", &job.name);
        json!({ "record": "sage_expected_target", "expr": "vector(1)", "labels": labels })
    };
    let rules: Vec<Value> = jobs.iter().map(rule).collect();
    format!("{:#}", json!({ "groups": [{ "name": "inventory", "rules": rules }] }))
}
