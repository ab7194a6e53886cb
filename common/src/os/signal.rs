//! Waiting for the order to stop.

/// Returns when the process is asked to stop: SIGTERM or SIGINT, Ctrl-C elsewhere.
#[cfg(unix)]
pub async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("cannot listen for signals; stop the exporter with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

/// Returns when the process is asked to stop: SIGTERM or SIGINT, Ctrl-C elsewhere.
#[cfg(not(unix))]
pub async fn stop_requested() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}
