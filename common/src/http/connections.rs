//! The open connections: how many there may be, and which one makes room for the next.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::clock::Clock;

/// One of them.
pub struct Connection {
    from: IpAddr,
    clock: Arc<Clock>,
    /// Turns true when the connection has ended.
    pub done: watch::Receiver<bool>,
    /// Ends it at once.
    pub abort: AbortHandle,
}

/// The open connections, oldest first.
#[derive(Default)]
pub struct Connections {
    open: Mutex<Vec<Connection>>,
}

impl Connections {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all of them out.
    pub fn take(&self) -> Vec<Connection> {
        std::mem::take(&mut *self.lock())
    }

    /// Takes a connection in. Where `most` are open, one of the address that has the most makes room: one that never
    /// asked anything, else the oldest. So who opens many takes from himself first. Where all are busy, the newcomer is
    /// closed at once.
    pub fn admit(&self, most: usize, from: IpAddr, start: impl FnOnce(Arc<Clock>, watch::Sender<bool>) -> AbortHandle) {
        let mut open = self.lock();
        open.retain(|c| !c.abort.is_finished());
        if open.len() >= most {
            let mut held: HashMap<IpAddr, usize> = HashMap::new();
            for connection in open.iter() {
                *held.entry(connection.from).or_default() += 1;
            }
            let of = |c: &Connection| Reverse(held.get(&c.from).copied());
            let idle = open.iter().enumerate().filter_map(|(at, c)| c.clock.idle().map(|served| (of(c), served, at)));
            let Some((_, _, at)) = idle.min() else {
                tracing::warn!(connections = open.len(), "a connection was refused: all are busy");
                return;
            };
            open.remove(at).abort.abort();
        }
        let clock = Clock::start();
        let (tx, done) = watch::channel(false);
        let abort = start(Arc::clone(&clock), tx);
        open.push(Connection { from, clock, done, abort });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_opens_many_takes_from_himself() {
        let all = Connections::default();
        let clocks = Mutex::new(Vec::new());
        let open = |last: u8| {
            all.admit(64, IpAddr::from([192, 0, 2, last]), |clock, _| {
                clocks.lock().unwrap().push(clock);
                tokio::spawn(std::future::pending::<()>()).abort_handle()
            });
        };
        let count = |last: u8| all.lock().iter().filter(|c| c.from == IpAddr::from([192, 0, 2, last])).count();
        open(1);
        for _ in 0..200 {
            open(2);
        }
        open(3);
        assert_eq!((count(1), count(2), count(3)), (1, 62, 1));
        // Of one address, those that were never used go first.
        let kept = Arc::clone(&all.lock().iter().find(|c| c.from == IpAddr::from([192, 0, 2, 2])).unwrap().clock);
        drop(kept.request());
        for _ in 0..100 {
            open(2);
        }
        assert!(all.lock().iter().any(|c| Arc::ptr_eq(&c.clock, &kept)));
        // When all are busy, nobody makes room.
        let busy: Vec<_> = all.lock().iter().map(|c| c.clock.request()).collect();
        open(4);
        assert_eq!((busy.len(), count(4)), (64, 0));
    }
}
