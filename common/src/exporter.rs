//! An exporter's main: flags, log, runtime, and the commands.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::{App, Ask, Program};
use crate::cli::{self, Cli, Command, CommonFlags, Lines, Stop, Switches};
use crate::codes;
use crate::commands::catalogue;
use crate::commands::check::Verdict;
use crate::commands::own::{self, Failure};
use crate::commands::shipped;
use crate::commands::{bundle, completions, man, prometheus, rules};
use crate::config;
use crate::config::secret;
use crate::deadline::Deadline;
use crate::error::Invalid;
use crate::expo::{self, Format};
use crate::http::{Site, server};
use crate::os::{self, signal::Wish};
use crate::reload::{Current, InForce};
use crate::web::{self, Web};

/// Exit codes of all commands but `check` and `config validate`.
const FINE: u8 = 0;
const FAILURE: u8 = 1;
const BAD_CONFIG: u8 = 2;
/// `check` tells a bad configuration from a server that is down.
const CHECK_BAD_CONFIG: u8 = 3;

/// Runs the command that the command line names. `packed` is what `shipped!()` says.
pub fn run<P: Program>(packed: &'static [u8]) -> ExitCode {
    os::memory::share();
    let mut args = std::env::args_os();
    let mut words: Vec<std::ffi::OsString> = args.next().into_iter().collect();
    match P::PEER.map(|peer| peer.translate(args.by_ref(), |name| std::env::var(name).ok(), &P::collectors())) {
        None => words.extend(args),
        Some(Ok(ours)) => words.extend(ours),
        Some(Err(error)) => return complain(&error, BAD_CONFIG),
    }
    let (cli, switches) = match cli::parse::<P::Flags, P::Command>(P::META, &P::collectors(), words) {
        Ok(parsed) => parsed,
        Err(Stop::Said(code)) => return ExitCode::from(code),
        Err(Stop::Refused(error)) => return complain(&error, BAD_CONFIG),
    };
    let quiet = match &cli.command {
        None | Some(Command::Run) => false,
        Some(Command::Own(own)) => !P::logs(own),
        Some(_) => true,
    };
    let lines = Lines::default();
    if matches!(cli.command, Some(Command::Bundle { .. })) {
        secret::keep_in_mind();
        cli::keep_log(&lines);
    } else {
        cli::start_log(&cli.common, quiet);
    }
    // Ours is the only provider in the workspace; a second install fails and changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Two threads: one may be busy compressing a large page while the other answers.
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Invalid::new(format!("cannot start the runtime: {error}")).code(codes::INTERNAL), FAILURE),
    };
    let code = runtime.block_on(dispatch::<P>(cli, switches, packed, lines));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    code
}

