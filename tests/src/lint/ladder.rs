//! The alerts that speak when a target's own series are gone: target missing, exporter down, service down, collector failing.
//! Each alert with a limit relies on them, since a comparison with nothing is silent. So each of their series has an alert
//! that reads it for all products.

use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::rules::Rule;

/// The series, and what nobody would notice without an alert on it.
const SERIES: [(&str, &str); 4] = [
    ("sage_expected_target", "a target that is no longer scraped"),
    ("up", "an exporter that is down"),
    ("sage_up", "a server that is down"),
    ("sage_collector_success", "a collector that fails"),
];
/// Labels by which an alert could leave targets out.
const NARROW: [&str; 5] = ["product", "job", "instance", "host", "service"];

/// The series that no alert reads for all targets.
#[must_use]
pub fn check(rules: &[Rule]) -> Vec<String> {
    let alerts = rules.iter().filter(|r| r.alert.is_some());
    let read: Vec<Vec<VectorSelector>> = alerts.filter_map(|r| parser::parse(&r.expr).ok()).map(|e| selectors(&e)).collect();
    let whole = |name: &str| {
        let mut all = read.iter().flatten().filter(|s| s.name.as_deref() == Some(name));
        all.any(|s| !s.matchers.matchers.iter().any(narrows))
    };
    let gaps = SERIES.iter().filter(|(name, _)| !whole(name));
    gaps.map(|(name, what)| format!("no alert reads {name} of all targets: {what} would pass for health")).collect()
}

/// Whether a matcher leaves out targets that have the label.
fn narrows(matcher: &Matcher) -> bool {
    let any = matcher.op == MatchOp::NotEqual && matcher.value.is_empty();
    NARROW.contains(&matcher.name.as_str()) && !any
}

/// The names of the series that an expression reads, our limits left out: they are there always.
#[must_use]
pub fn reads(expr: &str) -> Vec<String> {
    let found = parser::parse(expr).map(|expr| selectors(&expr)).unwrap_or_default();
    found.into_iter().filter_map(|selector| selector.name).filter(|name| name != "sage_threshold").collect()
}

fn selectors(expr: &Expr) -> Vec<VectorSelector> {
    struct Found(Vec<VectorSelector>);
    impl ExprVisitor for Found {
        type Error = std::convert::Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Self::Error> {
            match expr {
                Expr::VectorSelector(v) => self.0.push(v.clone()),
                Expr::MatrixSelector(m) => self.0.push(m.vs.clone()),
                _ => {}
            }
            Ok(true)
        }
    }
    let mut found = Found(Vec::new());
    match walk_expr(&mut found, expr) {
        Ok(_) => found.0,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::Rule;
    use super::check;

    fn rules(exprs: &[&str]) -> Vec<Rule> {
        exprs.iter().map(|e| Rule { alert: Some("A".into()), expr: (*e).to_owned(), ..Rule::default() }).collect()
    }

    const GOOD: [&str; 4] = [
        "sage_expected_target == 1 unless on (job, instance) up",
        "up{client!=\"\"} == 0",
        "(sage_up == 0 or sage_login_success == 0)",
        "max_over_time(sage_collector_success[5m]) == 0",
    ];

    #[test]
    fn a_whole_ladder_passes() {
        assert_eq!(check(&rules(&GOOD)), Vec::<String>::new());
    }

    #[test]
    fn a_missing_step_is_named() {
        for (at, series) in ["sage_expected_target", "sage_up", "sage_collector_success"].into_iter().zip([0, 2, 3]).map(|(s, n)| (n, s)) {
            let mut without = GOOD.to_vec();
            without.remove(at);
            assert!(check(&rules(&without)).iter().any(|f| f.contains(&format!("reads {series} of"))), "{series}");
        }
        let narrow = check(&rules(&[GOOD[0], "up == 0", "sage_up{product=\"postgres\"} == 0", GOOD[3]]));
        assert_eq!(narrow, ["no alert reads sage_up of all targets: a server that is down would pass for health"]);
        let recorded = Rule { record: Some("r".into()), expr: "sage_up".into(), ..Rule::default() };
        assert_eq!(check(&[recorded]).len(), 4);
    }
}
