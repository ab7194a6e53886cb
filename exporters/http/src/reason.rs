//! Why a probe failed: one table, from which `probe_error_info{reason}` and the README's list are made.
//!
//! A reason tells a person at night where to look; `sage_error{reason}` has the coarse one that all exporters share. Who
//! knows what went wrong says so by `Reason::error` or `Reason::on`; else it follows from the number of the error's causes
//! (`codes`), whose row names the reason.

use std::error::Error as _;

use sage_common::codes::{self, Code};
use sage_common::error::{CollectError, ErrorKind};

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The label value.
    pub name: &'static str,
    /// What `sage_error` says of it.
    pub coarse: ErrorKind,
    /// What it tells.
    pub means: &'static str,
}

/// The coarse reasons that only probes have: the target answered, but not what the module wants.
pub mod coarse {
    use sage_common::error::ErrorKind;

    /// The address is one that is never asked.
    pub const FORBIDDEN: ErrorKind = ErrorKind::Product("forbidden");
    /// The redirects do not end, or lead where we do not follow.
    pub const REDIRECT: ErrorKind = ErrorKind::Product("redirect");
    /// The status code is not one that the module takes.
    pub const STATUS: ErrorKind = ErrorKind::Product("status");
    /// The HTTP version is not one that the module takes.
    pub const VERSION: ErrorKind = ErrorKind::Product("http_version");
    /// A regular expression or another check of the content says no.
    pub const REGEX: ErrorKind = ErrorKind::Product("regex");
    /// TLS where the module wants none, or none where it wants TLS.
    pub const SSL: ErrorKind = ErrorKind::Product("ssl");
    /// The proxy does not do its part.
    pub const PROXY: ErrorKind = ErrorKind::Product("proxy");
    /// The response code of the DNS answer is not one that the module takes.
    pub const RCODE: ErrorKind = ErrorKind::Product("rcode");
    /// The gRPC server answered, but the service is not well.
    pub const GRPC: ErrorKind = ErrorKind::Product("grpc");
    /// All of them.
    pub const ALL: &[&str] = &["forbidden", "redirect", "status", "http_version", "regex", "ssl", "proxy", "rcode", "grpc"];
}

macro_rules! reasons {
    ($($constant:ident = $name:literal, $coarse:expr, $means:literal;)*) => {
        impl Reason {
            $(
                #[doc = $means]
                pub const $constant: Self = Self { name: $name, coarse: $coarse, means: $means };
            )*
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$constant),*];
        }
    };
}

