//! Flags and commands that all exporters have, from one table.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::codes;
use crate::collector::{About, Enabled};
use crate::config::Span;
use crate::error::Invalid;
use crate::service::Meta;

/// Flags of every exporter.
#[derive(Args, Clone, Debug)]
pub struct CommonFlags {
    /// Configuration file (YAML); the exporter also works with flags and environment alone
    #[arg(long = "config.file", value_name = "FILE", global = true)]
    pub config_file: Option<PathBuf>,
    /// Address to listen on, may be given several times [default: loopback and the exporter's port]
    #[arg(long = "web.listen-address", value_name = "HOST:PORT", global = true)]
    pub listen_addresses: Vec<String>,
    /// Take the sockets that the service manager hands over (systemd.socket) instead of opening some
    #[arg(long = "web.systemd-socket", global = true, conflicts_with = "listen_addresses")]
    pub web_systemd_socket: bool,
    /// File with TLS, client certificates, passwords, headers and rate limit of the own port, in exporter-toolkit's format
    #[arg(long = "web.config.file", value_name = "FILE", global = true)]
    pub web_config_file: Option<PathBuf>,
    /// Let other machines read the metrics without TLS or without a password
    #[arg(long = "web.insecure", global = true)]
    pub web_insecure: bool,
    /// Let `POST /-/reload` read the configuration anew; SIGHUP always does
    #[arg(long = "web.enable-lifecycle", global = true)]
    pub web_enable_lifecycle: bool,
    /// Path of the metrics
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics", global = true)]
    pub telemetry_path: String,
    /// Scrapes answered at once; more get 503. Default: 62 and 2 for each target, 512 where targets are free
    #[arg(long = "web.max-requests", value_name = "N", global = true)]
    pub max_requests: Option<usize>,
    /// How much sooner than the scraper's timeout the answer is out; at most a tenth of that timeout
    #[arg(long = "scrape.timeout-offset", value_name = "TIME", default_value = "500ms", global = true)]
    pub timeout_offset: Span,
    /// Lines of this level and above are logged: error, warn, info, debug
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info", global = true)]
    pub log_level: tracing::level_filters::LevelFilter,
    /// Form of the log lines
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "auto", global = true)]
    pub log_format: LogFormat,
}

