//! Records of csvlog: columns between commas, quoted where a comma, quote or line end is in them, so that a record may go
//! over many lines. Only the columns that matter are kept, and of those the beginning.

use sage_common::tail::Part;

use super::{Record, keep};

/// Columns that every version writes; newer ones add some at the end.
const COLUMNS: usize = 23;
/// More than any version has: not a record.
const MOST_COLUMNS: usize = 64;

const TIME: usize = 0;
const PID: usize = 3;
const SEVERITY: usize = 11;
const MESSAGE: usize = 13;
const CONTEXT: usize = 18;
const APPLICATION: usize = 22;

/// Where the next character stands.
#[derive(Debug, Default, PartialEq)]
enum At {
    /// Somewhere: the next line that begins like a record is one. So at first, and after what is none.
    #[default]
    Lost,
    /// Before the first character of a column.
    Start,
    /// In a column without quotes.
    Bare,
    /// In a quoted column.
    Quoted,
    /// Behind a quote in a quoted column: it ends here, or the quote is doubled.
    Quote,
}

/// Reads records.
#[derive(Debug, Default)]
pub struct Records {
    at: At,
    column: usize,
    record: Record,
}

impl Records {
    /// The record that ends with this part; `Err` for what is none, told once until the next record.
    pub fn part(&mut self, part: Part<'_>) -> Option<Result<Record, ()>> {
        if part.new_file || self.at == At::Lost && part.begins && begins_like_a_record(part.text) {
            self.begin();
        }
        for c in part.text.chars() {
            if !self.take(c) {
                *self = Self::default();
                return Some(Err(()));
            }
        }
        if !part.ends {
            return None;
        }
        match self.at {
            At::Lost => None,
            At::Quoted => {
                self.add('\n');
                None
            }
            At::Start | At::Bare | At::Quote => {
                let empty = self.column == 0 && self.record.time.is_empty();
                let whole = self.column + 1 >= COLUMNS;
                let record = std::mem::take(&mut self.record);
                self.begin();
                // An empty line between records is nothing.
                if empty {
                    return None;
                }
                if !whole {
                    self.at = At::Lost;
                }
                Some(if whole { Ok(record) } else { Err(()) })
            }
        }
    }

    fn begin(&mut self) {
        *self = Self { at: At::Start, ..Self::default() };
    }

    /// Takes a character; false when no record can have it here.
    fn take(&mut self, c: char) -> bool {
        self.at = match (&self.at, c) {
            (At::Lost, _) => At::Lost,
            (At::Quoted, '"') => At::Quote,
            (At::Start, '"') => At::Quoted,
            (At::Quoted, _) | (At::Quote, '"') => {
                self.add(c);
                At::Quoted
            }
            (At::Start | At::Bare | At::Quote, ',') => {
                self.column += 1;
                At::Start
            }
            (At::Quote, _) | (At::Bare, '"') => return false,
            (At::Start | At::Bare, _) => {
                self.add(c);
                At::Bare
            }
        };
        self.column < MOST_COLUMNS
    }

    fn add(&mut self, c: char) {
        match self.column {
            TIME => keep(&mut self.record.time, c),
            PID => keep(&mut self.record.pid, c),
            SEVERITY => keep(&mut self.record.severity, c),
            MESSAGE => keep(&mut self.record.message, c),
            CONTEXT => self.record.context = true,
            APPLICATION => keep(self.record.application.get_or_insert_default(), c),
            _ => {}
        }
    }
}

/// `2026-11-22 00:10:01.123 UTC,`
fn begins_like_a_record(text: &str) -> bool {
    let digit = |place: usize| text.as_bytes().get(place).is_some_and(u8::is_ascii_digit);
    let is = |place: usize, want: u8| text.as_bytes().get(place) == Some(&want);
    [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 22].into_iter().all(digit)
        && [(4, b'-'), (7, b'-'), (10, b' '), (13, b':'), (16, b':'), (19, b'.'), (23, b' ')]
            .into_iter()
            .all(|(place, want)| is(place, want))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Message, process, application.
    type Read = Result<(String, String, Option<String>), ()>;

    fn read(records: &mut Records, text: &str) -> Vec<Read> {
        let parts = text.lines().map(|text| Part { text, begins: true, ends: true, new_file: false });
        parts.filter_map(|part| records.part(part)).map(|r| r.map(|r| (r.message, r.pid, r.application))).collect()
    }

    fn line(message: &str) -> String {
        format!(
            "2026-11-22 00:10:01.123 UTC,\"app\",\"shop\",4242,\"[local]\",6740.1,1,\"SELECT\",2026-11-22 00:10:00 UTC,3/2,0,LOG,00000,\
             \"{message}\",,,,,,,,,\"psql\",\"client backend\",,0\n"
        )
    }

    fn found(message: &str) -> Read {
        Ok((message.to_owned(), "4242".to_owned(), Some("psql".to_owned())))
    }

    #[test]
    fn records_over_several_lines() {
        let mut records = Records::default();
        let log = line("duration: 1.0 ms  statement: select \"\"a,b\"\"\nfrom t\n") + &line("second") + "\n" + &line("third");
        let want = [found("duration: 1.0 ms  statement: select \"a,b\"\nfrom t\n"), found("second"), found("third")];
        assert_eq!(read(&mut records, &log), want);
    }

    #[test]
    fn what_users_type_is_no_record() {
        let inside = line("duration: 9000.0 ms  statement: x").replace('"', "\"\"");
        let mut records = Records::default();
        assert_eq!(read(&mut records, &line(&format!("statement: select '\n{inside}'"))).len(), 1);
    }

    #[test]
    fn begins_again_after_what_is_none() {
        let mut records = Records::default();
        // The end of a record whose beginning was not read, then half a record, then one.
        assert_eq!(read(&mut records, "rest of a text\",,,,\"psql\"\n"), []);
        let half: String = line("first").chars().take(40).collect();
        assert_eq!(read(&mut records, &format!("{half}\nnonsense\n{}", line("second"))), [Err(()), found("second")]);
        // An open quote: the next record's first quote closes it.
        let open = format!("{}{}{}", line("first").replace("\",,,,,,,,,", ""), line("lost"), line("third"));
        assert_eq!(read(&mut records, &open).last(), Some(&found("third")));
        // A new file: what was open is over.
        read(&mut records, "2026-11-22 00:10:01.123 UTC,\"open");
        let text = line("new");
        assert!(records.part(Part { text: text.trim_end(), begins: true, ends: true, new_file: true }).is_some_and(|r| r.is_ok()));
    }
}