reasons! {
    DNS_NXDOMAIN = "dns_nxdomain", ErrorKind::Resolve, "The name does not exist, or has no address.";
    DNS_FAILED = "dns_failed", ErrorKind::Resolve, "The resolver could not be asked or failed.";
    DNS_TIMEOUT = "dns_timeout", ErrorKind::Timeout, "The resolver did not answer in time.";
    NO_FAMILY = "no_address_of_family", ErrorKind::Resolve, "The name has no address of the family that the module wants.";
    FORBIDDEN = "forbidden", coarse::FORBIDDEN, "The address is link-local or a metadata service: never asked.";
    TARGET_NOT_ALLOWED = "target_not_allowed", coarse::FORBIDDEN, "The module has `allowed_targets`, and the target is not among them: not asked.";
    REFUSED = "refused", ErrorKind::Refused, "Nobody listens on the port, or a firewall says so.";
    UNREACHABLE = "unreachable", ErrorKind::Connect, "There is no way to the address: no route, or a router says no.";
    CONNECT_TIMEOUT = "connect_timeout", ErrorKind::Timeout, "The connection was not made in time: mostly a firewall that drops packets.";
    TOO_BIG = "packet_too_big", ErrorKind::Connect, "The echo request is too big for the way, and may not be cut into fragments.";
    CONNECTION_LOST = "connection_lost", ErrorKind::Connect, "The other end hung up in the middle.";
    PROXY_REFUSED = "proxy_refused", coarse::PROXY, "Nobody listens at the proxy, or it cannot be reached.";
    PROXY_AUTH = "proxy_auth", coarse::PROXY, "The proxy wants a user and password (407), or others.";
    PROXY_FAILED = "proxy_failed", coarse::PROXY, "The proxy answered, but makes no connection to the target.";
    PROXY_TLS = "proxy_tls", coarse::PROXY, "TLS with the proxy failed.";
    PROXY_TIMEOUT = "proxy_timeout", ErrorKind::Timeout, "The proxy took the connection, but did not do its part in time.";
    TLS_EXPIRED = "tls_expired", ErrorKind::Tls, "A certificate has ended.";
    TLS_NOT_YET_VALID = "tls_not_yet_valid", ErrorKind::Tls, "A certificate is not valid yet: compare the clocks.";
    TLS_UNTRUSTED = "tls_untrusted", ErrorKind::Tls, "The certificate's authority is not trusted, or an intermediate certificate is missing.";
    TLS_NAME = "tls_name", ErrorKind::Tls, "The certificate is for another name.";
    TLS_LEGACY = "tls_legacy", ErrorKind::Tls, "No version or cipher in common: mostly a server that knows old ones only.";
    TLS_CLIENT_CERTIFICATE = "tls_client_certificate", ErrorKind::Tls, "The server wants a client certificate, or does not take ours.";
    TLS_NOT_SPOKEN = "tls_not_spoken", ErrorKind::Tls, "What listens there does not speak TLS.";
    TLS_TIMEOUT = "tls_timeout", ErrorKind::Timeout, "The TLS handshake did not end in time.";
    TLS_FAILED = "tls_failed", ErrorKind::Tls, "TLS failed otherwise, or a file of tls_config cannot be used.";
    TLS_UNWANTED = "tls_unwanted", coarse::SSL, "The answer came over TLS, which fail_if_ssl refuses.";
    TLS_MISSING = "tls_missing", coarse::SSL, "The answer came without TLS, which fail_if_not_ssl refuses.";
    PROTOCOL = "protocol", ErrorKind::Decode, "The answer is not what the protocol promises.";
    HEAD_SIZE = "head_size", ErrorKind::Limit, "The answer's head, or a line of it, is larger than is taken.";
    HTTP_STATUS = "http_status", coarse::STATUS, "The status code is not one that the module takes.";
    HTTP_VERSION = "http_version", coarse::VERSION, "The HTTP version is not one that the module takes.";
    REDIRECT_LOOP = "redirect_loop", coarse::REDIRECT, "More than 10 redirects.";
    REDIRECT_FORBIDDEN = "redirect_forbidden", coarse::REDIRECT, "A redirect leads where it is not followed.";
    FIRST_BYTE_TIMEOUT = "first_byte_timeout", ErrorKind::Timeout, "Connected, but no answer began in time.";
    BODY_TIMEOUT = "body_timeout", ErrorKind::Timeout, "The answer began, but did not end in time.";
    BODY_SIZE = "body_size", ErrorKind::Limit, "The body is larger than is taken.";
    BODY_ENCODING = "body_encoding", ErrorKind::Decode, "The body is not compressed as the module wants it.";
    DNS_RCODE = "dns_rcode", coarse::RCODE, "The DNS server answered with a response code that the module does not take.";
    PROTOCOL_MISMATCH = "protocol_mismatch", ErrorKind::Decode, "The server speaks another protocol than the one that the module names.";
    TOO_MANY_CONNECTIONS = "too_many_connections", ErrorKind::Overloaded, "The server is there, but all its connections are taken.";
    NOT_READY = "not_ready", ErrorKind::Starting, "The server is there, but starts, stops or recovers.";
    HOST_DENIED = "host_denied", ErrorKind::Permission, "The server is there, but does not let this machine in.";
    STARTTLS_REFUSED = "starttls_refused", ErrorKind::Tls, "The server is there, but does not offer TLS.";
    GRPC_STATUS = "grpc_status", coarse::GRPC, "The gRPC server answered with a status other than OK.";
    NOT_SERVING = "not_serving", coarse::GRPC, "The gRPC service says of itself that it does not serve.";
    CONTENT = "content", coarse::REGEX, "A check of header or body says no.";
    TOO_SHORT = "too_short", ErrorKind::Decode, "A throughput test: the transfer is too small to tell a rate.";
    BUDGET = "budget", ErrorKind::Overloaded, "A throughput test: the daily budget of bytes is used up.";
    CAPTURE = "capture", coarse::REGEX, "A step found nothing to capture for the steps behind it.";
    AUTH = "auth", ErrorKind::Auth, "A secret of the module cannot be read or sent.";
    TOKEN_REFUSED = "token_refused", ErrorKind::Auth, "The token endpoint gives us no token: client, secret, scope or parameters are not right.";
    TOKEN_FAILED = "token_failed", ErrorKind::Auth, "The token endpoint cannot be reached, or its answer holds no token that can be sent.";
    TOKEN_TIMEOUT = "token_timeout", ErrorKind::Timeout, "The token endpoint gave no token in time.";
    PERMISSION = "permission", ErrorKind::Permission, "The system does not let us, for instance by a local firewall.";
    TIMEOUT = "timeout", ErrorKind::Timeout, "No answer in time, and no phase to name.";
    INTERNAL = "internal", ErrorKind::Internal, "A file of the module cannot be read, or a fault of the exporter.";
}

impl Reason {
    /// An error with this reason.
    pub fn error(self, context: impl Into<String>) -> CollectError {
        CollectError::new(self.coarse, context).detail(self.name)
    }

