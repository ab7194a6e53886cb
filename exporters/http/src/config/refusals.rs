//! Every file of `config-tests` is one refusal: its message, where it points, and what it says to write instead.

use clap::Parser as _;
use sage_common::app::Program as _;
use sage_common::cli::Cli;
use sage_common::error::Invalid;
use sage_common::prober::Prober;
use sage_common::prober::app::{ProbeApp, ProbeFlags};

use crate::prober::Http;

/// File, number, part of the message, part of the hint, which may be that of the number.
#[rustfmt::skip]
const CASES: &[(&str, &str, &str, &str)] = &[
    ("unknown-key", "SG-0103", ":5:7: unknown key `valid_status_code`", "did you mean `valid_status_codes`?"),
    ("unknown-prober", "SG-0107", ":3:13: unknown prober `htpp`", "did you mean `http`?"),
    ("icmp-ttl", "SG-0113", "module m: ttl: 300 is no time to live", "write 1 to 255"),
    ("icmp-payload", "SG-0113", "module m: payload_size: 65508 bytes do not fit", "write at most 65507"),
    ("prober-missing", "SG-0114", ":3:5: `prober:` is missing among these settings", "write `prober:` and its value"),
    ("dns-empty", "SG-0114", "module m: dns: there is no query_name", "write `query_name: example.com`"),
    ("dns-name-missing", "SG-0114", "module m: dns: there is no query_name", "write `query_name: example.com`"),
    ("dns-name", "SG-0119", ":5:19: \"a..b\" is not a domain name", "write `query_name: www.example.com`"),
    ("dns-type", "SG-0107", ":6:19: query_type: unknown type `AAA`", "TYPE257"),
    ("dns-class", "SG-0107", ":6:20: query_class: unknown class `INN`", "did you mean `IN`?"),
    ("dns-rcode", "SG-0107", ":6:22: valid_rcodes: unknown code `NXDOMAN`", "did you mean `NXDOMAIN`?"),
    ("dns-over-tls", "SG-0114", "module m: dns_over_tls needs a connection", "write `transport_protocol: tcp`"),
    ("dns-transport", "SG-0107", "unknown value `quic`", "udp, tcp"),
    ("icmp", "SG-0112", "module m: the prober is http, but there are settings for icmp", "write `prober: icmp`"),
    ("grpc-authorization", "SG-0104", "module m: metadata: a secret does not stand in this file", "no token"),
    ("grpc-metadata", "SG-0119", "module m: metadata: \"grpc-timeout\" cannot be sent", "letters, digits and hyphens"),
    ("websocket", "SG-0115", "`websocket`: the websocket prober is not supported by this version", "remove the module"),
    ("other-section", "SG-0112", "module m: the prober is http, but there are settings for tcp", "write `prober: tcp`, or remove `tcp:`"),
    ("timeout-zero", "SG-0113", "module m: timeout must be greater than 0", "write `timeout: 5s`"),
    ("timeout-without-unit", "SG-0110", r#":4:14: "5" is not a duration"#, "write it as 500ms, 5s"),
    ("list", "SG-0109", ":5:27: a list is expected here: `[a, b]`", "compare the line with example.yml"),
    ("indented-deeper", "SG-0107", ":3:12: unknown prober `http timeout`", "the same indentation"),
    ("size-negative", "SG-0109", ": a size such as 10MB is expected here", "compare the line with example.yml"),
    ("anchor", "SG-0108", ":2:6: no anchor of this name stands above", "write `&NAME` before the settings"),
    ("backslash", "SG-0102", ":5:37: ", "single quotes around a text with a backslash"),
    ("method", "SG-0119", r#"module m: method: "G T" is not a request method"#, "write `method: GET`"),
    ("method-connect", "SG-0119", r#"module m: method: "CONNECT" is not a request method"#, "write `method: GET`"),
    ("status-code", "SG-0113", "module m: valid_status_codes: 20 is no status code", "codes are 100 to 599"),
    ("http-version", "SG-0107", "module m: valid_http_versions: unknown value `HTTP/1.2`", "did you mean `HTTP/1."),
    ("http-version-2-only", "SG-0112", "module m: valid_http_versions: none of these is spoken", "add `HTTP/2.0` or `HTTP/1.1`"),
    ("enable-http3", "SG-0115", "module m: enable_http3: HTTP/3 is not supported by this version", "write `enable_http3: false`"),
    ("compression", "SG-0115", r#"module m: compression: "zstd" is not supported by this version"#, "write `compression: gzip`"),
    ("header-name", "SG-0119", r#"module m: headers: "X Y" is not a header name"#, "letters, digits and hyphens"),
    ("header-smuggling", "SG-0119", "module m: headers: the value of X-A cannot be sent", "one line of printable characters"),
    ("header-length", "SG-0112", "module m: headers: content-length is set by the exporter", "the length follows the body"),
    ("header-encoding", "SG-0112", "module m: headers: Transfer-Encoding is set by the exporter", "the length follows the body"),
    ("header-authorization", "SG-0104", "module m: headers: a secret does not stand in this file", "credentials_file"),
    ("header-match-name", "SG-0119", r#"module m: "a b" is not a header name"#, "letters, digits and hyphens"),
    ("body-twice", "SG-0112", "module m: body and body_file are given", "write one of them"),
    ("ssl-both", "SG-0112", "module m: fail_if_ssl and fail_if_not_ssl: every answer would fail", "write one of them"),
    ("redirects-both", "SG-0112", "module m: follow_redirects and no_follow_redirects contradict each other", "write `follow_redirects: false`"),
    ("regex", "SG-0118", r#":6:11: "(unclosed" is not a regular expression: unclosed group"#, "RE2 syntax"),
    ("size", "SG-0109", r#""10 apples" is not a size"#, "512KB"),
    ("ip-protocol", "SG-0107", "unknown value `ipv4`", "did you mean `ip4`?"),
    ("password", "SG-0104", "`password`: a secret does not stand in this file", "write `password_file: /path/to/file`"),
    ("basic-user", "SG-0114", "module m: basic_auth: there must be one user", "write `username: NAME`"),
    ("bearer-token", "SG-0104", "`bearer_token`: a secret does not stand in this file", "write `bearer_token_file: /path/to/file`"),
    ("credentials", "SG-0104", "`credentials`: a secret does not stand in this file", "write `credentials_file: /path/to/file`"),
    ("credentials-none", "SG-0114", "module m: authorization: there is no credential", "write `credentials_file: /path/to/file`"),
    ("authorization-basic", "SG-0119", r#"module m: authorization: type "Basic" cannot be used"#, "`basic_auth:` for user and password"),
    ("credentials-twice", "SG-0112", "module m: more than one credential is given", "write one of basic_auth"),
    ("oauth2", "SG-0120", "module m: oauth2 would be shown to whatever target", "write `allowed_targets: ["),
    ("oauth2-client", "SG-0114", "module m: oauth2: there is no client", "write `client_id: NAME`"),
    ("oauth2-url", "SG-0114", "module m: oauth2: it is not said where the token is had", "write `token_url: https://"),
    ("oauth2-url-scheme", "SG-0117", "`token_url`: a token is asked for by http or https", "write `token_url: https://"),
    ("oauth2-url-password", "SG-0104", "`token_url`: a secret does not stand in this file", "write `token_url: https://"),
    ("oauth2-secret", "SG-0104", "`client_secret`: a secret does not stand in this file", "write `client_secret_file: /path/to/file`"),
    ("oauth2-grant", "SG-0115", "module m: oauth2: only client credentials are supported", "write `grant_type: client_credentials`"),
    ("oauth2-jwt", "SG-0115", "`client_certificate_key_file`: tokens by a signed JWT are not supported", "write `client_secret_file:"),
    ("oauth2-proxy", "SG-0114", "module m: oauth2: there are settings for a proxy, but no proxy", "write `proxy_url: http://"),
    ("oauth2-twice", "SG-0112", "module m: more than one credential is given", "bearer_token_file and oauth2"),
    ("http-headers", "SG-0104", "`secrets`: a secret does not stand in this file", "write `files: [/path/to/file]`"),
    ("http-headers-none", "SG-0114", "module m: http_headers: X-A has no value", "write `values: [...]`"),
    ("http-headers-authorization", "SG-0104", "module m: http_headers: a secret does not stand in this file", "credentials_file"),
    ("json-path", "SG-0118", r#""a..b" is no place in JSON"#, "`user.name`"),
    ("steps-unknown-variable", "SG-0108", "module m: step cart: `${token}` is neither a secret nor captured by an earlier step", "capture:"),
    ("steps-open-variable", "SG-0119", "a `${` is not closed", "write `${name}`"),
    ("steps-secret-in-url", "SG-0120", "module m: step login: url: the secret password would stand in others' logs", "send it in `form:`"),
    ("steps-two-bodies", "SG-0112", "module m: step login: form and json are given", "write one of them"),
    ("steps-same-name", "SG-0111", "module m: steps: there are two of the name a", "give each its own name"),
    ("steps-and-rules", "SG-0112", "module m: steps: method, body and rules for the answer belong to a step", "`expect:` into it"),
    ("steps-name", "SG-0113", "module m: step : the name must have 1 to 64 characters", "write `name: login`"),
    ("steps-method", "SG-0119", "module m: step a: method is not a request method", "write `method: POST`"),
    ("steps-header", "SG-0112", "module m: step a: headers: Cookie is set by the exporter", "remove it"),
    ("steps-status", "SG-0113", "module m: step a: expect: 20 is no status code", "codes are 100 to 599"),
    ("steps-capture-secret", "SG-0111", "module m: step a: capture: password is the name of a secret", "choose another name"),
    ("steps-too-many", "SG-0113", "module m: steps: more than 20", "split them"),
    ("secrets-unused", "SG-0114", "module m: secrets: there are no steps that use them", "write `steps:`"),
    ("proxy-url", "SG-0104", ":6:18: `proxy_url`: a secret does not stand in this file", "write `proxy_basic_auth: {username: NAME, password_file: /path/to/file}`"),
    ("proxy-scheme", "SG-0117", "a proxy of scheme socks5 is not supported", "write `proxy_url: http://"),
    ("proxy-basic-user", "SG-0114", "module m: proxy_basic_auth: there must be one user", "write `username: NAME`"),
    ("no-proxy", "SG-0114", "module m: there are settings for a proxy, but no proxy", "write `proxy_url: http://"),
    ("proxy-from-environment", "SG-0112", "module m: proxy_from_environment: the module names a proxy", "write either"),
    ("proxy-connect-header", "SG-0104", "module m: proxy_connect_header: a secret does not stand in this file", "write `proxy_basic_auth:"),
    ("proxy-connect-header-name", "SG-0119", r#"module m: proxy_connect_header: "a b" is not a header name"#, "letters, digits and hyphens"),
    ("proxy-connect-header-value", "SG-0119", "module m: proxy_connect_header: the value of X-A cannot be sent", "one line of printable"),
    ("json-cel", "SG-0115", "`fail_if_body_json_matches_cel`: CEL is not supported", "`fail_if_body_json_matches:"),
    ("json-not-cel", "SG-0115", "`fail_if_body_json_not_matches_cel`: CEL is not supported", "`fail_if_body_json_not_matches:"),
    ("tls-key-missing", "SG-0114", "module m: tls_config: a client certificate needs both files", "write cert_file and key_file"),
    ("tls-version", "SG-0107", "unknown value `TLS14`", "did you mean `TLS1"),
    ("tls-too-old", "SG-0120", "only TLS 1.2 and 1.3 are spoken", "write `min_version: TLS12`"),
    ("tls-key-inline", "SG-0104", "`key`: a secret does not stand in this file", "write `key_file: /path/to/file`"),
    ("tls-ca-inline", "SG-0115", "`ca`: a certificate does not stand in this file", "write `ca_file: /path/to/file`"),
    ("tls-cert-inline", "SG-0115", "`cert`: a certificate does not stand in this file", "write `cert_file: /path/to/file`"),
    ("tls-twice", "SG-0112", "module m: TLS begins more than once", "write either `tls: true`"),
    ("ping-direction", "SG-0107", ":4:18: unknown value `north`", "did you mean `north-south`?"),
    ("ping-interval", "SG-0113", "ping: group 1: pings follow each other too closely", "an interval of 100ms"),
    ("ping-burst", "SG-0112", "ping: group 1: a burst of 10 pings, one each 200ms, is longer than the interval of 1s", "lower count"),
    ("ping-name-twice", "SG-0111", r#"ping: group 2: there are two targets with the name "a""#, "`name:` of its own"),
    ("ping-host", "SG-0117", r#"ping: group 1: "http://a/" is not a host"#, "without port or scheme"),
    ("ping-port", "SG-0114", "ping: group 1: a: a ping by TCP needs a port", "write `port: 443`"),
    ("ping-timeout", "SG-0113", "ping: group 1: timeout: 1m cannot be waited for", "write 10ms to 30s"),
    ("ping-payload", "SG-0113", "ping: group 1: payload_size: 8 bytes", "16 to 65507"),
    ("ping-count", "SG-0113", "ping: group 1: count: 0 pings", "write 1 to 100"),
    ("ping-window", "SG-0113", "ping: window: 0 pings", "write 1 to 1000"),
    ("ping-resolve", "SG-0113", "ping: resolve_interval must be at least 1s", "write `resolve_interval: 60s`"),
    ("ping-label", "SG-0119", r#"ping: labels: "ip" cannot be a label here"#, "letters, digits and underscores"),
    ("throughput-interval", "SG-0113", "throughput: target a: interval: 5m is too short for north-south", "write 15m or more"),
    ("throughput-nothing", "SG-0114", "throughput: target a: there is nothing to transfer", "`download: URL`"),
    ("throughput-password", "SG-0104", "throughput: target a: a user or password stands in the URL", "`bearer_token_file:`"),
    ("throughput-url", "SG-0117", ":5:17: this is not a URL", "write https://HOST/PATH"),
    ("throughput-clear", "SG-0120", "throughput: target a: the token would be sent in the clear", "write https://"),
    ("throughput-scheme", "SG-0117", "throughput: target a: a transfer is by http or https", "write https://HOST/PATH"),
    ("throughput-bytes", "SG-0113", "throughput: target a: max_bytes: so few bytes", "write 1MB or more"),
    ("throughput-time", "SG-0113", "throughput: target a: max_time: 1h is no time for a transfer", "write 1s to 2m"),
    ("throughput-twice", "SG-0111", r#"throughput: there are two targets with the name "a""#, "write another `name:`"),
    ("expect-twice", "SG-0112", "module m: query_response: a step has expect and expect_bytes", "write one of them"),
    ("labels-without-expect", "SG-0114", "module m: query_response: labels are made from what `expect` matches", "write `expect:`"),
    ("label-name", "SG-0119", "module m: labels: \"instance\" cannot be the name of a label", "neither `job` nor `instance`"),
    ("label-twice", "SG-0111", "module m: labels: version is given twice", "give each label once"),
    ("protocol", "SG-0107", "unknown value `postgres`", "did you mean `postgresql`?"),
    ("protocol-and-steps", "SG-0112", "module m: protocol and query_response are given", "write one of them"),
    ("protocol-mysql-tls", "SG-0112", "module m: protocol: what a server of MySQL says of itself comes before TLS", "two modules"),
    ("starttls", "SG-0107", "unknown value `postgresql`", "postgres"),
    ("starttls-twice", "SG-0112", "module m: TLS begins more than once", "write either `tls: true`"),
    ("unix-auto", "SG-0112", "module m: protocol: a Unix socket has no port", "name it: `protocol: postgresql`"),
    ("unix-tls-name", "SG-0114", "module m: tls_config: a socket has no name", "write `server_name: NAME`"),
    ("source-address", "SG-0117", r#":4:30: "eth0" is not an address"#, "ip -brief address"),
    ("addresses", "SG-0107", "unknown value `every`", "first, any, all"),
    ("addresses-proxy", "SG-0112", "module m: addresses: what the proxy looks up has no addresses here", "write `addresses: first`"),
    ("targets-basic", "SG-0120", "module m: basic_auth would be shown to whatever target a request names", "write `allowed_targets: ["),
    ("targets-header", "SG-0120", "module m: headers: X-Api-Key would be shown", "write `allowed_targets: ["),
    ("targets-file", "SG-0120", "module m: http_headers: X-A would be shown", "write `allowed_targets: ["),
    ("targets-secrets", "SG-0120", "module m: secrets would be shown", "write `allowed_targets: ["),
    ("targets-step-header", "SG-0120", "module m: steps: headers: X-Auth would be shown", "write `allowed_targets: ["),
    ("targets-certificate", "SG-0120", "module m: tls_config: the certificate of `cert_file` would be shown", "write `allowed_targets: ["),
    ("targets-metadata", "SG-0120", "module m: metadata: x-token would be shown", "write `allowed_targets: ["),
    ("targets-none", "SG-0114", "module m: allowed_targets: nobody is allowed", "write `allowed_targets: ["),
    ("targets-star", "SG-0117", r#":4:23: "*.example.com" is no target"#, "write `.example.com`"),
    ("targets-url", "SG-0117", r#":4:34: "http://a.example/x" is no target"#, "HOST:PORT"),
];

fn load(file: &str) -> Result<ProbeApp<Http>, Invalid> {
    let args = ["x".to_owned(), format!("--config.file={file}")];
    let cli = Cli::<ProbeFlags, <Http as Prober>::Command>::try_parse_from(args).unwrap();
    ProbeApp::load(&cli.common, &cli.own, &[])
}

#[test]
fn every_file_is_refused_with_message_and_hint() {
    let mut wrong = Vec::new();
    for (name, code, message, hint) in CASES {
        let file = format!("config-tests/invalid-{name}.yml");
        let Some(error) = load(&file).err() else {
            wrong.push(format!("{name}: taken"));
            continue;
        };
        let hinted = !hint.is_empty() && error.advice().contains(hint);
        let placed = [file.as_str(), "module m: ", "ping: ", "throughput: "].iter().any(|place| error.message.starts_with(place));
        if !placed || !error.message.contains(message) || !hinted || error.code.id != *code {
            wrong.push(format!("{name}: {error} ({})", error.code));
        }
        if error.to_string().contains("canary") {
            wrong.push(format!("{name} shows a secret: {error}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn every_file_has_a_case() {
    let mut files: Vec<_> =
        std::fs::read_dir("config-tests").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut cases: Vec<_> = CASES.iter().map(|(name, ..)| format!("invalid-{name}.yml")).collect();
    files.sort();
    cases.sort();
    assert_eq!(files, cases);
}

#[test]
fn the_example_is_taken_and_shows_no_secret() {
    use sage_common::app::App as _;
    let shown = load("example.yml").ok().unwrap().effective_config();
    assert!(shown.contains("fail_if_body_not_matches_regexp"), "{shown}");
    assert!(shown.contains("X-Probe: <hidden>") && shown.contains("<13 bytes>"), "{shown}");
}
