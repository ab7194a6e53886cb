//! The signals that a service gets: stop, and hang-up.

/// Returns when the process is asked to stop: SIGTERM or SIGINT, Ctrl-C elsewhere. SIGHUP, which asks other services to
/// read their configuration anew, is answered in the log; its default would end the process.
#[cfg(unix)]
pub async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(mut hangup)) = signals else {
        tracing::error!("cannot listen for signals; stop the exporter with SIGKILL");
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => return,
            _ = int.recv() => return,
            _ = hangup.recv() => tracing::warn!("SIGHUP: a changed configuration is read at the next start; restart the exporter"),
        }
    }
}

/// Returns when the process is asked to stop: SIGTERM or SIGINT, Ctrl-C elsewhere.
#[cfg(not(unix))]
pub async fn stop_requested() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
