//! A small OAuth 2 server: hands out tokens by client credentials (RFC 6749) and tells a web server which of them it knows.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Debug, Default)]
struct State {
    /// The value of the Authorization header that a client must send.
    client: String,
    issued: u32,
    known: BTreeSet<String>,
}

/// A running server; its thread ends with the test.
#[derive(Debug)]
pub struct TokenServer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl TokenServer {
    /// Starts one for the client whose basic authentication is `client`.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(client: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State { client: client.to_owned(), ..State::default() }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up in the middle is its own affair.
                let _ = answer(stream, &shared);
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many tokens were given.
    ///
    /// # Panics
    /// When its thread did.
    pub fn issued(&self) -> u32 {
        self.state.lock().expect("its thread runs").issued
    }

    /// Takes back all tokens.
    ///
    /// # Panics
    /// When its thread did.
    pub fn revoke(&self) {
        self.state.lock().expect("its thread runs").known.clear();
    }
}

/// `POST /token` gives a token; `GET /check` says 204 to a known one and 401 to others.
fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
    let (mut line, mut length, mut credential) = (String::new(), 0, String::new());
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header == "\r\n" {
            break;
        }
        let (name, value) = header.trim_end().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap_or(0),
            "authorization" => value.clone_into(&mut credential),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let mut state = state.lock().map_err(|_| std::io::Error::other("poisoned"))?;
    let (status, text) = match line.split(' ').nth(1) {
        Some("/token") if credential != state.client => ("401 Unauthorized", r#"{"error":"invalid_client"}"#.to_owned()),
        Some("/token") if !body.contains("grant_type=client_credentials") => {
            ("400 Bad Request", r#"{"error":"unsupported_grant_type"}"#.to_owned())
        }
        Some("/token") => {
            state.issued += 1;
            let token = format!("secret-token-{}", state.issued);
            state.known.insert(format!("Bearer {token}"));
            ("200 OK", format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#))
        }
        _ if state.known.contains(&credential) => ("204 No Content", String::new()),
        _ => ("401 Unauthorized", String::new()),
    };
    drop(state);
    let kind = "Content-Type: application/json\r\nCache-Control: no-store\r\nConnection: close";
    write!(writer, "HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len())
}
