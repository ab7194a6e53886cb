//! Tests of the sink.

use super::*;
use crate::put;
use crate::{expo, parse};

crate::metrics! {
    /// Reads.
    READS: Counter "x_reads_total" [db, table];
    /// Up.
    UP: Gauge "x_up" [];
}

fn keys(sink: &Sink) -> Vec<(String, Vec<Vec<String>>)> {
    sink.families()
        .map(|f| (f.name().to_owned(), f.rows().map(|(v, _)| v.split(SEPARATOR).map(str::to_owned).collect()).collect()))
        .collect()
}

#[test]
fn labels_are_matched_by_name_and_series_sorted() {
    let mut out = Sink::new(10);
    let db = "b";
    put!(out, READS { table: "t1", db } = 1);
    put!(out, READS { db: "a", table: "t2" } = 2);
    put!(out, UP {} = true);
    out.settle();
    assert_eq!(
        keys(&out),
        [
            ("x_reads_total".into(), vec![vec!["a".to_owned(), "t2".into()], vec!["b".into(), "t1".into()]]),
            ("x_up".into(), vec![vec![String::new()]]),
        ]
    );
}

#[test]
fn none_leaves_no_trace() {
    let mut out = Sink::new(10);
    put!(out, UP {} = None::<f64>);
    out.settle();
    assert_eq!((out.series(), keys(&out).len()), (0, 0));
}

#[test]
fn duplicates_are_dropped_and_counted() {
    let mut out = Sink::new(10);
    for _ in 0..3 {
        put!(out, UP {} = 1);
    }
    out.settle();
    assert_eq!((out.series(), out.dropped().get("x_up")), (1, Some(&2)));
}

#[test]
fn the_limit_holds_over_absorb() {
    let mut page = Sink::new(2);
    let mut part = Sink::new(NO_LIMIT);
    for i in 0..5 {
        put!(part, READS { db: i, table: "t" } = i);
    }
    page.absorb(&part);
    assert_eq!((page.series(), page.dropped().get("x_reads_total")), (2, Some(&3)));
}

#[test]
fn absorbed_parts_keep_their_series() {
    let mut parts = [Sink::new(NO_LIMIT), Sink::new(NO_LIMIT)];
    let [first, second] = &mut parts;
    for i in [2, 1] {
        put!(first, READS { db: i, table: "t" } = i);
        put!(second, READS { db: i + 2, table: "t" } = i);
    }
    put!(second, UP {} = 1);
    second.family("x_made", Kind::Gauge, "Made.").unwrap().put(7);
    second.drop_series("x_reads_total", 5);
    let mut page = Sink::new(10);
    page.drop_series("x_reads_total", 1);
    for part in &parts {
        page.absorb(part);
    }
    put!(page, UP {} = 0);
    page.settle();
    let rows = |from: i32| (from..=4).map(|db| vec![db.to_string(), "t".to_owned()]).collect();
    assert_eq!(
        keys(&page),
        [("x_made".into(), vec![vec![String::new()]]), ("x_reads_total".into(), rows(1)), ("x_up".into(), vec![vec![String::new()]])]
    );
    let dropped: Vec<_> = page.dropped().iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!((page.series(), dropped), (6, vec![("x_reads_total", 6), ("x_up", 1)]));
}

#[test]
fn a_settled_sink_takes_more_and_is_settled_again() {
    let mut out = Sink::new(NO_LIMIT);
    put!(out, UP {} = 1);
    put!(out, READS { db: "b", table: "t" } = 1);
    out.settle();
    put!(out, READS { db: "a", table: "t" } = 1);
    put!(out, READS { db: "b", table: "t" } = 1);
    out.settle();
    let rows = ["a", "b"].map(|db| vec![db.to_owned(), "t".into()]).to_vec();
    assert_eq!(keys(&out), [("x_reads_total".into(), rows), ("x_up".into(), vec![vec![String::new()]])]);
    assert_eq!((out.series(), out.dropped().get("x_reads_total")), (3, Some(&1)));
}

#[test]
fn label_values_are_cut_and_cleaned() {
    let mut out = Sink::new(10);
    // The last one begins a sequence for terminals as ESC [ does.
    put!(out, READS { db: "a\0b\u{1b}\n", table: "é".repeat(100) } = 1);
    put!(out, READS { db: "\u{9b}31m", table: "" } = 1);
    let rows = keys(&out);
    let [db, table] = &rows[0].1[0][..] else { panic!("two labels") };
    assert_eq!((db.as_str(), rows[0].1[1][0].as_str()), ("a\u{fffd}b\u{fffd}\n", "\u{fffd}31m"));
    assert_eq!(table, &"é".repeat(64));
}

#[test]
fn odd_runtime_names_are_refused() {
    let mut out = Sink::new(10);
    assert!(out.family("pg_settings_odd.name", Kind::Gauge, "x").is_err());
    out.family("pg_settings_port", Kind::Gauge, "x").unwrap().put(5432);
    assert_eq!(out.series(), 1);
}

/// A sequence that is the same in each run (xorshift).
fn dice() -> impl FnMut(usize) -> usize {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    }
}

#[test]
fn any_text_of_a_user_comes_back_as_one_label_value() {
    const PIECES: [&str; 24] = [
        "\"",
        "\\",
        "\n",
        "\r",
        "\0",
        "\u{1b}[31m",
        "{",
        "}",
        "=",
        ",",
        "#",
        " ",
        "# EOF\n",
        "\"} 1\nx_up{",
        "a",
        "é",
        "日本",
        "\u{1f980}",
        "\u{202e}",
        "\u{feff}",
        "\u{7f}",
        "\u{85}",
        "# TYPE x gauge\n",
        "0123456789abcdef0123456789abcdef",
    ];
    let mut roll = dice();
    for _ in 0..50 {
        let mut out = Sink::new(NO_LIMIT);
        for db in 0..2_000 {
            let table: String = (0..roll(12)).map(|_| PIECES[roll(PIECES.len())]).collect();
            put!(out, READS { db, table } = 1);
        }
        out.settle();
        let mut want: Vec<String> = keys(&out)[0].1.iter().map(|labels| labels[1].clone()).collect();
        want.sort();
        assert_eq!(want.len(), 2_000);
        assert!(want.iter().all(|value| value.len() <= 128 && !value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))));
        for (ours, theirs) in [(expo::Format::Text, parse::Format::Text), (expo::Format::OpenMetrics, parse::Format::OpenMetrics)] {
            let page = expo::write(&out, ours);
            let read = parse::strict(&page, theirs).unwrap_or_else(|faults| panic!("{:?}", &faults[..1]));
            let samples = read.families.iter().flat_map(|family| &family.samples);
            let mut got: Vec<String> = samples.map(|sample| sample.label("table").unwrap_or_default().to_owned()).collect();
            got.sort();
            assert_eq!(got, want, "{theirs:?}");
        }
    }
}

#[test]
fn a_million_objects_are_no_more_series_than_the_limit() {
    let mut out = Sink::new(15_000);
    for db in 0..1_000_000 {
        put!(out, READS { db, table: "a name that somebody gave" } = 1);
    }
    out.settle();
    assert_eq!((out.series(), out.dropped().get("x_reads_total")), (15_000, Some(&985_000)));
}
