//! The commands of this exporter beside those of all.
//!
//! `grants` prints the ACL rule from the table of collectors, so that it is neither more nor less than what they run.

mod now;

use clap::Subcommand;
use sage_common::codes;
use sage_common::collector::About;
use sage_common::commands::own::{Failure, OwnCommand, Setup, say};
use sage_common::error::Invalid;

use crate::grants;
use crate::service::RedisService;

/// See the file.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print what an engineer asks first: clients and who waits, memory, slow commands, replication, errors
    Now(sage_common::commands::now::Args),
    /// Print the ACL rule of a user with no more rights than the enabled collectors need
    Grants {
        /// User to make
        #[arg(long, value_name = "USER", default_value = "sage")]
        user: String,
        /// Target whose keys it may read, where `checks` name some [default: the first]
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
}

impl OwnCommand<RedisService> for Command {
    async fn run(self, setup: Setup<RedisService>) -> Result<(), Failure> {
        let (user, target) = match self {
            Self::Now(args) => return now::run(args, &setup).await,
            Self::Grants { user, target } => (user, target),
        };
        if user.is_empty() || user.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
            return Err(Invalid::new("the name of a user must not be empty or hold blanks, quotes or control characters")
                .code(codes::FLAG_VALUE)
                .into());
        }
        let entries = setup.modules.iter().flat_map(|module| &module.entries).filter(|entry| entry.enabled);
        let collectors: Vec<&About> = entries.map(|entry| entry.about).collect();
        let (_, options) = setup.target(target.as_deref())?;
        say(&grants::rule(&user, &collectors, &options.checks));
        Ok(())
    }
}