async fn dispatch<P: Program>(cli: Cli<P::Flags, P::Command>, switches: Switches, packed: &'static [u8], lines: Lines) -> ExitCode {
    let Some(command) = cli.command.filter(|command| !matches!(command, Command::Run)) else {
        return serve::<P>(cli.common, cli.own, switches).await;
    };
    let placed = |error| config::placed(error, cli.common.config_file.as_deref());
    let load = || P::load(&cli.common, &cli.own, &switches).map_err(placed);
    match command {
        Command::Run => ExitCode::from(FINE),
        Command::Check { json, timeout } => match load() {
            Ok(app) => check(&app, json, Deadline::after(timeout.0)).await,
            Err(error) => complain(&error, CHECK_BAD_CONFIG),
        },
        Command::Metrics { json, markdown } => say(&match (json, markdown) {
            (true, _) => catalogue::json(&P::sections()),
            (_, true) => catalogue::markdown(&P::sections()),
            _ => catalogue::text(&P::sections()),
        }),
        Command::Explain { code } => ended(codes::page(code.as_deref())),
        Command::PeerFlags => say(&P::PEER.map(|peer| peer.markdown(&P::collectors())).unwrap_or_default()),
        Command::Config { command: cli::ConfigCommand::Validate } => match load().and_then(|_| Web::load(cli.common.web_config())) {
            Ok(_) => say("the configuration is valid\n"),
            Err(error) => complain(&error, FAILURE),
        },
        Command::PrintConfig => match load() {
            Ok(app) => say(&app.effective_config()),
            Err(error) => complain(&error, FAILURE),
        },
        Command::TlsInit { directory, names, user, days } => {
            let wish = web::init::Wish { folder: &directory, names: &names, user: &user, days, exporter: P::META.name, port: P::META.port };
            match web::init::make(&wish) {
                Ok(text) => say(&text),
                Err(error) => complain(&error, FAILURE),
            }
        }
        Command::ScrapeConfig => ended(load().and_then(|app| Ok((app, Web::load(cli.common.web_config())?))).map(|(app, web)| {
            let (listen, path) = (&cli.common.listen_addresses, &cli.common.telemetry_path);
            prometheus::job(&prometheus::Wish { meta: P::META, listen, path, face: web.face(), scrapes: app.scrapes() })
        })),
        Command::Rules { directory, page, force } => {
            let files = shipped::unpack(packed);
            ended(match (directory, page) {
                (Some(folder), _) => rules::write(&files, &folder, false, force),
                (None, Some(alert)) => rules::page(&files, &alert).map(str::to_owned),
                (None, None) => rules::rules(&files),
            })
        }
        Command::Dashboards { directory, name, force } => {
            let files = shipped::unpack(packed);
            ended(match directory {
                Some(folder) => rules::write(&files, &folder, true, force),
                None => rules::dashboard(&files, name.as_deref()).map(str::to_owned),
            })
        }
        Command::Probe { target, module, timeout } => match load() {
            Ok(app) => probe(&app, &target, module.as_deref(), timeout.0).await,
            Err(error) => complain(&error, BAD_CONFIG),
        },
        Command::Discover => ended(P::discover().await),
        Command::Bundle { output, timeout } => ended(match load() {
            Ok(app) => bundle::make(app, &cli.common, Deadline::after(timeout.0), &lines, output.as_deref()).await,
            Err(error) => bundle::make_without(P::META, &error, &cli.common, &lines, output.as_deref()),
        }),
        Command::Completions { shell } => say(&completions::script(shell, cli::command::<P::Flags, P::Command>(P::META, &P::collectors()))),
        Command::Man => match man::page(&cli::command::<P::Flags, P::Command>(P::META, &P::collectors())) {
            Ok(page) => say(&page),
            Err(error) => complain(&Invalid::new(format!("cannot write the manual page: {error}")).code(codes::INTERNAL), FAILURE),
        },
        Command::Version => say(&format!("sage-{}-exporter {}\n", P::META.name, P::META.version)),
        Command::Own(own) => match P::own(own, &cli.common, &cli.own, &switches).await {
            Ok(()) => ExitCode::from(FINE),
            Err(Failure::Config(error)) => complain(&placed(error), BAD_CONFIG),
            Err(Failure::Failed(error)) => complain(&Invalid::new(error.to_string()).hint(error.advice()).code(error.code()), FAILURE),
            Err(Failure::Said) => ExitCode::from(FAILURE),
        },
    }
}

/// Says what a command has made, or what it could not.
fn ended(made: Result<String, Invalid>) -> ExitCode {
    match made {
        Ok(text) => say(&text),
        Err(error) => complain(&error, FAILURE),
    }
}

/// Asks as /probe does, and judges by the page alone.
async fn probe(app: &impl App, target: &str, module: Option<&str>, timeout: std::time::Duration) -> ExitCode {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("target", target);
    module.map(|module| query.append_pair("module", module));
    let asked = match Ask::parse(&query.finish(), Some(&timeout.as_secs_f64().to_string())) {
        Ok(ask) => app.probe(ask).await,
        Err(error) => Err(error),
    };
    app.close().await;
    match asked {
        Err(error) => complain(&error.error, BAD_CONFIG),
        Ok(mut page) => {
            page.settle();
            let text = String::from_utf8_lossy(&expo::write(&page, Format::Text)).into_owned();
            say(&text);
            let failed = text.lines().any(|line| matches!(line, "probe_success 0" | "sage_up 0"));
            ExitCode::from(if failed { FAILURE } else { FINE })
        }
    }
}

