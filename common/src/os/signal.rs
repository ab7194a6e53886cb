//! The signals that a service gets: stop, and read the configuration anew.

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGTERM or SIGINT; Ctrl-C elsewhere.
    Stop,
    /// SIGHUP.
    Reload,
}

/// The signals of this process, heard from the moment on that this is made.
#[cfg(unix)]
pub struct Signals(Option<[tokio::signal::unix::Signal; 3]>);

#[cfg(unix)]
impl Default for Signals {
    fn default() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup())) {
            (Ok(term), Ok(int), Ok(hangup)) => Self(Some([term, int, hangup])),
            _ => {
                tracing::error!("cannot listen for signals; stop the exporter with SIGKILL");
                Self(None)
            }
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// The next one.
    pub async fn next(&mut self) -> Wish {
        let Some([term, int, hangup]) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = term.recv() => Wish::Stop,
            _ = int.recv() => Wish::Stop,
            _ = hangup.recv() => Wish::Reload,
        }
    }
}

/// The signals of this process.
#[cfg(not(unix))]
#[derive(Default)]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// The next one.
    pub async fn next(&mut self) -> Wish {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Wish::Stop
    }
}

/// Returns when the process is asked to stop. For a command that reads its configuration once; a hang-up does not end it.
pub async fn stop_requested() {
    let mut signals = Signals::default();
    while signals.next().await == Wish::Reload {
        tracing::warn!("SIGHUP: this command has read its configuration and goes on with it");
    }
}
