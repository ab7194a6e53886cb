//! Reads synchronous_standby_names: `a, b`, `2 (a, b)`, `FIRST 2 (a, b)`, `ANY 1 (a, "b c")`, `*`.
//!
//! Source: PostgreSQL documentation, synchronous_standby_names. Only the names matter here; `*` names nobody.

/// The names in the order of the setting.
pub fn names(setting: &str) -> Vec<String> {
    let list = match (setting.find('('), setting.rfind(')')) {
        // A parenthesis inside of a quoted name opens no list.
        (Some(from), Some(to)) if !setting.get(..from).unwrap_or_default().contains('"') => setting.get(from + 1..to).unwrap_or_default(),
        _ => setting,
    };
    let (mut names, mut name, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => name.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => names.push(std::mem::take(&mut name)),
            c if !quoted && c.is_whitespace() => {}
            c => name.push(c),
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty() && name != "*");
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_the_setting() {
        for (setting, want) in [
            ("", &[][..]),
            ("*", &[]),
            ("db02", &["db02"]),
            ("db02, db03", &["db02", "db03"]),
            ("2 (db02, db03 , db04)", &["db02", "db03", "db04"]),
            ("FIRST 1 (db02,\"db 03\")", &["db02", "db 03"]),
            ("any 1 (\"a,\"\"b\", *)", &["a,\"b"]),
            ("\"odd(name)\"", &["odd(name)"]),
        ] {
            assert_eq!(names(setting), want, "{setting}");
        }
    }
}
