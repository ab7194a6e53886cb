//! The dns prober: one query, one answer, by datagram, connection or TLS.
//!
//! An answer that did not fit into a datagram is asked for again over TCP, as every resolver does: one that cannot be had
//! whole is of no use to anybody.

mod records;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType, Query};
use hickory_proto::rr::{RData, Record, RecordType};
use sage_common::error::{CollectError, ErrorKind};
use sage_common::net::tls::Shown;
use sage_common::prober::Outcome;
use sage_common::put;
use sage_common::sink::Sink;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UdpSocket;
use url::Host;

use super::{Ask, reason};
use crate::allowed::Fence;
use crate::config::dns::{DnsConfig, Rcode, Transport, Validator, rcode_name};
use crate::connection::{self, Phase, Route, Secure, Seen, Stream};
use crate::metrics::{DNS_ADDITIONALS, DNS_ANSWERS, DNS_AUTHORITIES, DNS_DURATION, DNS_RCODE, DNS_SERIAL, DNS_SUCCEEDED, DNS_TRUNCATED};

/// Largest datagram.
const MAX_DATAGRAM: usize = 64 << 10;

/// Reads `host`, `host:port` or an address; the port is none where none is given.
fn parse(target: &str) -> Result<(Host, Option<u16>), String> {
    let wrong = || "the target is not HOST or HOST:PORT of a DNS server: write target=192.0.2.53".to_owned();
    if let Ok(v6) = target.parse::<Ipv6Addr>() {
        return Ok((Host::Ipv6(v6), None));
    }
    connection::place(target).ok_or_else(wrong)
}

/// Refuses what cannot be a target.
///
/// # Errors
/// What is wrong, without the target itself.
pub fn accept(target: &str) -> Result<(), String> {
    parse(target).map(drop)
}

#[derive(Debug, Default)]
struct Facts {
    seen: Seen,
    truncated: bool,
    answer: Option<Message>,
}

/// Probes.
pub async fn probe(ask: Ask<'_>) -> Outcome {
    let default = DnsConfig::default();
    let dns = ask.module.dns.as_ref().unwrap_or(&default);
    let mut facts = Facts { seen: Seen::telling(ask.log), ..Facts::default() };
    let ended = ask.deadline.run(exchange(ask.target, dns, ask.module.fence(), &mut facts)).await;
    let ended = ended.unwrap_or_else(|_| Err(facts.seen.clock.timeout()));
    facts.seen.clock.stop();
    let ended = ended.and_then(|()| facts.answer.as_ref().map_or(Ok(()), |answer| judge(dns, answer)));
    facts.write(dns, ask.out);
    let answered = facts.answer.is_some() || facts.truncated || facts.seen.connected;
    Outcome { answered, success: ended.is_ok(), error: ended.err() }
}

async fn exchange(target: &str, dns: &DnsConfig, fence: Fence<'_>, facts: &mut Facts) -> Result<(), CollectError> {
    let (host, port) = parse(target).map_err(|text| CollectError::new(ErrorKind::Internal, text))?;
    let port = port.unwrap_or(if dns.dns_over_tls { 853 } else { 53 });
    let query = query(dns)?;
    let bytes = query.to_vec().map_err(|e| CollectError::new(ErrorKind::Internal, "write the query").caused_by(e))?;
    // Files are read before the clock runs and before the target waits for us.
    let secure = dns.dns_over_tls.then(|| secure(dns, connection::bare(&host))).transpose()?;
    let route = Route {
        fence: fence.by(dns.dns_over_tls),
        preferred: dns.preferred_ip_protocol,
        fallback: dns.ip_protocol_fallback,
        source: dns.source_ip_address,
    };
    if dns.transport_protocol == Transport::Udp {
        let answer = by_datagram(&host, port, route, &query, &bytes, &mut facts.seen).await?;
        facts.truncated = answer.metadata.truncation;
        if !facts.truncated {
            facts.answer = Some(answer);
            return Ok(());
        }
    }
    let stream = connection::open(&host, port, route, &mut facts.seen).await.map_err(|e| told(e, facts.truncated))?;
    let mut stream: Box<dyn Stream> = match secure {
        Some(secure) => secure.start(stream, &mut facts.seen).await?,
        None => Box::new(stream),
    };
    facts.seen.clock.enter(Phase::Processing);
    let answer = by_stream(&mut stream, &bytes).await?;
    facts.seen.clock.stop();
    if !belongs(&query, &answer) {
        return Err(CollectError::new(ErrorKind::Decode, "the answer is to another question"));
    }
    facts.answer = Some(answer);
    Ok(())
}

fn told(mut error: CollectError, truncated: bool) -> CollectError {
    if truncated {
        error.context.insert_str(0, "the answer did not fit into a datagram, and over TCP: ");
    }
    error
}

fn query(dns: &DnsConfig) -> Result<Message, CollectError> {
    let name = dns.query_name.as_ref().ok_or_else(|| CollectError::new(ErrorKind::Internal, "the module has no query_name"))?;
    let mut question = Query::query(name.0.clone(), dns.query_type.0);
    question.set_query_class(dns.query_class.0);
    let mut message = Message::query();
    message.metadata.recursion_desired = dns.recursion_desired;
    message.add_query(question);
    Ok(message)
}

