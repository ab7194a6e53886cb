//! What the commands `now` of all products share: their flags, how they print, what they say of a part that failed.
//!
//! `now` is one bounded look at a server with the scraping user, for the engineer who was just called. What is asked and how
//! it is shown is the product's.

use std::time::Duration;

use serde::Serialize;

use crate::commands::own::{Failure, say};
use crate::commands::terminal::{self, plain};
use crate::config::Span;
use crate::deadline::Deadline;
use crate::error::CollectError;
use crate::scrape::report::note;

/// The flags.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Target of the configuration file [default: the first]
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Most lines of each list
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Longest look, the connect with it
    #[arg(long, value_name = "TIME", default_value = "5s")]
    timeout: Span,
}

/// Kept back for ending the session, and what still runs on the server.
const ENDING: Duration = Duration::from_millis(600);

impl Args {
    /// When the look must be over, and when asking must be.
    pub fn deadlines(&self) -> (Deadline, Deadline) {
        let deadline = Deadline::after(self.timeout.0);
        (deadline, deadline.sooner(ENDING.min(deadline.remaining() / 4)))
    }

    /// Prints what was found, as JSON or as `text` has it for a terminal of some width.
    ///
    /// # Errors
    /// There are problems: what is there was said, but somebody should know that it is not all.
    pub fn print<N: Serialize>(&self, now: &N, problems: &[Problem], text: impl FnOnce(&N, usize) -> String) -> Result<(), Failure> {
        if self.json {
            say(&(serde_json::to_string_pretty(now).unwrap_or_default() + "\n"));
        } else {
            say(&text(now, terminal::width()));
        }
        if problems.is_empty() { Ok(()) } else { Err(Failure::Said) }
    }
}

/// A part that could not be asked. The names are those of `--json` and stay.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// What was asked.
    pub part: &'static str,
    /// From the closed set.
    pub reason: String,
    /// The error in words.
    pub detail: String,
}

impl Problem {
    /// Of `part`, with what the error says and what to do.
    pub fn new(part: &'static str, error: &CollectError) -> Self {
        Self { part, reason: error.kind.to_string(), detail: plain(&note(error)) }
    }
}
