//! The fault proxy: stands between an exporter and its server and behaves as broken networks and servers do. The mode
//! changes at run time and holds for connections that are already open, too. A connection ends towards the server before it
//! ends towards the client, so that who connects anew does not meet its own old one there. Loopback only.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::temp::free_port;

/// How the proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Forward both ways.
    Pass,
    /// Nobody listens; open connections are closed.
    Refuse,
    /// Accept and never answer; open connections go silent. Nothing is lost: back in `Pass` what came meanwhile is sent.
    BlackHole,
    /// Answer whatever the client says with 4 KB of noise, then silence.
    Garbage,
    /// Forward, but only one byte a second towards the client.
    Drip,
    /// Forward, but begin this much later with each new connection.
    LateStart(Duration),
    /// Answer with a TCP reset, on accept or at once.
    Reset,
    /// Forward this many bytes towards the client, counted from the change of mode or the accept, then reset.
    ResetMidAnswer(usize),
    /// Close in order, on accept or at once.
    CloseAtOnce,
    /// PostgreSQL: announce an answer of 2 GB, then silence.
    HostileLength,
    /// PostgreSQL: repeat the answer's first data row for ever.
    EndlessRows,
    /// Answer whatever the client says with these bytes, then silence.
    Say(&'static [u8]),
    /// Send these bytes for ever, unasked.
    Endless(&'static [u8]),
}

/// A running proxy; ended with its connections when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    counts: Arc<Counts>,
    commands: Option<mpsc::UnboundedSender<(Mode, std_mpsc::Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    accepted: AtomicUsize,
    open: AtomicUsize,
}

impl FaultProxy {
    /// Listens on a free port in mode `Pass`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(upstream: SocketAddr) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let counts = Arc::new(Counts::default());
        let (commands, inbox) = mpsc::unbounded_channel();
        let shared = Arc::clone(&counts);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(listen(address, upstream, shared, inbox));
        });
        let proxy = Self { address, counts, commands: Some(commands), thread: Some(thread) };
        proxy.set(Mode::Pass);
        proxy
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port clients connect to.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the mode; the listener is in its new state on return.
    ///
    /// # Panics
    /// When the proxy's thread has died.
    #[track_caller]
    pub fn set(&self, mode: Mode) {
        let (done, wait) = std_mpsc::channel();
        self.commands.as_ref().expect("runs").send((mode, done)).expect("the proxy runs");
        wait.recv_timeout(Duration::from_secs(5)).expect("the proxy listens");
    }

    /// Connections accepted since the start.
    pub fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Client connections open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.commands = None; // ends the loop, whose runtime drops the connections
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(
    address: SocketAddr,
    upstream: SocketAddr,
    counts: Arc<Counts>,
    mut inbox: mpsc::UnboundedReceiver<(Mode, std_mpsc::Sender<()>)>,
) {
    let (mode, _) = watch::channel(Mode::Pass);
    let mut listener = None;
    loop {
        let client = tokio::select! {
            command = inbox.recv() => {
                let Some((new, done)) = command else { return };
                if new == Mode::Refuse {
                    listener = None;
                    refuses(address).await;
                } else if listener.is_none() {
                    listener = Some(TcpListener::bind(address).await.expect("the port is ours"));
                }
                mode.send_replace(new);
                let _ = done.send(());
                continue;
            }
            client = accept(listener.as_ref()) => client,
        };
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        counts.open.fetch_add(1, Ordering::SeqCst);
        let (modes, counts) = (mode.subscribe(), Arc::clone(&counts));
        tokio::spawn(async move {
            Connection::new(client, upstream).serve(modes).await;
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Waits until nobody listens any more: a process that another test is just starting holds a copy of the socket until it
/// runs its program.
async fn refuses(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            Some(listener) => {
                if let Ok((client, _)) = listener.accept().await {
                    return client;
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// What ends one mode's work on a connection.
enum End {
    /// The mode has changed: go on in the new one.
    Changed,
    /// The connection is over.
    Closed,
    /// The connection is over, and the client is to see a reset.
    Reset,
}

/// How long a server may take to end a connection; one that works on a statement notices later.
const LETTING_GO: Duration = Duration::from_secs(1);

struct Connection {
    client: TcpStream,
    address: SocketAddr,
    upstream: Option<TcpStream>,
    /// Read from the client and not yet sent on.
    pending: Vec<u8>,
}

impl Connection {
    fn new(client: TcpStream, address: SocketAddr) -> Self {
        let _ = client.set_nodelay(true);
        Self { client, address, upstream: None, pending: Vec::new() }
    }

    async fn serve(mut self, mut modes: watch::Receiver<Mode>) {
        loop {
            let mode = *modes.borrow_and_update();
            let end = match mode {
                Mode::Pass | Mode::Drip | Mode::LateStart(_) | Mode::ResetMidAnswer(_) | Mode::EndlessRows => {
                    self.forward(mode, &mut modes).await
                }
                Mode::BlackHole => self.swallow(&mut modes).await,
                Mode::Garbage => self.answer(&noise(), &mut modes).await,
                Mode::HostileLength => self.answer(b"R\x7f\xff\xff\xff", &mut modes).await,
                Mode::Say(bytes) => self.answer(bytes, &mut modes).await,
                Mode::Endless(bytes) => endless(&mut self.client, bytes, &mut modes).await,
                Mode::Reset => Ok(End::Reset),
                Mode::Refuse | Mode::CloseAtOnce => Ok(End::Closed),
            };
            // A broken connection is what this tool makes; nobody needs to be told.
            match end {
                Ok(End::Changed) => continue,
                // With a linger time of zero the drop that follows sends RST instead of FIN.
                Ok(End::Reset) => {
                    self.let_go().await;
                    let _ = self.client.set_zero_linger();
                }
                Ok(End::Closed) | Err(_) => self.let_go().await,
            }
            return;
        }
    }

    /// Ends the connection to the server and waits until the server has ended it, too: its process has left its tables then.
    async fn let_go(&mut self) {
        let Some(mut upstream) = self.upstream.take() else { return };
        let _ = upstream.shutdown().await;
        let mut rest = [0; 16 * 1024];
        let end = async { while upstream.read(&mut rest).await.is_ok_and(|n| n > 0) {} };
        let _ = tokio::time::timeout(LETTING_GO, end).await;
    }

    async fn forward(&mut self, mode: Mode, modes: &mut watch::Receiver<Mode>) -> io::Result<End> {
        let upstream = match &mut self.upstream {
            Some(stream) => stream,
            none => {
                if let Mode::LateStart(time) = mode {
                    tokio::time::sleep(time).await;
                }
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        upstream.write_all(&std::mem::take(&mut self.pending)).await?;
        let mut left = match mode {
            Mode::ResetMidAnswer(bytes) => bytes,
            _ => usize::MAX,
        };
        let mut rows = Rows::default();
        let mut next = Instant::now();
        let (mut up, mut down) = ([0; 16 * 1024], [0; 16 * 1024]);
        loop {
            if left == 0 {
                return Ok(End::Reset);
            }
            let drips = mode == Mode::Drip;
            let size = if drips { 1 } else { left.min(down.len()) };
            let open = !drips || Instant::now() >= next;
            tokio::select! {
                changed = modes.changed() => return Ok(if changed.is_ok() { End::Changed } else { End::Closed }),
                read = self.client.read(&mut up) => match read? {
                    0 => return Ok(End::Closed),
                    n => upstream.write_all(&up[..n]).await?,
                },
                read = upstream.read(&mut down[..size]), if open => match read? {
                    0 => return Ok(End::Closed),
                    n => {
                        if mode == Mode::EndlessRows {
                            let (before, row) = rows.split(&down[..n]);
                            self.client.write_all(&before).await?;
                            if let Some(row) = row {
                                return endless(&mut self.client, &row, modes).await;
                            }
                            continue;
                        }
                        self.client.write_all(&down[..n]).await?;
                        left -= n;
                        next = Instant::now() + Duration::from_secs(1);
                    }
                },
                () = sleep_until(next), if !open => {}
            }
        }
    }

    /// Reads and keeps until the mode changes.
    async fn swallow(&mut self, modes: &mut watch::Receiver<Mode>) -> io::Result<End> {
        let mut buffer = [0; 16 * 1024];
        loop {
            tokio::select! {
                changed = modes.changed() => return Ok(if changed.is_ok() { End::Changed } else { End::Closed }),
                read = self.client.read(&mut buffer) => match read? {
                    0 => return Ok(End::Closed),
                    n => self.pending.extend_from_slice(&buffer[..n]),
                },
            }
        }
    }

    /// Waits for the client to say something, answers with `bytes`, and is silent until the mode changes. The
    /// conversation is spoilt then: closed.
    async fn answer(&mut self, bytes: &[u8], modes: &mut watch::Receiver<Mode>) -> io::Result<End> {
        let mut buffer = [0; 16 * 1024];
        let mut answered = false;
        loop {
            tokio::select! {
                changed = modes.changed() => {
                    return Ok(if changed.is_ok() && !answered { End::Changed } else { End::Closed });
                }
                read = self.client.read(&mut buffer) => match read? {
                    0 => return Ok(End::Closed),
                    _ if answered => {}
                    _ => {
                        answered = true;
                        self.client.write_all(bytes).await?;
                    }
                },
            }
        }
    }
}

async fn endless(client: &mut TcpStream, row: &[u8], modes: &mut watch::Receiver<Mode>) -> io::Result<End> {
    let block = row.repeat(16 * 1024 / row.len() + 1);
    loop {
        tokio::select! {
            _ = modes.changed() => return Ok(End::Closed),
            written = client.write_all(&block) => written?,
        }
    }
}

/// Cuts the server's stream into PostgreSQL messages (a type byte, a length that counts itself) and stops at the first
/// DataRow. It must begin where a message begins: at the login, or in an idle session.
#[derive(Default)]
struct Rows {
    partial: Vec<u8>,
}

impl Rows {
    /// The complete messages before the first row, and the row once it is complete.
    fn split(&mut self, bytes: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
        self.partial.extend_from_slice(bytes);
        // The refusal of TLS is one byte without a length.
        if self.partial == b"N" {
            return (std::mem::take(&mut self.partial), None);
        }
        let mut at = 0;
        while let Some(header) = self.partial.get(at..at + 5) {
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize + 1;
            let Some(message) = self.partial.get(at..at + length) else { break };
            if header[0] == b'D' {
                let row = message.to_vec();
                return (self.partial[..at].to_vec(), Some(row));
            }
            at += length;
        }
        (self.partial.drain(..at).collect(), None)
    }
}

/// 4 KB that look like nothing: a fixed sequence, so that a failing test fails again.
fn noise() -> Vec<u8> {
    let mut state: u32 = 0x9e37_79b9;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_be_bytes()
    };
    (0..1024).flat_map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_across_reads() {
        let mut rows = Rows::default();
        let stream = b"T\0\0\0\x05xD\0\0\0\x06abD\0\0\0\x04";
        assert_eq!(rows.split(&stream[..3]), (vec![], None));
        assert_eq!(rows.split(&stream[3..9]), (stream[..6].to_vec(), None));
        assert_eq!(rows.split(&stream[9..]), (vec![], Some(stream[6..13].to_vec())));
        assert_eq!(Rows::default().split(b"N"), (b"N".to_vec(), None));
    }
}
