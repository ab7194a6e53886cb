//! What replication's collectors need besides their queries: the verdict over a standby's replay, the names in
//! synchronous_standby_names.

pub mod replay;
pub mod sync_names;