    /// The same error, with this reason.
    pub fn on(self, mut error: CollectError) -> CollectError {
        error.kind = self.coarse;
        error.detail(self.name)
    }

    /// The reason of an error.
    pub fn of(error: &CollectError) -> Self {
        let told = || codes::of_causes(error.source()).and_then(Self::of_code);
        error.detail.and_then(Self::named).or_else(told).unwrap_or_else(|| match error.kind {
            ErrorKind::Resolve => Self::DNS_FAILED,
            ErrorKind::Refused => Self::REFUSED,
            ErrorKind::Connect | ErrorKind::Overloaded | ErrorKind::Starting => Self::CONNECTION_LOST,
            ErrorKind::Tls => Self::TLS_FAILED,
            ErrorKind::Auth => Self::AUTH,
            ErrorKind::Permission => Self::PERMISSION,
            ErrorKind::Timeout => Self::TIMEOUT,
            ErrorKind::Decode | ErrorKind::Query => Self::PROTOCOL,
            ErrorKind::Limit => Self::HEAD_SIZE,
            ErrorKind::Internal => Self::INTERNAL,
            // A coarse reason that stands for one fine one; who has several names the one.
            ErrorKind::Product(name) => {
                Self::named(name).or_else(|| Self::ALL.iter().copied().find(|reason| reason.coarse == error.kind)).unwrap_or(Self::INTERNAL)
            }
        })
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name == name)
    }

    /// The reason that a number names.
    fn of_code(code: Code) -> Option<Self> {
        // From an address that this machine does not have there is no way to anywhere.
        let code = if code == codes::NOT_OURS { codes::UNREACHABLE } else { code };
        code.reasons.iter().copied().find_map(Self::named)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use rustls::{AlertDescription as Alert, CertificateError as Certificate, Error as Tls};

    use super::*;

    const HEADER: &str = "| reason | `sage_error` | what it tells |";

    #[test]
    fn names_are_unique_and_the_readme_has_them_all() {
        let mut names: Vec<_> = Reason::ALL.iter().map(|reason| reason.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Reason::ALL.len());
        let row = |r: &Reason| format!("| `{}` | `{}` | {} |\n", r.name, r.coarse, r.means);
        let table = format!("{HEADER}\n| --- | --- | --- |\n{}", Reason::ALL.iter().map(row).collect::<String>());
        let readme = std::fs::read_to_string("README.md").unwrap();
        let (before, rest) = readme.split_once(HEADER).unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        let wanted = format!("{before}{table}\n{after}");
        if std::env::var_os("SAGE_GOLDEN").is_some_and(|mode| mode == "write") {
            std::fs::write("README.md", &wanted).unwrap();
        } else {
            assert!(readme == wanted, "README.md: SAGE_GOLDEN=write cargo test -p sage-http-exporter reason");
        }
    }

    #[test]
    fn coarse_reasons_are_declared() {
        for reason in Reason::ALL {
            if let ErrorKind::Product(name) = reason.coarse {
                assert!(coarse::ALL.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn causes_tell_the_reason() {
        let io = |kind: io::ErrorKind| CollectError::io("x", io::Error::from(kind));
        assert_eq!(Reason::of(&io(io::ErrorKind::HostUnreachable)), Reason::UNREACHABLE);
        assert_eq!(Reason::of(&io(io::ErrorKind::ConnectionRefused)), Reason::REFUSED);
        assert_eq!(Reason::of(&io(io::ErrorKind::ConnectionReset)), Reason::CONNECTION_LOST);
        assert_eq!(Reason::of(&io(io::ErrorKind::AddrNotAvailable)), Reason::UNREACHABLE);
        assert_eq!(Reason::of(&io(io::ErrorKind::TimedOut)), Reason::CONNECT_TIMEOUT);
        let tls = |error: Tls| sage_common::net::tls::failed("x", io::Error::other(error));
        assert_eq!(Reason::of(&tls(Tls::InvalidCertificate(Certificate::Expired))), Reason::TLS_EXPIRED);
        assert_eq!(Reason::of(&tls(Tls::AlertReceived(Alert::ProtocolVersion))), Reason::TLS_LEGACY);
        assert_eq!(Reason::of(&tls(Tls::AlertReceived(Alert::CertificateRequired))), Reason::TLS_CLIENT_CERTIFICATE);
        assert_eq!(Reason::of(&tls(Tls::DecryptError)), Reason::TLS_FAILED);
        let marked = Reason::REDIRECT_LOOP.error("x");
        assert_eq!((Reason::of(&marked), marked.kind), (Reason::REDIRECT_LOOP, coarse::REDIRECT));
        assert_eq!(Reason::of(&CollectError::new(coarse::STATUS, "x")), Reason::HTTP_STATUS);
    }
}
