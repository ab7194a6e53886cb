//! PromQL against the catalogue: every metric and label exists, counters are rated and gauges are not, a join can match,
//! and which labels the result keeps (what an annotation may name). Parsing is promql-parser's; the label rules are
//! those of Prometheus' engine.

use std::collections::BTreeSet;

use promql_parser::label::{METRIC_NAME, MatchOp};
use promql_parser::parser::{self, AggregateExpr, BinaryExpr, Call, Expr, LabelModifier, VectorMatchCardinality, VectorSelector};

use super::catalogue::{Catalogue, TARGET_LABELS};

type Names = BTreeSet<String>;

/// What an expression yields, as far as labels go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A number or text: no labels.
    Scalar,
    /// Series with exactly these labels, beside such as a site adds to all its targets.
    Series(Names),
    /// Series of an unknown metric, reported already: no second complaint about its labels.
    Unknown,
}

/// What stands around a selector, for the check of counters and gauges.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    Plain,
    Rated,
    GaugeOnly,
    /// Presence, count or age: the value itself does not matter.
    Neutral,
}

const RATES: [&str; 4] = ["rate", "irate", "increase", "resets"];
const GAUGE_FUNCTIONS: [&str; 5] = ["delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing"];
const NEUTRAL_FUNCTIONS: [&str; 5] = ["absent", "absent_over_time", "present_over_time", "count_over_time", "timestamp"];

/// Checks one expression; the shape of its result, and what is wrong with it (empty: nothing).
#[must_use]
pub fn check(text: &str, catalogue: &Catalogue) -> (Shape, Vec<String>) {
    let expr = match parser::parse(text) {
        Ok(expr) => expr,
        Err(error) => return (Shape::Unknown, vec![format!("does not parse: {error}")]),
    };
    let mut walk = Walk { catalogue, findings: Vec::new() };
    let shape = walk.shape(&expr, Around::Plain);
    (shape, walk.findings)
}

struct Walk<'a> {
    catalogue: &'a Catalogue,
    findings: Vec<String>,
}

impl Walk<'_> {
    fn shape(&mut self, expr: &Expr, around: Around) -> Shape {
        match expr {
            Expr::Aggregate(a) => self.aggregate(a, around),
            Expr::Binary(b) => self.binary(b),
            Expr::Call(c) => self.call(c),
            Expr::Unary(u) => self.shape(&u.expr, around),
            Expr::Paren(p) => self.shape(&p.expr, around),
            Expr::Subquery(s) => self.shape(&s.expr, around),
            Expr::VectorSelector(v) => self.selector(v, around),
            Expr::MatrixSelector(m) => self.selector(&m.vs, around),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Shape::Scalar,
        }
    }

    fn selector(&mut self, v: &VectorSelector, around: Around) -> Shape {
        let by_label = v.matchers.matchers.iter().find(|m| m.name == METRIC_NAME && m.op == MatchOp::Equal);
        let Some(name) = v.name.clone().or_else(|| by_label.map(|m| m.value.clone())) else {
            self.findings.push("a selector without a metric name".to_owned());
            return Shape::Unknown;
        };
        let Some(metric) = self.catalogue.find(&name) else {
            self.findings.push(format!("metric {name} is not in the catalogue"));
            return Shape::Unknown;
        };
        match (metric.kind.as_str(), around) {
            ("counter", Around::Plain | Around::GaugeOnly) => {
                self.findings.push(format!("counter {name} is used without rate or increase"));
            }
            ("gauge", Around::Rated) => self.findings.push(format!("gauge {name} is rated like a counter")),
            _ => {}
        }
        let mut labels: Names = TARGET_LABELS.iter().map(|l| (*l).to_owned()).collect();
        labels.extend(metric.labels);
        for m in v.matchers.matchers.iter().chain(v.matchers.or_matchers.iter().flatten()) {
            if m.name != METRIC_NAME && !labels.contains(&m.name) {
                self.findings.push(format!("{name} has no label {}", m.name));
            }
        }
        Shape::Series(labels)
    }

    fn call(&mut self, call: &Call) -> Shape {
        let name = call.func.name;
        let around = match name {
            n if RATES.contains(&n) => Around::Rated,
            n if GAUGE_FUNCTIONS.contains(&n) => Around::GaugeOnly,
            n if NEUTRAL_FUNCTIONS.contains(&n) => Around::Neutral,
            _ => Around::Plain,
        };
        let mut result = Shape::Scalar;
        for arg in &call.args.args {
            let shape = self.shape(arg, around);
            if shape != Shape::Scalar {
                result = shape;
            }
        }
        match name {
            "vector" | "absent" | "absent_over_time" => Shape::Series(Names::new()),
            "scalar" | "time" => Shape::Scalar,
            "label_replace" | "label_join" => match (result, call.args.args.get(1).map(AsRef::as_ref)) {
                (Shape::Series(mut labels), Some(Expr::StringLiteral(target))) => {
                    labels.insert(target.val.clone());
                    Shape::Series(labels)
                }
                (other, _) => other,
            },
            "histogram_quantile" => match result {
                Shape::Series(mut labels) => {
                    labels.remove("le");
                    Shape::Series(labels)
                }
                other => other,
            },
            _ => result,
        }
    }

    fn aggregate(&mut self, a: &AggregateExpr, around: Around) -> Shape {
        let op = a.op.to_string();
        let inside = if matches!(op.as_str(), "count" | "group") { Around::Neutral } else { around };
        let Shape::Series(inner) = self.shape(&a.expr, inside) else {
            return Shape::Unknown;
        };
        for label in a.modifier.iter().flat_map(|m| &m.labels().labels) {
            if !inner.contains(label) {
                self.findings.push(format!("{op} groups by {label}, which its series do not have"));
            }
        }
        let mut kept: Names = match &a.modifier {
            _ if matches!(op.as_str(), "topk" | "bottomk" | "limitk" | "limit_ratio") => inner,
            None => Names::new(),
            Some(LabelModifier::Include(by)) => inner.into_iter().filter(|l| by.labels.contains(l)).collect(),
            Some(LabelModifier::Exclude(without)) => inner.into_iter().filter(|l| !without.labels.contains(l)).collect(),
        };
        if let (true, Some(Expr::StringLiteral(label))) = (op == "count_values", a.param.as_deref()) {
            kept.insert(label.val.clone());
        }
        Shape::Series(kept)
    }

    fn binary(&mut self, b: &BinaryExpr) -> Shape {
        let (left, right) = (self.shape(&b.lhs, Around::Plain), self.shape(&b.rhs, Around::Plain));
        let (left, right) = match (left, right) {
            (Shape::Series(left), Shape::Series(right)) => (left, right),
            (Shape::Unknown, _) | (_, Shape::Unknown) => return Shape::Unknown,
            (series, Shape::Scalar) | (Shape::Scalar, series) => return series,
        };
        let modifier = b.modifier.as_ref();
        let matching = modifier.and_then(|m| m.matching.as_ref());
        if let Some(LabelModifier::Include(on)) = matching {
            for label in on.labels.iter().filter(|l| !left.contains(*l) && !right.contains(*l)) {
                self.findings.push(format!("`{}` joins on {label}, which neither side has", b.op));
            }
        }
        let (key_left, key_right) = (key(&left, matching), key(&right, matching));
        if key_left != key_right {
            let odd: Vec<&str> = key_left.symmetric_difference(&key_right).map(String::as_str).collect();
            self.findings.push(format!("the sides of `{}` never match: only one has {}", b.op, odd.join(", ")));
        }
        let op = b.op.to_string();
        if op == "or" {
            return Shape::Series(left.intersection(&right).cloned().collect());
        }
        if b.op.is_set_operator() {
            return Shape::Series(left);
        }
        match modifier.map(|m| &m.card) {
            Some(VectorMatchCardinality::ManyToOne(extra)) => Shape::Series(left.into_iter().chain(extra.labels.iter().cloned()).collect()),
            Some(VectorMatchCardinality::OneToMany(extra)) => {
                Shape::Series(right.into_iter().chain(extra.labels.iter().cloned()).collect())
            }
            _ => Shape::Series(key_left),
        }
    }
}

