//! The value of one series, and what can be written as one.

/// The value of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Gauge, counter or unknown.
    Number(f64),
    /// Cumulative buckets by upper bound (the last is +Inf), sum of the observations, and their number.
    Histogram {
        /// Upper bound and cumulative count.
        buckets: Vec<(f64, u64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
    /// Quantiles as the source computed them, sum and number of the observations.
    Summary {
        /// Quantile (0-1) and its value.
        quantiles: Vec<(f64, f64)>,
        /// Sum of all observations.
        sum: f64,
        /// Number of observations.
        count: u64,
    },
}

/// What can stand on the right of `put!`. `None` means no sample: NULL and unknown are absent, never 0.
pub trait Sample {
    /// The value to write, if there is one.
    fn sample(self) -> Option<Value>;
}

macro_rules! samples {
    ($($t:ty),*) => { $(impl Sample for $t { fn sample(self) -> Option<Value> { Some(Value::Number(self as f64)) } })* };
}
samples!(f64, f32, i64, i32, i16, u64, u32, u16, u8, usize);

impl Sample for bool {
    fn sample(self) -> Option<Value> {
        Some(Value::Number(f64::from(u8::from(self))))
    }
}

impl Sample for std::time::Duration {
    fn sample(self) -> Option<Value> {
        Some(Value::Number(self.as_secs_f64()))
    }
}

impl Sample for Value {
    fn sample(self) -> Option<Value> {
        Some(self)
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(self) -> Option<Value> {
        self.and_then(T::sample)
    }
}

/// A value in the space of a number, which nearly all are.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Number(f64),
    Other(Box<Value>),
}

impl Slot {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Other(_) => None,
        }
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::Number(0.0)
    }
}

/// The value of one series, for the encoder.
pub(crate) enum Reading<'a> {
    Number(f64),
    Other(&'a Value),
}
