//! Numbers of errors: what a person looks up and a runbook names. A number keeps its meaning for ever; the words beside it may
//! change. The page `docs/errors.md` is made from this table.

use std::fmt;

use crate::error::ErrorKind;

/// One number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `SG-` and four digits.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What is usually behind it, and what to do.
    pub help: &'static str,
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! codes {
    ($($name:ident = $id:literal $title:literal $help:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code { id: $id, title: $title, help: $help };)*

        /// All numbers, in their order.
        pub const ALL: &[Code] = &[$($name),*];
    };
}

codes! {
    CONFIG = "SG-0100" "The configuration cannot be used"
        "A value makes no sense, or two do not fit. The message names the setting. `config validate` tries a file without starting anything.";
    FILE = "SG-0101" "A file cannot be read"
        "It is not there, or the user of the service may not read it or a folder above it: `namei -l FILE` shows each step. `sudo -u USER cat FILE` tries it.";
    SYNTAX = "SG-0102" "A file is not what it should be"
        "No YAML, or a value of another kind than is expected there. Line and column are those of the message. Usual: a tab, a missing blank after the colon, wrong indentation.";
    UNKNOWN = "SG-0103" "A key, value or name is not known"
        "Mostly a typing error: the hint has the word that is nearest. All keys are in `example.yml`, all flags in `--help`.";
    SECRET_IN_FILE = "SG-0104" "A secret stands in the configuration"
        "It belongs in a file of its own that only the service can read, in a credential of systemd, or in the environment. Take it out, and change it: others may have read it.";
    PORT_TAKEN = "SG-0201" "Another process listens on the port"
        "The message names it where it can be seen; as root `ss -ltnp` always does. Often it is the exporter that this one replaces: stop that, or choose another port by `--web.listen-address`.";
    LISTEN = "SG-0202" "The address cannot be listened on"
        "It is not written as HOST:PORT, is not one of this machine (`ip address`), or the port is below 1024 and the user may not take it.";
    EXPOSED = "SG-0203" "Other machines would reach an open port"
        "Make TLS and a password with `tls-init`, listen on loopback, or say `--web.insecure` where the network keeps strangers out.";
    WEB_CONFIG = "SG-0204" "The web configuration cannot be used"
        "A setting of `--web.config.file`, or a file that it names. The page packaging/web lists each setting and what becomes of it.";
    NO_SOCKETS = "SG-0205" "The service manager has handed over no socket"
        "`--web.systemd-socket` needs a unit of type socket with `ListenStream=`, started before the service; `systemctl list-sockets` shows it.";
    RESOLVE = "SG-0301" "The host name has no address"
        "`getent hosts NAME` asks as the exporter does. A typing error, or the resolver of this machine does not know the zone.";
    REFUSED = "SG-0302" "Nobody listens at the server's address"
        "The server is down, listens on another port or only on loopback. On the server: `ss -ltn`.";
    CONNECT = "SG-0303" "The connection failed or broke"
        "No route, a firewall that refuses, or a server that closed the connection. `ip route get ADDRESS` shows the way out.";
    TLS = "SG-0304" "TLS failed"
        "The certificate is for another name, has ended, or its authority is not trusted here. `openssl s_client -connect HOST:PORT` shows it. Name the authority's file rather than turning the check off.";
    AUTH = "SG-0305" "The server did not let us in"
        "Wrong password, a user that is not there or may not log in, or a rule of the server for our address (PostgreSQL: pg_hba.conf; Redis: ACL LIST). The hint tells which, where the server does.";
    PERMISSION = "SG-0306" "A right is missing"
        "The command `grants` prints all rights that the enabled collectors need; the hint names the one. What else can be read is shown all the same.";
    STARTING = "SG-0307" "The server is starting or stopping"
        "It answers, but takes no work yet. If that lasts, its log says what it waits for.";
    OVERLOADED = "SG-0308" "The server or the exporter has no place left"
        "All connections of the server are taken, or scrapes stand in each other's way. See who holds the connections before raising a limit.";
    TIMEOUT = "SG-0309" "No answer in time"
        "The server hangs, is overloaded, waits for a lock, or packets are dropped on the way. The time is that of the scrape, or of the collector's own option `timeout`.";
    QUERY = "SG-0310" "The server refused a request"
        "An object or command that is missing there, or a fault in a query of one's own. The message has the server's words.";
    DECODE = "SG-0311" "The answer cannot be read"
        "Something else than the product listens there, or a version that answers otherwise. With a supported version this is a bug: send a `bundle`.";
    LIMIT = "SG-0312" "The answer is larger than is taken"
        "Answers are limited so that no server can fill our memory. See what makes it so large.";
    INTERNAL = "SG-0313" "A fault of the exporter"
        "Send a `bundle`. The other collectors go on.";
    PRODUCT = "SG-0314" "A reason that only this product has"
        "`sage_error` names it in the label reason; the exporter's README tells all of them.";
    OUTPUT = "SG-0401" "A file cannot be written"
        "It is there already and is kept, or the folder is not one that you can write to.";
    NOTHING_FOUND = "SG-0402" "No server was found on this machine"
        "`discover` sees listeners of this machine alone; without root those on other ports than the usual ones stay unseen. Write the target by hand: `example.yml`.";
    FAILED = "SG-0400" "A command did not succeed"
        "The message says why.";
}

impl ErrorKind {
    /// The number of this reason.
    pub const fn code(self) -> Code {
        match self {
            Self::Resolve => RESOLVE,
            Self::Refused => REFUSED,
            Self::Connect => CONNECT,
            Self::Tls => TLS,
            Self::Auth => AUTH,
            Self::Permission => PERMISSION,
            Self::Starting => STARTING,
            Self::Overloaded => OVERLOADED,
            Self::Timeout => TIMEOUT,
            Self::Query => QUERY,
            Self::Decode => DECODE,
            Self::Limit => LIMIT,
            Self::Internal => INTERNAL,
            Self::Product(_) => PRODUCT,
        }
    }
}

/// The page of all numbers.
pub fn page() -> String {
    ALL.iter().map(|code| format!("## {}\n\n**{}.** {}\n\n", code.id, code.title, code.help)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_explained() {
        let mut ids: Vec<&str> = ALL.iter().map(|code| code.id).collect();
        assert!(ids.iter().all(|id| id.len() == 7 && id.starts_with("SG-") && id[3..].bytes().all(|b| b.is_ascii_digit())), "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ALL.len());
        assert!(ALL.iter().all(|code| code.help.len() > 15 && page().contains(code.help)));
    }
}
