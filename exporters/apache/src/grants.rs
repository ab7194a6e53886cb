//! The command `grants`: the lines of Apache's configuration that let the exporter read its page, and nobody else.

use clap::Subcommand;
use sage_common::commands::own::{Failure, OwnCommand, Setup, say};

use crate::options::Options;
use crate::service::ApacheService;

/// See the file.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print the lines of Apache's configuration with which the exporter, and nobody else, reads the status page
    Grants {
        /// Target whose page it is [default: the first]
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
}

impl OwnCommand<ApacheService> for Command {
    async fn run(self, setup: Setup<ApacheService>) -> Result<(), Failure> {
        let Self::Grants { target } = self;
        let (_, options) = setup.target(target.as_deref())?;
        say(&lines(options)?);
        Ok(())
    }
}

/// The lines for the page of this target.
fn lines(options: &Options) -> Result<String, Failure> {
    let url = options.address()?;
    let from = if options.is_local() { "Require local" } else { "Require ip ADDRESS" };
    let require = match &options.user {
        None => format!("    {from}\n"),
        Some(user) => format!(
            "    # The password of {user}: htpasswd -c /etc/apache2/status.htpasswd {user}\n    AuthType Basic\n    AuthName status\n    \
             AuthUserFile /etc/apache2/status.htpasswd\n    <RequireAll>\n        {from}\n        Require user {user}\n    </RequireAll>\n"
        ),
    };
    let remark = if options.is_local() { "" } else { "; ADDRESS is that of the exporter's machine" };
    Ok(format!(
        "# Lets sage-apache-exporter read the status page. It shows the addresses and requests of users, too, of which the exporter reads\n\
         # numbers alone{remark}. After a2enmod status, in the configuration of what listens at {}, then: apachectl graceful\n\
         ExtendedStatus On\n<Location \"{}\">\n    SetHandler server-status\n{require}</Location>\n",
        url.authority(),
        url.path()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(url: &str, user: Option<&str>) -> String {
        lines(&Options { url: url.to_owned(), user: user.map(str::to_owned), ..Options::default() }).unwrap()
    }

    #[test]
    fn the_page_is_open_to_the_exporter_alone() {
        let text = made("http://localhost:8080/server-status?auto", None);
        assert!(text.contains("at localhost:8080, then"), "{text}");
        let page = "<Location \"/server-status\">\n    SetHandler server-status\n    Require local\n</Location>\n";
        assert!(text.ends_with(page) && !text.contains("ADDRESS"), "{text}");
        let text = made("https://web.example/s", Some("m"));
        assert!(text.contains("        Require ip ADDRESS\n        Require user m\n    </RequireAll>\n"), "{text}");
    }
}
