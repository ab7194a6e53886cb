//! Whether something grows: samples over the run, those of the warm-up left out.

/// What an exporter held at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Scrapes that it had answered.
    pub scrapes: usize,
    /// Resident bytes.
    pub resident: u64,
    /// Those of them that the exporter has for itself. The rest are pages of its file that a rare path has touched for the
    /// first time and that the kernel maps and drops as it likes.
    pub private: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

/// The samples after the warm-up, which is the first fifth of the run.
pub fn warm(samples: &[Sample]) -> &[Sample] {
    &samples[samples.len() / 5..]
}

/// Growth over the whole of `values`, of a straight line laid through them (least squares). 0 where there are less than two.
pub fn growth(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let (middle, mean) = ((count - 1.0) / 2.0, mean(values));
    let (mut over, mut under) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        over += (at as f64 - middle) * (value - mean);
        under += (at as f64 - middle).powi(2);
    }
    if under > 0.0 { over / under * (count - 1.0) } else { 0.0 }
}

/// The middle between all of `values`.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len() as f64).max(1.0)
}

/// The least and the most of `values`, of the first and of the second half.
pub fn halves(values: &[usize]) -> [(usize, usize); 2] {
    let (first, second) = values.split_at(values.len() / 2);
    [first, second].map(|half| (half.iter().copied().min().unwrap_or(0), half.iter().copied().max().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_laid_through_the_values() {
        assert!((growth(&[100.0, 101.0, 102.0]) - 2.0).abs() < 1e-12);
        assert!((growth(&[100.0, 104.0, 100.0])).abs() < 1e-12);
        assert_eq!((growth(&[]), growth(&[7.0])), (0.0, 0.0));
    }

    #[test]
    fn halves_are_told_apart() {
        assert_eq!(halves(&[1, 3, 2, 9]), [(1, 3), (2, 9)]);
        assert_eq!(halves(&[]), [(0, 0), (0, 0)]);
    }

    #[test]
    fn the_warm_up_is_left_out() {
        let sample = |scrapes| Sample { scrapes, resident: 0, private: 0, descriptors: 0, threads: 0 };
        let all: Vec<Sample> = (0..10).map(sample).collect();
        assert_eq!(warm(&all).first().map(|s| s.scrapes), Some(2));
    }
}