fn secure(dns: &DnsConfig, host: String) -> Result<Secure, CollectError> {
    let shown = Arc::new(Shown::default());
    Ok(Secure {
        config: dns.tls_config.client(&["dot"], true, &shown)?,
        shown,
        name: dns.tls_config.server_name.clone().unwrap_or(host),
        checked: !dns.tls_config.insecure_skip_verify,
    })
}

fn decode(bytes: &[u8]) -> Result<Message, CollectError> {
    Message::from_vec(bytes).map_err(|e| CollectError::new(ErrorKind::Decode, "the answer is no DNS message").caused_by(e))
}

/// Whether this is the answer to that query. A server that understood nothing need not repeat the question.
fn belongs(query: &Message, answer: &Message) -> bool {
    let same = answer.queries.is_empty() || answer.queries.len() == 1 && answer.queries.iter().eq(&query.queries);
    answer.metadata.id == query.metadata.id && answer.metadata.message_type == MessageType::Response && same
}

async fn by_datagram(
    host: &Host,
    port: u16,
    route: Route<'_>,
    query: &Message,
    bytes: &[u8],
    seen: &mut Seen,
) -> Result<Message, CollectError> {
    let at = connection::locate(host, port, route, seen).await?;
    let failed = |what: &str, e| CollectError::io(format!("{what} {at}"), e);
    let any = if at.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = SocketAddr::new(route.source.unwrap_or(any), 0);
    let socket = UdpSocket::bind(from).await.map_err(|e| failed(&format!("ask from {}", from.ip()), e))?;
    socket.connect(at).await.map_err(|e| failed("connect to", e))?;
    seen.clock.enter(Phase::Processing);
    socket.send(bytes).await.map_err(|e| failed("ask", e))?;
    let mut buffer = Vec::with_capacity(MAX_DATAGRAM);
    loop {
        buffer.clear();
        socket.recv_buf(&mut buffer).await.map_err(|e| failed("read the answer of", e))?;
        // Whoever guesses our port may send datagrams in the server's name; only one that knows the number counts.
        if buffer.get(..2) != bytes.get(..2) {
            continue;
        }
        let answer = decode(&buffer)?;
        if belongs(query, &answer) {
            seen.clock.stop();
            return Ok(answer);
        }
    }
}

async fn by_stream(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<Message, CollectError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |e| sage_common::net::tls::failed(what, e)
    };
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let framed = [&length.to_be_bytes(), bytes].concat();
    stream.write_all(&framed).await.map_err(failed("send the query"))?;
    stream.flush().await.map_err(failed("send the query"))?;
    let length = stream.read_u16().await.map_err(failed("read the answer"))?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.map_err(failed("read the answer"))?;
    decode(&answer)
}

/// Judges the answer; the first thing that is wrong is the reason.
fn judge(dns: &DnsConfig, answer: &Message) -> Result<(), CollectError> {
    let code = u16::from(answer.metadata.response_code);
    let fine = if dns.valid_rcodes.is_empty() { code == 0 } else { dns.valid_rcodes.iter().any(|Rcode(valid)| *valid == code) };
    if !fine {
        let names: Vec<_> = dns.valid_rcodes.iter().map(|Rcode(valid)| rcode_name(*valid)).collect();
        let wanted = if names.is_empty() { "NOERROR".to_owned() } else { names.join(", ") };
        return Err(CollectError::new(reason::RCODE, format!("the response code is {}, wanted is {wanted}", rcode_name(code))));
    }
    let section = |name: &str, validator: &Validator, records: &[Record]| {
        let shown: Vec<_> = records.iter().map(records::show).collect();
        validator.judge(&shown).map_err(|why| CollectError::new(reason::REGEX, format!("{name}: {why}")))
    };
    section("answer", &dns.validate_answer_rrs, &answer.answers)?;
    section("authority", &dns.validate_authority_rrs, &answer.authorities)?;
    section("additional", &dns.validate_additional_rrs, &answer.additionals)
}

impl Facts {
    fn write(&self, dns: &DnsConfig, out: &mut Sink) {
        self.seen.write(out);
        let spent = |phases: &[Phase]| phases.iter().map(|phase| self.seen.clock.spent(*phase)).sum::<std::time::Duration>();
        put!(out, DNS_DURATION { phase: "resolve" } = spent(&[Phase::Resolve]));
        put!(out, DNS_DURATION { phase: "connect" } = spent(&[Phase::Connect, Phase::Tls]));
        put!(out, DNS_DURATION { phase: "request" } = spent(&[Phase::Processing, Phase::Transfer]));
        put!(out, DNS_SUCCEEDED {} = self.answer.is_some());
        let Some(answer) = &self.answer else { return };
        put!(out, DNS_ANSWERS {} = answer.answers.len());
        put!(out, DNS_AUTHORITIES {} = answer.authorities.len());
        put!(out, DNS_ADDITIONALS {} = answer.additionals.len());
        put!(out, DNS_RCODE {} = u16::from(answer.metadata.response_code));
        put!(out, DNS_TRUNCATED {} = self.truncated);
        if let Some(RData::SOA(soa)) = answer.answers.first().map(|r| &r.data).filter(|_| dns.query_type.0 == RecordType::SOA) {
            put!(out, DNS_SERIAL {} = soa.serial);
        }
    }
}
