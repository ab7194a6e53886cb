//! Families whose names are made at run time: from the product's own names, or by people who write them into a file.

use std::borrow::Cow;
use std::fmt;

use super::Sink;
use super::row::{Labels, Text};
use super::value::Sample;
use crate::desc::{Kind, legal_name, valid_name};
use crate::error::{CollectError, ErrorKind};

impl Sink {
    /// A family whose name is made at run time; the collector declares its prefix with `Info::pattern`.
    ///
    /// # Errors
    /// `Internal` when the name is not a metric name.
    pub fn family(&mut self, name: &str, kind: Kind, help: impl Into<Cow<'static, str>>) -> Result<RuntimeFamily<'_>, CollectError> {
        if !valid_name(name) {
            return Err(CollectError::new(ErrorKind::Internal, format!("{name:?} is not a metric name")));
        }
        self.labelled(name, kind, help, &[])
    }

    /// A family whose name and labels are made at run time, by people who write them into a file. Names may be any that
    /// Prometheus takes; a family that is there already must have these labels.
    ///
    /// # Errors
    /// `Internal` when a name cannot be one, or the family is there with other labels.
    pub fn labelled(
        &mut self,
        name: &str,
        kind: Kind,
        help: impl Into<Cow<'static, str>>,
        labels: &[&str],
    ) -> Result<RuntimeFamily<'_>, CollectError> {
        let refused = |why: String| Err(CollectError::new(ErrorKind::Internal, why));
        if let Some(bad) = [name].iter().chain(labels).find(|name| !legal_name(name)) {
            return refused(format!("{bad:?} is not a name"));
        }
        let family = match self.by_name.get(name) {
            Some(family) => *family,
            None => {
                let help = match help.into() {
                    Cow::Borrowed(help) => Text::Declared(help),
                    Cow::Owned(help) => Text::Made(help.into()),
                };
                self.declare(Text::Made(name.into()), help, kind, Labels::made(labels))
            }
        };
        if !self.families.get(family).is_some_and(|known| known.labels.are(labels)) {
            return refused(format!("{name} has other labels already"));
        }
        Ok(RuntimeFamily { sink: self, family })
    }
}

/// A family with a run-time name, open for samples.
pub struct RuntimeFamily<'a> {
    sink: &'a mut Sink,
    family: usize,
}

impl RuntimeFamily<'_> {
    /// Adds the only sample of a family without labels.
    pub fn put(&mut self, value: impl Sample) {
        self.put_with(&[], value);
    }

    /// Adds a sample with these label values, in the order of the names. One too few or too many would shift them, and
    /// is dropped.
    pub fn put_with(&mut self, values: &[&dyn fmt::Display], value: impl Sample) {
        let fits = self.sink.families.get(self.family).is_some_and(|family| family.labels.len() == values.len());
        if let Some(value) = value.sample().filter(|_| fits) {
            self.sink.add(self.family, values, value);
        }
    }
}