async fn check(app: &impl App, json: bool, deadline: Deadline) -> ExitCode {
    let result = app.check(deadline).await;
    app.close().await;
    let text = if json {
        serde_json::to_string_pretty(&result).unwrap_or_default() + "\n"
    } else {
        result.table(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    };
    say(&text);
    ExitCode::from(match result.verdict() {
        Verdict::Fine => 0,
        Verdict::Partly => 1,
        Verdict::Down => 2,
    })
}

async fn serve<P: Program>(common: CommonFlags, flags: P::Flags, switches: Switches) -> ExitCode {
    os::files::allow_many();
    if !common.telemetry_path.starts_with('/')
        || common.telemetry_path.starts_with("/-/")
        || matches!(common.telemetry_path.as_str(), "/" | "/probe" | "/scrape")
    {
        let error = Invalid::new(format!("--web.telemetry-path {}: this path is not free for metrics", common.telemetry_path));
        return complain(&error.hint("write --web.telemetry-path=/metrics").code(codes::FLAG_VALUE), BAD_CONFIG);
    }
    let web = match Web::load(common.web_config()) {
        Ok(web) => Arc::new(web),
        Err(error) => return complain(&error, BAD_CONFIG),
    };
    let current = match Current::<P>::load(common.clone(), flags, switches, Arc::clone(&web)) {
        Ok(current) => Arc::new(current),
        Err(error) => return complain(&error, BAD_CONFIG),
    };
    let addresses =
        if common.listen_addresses.is_empty() { vec![format!("127.0.0.1:{}", P::META.port)] } else { common.listen_addresses.clone() };
    let mut listeners = Vec::new();
    if common.web_systemd_socket {
        match os::activation::listeners().map(|all| all.into_iter().map(TcpListener::from_std).collect::<Result<Vec<_>, _>>()) {
            Ok(Ok(all)) => listeners = all,
            Ok(Err(error)) => return complain(&Invalid::new(format!("--web.systemd-socket: {error}")).code(codes::NO_SOCKETS), FAILURE),
            Err(error) => return complain(&error, BAD_CONFIG),
        }
    }
    for address in addresses.iter().filter(|_| !common.web_systemd_socket) {
        match server::bind(address).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => return complain(&error, FAILURE),
        }
    }
    for listener in &listeners {
        let Ok(at) = listener.local_addr() else { continue };
        if !server::is_loopback(at)
            && let Err(error) = web.guard(at, common.web_insecure)
        {
            return complain(&error, BAD_CONFIG);
        }
        tracing::info!(address = %at, path = common.telemetry_path, version = P::META.version, "listening");
    }
    let mut signals = os::signal::Signals::default();
    let site = Arc::new(Site::new(Arc::clone(&current) as Arc<dyn InForce>, &common, Arc::clone(&web)));
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server::serve(site, listeners, stopped));
    os::memory::give_back();
    os::notify::ready();
    let watchdog = tokio::spawn(os::notify::watchdog());
    let web = tokio::spawn(async move { web.watch().await });
    while signals.next().await == Wish::Reload {
        // Refused or not, the log says so.
        let _ = current.reload();
    }
    tracing::info!("stopping");
    os::notify::stopping();
    stop.send_replace(true);
    let ended = serving.await;
    current.app().close().await;
    watchdog.abort();
    web.abort();
    ExitCode::from(if ended.is_ok() { FINE } else { FAILURE })
}

fn say(text: &str) -> ExitCode {
    own::say(text);
    ExitCode::SUCCESS
}

fn complain(error: &Invalid, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}\ncode: {}", error.code);
    ExitCode::from(code)
}
