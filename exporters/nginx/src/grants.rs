//! The command `grants`: the lines of nginx.conf that let the exporter read its page, and nobody else.

use clap::Subcommand;
use sage_common::commands::own::{Failure, OwnCommand, Setup, say};

use crate::options::Options;
use crate::service::NginxService;

/// See the file.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print the lines of nginx.conf with which the exporter, and nobody else, reads the status page
    Grants {
        /// Target whose page it is [default: the first]
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
}

impl OwnCommand<NginxService> for Command {
    async fn run(self, setup: Setup<NginxService>) -> Result<(), Failure> {
        let Self::Grants { target } = self;
        let (_, options) = setup.target(target.as_deref())?;
        say(&lines(options)?);
        Ok(())
    }
}

/// The lines for the page of this target.
fn lines(options: &Options) -> Result<String, Failure> {
    let url = options.address()?;
    let path = url.path();
    // NGINX Plus has an API below its path, the traffic status module its own word.
    let (place, page) = match path {
        _ if path.trim_end_matches('/').ends_with("/api") => (format!("location {path}"), "api;"),
        _ if path.contains("/format/") => {
            (format!("location {path}"), "vhost_traffic_status_display;\n    vhost_traffic_status_display_format json;")
        }
        _ => (format!("location = {path}"), "stub_status;"),
    };
    let login = match &options.user {
        None => String::new(),
        Some(user) => format!(
            "    # The password of {user}: htpasswd -c /etc/nginx/status.htpasswd {user}\n    auth_basic status;\n    auth_basic_user_file /etc/nginx/status.htpasswd;\n"
        ),
    };
    let allow = match options.is_local() {
        true => "    allow 127.0.0.1;\n    allow ::1;\n",
        false => "    allow ADDRESS;  # of the exporter's machine\n",
    };
    Ok(format!(
        "# Lets sage-nginx-exporter read counters of the whole server; it sees no request of a user and changes nothing. For the server\n\
         # block that listens at {}, then: nginx -t && nginx -s reload\n\
         {place} {{\n    {page}\n    access_log off;\n{login}{allow}    deny all;\n}}\n",
        url.authority()
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
        let text = made("http://127.0.0.1:8080/stub_status", None);
        assert!(text.contains("at 127.0.0.1:8080, then") && text.contains("location = /stub_status {\n    stub_status;\n"), "{text}");
        assert!(text.contains("    allow 127.0.0.1;\n    allow ::1;\n    deny all;\n}\n") && !text.contains("auth_basic"), "{text}");
        let text = made("https://web.example/s", Some("m"));
        assert!(
            text.contains("    allow ADDRESS;") && text.contains("htpasswd m\n    auth_basic status;\n") && !text.contains("::1"),
            "{text}"
        );
        assert!(made("http://127.0.0.1/api/", None).contains("location /api/ {\n    api;\n"));
        assert!(made("http://127.0.0.1/status/format/json", None).contains("display_format json;\n"));
    }
}
