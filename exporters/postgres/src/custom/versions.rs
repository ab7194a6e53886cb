//! Ranges of server versions, as `runonserver` has them: `>=10.0.0 <14.0.0 || 16.x`.
//!
//! Conditions beside each other must all hold, `||` separates alternatives. A version with fewer than three numbers, or
//! with an `x`, stands for all versions that begin so.

/// Versions of the server for which a query is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(Vec<Vec<Condition>>);

type Version = [u32; 3];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    operator: &'static str,
    /// The first version that is meant, and the first that is no more.
    from: Version,
    to: Version,
}

/// Longer ones first, so that the shorter do not hide them.
const OPERATORS: [&str; 8] = [">=", "<=", "==", "!=", ">", "<", "=", "!"];

impl Versions {
    /// Reads a range; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        text.split("||").map(alternative).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether server_version_num, such as 150018, lies in the range.
    pub fn hold(&self, number: u32) -> bool {
        let version = [number / 10_000, number % 10_000, 0];
        self.0.iter().any(|all| all.iter().all(|condition| condition.holds(version)))
    }
}

fn alternative(text: &str) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    let mut operator = None;
    for word in text.split_whitespace() {
        let (found, version) = match OPERATORS.iter().find_map(|o| Some((*o, word.strip_prefix(o)?))) {
            Some(found) if operator.is_none() => found,
            Some(_) => return None,
            None => (operator.take().unwrap_or("="), word),
        };
        // "> 10" as well as ">10"
        if version.is_empty() {
            operator = Some(found);
        } else {
            let (from, to) = span(version)?;
            conditions.push(Condition { operator: found, from, to });
        }
    }
    (operator.is_none() && !conditions.is_empty()).then_some(conditions)
}

/// The first version that `text` stands for, and the first behind them.
fn span(text: &str) -> Option<(Version, Version)> {
    let mut numbers = Vec::new();
    for part in text.trim_start_matches('v').split('.') {
        match part {
            "x" | "X" | "*" => break,
            _ => numbers.push(part.parse::<u32>().ok()?),
        }
    }
    let (from, last) = match *numbers.as_slice() {
        [] => return Some(([0; 3], [u32::MAX; 3])),
        [a] => ([a, 0, 0], 0),
        [a, b] => ([a, b, 0], 1),
        [a, b, c] => ([a, b, c], 2),
        _ => return None,
    };
    let mut to = from;
    if let Some(number) = to.get_mut(last) {
        *number = number.checked_add(1)?;
    }
    Some((from, to))
}

impl Condition {
    fn holds(&self, version: Version) -> bool {
        match self.operator {
            ">=" => version >= self.from,
            ">" => version >= self.to,
            "<" => version < self.from,
            "<=" => version < self.to,
            "!" | "!=" => version < self.from || version >= self.to,
            _ => version >= self.from && version < self.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_for_the_versions_that_they_name() {
        for (range, inside, outside) in [
            (">=10.0.0", &[150_018, 100_000][..], &[90_624][..]),
            (">=13.0.0 <16.0.0", &[130_000, 150_018], &[160_000, 120_020]),
            ("<9.4.0 || >=9.6.0", &[150_018], &[]),
            ("15.x", &[150_000, 150_018], &[140_010, 160_000]),
            ("15.18.0", &[150_018], &[150_017]),
            ("15", &[150_018], &[160_001]),
            (">15", &[160_000], &[150_018]),
            ("<=15", &[150_018], &[160_000]),
            ("!15.x", &[140_001], &[150_018]),
            ("!=15.18.0", &[150_017], &[150_018]),
            ("> 15.17.0", &[150_018], &[150_017]),
            ("*", &[100_000], &[]),
        ] {
            let versions = Versions::parse(range).unwrap_or_else(|| panic!("{range}"));
            assert!(inside.iter().all(|v| versions.hold(*v)) && !outside.iter().any(|v| versions.hold(*v)), "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "abc", ">=", ">= >1", "1.2.3.4", "1 ||", "||", "-1", "4294967295"] {
            assert_eq!(Versions::parse(bad), None, "{bad:?}");
        }
    }
}
