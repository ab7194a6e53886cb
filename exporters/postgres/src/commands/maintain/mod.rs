//! `maintain vacuum-analyze`: VACUUM (ANALYZE, SKIP_LOCKED) table by table, as a process of its own with a role of its own.
//!
//! Never a part of a scrape. One run at a time: a lock file on this machine and an advisory lock on the server. What it
//! does stands in the log, a line a table, and in the state file for the exporter.

mod alone;
mod run;
mod tables;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use sage_common::codes;
use sage_common::commands::own::{Failure, Setup};
use sage_common::config::Span;
use sage_common::config::secret::{Secret, credential};
use sage_common::error::{CollectError, ErrorKind, Invalid};

use crate::grants::identifier;
use crate::maintenance::{self, FOLDER, Record};
use crate::options::Options;
use crate::service::Postgres;
use worker::Worker;

/// The role where none is named.
pub const ROLE: &str = "sage_maintain";

/// What is done.
#[derive(clap::Subcommand, Debug)]
pub enum Task {
    /// VACUUM and ANALYZE tables: exit code 0 also when the window ended before all were done, 1 when a table failed
    VacuumAnalyze(Args),
}

/// How it is done.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Target of the configuration file [default: the first]
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// Role to log in as; never the one that scrapes
    #[arg(long = "role", value_name = "ROLE", default_value = ROLE)]
    role: String,
    /// File with that role's password [default: the systemd credential postgres.maintain.password, if there is one]
    #[arg(long = "role-password-file", value_name = "FILE")]
    password_file: Option<PathBuf>,
    #[command(flatten)]
    filter: tables::Filter,
    /// End of the window as HH:MM in the server's time zone
    #[arg(long, value_name = "HH:MM", conflicts_with = "max_duration")]
    until: Option<String>,
    /// Length of the window
    #[arg(long, value_name = "TIME")]
    max_duration: Option<Span>,
    /// Pause of VACUUM and ANALYZE whenever they have used up their cost limit, 0 to 100ms (vacuum_cost_delay)
    #[arg(long, value_name = "TIME", default_value = "2ms")]
    cost_delay: Span,
    /// Longest wait for a lock; a table that is locked is skipped anyway
    #[arg(long, value_name = "TIME", default_value = "1s")]
    lock_timeout: Span,
    /// Folder of state file and lock file
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    state_folder: PathBuf,
    /// Go on although the role is superuser
    #[arg(long)]
    allow_superuser: bool,
}

/// Largest vacuum_cost_delay.
const MOST_DELAY: Duration = Duration::from_millis(100);

/// Runs the task.
pub async fn run(task: Task, setup: &Setup<Postgres>) -> Result<(), Failure> {
    let Task::VacuumAnalyze(args) = task;
    let (name, scraper) = setup.target(args.target.as_deref())?;
    // Whichever target it scrapes: that role reads, and has no right to more.
    if setup.targets.iter().any(|(_, options)| options.user == args.role) {
        let error = Invalid::new(format!("--role {}: this is the role that scrapes; maintenance has one of its own", args.role));
        return Err(error.hint("sage-postgres-exporter grants --maintain prints what makes it").code(codes::FLAG_VALUE).into());
    }
    if args.cost_delay.0 > MOST_DELAY {
        return Err(Invalid::new("--cost-delay: 100ms is the most that the server takes")
            .hint("write --cost-delay 2ms")
            .code(codes::FLAG_VALUE)
            .into());
    }
    if let Some(until) = &args.until {
        time_of_day(until)?;
    }
    let options = Options {
        user: args.role.clone(),
        password: args.password_file.clone().map(Secret::File).or_else(|| credential("postgres.maintain.password")),
        password_file: None,
        ..scraper.clone()
    };
    let _lock = alone::on_this_machine(&maintenance::path(&args.state_folder, name, "lock"))?;
    let mut stop = run::Stop::new();
    let Some(prepared) = stop.or(prepare(&args, &options)).await else { return Err(interrupted().into()) };
    let Some((control, databases)) = prepared? else { return Ok(()) };
    let window = match window(&args, &control).await {
        Ok(window) => window,
        Err(error) => {
            control.close().await;
            return Err(error.into());
        }
    };
    let file = maintenance::path(&args.state_folder, name, "json");
    let record = Record::read(&file).unwrap_or_else(|error| {
        tracing::warn!(%error, "the former results cannot be read and are written anew");
        None
    });
    let mut run = run::Run::new(&args, options, window, file, record.unwrap_or_default(), stop);
    let result = run.all(&control, &databases).await;
    control.close().await;
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Said),
        Err(error) => Err(error.into()),
    }
}

