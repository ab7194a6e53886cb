//! Two network namespaces joined by a cable, and a far end in user space that loses, delays and repeats what it answers.
//!
//! The kernels of most machines can do that themselves (netem), but not all have it built in. Here the far end's kernel is
//! told not to answer pings (icmp_echo_ignore_all), and a thread with a raw socket answers as the test says.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recvfrom, sendto, socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The network of the far end is 10.77.0.0/24; the near end is its .1.
pub const NEAR: &str = "10.77.0.1";

/// How the far end answers the `n`th ping to one of its addresses: each entry is an answer, after that time.
pub type Answers = fn(last: u8, n: u32) -> Vec<Duration>;

/// Two namespaces; they end with this value.
pub struct Cable {
    names: [String; 2],
    stop: Arc<AtomicBool>,
    far: Option<JoinHandle<()>>,
}

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().expect("the command ip (package iproute2)");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Moves this thread, and what it starts from here on, into a namespace.
fn enter(name: &str) {
    let file = File::open(format!("/run/netns/{name}")).expect("the namespace");
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("to enter the namespace");
}

impl Cable {
    /// Lays a cable to a far end with the addresses 10.77.0.N for each of `lasts`, which answers by `answers`. `None`, and a line
    /// past the test runner, where the machine lets nobody make namespaces, as in most containers.
    ///
    /// # Panics
    /// When it lets us, and then something else fails.
    pub fn lay(lasts: &[u8], answers: Answers) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("sage-{}-{number}{end}", std::process::id());
        let mut cable = Self { names: [name('a'), name('b')], stop: Arc::default(), far: None };
        let [near, far] = &cable.names;
        let made = Command::new("ip").args(["netns", "add", near]).output().expect("the command ip (package iproute2)");
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            let _ = writeln!(std::io::stderr(), "SKIPPED: pings to a far end that loses and delays: no network namespaces here: {why}");
            return None;
        }
        ip(&format!("netns add {far}"));
        for name in [near, far] {
            ip(&format!("-n {name} link set lo up"));
        }
        ip(&format!("-n {near} link add v0 type veth peer name v0 netns {far}"));
        ip(&format!("-n {near} address add {NEAR}/24 dev v0"));
        for last in lasts {
            ip(&format!("-n {far} address add 10.77.0.{last}/24 dev v0"));
        }
        for name in [near, far] {
            ip(&format!("-n {name} link set v0 up"));
        }
        let (name, stop) = (far.clone(), Arc::clone(&cable.stop));
        cable.far = Some(thread::spawn(move || {
            enter(&name);
            std::fs::write("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1").expect("to keep the kernel silent");
            let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)).expect("a raw socket");
            answer(&socket, answers, &stop);
        }));
        Some(cable)
    }

    /// Does something at the near end, in a thread of its own; what it starts runs there.
    ///
    /// # Panics
    /// When it does.
    pub fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter(&self.names[0]);
                    work()
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(far) = self.far.take() {
            let _ = far.join();
        }
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

/// Answers until it is to stop.
fn answer(socket: &OwnedFd, answers: Answers, stop: &AtomicBool) {
    let mut seen = [0_u32; 256];
    let mut waiting: Vec<(Instant, Ipv4Addr, Vec<u8>)> = Vec::new();
    let mut buffer = vec![0; 65536];
    set_socket_timeout(socket, Timeout::Recv, Some(Duration::from_micros(500))).expect("a time limit");
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(at, ..)| *at <= now);
        waiting = later;
        for (_, from, packet) in due {
            // The answer must come from the address that was asked: each has a socket of its own.
            let _ = reply_from(from, &packet);
        }
        match recvfrom(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((length, _, Some(asker))) => {
                let packet = &buffer[..length.min(buffer.len())];
                let Ok(SocketAddr::V4(asker)) = SocketAddr::try_from(asker) else { continue };
                // An IP header of 20 bytes, then an echo request.
                if packet.len() < 28 || packet[20] != 8 {
                    continue;
                }
                let asked = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
                let n = &mut seen[usize::from(packet[19])];
                let mut echo = packet[20..].to_vec();
                echo[0] = 0;
                echo[2..4].copy_from_slice(&[0, 0]);
                let sum = checksum(&echo);
                echo[2..4].copy_from_slice(&sum.to_be_bytes());
                echo.splice(0..0, asker.ip().octets());
                waiting.extend(answers(packet[19], *n).into_iter().map(|after| (Instant::now() + after, asked, echo.clone())));
                *n += 1;
            }
            Ok(_) => {}
            // Nothing came while the socket waited.
            Err(Errno::AGAIN) => {}
            Err(error) => panic!("the far end cannot receive: {error}"),
        }
    }
}

fn reply_from(from: Ipv4Addr, packet: &[u8]) -> rustix::io::Result<()> {
    let (to, echo) = packet.split_at(4);
    let to = IpAddr::from([to[0], to[1], to[2], to[3]]);
    let socket = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
    rustix::net::bind(&socket, &SocketAddr::new(from.into(), 0))?;
    sendto(&socket, echo, SendFlags::empty(), &SocketAddr::new(to, 0)).map(drop)
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
