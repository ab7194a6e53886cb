//! The text of `server-status?auto`: `Name: value` lines, the scoreboard, and the balancers of mod_proxy.

/// A status page.
#[derive(Debug, Default)]
pub struct Page {
    fields: Vec<(String, String)>,
}

/// Most lines that are read: those of some thousand balancer members.
const LINES: usize = 50_000;

impl Page {
    /// Reads a page; `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        // A name has no colon, a value may have several.
        let field = |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        let page = Self { fields: text.lines().take(LINES).filter_map(field).collect() };
        // What every version of the page has, and no page for people.
        (page.get("Scoreboard").is_some() && page.number("IdleWorkers").is_some()).then_some(page)
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a field as a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        number(self.get(name)?)
    }

    /// The members of all balancers, in the order of the page.
    pub fn members(&self) -> Vec<Member<'_>> {
        let mut members: Vec<Member<'_>> = Vec::new();
        let (mut balancer, mut prefix) = ("", String::new());
        for (key, value) in &self.fields {
            let Some(rest) = key.strip_prefix("ProxyBalancer[") else { continue };
            let Some((_, name)) = rest.split_once(']') else { continue };
            if name == "Name" {
                balancer = value;
            } else if let Some((_, field)) = name.strip_prefix("Worker[").and_then(|n| n.split_once(']')) {
                let at = key.strip_suffix(field).unwrap_or_default();
                if at != prefix {
                    prefix = at.to_owned();
                    members.push(Member { balancer, ..Member::default() });
                }
                let Some(member) = members.last_mut() else { continue };
                match field {
                    "Name" => member.name = value,
                    "Status" => member.status = value,
                    "Elected" => member.elected = number(value),
                    "Busy" => member.busy = number(value),
                    "Sent" => member.sent_kilobytes = kilobytes(value),
                    "Rcvd" => member.received_kilobytes = kilobytes(value),
                    _ => {}
                }
            }
        }
        members
    }
}

/// A member of a balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Member<'a> {
    /// The balancer, as `balancer://name`.
    pub balancer: &'a str,
    /// The member's address.
    pub name: &'a str,
    /// Its flags, such as `Init Ok` or `Init Err`.
    pub status: &'a str,
    /// How often it was chosen.
    pub elected: Option<f64>,
    /// Requests that it works on.
    pub busy: Option<f64>,
    /// Sent to it.
    pub sent_kilobytes: Option<f64>,
    /// Received from it.
    pub received_kilobytes: Option<f64>,
}

fn number(text: &str) -> Option<f64> {
    // Numbers smaller than one have no digit before the point: `.0045045`.
    let plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e'));
    text.parse().ok().filter(|n: &f64| plain && n.is_finite() && *n >= 0.0)
}

fn kilobytes(text: &str) -> Option<f64> {
    number(text.trim_end_matches(['k', 'K']))
}

/// The states of the scoreboard, with the letter of each.
pub const STATES: [(char, &str); 11] = [
    ('_', "idle"),
    ('S', "startup"),
    ('R', "read"),
    ('W', "reply"),
    ('K', "keepalive"),
    ('D', "dns"),
    ('C', "closing"),
    ('L', "logging"),
    ('G', "graceful_stop"),
    ('I', "idle_cleanup"),
    ('.', "open_slot"),
];

/// The number of places in each state, and in none that we know.
pub fn scoreboard(text: &str) -> ([(&'static str, u64); 11], u64) {
    let mut counts = STATES.map(|(_, name)| (name, 0));
    let mut unknown = 0;
    for letter in text.chars() {
        match STATES.iter().zip(&mut counts).find(|((known, _), _)| *known == letter) {
            Some((_, (_, count))) => *count += 1,
            None => unknown += 1,
        }
    }
    (counts, unknown)
}

/// What must hold for any text: asked by the fuzzer and, of its corpus, by a test.
#[cfg(any(test, fuzzing))]
pub mod check {
    use super::{Page, scoreboard};

    /// Every number is one, each place of the scoreboard is counted once, and a member has a place on the page.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(data: &[u8]) {
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Some(page) = Page::parse(text) else { return };
        let good = |n: f64| n.is_finite() && n >= 0.0;
        assert!(page.fields.iter().filter_map(|(name, _)| page.number(name)).all(good));
        let board = page.get("Scoreboard").unwrap_or_default();
        let (counts, unknown) = scoreboard(board);
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>() + unknown, board.chars().count() as u64);
        let members = page.members();
        assert!(members.len() <= page.fields.len());
        let numbers = members.iter().flat_map(|m| [m.elected, m.busy, m.sent_kilobytes, m.received_kilobytes]);
        assert!(numbers.flatten().all(good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_the_fuzzer_holds() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/server_status");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(files.len() >= 4, "{} files", files.len());
        files.iter().for_each(|file| check::check(&std::fs::read(file).unwrap()));
    }

    const PAGE: &str = "localhost\nServerVersion: Apache/2.4.71 (Debian)\nTotal Accesses: 21\nCPULoad: .0045045\nBusyWorkers: 1\n\
        IdleWorkers: 74\nScoreboard: __W_.x\nProxyBalancer[0]Name: balancer://shop\nProxyBalancer[0]Worker[0]Name: http://a:1\n\
        ProxyBalancer[0]Worker[0]Status: Init Ok \nProxyBalancer[0]Worker[0]Elected: 5\nProxyBalancer[0]Worker[0]Busy: 1\n\
        ProxyBalancer[0]Worker[0]Sent: 3K\nProxyBalancer[0]Worker[0]Rcvd: 4K\nProxyBalancer[0]Worker[1]Name: http://b:2\n\
        ProxyBalancer[0]Worker[1]Status: Init Err\n";

    #[test]
    fn fields_scoreboard_and_balancers() {
        let page = Page::parse(PAGE).unwrap();
        assert_eq!((page.number("Total Accesses"), page.number("CPULoad"), page.number("Uptime")), (Some(21.0), Some(0.004_504_5), None));
        let (counts, unknown) = scoreboard(page.get("Scoreboard").unwrap());
        assert_eq!((counts[0], counts[3], counts[10], unknown), (("idle", 3), ("reply", 1), ("open_slot", 1), 1));
        let members = page.members();
        assert_eq!((members[0].balancer, members[0].name, members[0].status), ("balancer://shop", "http://a:1", "Init Ok"));
        assert_eq!((members[0].sent_kilobytes, members[0].received_kilobytes, members[0].elected), (Some(3.0), Some(4.0), Some(5.0)));
        assert_eq!((members.len(), members[1].name, members[1].busy), (2, "http://b:2", None));
    }

    #[test]
    fn what_is_no_page_is_none_and_odd_numbers_are_left_out() {
        for text in ["", "<html><body>Scoreboard: _</body>", "Scoreboard: ___", "Scoreboard: _\nIdleWorkers: many", "IdleWorkers: 1"] {
            assert!(Page::parse(text).is_none(), "{text}");
        }
        let page =
            Page::parse("Scoreboard: _\nIdleWorkers: 1\nA: inf\nB: -1\nC: NaN\nD: 1e3\n: 5\nProxyBalancer[0\nProxyBalancer[]Worker[\n")
                .unwrap();
        assert_eq!(["A", "B", "C"].map(|name| page.number(name)), [None; 3]);
        assert_eq!((page.number("D"), page.members().len()), (Some(1000.0), 0));
    }
}
