//! SQL text without its values: one line, with `?` for each string, number and dollar-quoted body, without comments.
//!
//! For texts of pg_stat_activity, which are cut off at track_activity_query_size, so that anything may be unterminated.
//! Where two readings are possible, the rest is left out rather than shown. Source: PostgreSQL documentation, lexical
//! structure.

use sage_common::commands::terminal::{hidden, plain};

/// The text without values.
pub fn without_values(sql: &str) -> String {
    let mut cutter =
        Cutter { rest: sql, out: String::with_capacity(sql.len().min(256)), space: false, first: None, set: false, mute: false };
    while cutter.token() {}
    cutter.out
}

struct Cutter<'a> {
    rest: &'a str,
    out: String,
    /// White space or a comment stands before the next token.
    space: bool,
    /// The first word of the statement.
    first: Option<String>,
    /// The statement sets a parameter.
    set: bool,
    /// What follows, up to the end of the statement, is a parameter's value, which needs no quotes.
    mute: bool,
}

fn begins_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii() && !c.is_whitespace() && !hidden(c)
}

fn in_word(c: char) -> bool {
    begins_word(c) || c.is_ascii_digit() || c == '$'
}

impl<'a> Cutter<'a> {
    /// Takes one token; false at the end.
    fn token(&mut self) -> bool {
        let mut chars = self.rest.chars();
        let Some(c) = chars.next() else { return false };
        let next = chars.next();
        match c {
            c if c.is_whitespace() || hidden(c) => {
                self.skip(c.len_utf8());
                self.space = true;
            }
            '-' if next == Some('-') => {
                self.skip(self.rest.find(['\n', '\r']).unwrap_or(self.rest.len()));
                self.space = true;
            }
            '/' if next == Some('*') => self.comment(),
            '\'' => self.string(false),
            '"' => self.quoted_name(),
            '$' if next.is_some_and(|c| c.is_ascii_digit()) => {
                let length = 1 + length_of(self.rest.get(1..).unwrap_or_default(), |c| c.is_ascii_digit());
                self.keep(length);
            }
            '$' => self.dollar(),
            c if c.is_ascii_digit() || c == '.' && next.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            c if begins_word(c) => self.word(),
            ';' => {
                self.space &= !std::mem::take(&mut self.mute);
                self.set = false;
                self.first = None;
                self.keep(1);
            }
            '=' if self.set => {
                self.keep(1);
                self.space = true;
                self.value();
                self.mute = true;
            }
            c => self.keep(c.len_utf8()),
        }
        true
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn push(&mut self, text: &str) {
        if self.mute {
            return;
        }
        if std::mem::take(&mut self.space) && !self.out.is_empty() {
            self.out.push(' ');
        }
        self.out.push_str(text);
    }

    fn keep(&mut self, bytes: usize) {
        let text = self.rest.get(..bytes).unwrap_or_default();
        self.push(text);
        self.skip(bytes);
    }

    fn value(&mut self) {
        self.push("?");
    }

    /// What cannot be read for certain is not shown, and neither is what follows.
    fn stop(&mut self) {
        self.push("…");
        self.rest = "";
    }

    /// Comments can be nested.
    fn comment(&mut self) {
        let mut depth = 0_usize;
        self.space = true;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else if let Some(c) = self.rest.chars().next() {
                self.skip(c.len_utf8());
            } else {
                return;
            }
        }
    }

    /// At the opening quote. With `escapes` a backslash takes the next character with it (E''). Without, it does so only
    /// where standard_conforming_strings is off, which the text does not tell: after `\'` nothing more is read.
    fn string(&mut self, escapes: bool) {
        self.value();
        self.skip(1);
        let mut backslashes = 0_usize;
        while let Some(c) = self.rest.chars().next() {
            self.skip(c.len_utf8());
            match c {
                '\\' => backslashes += 1,
                '\'' if backslashes % 2 == 1 && escapes => backslashes = 0,
                '\'' if backslashes % 2 == 1 => return self.stop(),
                '\'' if self.rest.starts_with('\'') => {
                    self.skip(1);
                    backslashes = 0;
                }
                '\'' => return,
                _ => backslashes = 0,
            }
        }
    }

