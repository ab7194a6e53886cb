//! `make bench`: each exporter beside the one it replaces, at the same real server, and the cost of encoding a large page.
//!
//! A contest (contests/) names exporter, peer, server and what both are asked for; measure.rs scrapes them in alternation
//! and reads /proc; fleet.rs does it for an exporter with many targets, of which some hang; host.rs reads the memory of the
//! exporters of one host; figures.rs makes the table and judges the aims; encode.rs needs no server.

pub mod contests;
pub mod encode;
pub mod figures;
pub mod fleet;
pub mod host;
pub mod measure;
pub mod peer;

/// The middle one of `values`; of an even number the higher of the two in the middle. 0 when there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The value below which `share` (0-1) of `values` lie. 0 when there is none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn middles_and_percentiles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!((percentile(&hundred, 0.5), percentile(&hundred, 0.99)), (50.0, 99.0));
        assert_eq!((percentile(&[7.0], 0.99), percentile(&[], 0.5)), (7.0, 0.0));
    }
}
