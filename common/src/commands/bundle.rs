//! `bundle`: what a supporter asks for first, in one archive. Its list is shown before it is written.
//!
//! Nothing in it is meant to hold a secret, and what was used as one while it was made is taken out of every file once more,
//! in each form in which it may stand there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Instant, SystemTime};

use base64::Engine as _;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::tar::{Member, archive};
use crate::app::{App, Ask};
use crate::cli::{CommonFlags, Lines};
use crate::codes;
use crate::commands::own;
use crate::config::secret;
use crate::deadline::Deadline;
use crate::error::Invalid;
use crate::expo::{self, Format};
use crate::os;
use crate::reload::Loaded;
use crate::selfmon::{self, Answers};
use crate::service::Meta;
use crate::sink::{NO_LIMIT, Sink};

/// Stands where a secret stood.
const GONE: &str = "<secret>";

/// Takes all secrets that this process has read out of `text`, and passwords in URLs.
pub fn redact(text: &str) -> String {
    let mut out = text.to_owned();
    for secret in secret::used() {
        let url: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let json = serde_json::to_string(&secret).unwrap_or_default();
        for form in [secret.as_str(), &url, &url.replace('+', "%20"), json.trim_matches('"'), &secret.escape_debug().to_string()] {
            out = replace(&out, form);
        }
        out = replace(&out, &base64::engine::general_purpose::STANDARD.encode(&secret));
    }
    without_userinfo(&out)
}

fn replace(text: &str, form: &str) -> String {
    // A single letter would take the text apart and hide nothing.
    if form.len() < 2 { text.to_owned() } else { text.replace(form, GONE) }
}

