//! The commands of this exporter beside those of all.

mod grants;
mod maintain;
mod now;

use clap::Subcommand;
use sage_common::commands::own::{Failure, OwnCommand, Setup};

use crate::service::Postgres;

/// See the file.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print what an engineer asks first: who runs, who waits for whom, the longest transactions
    Now(sage_common::commands::now::Args),
    /// Work that is done apart from scrapes, with a role of its own
    Maintain {
        /// What is done
        #[command(subcommand)]
        task: Box<maintain::Task>,
    },
    /// Print the SQL that makes the role with no more rights than the enabled collectors need
    Grants(grants::Args),
}

impl OwnCommand<Postgres> for Command {
    fn logs(&self) -> bool {
        matches!(self, Self::Maintain { .. })
    }

    async fn run(self, setup: Setup<Postgres>) -> Result<(), Failure> {
        match self {
            Self::Now(args) => now::run(args, &setup).await,
            Self::Maintain { task } => maintain::run(*task, &setup).await,
            Self::Grants(args) => grants::run(args, &setup).await,
        }
    }
}