impl CommonFlags {
    /// The web configuration file; an empty name is none, as in exporter-toolkit.
    pub fn web_config(&self) -> Option<&std::path::Path> {
        self.web_config_file.as_deref().filter(|path| !path.as_os_str().is_empty())
    }
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text, with colours on a terminal.
    Auto,
    /// Text without colours.
    #[value(aliases = ["text", "txt"])]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// What the exporter is to do; `C` are the commands that this one has beside those of all.
#[derive(Subcommand, Clone, Debug)]
pub enum Command<C: Subcommand> {
    /// Serve metrics (the default)
    Run,
    /// Connect once and tell how each part does: exit code 0 fine (also with warnings), 1 partly, 2 down, 3 bad configuration
    Check {
        /// Print JSON instead of the table
        #[arg(long)]
        json: bool,
        /// Longest check
        #[arg(long, value_name = "TIME", default_value = "30s")]
        timeout: Span,
    },
    /// Print the catalogue of metrics
    Metrics {
        /// Print JSON instead of text
        #[arg(long)]
        json: bool,
        /// Print the table of the README
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Print what becomes of the flags of the exporter that this one replaces, the table of the README
    #[command(hide = true)]
    PeerFlags,
    /// Print what a number of an error means and what to do; without one, all of them
    Explain {
        /// The number, such as SG-0103
        code: Option<String>,
    },
    /// Work with the configuration file
    Config {
        /// What to do with it
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print the effective configuration, without secrets
    PrintConfig,
    /// Make key, certificate, password and web configuration file of the own port; print what Prometheus needs of them
    TlsInit {
        /// Folder of the new files web.key, web.crt and web.yml
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        directory: PathBuf,
        /// Name or address by which Prometheus reaches this machine, may be given several times [default: the host name]
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
        /// User that Prometheus logs in as
        #[arg(long, value_name = "NAME", default_value = "prometheus")]
        user: String,
        /// Days that the certificate lasts
        #[arg(long, value_name = "N", default_value_t = 730)]
        days: u32,
    },
    /// Print the jobs of Prometheus for this configuration
    ScrapeConfig,
    /// Print the alert rules that ship with this exporter as one file; or write rules and pages to a folder
    Rules {
        /// Write the files below this folder instead
        #[arg(long, value_name = "FOLDER")]
        directory: Option<PathBuf>,
        /// Print the page of this alert instead: what it means and what to do
        #[arg(long, value_name = "ALERT", conflicts_with = "directory")]
        page: Option<String>,
        /// Overwrite files with another content
        #[arg(long, requires = "directory")]
        force: bool,
    },
    /// Print the dashboard that ships with this exporter, for Grafana's import; or write it to a folder
    Dashboards {
        /// Write the files below this folder instead
        #[arg(long, value_name = "FOLDER")]
        directory: Option<PathBuf>,
        /// Which one, where there are several
        #[arg(long, value_name = "NAME", conflicts_with = "directory")]
        name: Option<String>,
        /// Overwrite files with another content
        #[arg(long, requires = "directory")]
        force: bool,
    },
    /// Ask a target once and print its page: exit code 0 when it answered, 1 when not
    Probe {
        /// A target as in /probe?target=
        target: String,
        /// A module of the configuration
        #[arg(long, value_name = "NAME")]
        module: Option<String>,
        /// Longest wait
        #[arg(long, value_name = "TIME", default_value = "10s")]
        timeout: Span,
    },
    /// Find servers on this machine and print a configuration for them; changes nothing
    Discover,
    /// Write what a supporter asks for to an archive without secrets; without --output only its list is shown
    Bundle {
        /// The archive to make, such as bundle.tar.gz
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Longest look at the target
        #[arg(long, value_name = "TIME", default_value = "30s")]
        timeout: Span,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version,
    /// A command of this exporter
    #[command(flatten)]
    Own(C),
}

/// Of all commands but `check` and `config validate`, which say theirs themselves.
const EXIT_CODES: &str = "Exit codes: 0 fine, 1 failure, 2 bad flags or configuration; check and config validate have their own\n\
                          Errors end with a number: explain NUMBER tells more";

/// Above the collectors in the help.
const COLLECTORS: &str = "Collectors (--no-collector.NAME switches one off)";

/// What to do with the configuration file.
#[derive(Subcommand, Clone, Debug)]
pub enum ConfigCommand {
    /// Read it and say what is wrong: exit code 0 fine, 1 not
    Validate,
}

/// The command line of an exporter whose own flags are `F` and whose own commands are `C`.
#[derive(Parser, Debug)]
#[command(disable_help_subcommand = true, after_help = EXIT_CODES)]
pub struct Cli<F: Args, C: Subcommand> {
    /// Flags of every exporter.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Flags of this exporter.
    #[command(flatten)]
    pub own: F,
    /// What to do; nothing said means `run`.
    #[command(subcommand)]
    pub command: Option<Command<C>>,
}

/// The command line with the switches that each collector has, by its own name and, not shown, by the peer's names.
pub fn command<F: Args, C: Subcommand>(meta: &Meta, collectors: &[&'static About]) -> clap::Command {
    let mut command = Cli::<F, C>::command()
        .name(format!("sage-{}-exporter", meta.name))
        .about(format!("Prometheus exporter for {}", meta.product))
        .version(meta.version);
    for name in names(collectors) {
        let own = collectors.iter().find(|about| about.name == name);
        let help = own.map(|about| {
            let when = if about.enabled == Enabled::ByDefault { "on by default" } else { "on request" };
            format!("{} [{when}]", about.help.trim_end_matches('.'))
        });
        let switch = |prefix: &str, help: String| {
            let flag = format!("{prefix}collector.{name}");
            let arg = clap::Arg::new(flag.clone()).long(flag).help(help).action(ArgAction::SetTrue);
            arg.global(true).help_heading(COLLECTORS).hide(own.is_none())
        };
        // Shells complete both; help names one of them.
        let off = switch("no-", format!("Switch the collector {name} off")).hide_short_help(true).hide_long_help(true);
        command = command.arg(switch("", help.unwrap_or_default())).arg(off.overrides_with(format!("collector.{name}")));
    }
    command
}

/// All names that collectors go by, each once.
fn names(collectors: &[&'static About]) -> BTreeSet<&'static str> {
    collectors.iter().flat_map(|about| std::iter::once(about.name).chain(about.aliases.iter().copied())).collect()
}

/// Collectors switched on or off by flag, by any of their names.
pub type Switches = Vec<(&'static str, bool)>;

/// Why no command is run.
pub enum Stop {
    /// Help or version was asked for, and is printed; the exit code.
    Said(u8),
    /// The command line cannot be used.
    Refused(Invalid),
}

/// Reads the command line; prints help and version itself.
///
/// # Errors
/// Why there is nothing to run.
pub fn parse<F: Args, C: Subcommand>(
    meta: &Meta,
    collectors: &[&'static About],
    args: impl IntoIterator<Item = std::ffi::OsString>,
) -> Result<(Cli<F, C>, Switches), Stop> {
    let matches = command::<F, C>(meta, collectors).try_get_matches_from(args).map_err(stop)?;
    let mut switches = Vec::new();
    for name in names(collectors) {
        for (flag, on) in [(format!("collector.{name}"), true), (format!("no-collector.{name}"), false)] {
            if matches.get_flag(&flag) {
                switches.push((name, on));
            }
        }
    }
    Ok((Cli::from_arg_matches(&matches).map_err(stop)?, switches))
}

/// What the parser says, in the form of all other errors.
fn stop(error: clap::Error) -> Stop {
    use clap::error::{ContextKind as About, ErrorKind as Kind};
    let code = match error.kind() {
        Kind::DisplayHelp | Kind::DisplayVersion => {
            // Nobody reads what is printed to a closed terminal.
            let _ = error.print();
            return Stop::Said(0);
        }
        Kind::DisplayHelpOnMissingArgumentOrSubcommand => {
            return Stop::Refused(Invalid::new("a command is missing").hint("add --help to see which there are").code(codes::FLAG_MISSING));
        }
        Kind::UnknownArgument => codes::UNKNOWN_FLAG,
        Kind::InvalidSubcommand => codes::UNKNOWN_COMMAND,
        Kind::InvalidValue if error.get(About::InvalidValue).is_some_and(|value| value.to_string().is_empty()) => codes::FLAG_MISSING,
        Kind::InvalidValue | Kind::ValueValidation | Kind::InvalidUtf8 => codes::FLAG_VALUE,
        Kind::MissingRequiredArgument | Kind::MissingSubcommand | Kind::NoEquals | Kind::TooFewValues => codes::FLAG_MISSING,
        Kind::ArgumentConflict | Kind::TooManyValues => codes::FLAG_CONFLICT,
        _ => codes::COMMAND_LINE,
    };
    // Up to the first blank line it is what is wrong; behind it stand tips and usage, which become the hint.
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty() && !line.starts_with("[possible values"));
    let message = lines.collect::<Vec<_>>().join(" ");
    let said = |about| error.get(about).map(ToString::to_string).filter(|text| !text.is_empty());
    let near = said(About::SuggestedArg).or_else(|| said(About::SuggestedSubcommand)).or_else(|| said(About::SuggestedValue));
    let known = said(About::ValidValue).map(|known| format!("known here: {known}"));
    let hint = near.map(|near| format!("did you mean `{near}`?")).or(known);
    Stop::Refused(Invalid { hint, ..Invalid::new(message.trim_start_matches("error: ")).code(code) })
}

/// Lines of the log that are kept instead of shown.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All of them so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps the log, with all that can be said, instead of sending it to standard error.
pub fn keep_log(lines: &Lines) {
    let (level, lines) = (tracing::level_filters::LevelFilter::DEBUG, lines.clone());
    let builder = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(move || lines.clone());
    // Started twice only in tests, where the first one serves.
    let _ = builder.try_init();
}

/// Sends the log to standard error. A `quiet` command says what failed in its own output, so that only errors of the
/// exporter itself are logged, unless more is asked for.
pub fn start_log(common: &CommonFlags, quiet: bool) {
    use tracing::level_filters::LevelFilter;
    use tracing_subscriber::fmt;
    let level = if quiet && common.log_level == LevelFilter::INFO { LevelFilter::ERROR } else { common.log_level };
    let builder = fmt().with_max_level(level).with_target(false).with_writer(std::io::stderr);
    // Started twice only in tests, where the first one serves.
    let _ = match common.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Auto => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Logfmt => builder.with_ansi(false).try_init(),
    };
}