/// `scheme://user:password@host` without the password.
fn without_userinfo(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        rest = after;
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>')).unwrap_or(after.len());
        let Some((authority, tail)) = after.split_at_checked(end) else { break };
        if let Some((user, host)) = authority.rsplit_once('@')
            && let Some((user, _)) = user.split_once(':')
        {
            out.push_str(&format!("{user}:{GONE}@{host}"));
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

/// Looks at the exporter as it is configured and at its first target, and writes what it sees to `output`, where one is named.
///
/// # Errors
/// The archive cannot be written.
pub async fn make<A: App>(
    app: A,
    flags: &CommonFlags,
    deadline: Deadline,
    lines: &Lines,
    output: Option<&Path>,
) -> Result<String, Invalid> {
    let config = app.effective_config();
    let begun = Instant::now();
    let checked = app.check(deadline).await;
    let check_took = begun.elapsed();
    let mut page = Sink::new(NO_LIMIT);
    let timeout = deadline.remaining().as_secs_f64().max(1.0).to_string();
    let asked = Instant::now();
    let scraped = match Ask::parse("", Some(&timeout)) {
        Ok(ask) => app.metrics(ask).await,
        Err(error) => Err(error),
    };
    if let Ok(scraped) = &scraped {
        page.absorb(scraped);
    }
    let page_took = asked.elapsed();
    let loaded = Loaded { success: true, at: SystemTime::now() };
    selfmon::write(app.meta(), loaded, None, &Answers::default(), &mut page);
    page.settle();
    let metrics = match scraped {
        Ok(_) => String::from_utf8_lossy(&expo::write(&page, Format::Text)).into_owned(),
        Err(error) => format!("# no page: {}\n", error.error.message),
    };
    app.close().await;
    let mut families = BTreeMap::<&str, usize>::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        *families.entry(name).or_default() += 1;
    }
    let mut sizes = format!(
        "check_seconds {:.3}\npage_seconds {:.3}\npage_bytes {}\nseries {}\n\nseries by name\n",
        check_took.as_secs_f64(),
        page_took.as_secs_f64(),
        metrics.len(),
        families.values().sum::<usize>()
    );
    for (name, count) in families {
        sizes.push_str(&format!("{count:>6} {name}\n"));
    }
    let check = serde_json::to_string_pretty(&checked).unwrap_or_default() + "\n";
    let more = [
        ("config.yml", "the configuration in force, as print-config prints it", config),
        ("check.json", "what check finds: each part, how it does, what to do", check),
        ("metrics.prom", "the page of /metrics", metrics),
        ("sizes.txt", "bytes, series and times of that page", sizes),
    ];
    finish(app.meta(), flags, more.to_vec(), lines, output)
}

/// As `make`, where the configuration is refused: the archive holds the reason.
///
/// # Errors
/// As `make`.
pub fn make_without(meta: &Meta, error: &Invalid, flags: &CommonFlags, lines: &Lines, output: Option<&Path>) -> Result<String, Invalid> {
    finish(meta, flags, vec![("error.txt", "why the configuration is refused", format!("{error}\ncode: {}\n", error.code))], lines, output)
}

type Part = (&'static str, &'static str, String);

fn finish(meta: &Meta, flags: &CommonFlags, parts: Vec<Part>, lines: &Lines, output: Option<&Path>) -> Result<String, Invalid> {
    let mut about = format!("sage-{}-exporter {}\n{} {}\n", meta.name, meta.version, std::env::consts::OS, std::env::consts::ARCH);
    // Only names: a value may be a secret.
    let mut names: Vec<String> = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
    names.sort();
    about.push_str(&format!("flags: {flags:#?}\nvariables that are set: {}\n", names.join(" ")));
    let log = lines.text();
    let mut all = vec![("about.txt", "version, flags, names of environment variables", about)];
    all.extend(parts);
    all.push(("log.txt", "the log of this command, with all details", log));
    let folder = format!("sage-{}-bundle", meta.name);
    let members: Vec<Member> =
        all.into_iter().map(|(name, about, text)| Member { name: format!("{folder}/{name}"), about, text: redact(&text) }).collect();
    // Before anything is written, so that it can be stopped.
    let mut said = list(&members);
    match output {
        None => said.push_str("nothing is written; to write these: bundle --output bundle.tar.gz\n"),
        Some(path) => {
            own::say(&std::mem::take(&mut said));
            let bytes = write(&members, path)?;
            said = format!("written: {}, {bytes} bytes, for its owner alone; read it before you send it\n", path.display());
        }
    }
    Ok(said)
}

/// The list of what an archive holds.
pub fn list(members: &[Member]) -> String {
    let width = members.iter().map(|member| member.name.len()).max().unwrap_or(0);
    members.iter().map(|member| format!("{:width$}  {:>8}  {}\n", member.name, member.text.len(), member.about)).collect()
}

/// Writes the archive to a new file that is for its owner alone; returns its size.
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn write(members: &[Member], path: &Path) -> Result<usize, Invalid> {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let pack = || -> std::io::Result<Vec<u8>> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        packer.write_all(&archive(members, time))?;
        packer.finish()
    };
    let written = pack().and_then(|bytes| os::files::create_new(path, true)?.write_all(&bytes).map(|()| bytes.len()));
    written.map_err(|e| {
        Invalid::new(format!("--output {}: {e}", path.display()))
            .hint("name a file that is not there yet, in a folder that you can write to")
            .code(if e.kind() == std::io::ErrorKind::AlreadyExists { codes::EXISTS } else { codes::OUTPUT })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_taken_out() {
        let text = "a postgresql://u:p@ss@h:1/d \"http://x:y@z\" https://plain/a@b:c e://f";
        assert_eq!(without_userinfo(text), "a postgresql://u:<secret>@h:1/d \"http://x:<secret>@z\" https://plain/a@b:c e://f");
    }

    #[test]
    fn what_was_read_as_a_secret_is_taken_out_in_each_form() {
        secret::keep_in_mind();
        let canary = "c@n \"ary\\1";
        secret::Secret::Environment("X", canary.into()).read().unwrap();
        for text in [canary, "c%40n+%22ary%5C1", "c%40n%20%22ary%5C1", "c@n \\\"ary\\\\1", "Y0BuICJhcnlcMQ=="] {
            assert_eq!(redact(&format!("a {text} b")), "a <secret> b", "{text}");
        }
    }
}