    fn quoted_name(&mut self) {
        let inner = self.rest.get(1..).unwrap_or_default();
        let mut at = 0;
        loop {
            match inner.get(at..).and_then(|rest| rest.find('"')) {
                // Cut off, or no name at all.
                None => return self.stop(),
                Some(found) if inner.get(at + found + 1..).is_some_and(|rest| rest.starts_with('"')) => at += found + 2,
                Some(found) => {
                    let name = plain(inner.get(..at + found).unwrap_or_default());
                    self.push(&format!("\"{name}\""));
                    return self.skip(at + found + 2);
                }
            }
        }
    }

    /// `$$body$$` or `$tag$body$tag$`.
    fn dollar(&mut self) {
        let after = self.rest.get(1..).unwrap_or_default();
        let tag = length_of(after, |c| in_word(c) && c != '$');
        if !after.get(tag..).unwrap_or_default().starts_with('$') {
            // No quote, or one whose tag was cut off.
            return if tag == after.len() { self.stop() } else { self.keep(1) };
        }
        let quote = self.rest.get(..tag + 2).unwrap_or_default();
        self.value();
        let body = self.rest.get(quote.len()..).unwrap_or_default();
        self.rest = body.find(quote).and_then(|end| body.get(end + quote.len()..)).unwrap_or_default();
    }

    /// Digits with what belongs to them: fraction, exponent, radix, underscores, and letters that should not be there.
    fn number(&mut self) {
        self.value();
        let mut last = ' ';
        while let Some(c) = self.rest.chars().next() {
            let sign = matches!(c, '+' | '-') && matches!(last, 'e' | 'E');
            if !(c.is_ascii_digit() || c == '.' || sign || begins_word(c)) {
                return;
            }
            self.skip(c.len_utf8());
            last = c;
        }
    }

