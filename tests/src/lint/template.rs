//! Annotation templates: which labels they name, and how long and in which characters a summary ends up in an SMS.
//! Worst cases instead of a template engine: a summary may only use labels and a formatted value, so its longest
//! rendering is known without running one.

use std::sync::LazyLock;

use regex::Regex;

/// Characters of one SMS that a summary may take, as rendered.
pub const SUMMARY_MAX: usize = 80;

static ACTION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{\{-?\s*(.*?)\s*-?\}\}").unwrap());
static LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\$labels\.([A-Za-z_][A-Za-z0-9_]*)").unwrap());

/// The basic GSM 03.38 alphabet beside ASCII letters and digits; the extension table costs two characters and is refused.
const GSM7: &str = "@£$¥èéùìòÇ\n\rØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// The labels a template names, as `$labels.x` or, in a legend, as `{{x}}`.
#[must_use]
pub fn labels(template: &str) -> Vec<String> {
    LABEL.captures_iter(template).map(|c| c[1].to_owned()).collect()
}

/// The labels a Grafana legend names.
#[must_use]
pub fn legend_labels(legend: &str) -> Vec<String> {
    ACTION.captures_iter(legend).map(|c| c[1].to_owned()).collect()
}

/// A Grafana legend with its labels filled in.
#[must_use]
pub fn legend(format: &str, value: impl Fn(&str) -> String) -> String {
    ACTION.replace_all(format, |found: &regex::Captures<'_>| value(&found[1])).into_owned()
}

/// The longest text a summary can become, with `x` in place of what is filled in.
///
/// # Errors
/// An action whose length nobody can know (a condition, a query, another function); the text names it.
pub fn worst_case(summary: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut end = 0;
    for found in ACTION.captures_iter(summary) {
        let whole = found.get(0).map_or(end..end, |m| m.range());
        out.push_str(&summary[end..whole.start]);
        out.push_str(&"x".repeat(width(&found[1])?));
        end = whole.end;
    }
    out.push_str(&summary[end..]);
    Ok(out)
}

fn width(action: &str) -> Result<usize, String> {
    let parts: Vec<&str> = action.split('|').map(str::trim).collect();
    match parts.as_slice() {
        ["$labels.product"] => Ok(12),
        [label] if label.starts_with("$labels.") => Ok(20),
        ["$value"] => Ok(20),
        ["$value", "humanizePercentage"] => Ok(6), // 99.99%
        ["$value", "humanizeDuration"] => Ok(15),  // 10d 20h 30m 40s
        ["$value", "humanize"] => Ok(7),           // -1.234k
        ["$value", r#"printf "%.0f""#] => Ok(6),
        _ => Err(format!("a summary cannot hold {{{{ {action} }}}}: its length is not known")),
    }
}

/// The first character an SMS of 160 characters cannot carry.
#[must_use]
pub fn not_gsm7(text: &str) -> Option<char> {
    text.chars().find(|c| !c.is_ascii_alphanumeric() && !GSM7.contains(*c))
}

#[cfg(test)]
mod tests {
    use super::{labels, legend, legend_labels, not_gsm7, worst_case};

    #[test]
    fn counts_what_is_filled_in() {
        let text = worst_case("P1 {{ $labels.client }} {{ $labels.host }}: {{ $value | humanizePercentage }} PG-01").unwrap();
        assert_eq!(text.chars().count(), 3 + 20 + 1 + 20 + 2 + 6 + 6);
        assert_eq!(worst_case(r#"{{ $value | printf "%.0f" }}s"#).unwrap(), "xxxxxxs");
    }

    #[test]
    fn refuses_what_it_cannot_count() {
        for action in ["if gt $value 1.0", "query \"up\"", "$value | humanize1024"] {
            assert!(worst_case(&format!("{{{{ {action} }}}}")).unwrap_err().contains(action));
        }
    }

    #[test]
    fn knows_the_sms_alphabet() {
        assert_eq!(not_gsm7("P1 db01: 95% of #1, Größe"), None);
        assert_eq!(not_gsm7("a~b"), Some('~'));
        assert_eq!(not_gsm7("[x]"), Some('['));
        assert_eq!(not_gsm7("db—01"), Some('—'));
    }

    #[test]
    fn finds_labels() {
        assert_eq!(labels("{{ $labels.a }} {{ with $labels.b_c }}"), ["a", "b_c"]);
        assert_eq!(legend_labels("{{instance}} {{ state }}"), ["instance", "state"]);
        assert_eq!(legend("{{instance}} is {{ state }}", str::to_uppercase), "INSTANCE is STATE");
    }
}