fn interrupted() -> CollectError {
    CollectError::new(ErrorKind::Internal, "stopped by a signal before the first table")
}

/// Connects, refuses what must not run, takes the lock, and lists the databases; `None` on a standby.
async fn prepare(args: &Args, options: &Options) -> Result<Option<(Worker, Vec<String>)>, CollectError> {
    const WHO: &str = "SELECT r.rolsuper, pg_is_in_recovery() FROM pg_roles r WHERE r.rolname = current_user";
    const DATABASES: &str = "SELECT datname::text FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY 1";
    let control = Worker::connect(options, &options.database).await?;
    let checked = async {
        let rows = control.rows(WHO, &[]).await?;
        let read = |column: usize| rows.first().and_then(|row| row.try_get::<_, bool>(column).ok()).unwrap_or(true);
        if read(0) && !args.allow_superuser {
            return Err(CollectError::new(
                ErrorKind::Permission,
                format!("the role {} is superuser, and maintenance needs none", options.user),
            )
            .hint(format!("ALTER ROLE {} NOSUPERUSER; or go on with --allow-superuser", identifier(&options.user))));
        }
        if read(1) {
            return Ok(None);
        }
        alone::on_the_server(&control).await?;
        let names = control.rows(DATABASES, &[]).await?;
        Ok(Some(names.iter().filter_map(|row| row.try_get::<_, String>(0).ok()).filter(|name| args.filter.takes_database(name)).collect()))
    };
    match checked.await {
        Ok(Some(databases)) => Ok(Some((control, databases))),
        Ok(None) => {
            tracing::info!("the server is a standby: its primary is maintained, and there is nothing to do here");
            control.close().await;
            Ok(None)
        }
        Err(error) => {
            control.close().await;
            Err(error)
        }
    }
}

/// How long the window is from now on.
async fn window(args: &Args, control: &Worker) -> Result<Option<Duration>, CollectError> {
    // The next time that the server's clock shows this, in its own time zone.
    const UNTIL: &str =
        "SELECT extract(epoch FROM CASE WHEN t > now() THEN t ELSE (t::timestamp + interval '1 day')::timestamptz END - now())::float8
        FROM (SELECT (current_date + $1::text::time)::timestamptz) AS today(t)";
    let Some(until) = &args.until else { return Ok(args.max_duration.map(|span| span.0)) };
    let rows = control.rows(UNTIL, &[until]).await?;
    let seconds = rows.first().and_then(|row| row.try_get::<_, f64>(0).ok()).unwrap_or(0.0);
    Ok(Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()))
}

fn time_of_day(text: &str) -> Result<(), Invalid> {
    let number = |part: &str, below: u32| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n < below)
    };
    match text.split_once(':') {
        Some((hours, minutes)) if number(hours, 24) && number(minutes, 60) => Ok(()),
        _ => Err(Invalid::new(format!("--until {text:?} is not a time of day"))
            .hint("write it as HH:MM, such as 05:00")
            .code(codes::FLAG_VALUE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_day() {
        for (text, want) in
            [("05:00", true), ("23:59", true), ("24:00", false), ("5:00", false), ("05:60", false), ("+5:00", false), ("", false)]
        {
            assert_eq!(time_of_day(text).is_ok(), want, "{text}");
        }
    }
}
