//! Readiness and liveness for systemd (sd_notify); nothing happens where no service manager listens.

#[cfg(unix)]
mod imp {
    use sd_notify::NotifyState;

    fn tell(states: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(states) {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }

    pub(super) fn ready() {
        tell(&[NotifyState::Ready]);
    }

    pub(super) fn reloading() {
        // systemd tells by the time whether this answers its own signal.
        let Ok(now) = NotifyState::monotonic_usec_now() else { return };
        tell(&[NotifyState::Reloading, now]);
    }

    pub(super) fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    pub(super) async fn watchdog() {
        let Some(limit) = sd_notify::watchdog_enabled() else { return };
        let mut tick = tokio::time::interval(limit / 2);
        loop {
            tick.tick().await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

#[cfg(not(unix))]
mod imp {
    pub(super) fn ready() {}
    pub(super) fn reloading() {}
    pub(super) fn stopping() {}
    pub(super) async fn watchdog() {}
}

/// The listeners are bound and the configuration is loaded.
pub fn ready() {
    imp::ready();
}

/// The configuration is read anew; `ready` ends that (`Type=notify-reload`).
pub fn reloading() {
    imp::reloading();
}

/// The exporter is about to stop.
pub fn stopping() {
    imp::stopping();
}

/// Feeds the watchdog from the runtime for as long as that makes progress; returns at once where none is asked for.
pub async fn watchdog() {
    imp::watchdog().await;
}
