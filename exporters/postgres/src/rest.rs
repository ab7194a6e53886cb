//! The rest of a bounded list of counters, as a counter that never falls.
//!
//! A list of the largest shows some and sums up the others. When one of the others rises into the list, what it had so far
//! would leave the sum, and Prometheus would take that for a restart and count all of the sum anew. So the sum only grows,
//! by what those outside the list *at the reading before* have added since.

use std::collections::HashMap;

/// Calls, seconds, rows, seconds reading, seconds writing.
pub type Sums = [f64; 5];

/// User, database and statement.
pub type Key = (u32, u32, i64);

/// One reading: all statements together, and those of the present and the former top.
#[derive(Debug, Default)]
pub struct Reading {
    /// The sum of all.
    pub total: Sums,
    /// Those of the present top.
    pub top: HashMap<Key, Sums>,
    /// Those of the former top that are in it no longer.
    pub left: HashMap<Key, Sums>,
}

/// What a reading leaves for the next one.
#[derive(Debug)]
pub struct Before {
    /// Its top.
    pub top: Vec<Key>,
    /// The sum of those outside it.
    outside: Sums,
    /// The sum as it was written.
    pub other: Sums,
}

impl Reading {
    /// What is to be written as the rest after this reading.
    pub fn follow(&self, before: Option<&Before>) -> Before {
        let outside = self.top.values().fold(self.total, less);
        let other = match before {
            None => outside,
            Some(before) => {
                let former = before.top.iter().filter_map(|key| self.top.get(key).or_else(|| self.left.get(key))).fold(self.total, less);
                // After a reset, or when the server has thrown statements out, nothing is known to have been added.
                let mut added = less(former, &before.outside).map(|added| added.max(0.0)).into_iter();
                before.other.map(|other| other + added.next().unwrap_or_default())
            }
        };
        Before { top: self.top.keys().copied().collect(), outside, other }
    }
}

fn less(from: Sums, sums: &Sums) -> Sums {
    let mut sums = sums.iter();
    from.map(|n| n - sums.next().unwrap_or(&0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(total: f64, top: &[(i64, f64)], left: &[(i64, f64)]) -> Reading {
        let map = |list: &[(i64, f64)]| list.iter().map(|(id, n)| ((10, 5, *id), [*n; 5])).collect();
        Reading { total: [total; 5], top: map(top), left: map(left) }
    }

    #[test]
    fn the_rest_never_falls() {
        let first = reading(100.0, &[(1, 60.0)], &[]).follow(None);
        assert_eq!(first.other, [40.0; 5]);
        // Statement 2 has overtaken 1: it had 30 outside the top and adds 50, all in the rest so far; 1 adds 5 of its own.
        let second = reading(155.0, &[(2, 80.0)], &[(1, 65.0)]).follow(Some(&first));
        assert_eq!(second.other, [90.0; 5]);
        // 1 adds 3, now as one of the rest.
        let third = reading(158.0, &[(2, 80.0)], &[]).follow(Some(&second));
        assert_eq!(third.other, [93.0; 5]);
        // The statistics are reset.
        assert_eq!(reading(2.0, &[(2, 1.0)], &[]).follow(Some(&third)).other, [93.0; 5]);
    }
}
