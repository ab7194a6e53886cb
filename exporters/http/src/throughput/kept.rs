//! What throughput tests leave behind for the exporter's next start: the bytes spent today and the last rates, a JSON file that is
//! replaced in one step. Without it a program that is started again and again would spend a day's budget each time.

use std::collections::BTreeMap;
use std::path::Path;

use sage_common::error::{CollectError, ErrorKind};
use sage_common::os;
use serde::{Deserialize, Serialize};

/// The form of the file.
const FORM: u32 = 1;
/// Largest file that is read; 50 targets take some 15 KiB.
const LARGEST: u64 = 1 << 20;

/// The content of the file.
#[derive(Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Kept {
    form: u32,
    /// The day, as days of Unix time, and the bytes that were spent on it.
    pub spent: (u64, u64),
    /// By the target's name.
    pub targets: BTreeMap<String, Target>,
}

/// What is kept of a target.
#[derive(Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Target {
    /// Tells settings apart: the rates of another URL are not of this target.
    pub made_from: u64,
    /// The ways that had a rate.
    pub down: Option<Rates>,
    /// As `down`.
    pub up: Option<Rates>,
}

/// The last rates of one way.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq)]
pub struct Rates {
    /// When the last test that gave a rate ended, in seconds of Unix time.
    pub at: f64,
    /// Bytes of that transfer.
    pub bytes: u64,
    /// Seconds that they took.
    pub seconds: f64,
    /// Its rate in bytes a second.
    pub rate: f64,
    /// The rate of the test before.
    pub before: Option<f64>,
}

impl Rates {
    fn is_sound(&self, now: f64) -> bool {
        let numbers = [self.seconds, self.rate, self.before.unwrap_or_default()];
        // A clock may be some minutes ahead, not more.
        numbers.iter().all(|n| n.is_finite() && *n >= 0.0 && *n < 1e15) && (0.0..=now + 300.0).contains(&self.at)
    }
}

impl Kept {
    /// What is to be kept.
    pub fn new(spent: (u64, u64), targets: BTreeMap<String, Target>) -> Self {
        Self { form: FORM, spent, targets }
    }

    /// Reads the file; `None` when there is none. `now` is seconds of Unix time.
    ///
    /// # Errors
    /// A file that cannot be read, is not one of ours, or tells of the future.
    pub fn read(path: &Path, now: f64) -> Result<Option<Self>, CollectError> {
        let shown = path.display();
        let about = match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(CollectError::io(format!("look at {shown}"), e)),
            Ok(about) => about,
        };
        let bad = |what: &str| CollectError::new(ErrorKind::Decode, format!("{shown} {what}"));
        if !about.is_file() || about.len() > LARGEST {
            return Err(bad("is no file, or larger than what is written there"));
        }
        let text = std::fs::read(path).map_err(|e| CollectError::io(format!("read {shown}"), e))?;
        let kept: Self = serde_json::from_slice(&text).map_err(|e| bad("is not what is written there").caused_by(e))?;
        if kept.form != FORM {
            return Err(bad(&format!("has the form {} of another version", kept.form)));
        }
        let mut rates = kept.targets.values().flat_map(|t| [t.down, t.up]).flatten();
        if kept.spent.0 as f64 * 86_400.0 > now + 86_400.0 || rates.any(|rates| !rates.is_sound(now)) {
            return Err(bad("tells of a time that is not past, or of no rate"));
        }
        Ok(Some(kept))
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), CollectError> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|e| CollectError::new(ErrorKind::Internal, "write what is kept").caused_by(e))?;
        os::files::replace(path, &text).map_err(|e| CollectError::io(format!("write {}", path.display()), e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_broken_is_said() {
        let folder = std::env::temp_dir().join(format!("sage-throughput-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (file, now) = (folder.join("kept.json"), 1.8e9);
        assert_eq!(Kept::read(&file, now).unwrap(), None);
        let rates = Rates { at: now - 60.0, bytes: 1 << 20, seconds: 0.5, rate: 2_097_152.0, before: Some(1e6) };
        let target = Target { made_from: u64::MAX, down: Some(rates), up: None };
        let kept = |target| Kept::new((20_833, 77), BTreeMap::from([("internet".to_owned(), target)]));
        kept(target).write(&file).unwrap();
        let read = Kept::read(&file, now).unwrap().unwrap();
        assert_eq!((read.spent, read.targets["internet"].down, read.targets["internet"].made_from), ((20_833, 77), Some(rates), u64::MAX));
        let says = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Kept::read(&file, now).unwrap_err().context
        };
        assert!(says("{}").contains("is not what is written there"));
        assert!(says(r#"{"form":2,"spent":[1,2],"targets":{}}"#).contains("form 2"));
        assert!(says(r#"{"form":1,"spent":[99999,2],"targets":{}}"#).contains("not past"));
        for rates in [Rates { at: now + 900.0, ..rates }, Rates { rate: -1.0, ..rates }] {
            kept(Target { made_from: 1, down: None, up: Some(rates) }).write(&file).unwrap();
            assert!(Kept::read(&file, now).unwrap_err().context.contains("not past"), "{rates:?}");
        }
        assert!(Kept::read(&folder, now).unwrap_err().context.contains("no file"));
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(Kept::new((1, 2), BTreeMap::new()).write(&file).is_err());
    }
}
