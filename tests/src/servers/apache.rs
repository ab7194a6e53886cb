//! A real Apache httpd with the event MPM in a temp folder on a free port, with mod_status and whatever a test writes beside it.

use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::process::Command;

use super::web::{START_LIMIT, WebServer};
use crate::http;
use crate::process;
use crate::temp::TempFolder;

const SERVER: &str = "/usr/sbin/apache2";
const MODULES: &str = "/usr/lib/apache2/modules";

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ApacheOptions {
    /// Modules to load beside those that the status page needs, such as `proxy`.
    pub modules: Vec<&'static str>,
    /// Lines of its configuration.
    pub settings: String,
    /// Whether ExtendedStatus is on.
    pub extended: bool,
    /// Processes of five workers each that it may have.
    pub processes: u32,
    /// Certificate and key, where it is to speak TLS on a second port.
    pub tls: Option<crate::issuer::Pair>,
}

impl Default for ApacheOptions {
    fn default() -> Self {
        Self { modules: Vec::new(), settings: String::new(), extended: true, processes: 2, tls: None }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Apache(WebServer);

fn command(folder: &TempFolder) -> Command {
    let mut command = process::command(super::require(SERVER), folder.path());
    command.arg("-f").arg(folder.join("apache.conf")).arg("-DFOREGROUND");
    command
}

impl Apache {
    /// Starts a server with `/server-status` for this machine, a page at `/`, and waits until it answers.
    ///
    /// # Panics
    /// With its log when it does not.
    pub fn start(options: &ApacheOptions) -> Self {
        let mut server = Self(WebServer::new("apache", command));
        std::fs::create_dir(server.folder.join("www")).unwrap();
        server.folder.write("www/index.html", "welcome\n");
        server.configure(options);
        server.launch();
        server
    }

    /// Writes its configuration, for the next start.
    pub fn configure(&self, options: &ApacheOptions) {
        let place = self.folder.path().display();
        let mut modules = vec!["mpm_event", "authz_core", "authz_host", "authn_core", "dir", "status"];
        modules.extend(&options.modules);
        if options.tls.is_some() {
            modules.push("ssl");
        }
        let mut text = String::new();
        for module in modules {
            let _ = writeln!(text, "LoadModule {module}_module {MODULES}/mod_{module}.so");
        }
        let workers = options.processes * 5;
        // It refuses to serve as root.
        let user = if process::is_root() { "User www-data\nGroup www-data\n" } else { "" };
        let _ = writeln!(
            text,
            "ServerRoot {place}\nDefaultRuntimeDir {place}\nServerName localhost\nPidFile {place}/pid\nErrorLog {place}/error.log\n\
             {user}\
             Listen 127.0.0.1:{}\nDocumentRoot {place}/www\nExtendedStatus {}\n\
             StartServers 1\nServerLimit {}\nThreadsPerChild 5\nThreadLimit 5\nMaxRequestWorkers {workers}\n\
             MinSpareThreads 1\nMaxSpareThreads {workers}\nTimeout 60\n\
             <Location /server-status>\nSetHandler server-status\nRequire local\n</Location>\n{}",
            self.port,
            if options.extended { "On" } else { "Off" },
            options.processes,
            options.settings,
        );
        if let Some(pair) = &options.tls {
            let _ = writeln!(
                text,
                "Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\nSSLEngine on\nSSLCertificateFile {}\nSSLCertificateKeyFile {}\n\
                 </VirtualHost>",
                pair.certificate.display(),
                pair.key.display(),
                port = self.tls_port,
            );
        }
        self.folder.write("apache.conf", &text);
    }

    /// A field of the status page, as the server says it to us.
    ///
    /// # Panics
    /// When it does not answer or has no such field.
    #[track_caller]
    pub fn status(&self, field: &str) -> String {
        let text = http::get(self.address(), "/server-status?auto", &[], START_LIMIT).expect("server-status").text();
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':').map(|value| value.trim().to_owned()));
        found.unwrap_or_else(|| panic!("there is no {field}: {text}"))
    }

    /// Takes the configuration anew without cutting off requests: children that have some stay until these end.
    pub fn reload(&self) {
        process::signal("USR1", &[self.pid()]);
    }
}

impl Deref for Apache {
    type Target = WebServer;

    fn deref(&self) -> &WebServer {
        &self.0
    }
}

impl DerefMut for Apache {
    fn deref_mut(&mut self) -> &mut WebServer {
        &mut self.0
    }
}