    fn word(&mut self) {
        let length = length_of(self.rest, in_word);
        let word = self.rest.get(..length).unwrap_or_default().to_ascii_lowercase();
        let after = self.rest.get(length..).unwrap_or_default();
        match word.as_str() {
            "e" | "b" | "x" | "n" if after.starts_with('\'') => {
                self.skip(1);
                return self.string(word == "e");
            }
            "u" if after.starts_with("&'") => {
                self.skip(2);
                return self.string(false);
            }
            _ => {}
        }
        self.keep(length);
        // SET a TO b, ALTER ROLE r SET a = b: the value may stand without quotes.
        let first = self.first.get_or_insert_with(|| word.clone()).as_str();
        if word == "set" && matches!(first, "set" | "alter") {
            self.set = true;
        } else if word == "to" && self.set {
            self.space = true;
            self.value();
            self.mute = true;
        }
    }
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|c| !belongs(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_gone_and_the_statement_stays() {
        for (sql, want) in [
            ("SELECT 1", "SELECT ?"),
            ("UPDATE t SET a = 'x''y', b = b + 1.5e-3 WHERE c1 = $1", "UPDATE t SET a = ?, b = b + ? WHERE c1 = $1"),
            (
                "select  *\n\tfrom \"My Table\" -- secret\n where x IN (1, 2,0x1F,1_000,.5)",
                "select * from \"My Table\" where x IN (?, ?,?,?,?)",
            ),
            ("select /* a /* nested */ secret */ E'it\\'s \\\\', B'101', X'ff', N'n', U&'d\\0061t'", "select ?, ?, ?, ?, ?"),
            ("DO $$ secret $$; SELECT $a$ $b$ secret $$ $a$, $1, foo$bar$baz", "DO ?; SELECT ?, $1, foo$bar$baz"),
            ("SET app.token TO secret, secret; SELECT a", "SET app.token TO ?; SELECT a"),
            ("alter role r set app.token = secret", "alter role r set app.token = ?"),
            ("ALTER ROLE r PASSWORD 'secret'", "ALTER ROLE r PASSWORD ?"),
            ("SELECT 'C:\\dir', a FROM t", "SELECT ?, a FROM t"),
            // standard_conforming_strings may be on or off: both readings are safe only without the rest.
            ("SELECT 'a\\' || secret || ' b", "SELECT ?…"),
            ("SELECT 'a\\\\' || b", "SELECT ? || b"),
            ("SELECT 'cut off sec", "SELECT ?"),
            ("SELECT $tag$ cut off sec", "SELECT ?"),
            ("SELECT $ta", "SELECT …"),
            ("SELECT \"cut off sec", "SELECT …"),
            ("SELECT /* cut off", "SELECT"),
            ("SELECT \u{1b}[31m a\u{202e}b", "SELECT [? a b"),
            ("ПОИСК 'тайна' é1", "ПОИСК ? é1"),
            ("", ""),
        ] {
            assert_eq!(without_values(sql), want, "{sql}");
        }
    }

    /// Small numbers in an order that is the same in each run.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).unwrap() % sides
        }
    }

    const SECRET: &str = "Geheim7351";

    /// Values that hold the secret, in all ways to write one.
    const VALUES: [&str; 16] = [
        "'Geheim7351'",
        "'a''Geheim7351'",
        "'''Geheim7351'",
        "E'\\'Geheim7351\\\\'",
        "e'\\\\\\'Geheim7351'",
        "$$Geheim7351$$",
        "$q$ ' \" $$ Geheim7351 $q$",
        "$é$Geheim7351$é$",
        "73510.7351e+7351",
        "-- Geheim7351\n",
        "/* ' /* $$ */ Geheim7351 */",
        "N'Geheim7351'",
        "U&'\\0041Geheim7351'",
        "B'7351'",
        "'\nGeheim7351\r\n'",
        "'-- /* $$ \" Geheim7351'",
    ];
    const REST: [&str; 12] = ["SELECT", "a", "\"q\"\"x\"", "FROM t", "$1", "::text", "x$y", "WHERE b", "é", "[", "]", "set"];
    const BETWEEN: [&str; 8] = [" ", "\n", ", ", " (", ") ", " || ", " = ", ";\t"];

    #[test]
    fn no_value_is_ever_shown_wherever_the_text_is_cut_off() {
        let mut dice = Dice(1);
        for round in 0..4000 {
            let mut sql = String::new();
            for _ in 0..=dice.roll(12) {
                let token = if dice.roll(2) == 0 { VALUES[dice.roll(VALUES.len())] } else { REST[dice.roll(REST.len())] };
                sql.push_str(token);
                sql.push_str(BETWEEN[dice.roll(BETWEEN.len())]);
            }
            let whole = without_values(&sql);
            assert!(!whole.contains("Geh") && !whole.contains("735"), "{round}: {sql:?} shows {whole:?}");
            assert!(!whole.chars().any(|c| c.is_control()), "{whole:?}");
            // Said twice it is the same: what is shown holds no value for a second reading either.
            let ends: Vec<usize> = sql.char_indices().map(|(at, _)| at).collect();
            let end = ends[dice.roll(ends.len())];
            let part = without_values(&sql[..end]);
            assert!(!part.contains("Geh") && !part.contains("735"), "{round}: {:?} shows {part:?}", &sql[..end]);
        }
        assert!(VALUES.iter().filter(|v| v.contains(SECRET)).count() > 12);
    }

    #[test]
    fn any_text_is_taken() {
        const SOUP: [&str; 18] = ["'", "\"", "$", "$$", "\\", "--", "/*", "*/", "\n", "e", "E'", "1", ".", ";", "=", "to", "é", "\u{1b}"];
        let mut dice = Dice(7);
        for _ in 0..20_000 {
            let text: String = (0..dice.roll(24)).map(|_| SOUP[dice.roll(SOUP.len())]).collect();
            let shown = without_values(&text);
            assert!(!shown.contains(['\n', '\u{1b}']), "{text:?} shows {shown:?}");
            // An apostrophe stands in a quoted name only.
            let mut parts = shown.split('"').step_by(2);
            assert!(parts.all(|part| !part.contains('\'')), "{text:?} shows {shown:?}");
        }
    }
}