/// The labels two series are joined by.
fn key(labels: &Names, matching: Option<&LabelModifier>) -> Names {
    match matching {
        None => labels.clone(),
        Some(LabelModifier::Include(on)) => labels.iter().filter(|l| on.labels.contains(l)).cloned().collect(),
        Some(LabelModifier::Exclude(out)) => labels.iter().filter(|l| !out.labels.contains(l)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::Catalogue;
    use super::{Shape, check};

    fn catalogue() -> Catalogue {
        let mut all = Catalogue::builtin();
        all.add_json(
            r#"[{"name":"conns","type":"gauge","labels":["state"]},{"name":"conns_max","type":"gauge"},
                {"name":"commits","type":"counter","labels":["datname"]}]"#,
        )
        .unwrap();
        all
    }

    #[test]
    fn accepts_what_prometheus_can_answer() {
        for text in [
            "sum without (state) (conns) / conns_max > ignoring (alert) sage_threshold{alert=\"A\"}",
            "sum by (job, datname) (rate(commits[5m]))",
            "sage_expected_target == 1 unless on (job, instance) up",
            "conns_max * on (job, instance) group_left (state) conns",
            "deriv(conns[5m]) > 0 and on (instance) up == 1",
            "count(commits) by (datname)",
            "vector(1)",
            "label_replace(ALERTS, \"origin\", \"$1\", \"alertname\", \"(.*)\")",
        ] {
            assert_eq!(check(text, &catalogue()).1, Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, says) in [
            ("sum(", "does not parse"),
            ("nothing_here > 1", "metric nothing_here is not in the catalogue"),
            ("{job=\"x\"}", "a selector without a metric name"),
            ("conns{stat=\"x\"}", "conns has no label stat"),
            ("commits > 5", "counter commits is used without rate"),
            ("deriv(commits[5m])", "counter commits is used without rate"),
            ("rate(conns[5m])", "gauge conns is rated"),
            ("sum by (datname) (conns)", "sum groups by datname"),
            ("conns / conns_max", "never match: only one has state"),
            ("conns_max > sage_threshold", "never match: only one has alert"),
            ("conns_max and on (state) up", "joins on state"),
        ] {
            let findings = check(text, &catalogue()).1;
            assert!(findings.iter().any(|f| f.contains(says)), "{text}: {findings:?}");
        }
    }

    #[test]
    fn knows_the_labels_that_are_left() {
        let (Shape::Series(labels), _) = check("sum without (state, team) (conns)", &catalogue()) else { unreachable!() };
        assert!(labels.contains("client") && !labels.contains("team") && !labels.contains("state"));
        let (Shape::Series(labels), _) = check("conns_max > on (job) up", &catalogue()) else { unreachable!() };
        assert_eq!(labels.into_iter().collect::<Vec<_>>(), ["job"]);
    }
}
