//! Where keys are asked for: at the target itself, or at a replica that it names.

use std::ops::Deref;
use std::sync::Arc;

use sage_common::error::CollectError;
use sage_common::service::Phases;

use crate::info::{Info, part, part_number};
use crate::options::Options;
use crate::session::Redis;
use crate::state::State;

/// The session to ask over.
pub enum Place<'a> {
    /// The collector's own.
    Here(&'a Redis),
    /// One of a replica, for this run.
    There(Box<Redis>),
}

impl Deref for Place<'_> {
    type Target = Redis;

    fn deref(&self) -> &Redis {
        match self {
            Self::Here(session) => session,
            Self::There(session) => session,
        }
    }
}

impl Place<'_> {
    /// Ends what was opened for this run.
    pub async fn end(self) {
        if let Self::There(session) = self {
            session.close().await;
        }
    }
}

/// The replica in step that is the least behind.
fn replica(info: &Info) -> Option<(&str, u16)> {
    let replicas = info.below("slave").filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, replica)| replica);
    let in_step = replicas.filter(|replica| part(replica, "state") == Some("online"));
    let best = in_step.max_by(|a, b| part_number(a, "offset").unwrap_or(0.0).total_cmp(&part_number(b, "offset").unwrap_or(0.0)))?;
    Some((part(best, "ip")?, part(best, "port")?.parse().ok()?))
}

/// Finds where to ask. `Err` in the answer says why nobody is asked.
///
/// # Errors
/// The server or its replica could not be asked.
pub async fn find(session: &Redis) -> Result<Result<Place<'_>, &'static str>, CollectError> {
    let info = session.info().await?;
    let options = &session.state.options;
    if info.get("redis_mode") == Some("sentinel") {
        return Ok(Err("a Sentinel has no keys"));
    }
    if info.get("role") == Some("slave") {
        // A replica in a cluster sends readers to its primary unless it is told that old data will do.
        if info.get("cluster_enabled") == Some("1") {
            session.command("readonly", &[b"READONLY"]).await?;
        }
        return Ok(Ok(Place::Here(session)));
    }
    if let Some((host, port)) = replica(&info).filter(|_| options.checks.find_replica) {
        let there = Options { host: host.to_owned(), port, ..options.clone() };
        let state = Arc::new(State::new(&there));
        let replica = Redis::connect(&there, state, &mut Phases::default()).await?;
        if info.get("cluster_enabled") == Some("1") {
            replica.command("readonly", &[b"READONLY"]).await?;
        }
        return Ok(Ok(Place::There(Box::new(replica))));
    }
    if options.checks.on_primary {
        Ok(Ok(Place::Here(session)))
    } else {
        Ok(Err("the server is a primary, and keys are to be looked at on replicas only (on_primary: false)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replica_that_is_the_least_behind() {
        let info = Info::parse(
            "slave0:ip=10.0.0.1,port=1,state=online,offset=5,lag=0\r\nslave1:ip=::1,port=2,state=online,offset=7,lag=1\r\n\
             slave2:ip=10.0.0.3,port=3,state=wait_bgsave,offset=9,lag=0\r\nslave_priority:100\r\n"
                .to_owned(),
        );
        assert_eq!(replica(&info), Some(("::1", 2)));
        assert_eq!(replica(&Info::parse("role:master\r\nslave0:ip=x,port=99999,state=online\r\n".to_owned())), None);
    }
}
