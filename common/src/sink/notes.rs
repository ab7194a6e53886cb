//! What a collector says beside its samples: what it lacks, what of it failed, what it could read with more rights, or that
//! there is nothing to read.

use super::Sink;
use crate::error::ErrorKind;

#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    lacks: Option<&'static str>,
    flaw: Option<(ErrorKind, String)>,
    more: Option<&'static str>,
    not_here: Option<&'static str>,
}

impl Sink {
    /// Notes that the collector reads less than it could, and the grant that it lacks.
    pub fn lacks(&mut self, grant: &'static str) {
        self.notes.lacks = Some(grant);
    }

    /// The grant that the collector lacks.
    pub(crate) const fn lacking(&self) -> Option<&'static str> {
        self.notes.lacks
    }

    /// Notes that a part of what the collector reads has failed: what was written stays, and the collector counts as
    /// failed with this reason. The note says which part, for `check` and the log; the first one counts.
    pub fn flaw(&mut self, kind: ErrorKind, note: impl Into<String>) {
        self.notes.flaw.get_or_insert_with(|| (kind, note.into()));
    }

    pub(crate) fn take_flaw(&mut self) -> Option<(ErrorKind, String)> {
        self.notes.flaw.take()
    }

    /// Notes the grant with which the collector could tell more; it has what it must have.
    pub fn more_with(&mut self, grant: &'static str) {
        self.notes.more = Some(grant);
    }

    pub(crate) const fn wants(&self) -> Option<&'static str> {
        self.notes.more
    }

    /// Says that the server has nothing to read, and why, where only a question to it could tell (`Support::NotHere`).
    pub fn not_here(&mut self, why: &'static str) {
        self.notes.not_here = Some(why);
    }

    /// Why there is nothing to read, if nothing was written either.
    pub(crate) fn found_nothing(&self) -> Option<&'static str> {
        self.notes.not_here.filter(|_| self.series == 0)
    }
}
