//! `tls-init`: a key, a certificate of our own, a password, the web configuration file, and what Prometheus needs to
//! know of them.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};

use super::hash::Hash;
use crate::codes;
use crate::error::Invalid;
use crate::os;

/// What is to be made.
pub struct Wish<'a> {
    /// Where the files go.
    pub folder: &'a Path,
    /// Names and addresses besides those of this machine; Prometheus uses the first.
    pub names: &'a [String],
    /// The user that Prometheus logs in as.
    pub user: &'a str,
    /// How long the certificate lasts.
    pub days: u32,
    /// Name and port of the exporter.
    pub exporter: &'a str,
    /// See `exporter`.
    pub port: u16,
}

/// Characters of a password: none that has to be quoted anywhere.
const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 142 bits.
const PASSWORD_LENGTH: usize = 24;

/// Makes the files and returns what to tell: the only place where the password is ever shown.
///
/// # Errors
/// A file is there already or cannot be written; nothing is left behind then.
pub fn make(wish: &Wish<'_>) -> Result<String, Invalid> {
    if wish.user.is_empty() || !wish.user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return Err(Invalid::new(format!("--user {:?}: letters, digits, dot, hyphen and underscore are taken", wish.user))
            .hint("write --user prometheus")
            .code(codes::FLAG_VALUE));
    }
    if !(1..=3650).contains(&wish.days) {
        return Err(Invalid::new(format!("--days {}: 1 to 3650 are taken", wish.days)).hint("write --days 730").code(codes::FLAG_VALUE));
    }
    let host = os::host::name().unwrap_or_else(|| "localhost".to_owned());
    let names = names(&host, wish.names);
    let refuse = |e: rcgen::Error| {
        Invalid::new(format!("cannot make a certificate for {}: {e}", names.join(", ")))
            .hint("give names that DNS can have, or addresses: --name")
            .code(codes::FLAG_VALUE)
    };
    let mut params = CertificateParams::new(names.clone()).map_err(refuse)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, host.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // Clocks differ by minutes; a certificate of the future is refused.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(u64::from(wish.days) * 86_400)).into();
    let end = params.not_after.date();
    let key = KeyPair::generate().map_err(refuse)?;
    let certificate = params.self_signed(&key).map_err(refuse)?;

    let no_random = |_| Invalid::new("the system gives no random numbers").code(codes::INTERNAL);
    let password = password().map_err(no_random)?;
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).map_err(no_random)?;
    let hash = Hash::make(password.as_bytes(), salt).text();
    let web = format!(
        "# Made by tls-init. Read anew when it changes, as are the files it names.\n\
         tls_server_config:\n  cert_file: web.crt\n  key_file: web.key\n\
         basic_auth_users:\n  {}: {hash}\n",
        wish.user
    );
    let at = |name: &str| wish.folder.join(name);
    write_all(&[(at("web.key"), key.serialize_pem(), true), (at("web.crt"), certificate.pem(), false), (at("web.yml"), web, true)])?;
    let Wish { user, exporter, port, .. } = wish;
    let (key, crt, yml) = (at("web.key"), at("web.crt"), at("web.yml"));
    Ok(format!(
        "written: {key} and {yml} (for their owner alone), {crt}\n\
         the certificate is for {names} and ends on {end}\n\n\
         password of the user {user}, shown this once: {password}\n\n\
         1. The exporter's user must own what it reads:\n\
         \x20    chown USER {key} {yml}\n\
         2. Start the exporter with:\n\
         \x20    sage-{exporter}-exporter --web.listen-address=:{port} --web.config.file={yml}\n\
         3. Copy {crt} to the machine of Prometheus as {exporter}-{host}.crt, write the password into a file there that\n\
         \x20  Prometheus alone can read, and add to prometheus.yml:\n\n\
         scrape_configs:\n\
         \x20 - job_name: {exporter}\n\
         \x20   scheme: https\n\
         \x20   basic_auth:\n\
         \x20     username: {user}\n\
         \x20     password_file: /etc/prometheus/{exporter}-{host}.password\n\
         \x20   tls_config:\n\
         \x20     ca_file: /etc/prometheus/{exporter}-{host}.crt\n\
         \x20   static_configs:\n\
         \x20     - targets: ['{target}:{port}']\n",
        key = key.display(),
        crt = crt.display(),
        yml = yml.display(),
        names = names.join(", "),
        target = wish.names.first().unwrap_or(&host),
    ))
}

/// This machine's names and addresses, and those that were given, each once.
fn names(host: &str, given: &[String]) -> Vec<String> {
    use std::net::ToSocketAddrs as _;
    let mut names = vec![host.to_owned()];
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    given.iter().for_each(|name| add(name.clone()));
    let found =
        (host, 0).to_socket_addrs().map(|all| all.map(|a| a.ip().to_canonical()).collect()).unwrap_or_else(|_| Vec::<IpAddr>::new());
    found.into_iter().filter(|ip| !ip.is_unspecified()).for_each(|ip| add(ip.to_string()));
    ["localhost", "127.0.0.1", "::1"].into_iter().for_each(|name| add(name.to_owned()));
    names
}

fn password() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut text = String::new();
    while text.len() < PASSWORD_LENGTH {
        let mut bytes = [0; 64];
        aws_lc_rs::rand::fill(&mut bytes)?;
        // What does not fit evenly is thrown away, so that every letter is as likely.
        let even = bytes.iter().map(|b| usize::from(b & 63)).filter_map(|b| LETTERS.get(b));
        text.extend(even.take(PASSWORD_LENGTH - text.len()).map(|b| char::from(*b)));
    }
    Ok(text)
}

/// Writes new files, `true` for the owner alone; all or none.
fn write_all(files: &[(PathBuf, String, bool)]) -> Result<(), Invalid> {
    if let Some((path, ..)) = files.iter().find(|(path, ..)| path.symlink_metadata().is_ok()) {
        let text = format!("{} is there already and is not overwritten", path.display());
        return Err(Invalid::new(text).hint("give another folder: --directory FOLDER, or move the old files away").code(codes::EXISTS));
    }
    let mut made: Vec<&Path> = Vec::new();
    for (path, text, secret) in files {
        let written = os::files::create_new(path, *secret).and_then(|mut file| {
            made.push(path);
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all())
        });
        if let Err(e) = written {
            // What is half there would only be in the way of the next try.
            for path in made {
                let _ = std::fs::remove_file(path);
            }
            return Err(Invalid::new(format!("{}: {e}", path.display()))
                .hint("name a folder that you can write to: --directory")
                .code(codes::OUTPUT));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_long_and_differ() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert!(a.len() == PASSWORD_LENGTH && a.bytes().all(|b| LETTERS.contains(&b)) && a != b);
    }

    #[test]
    fn names_are_this_machine_s_and_each_once() {
        let names = names("localhost", &["db1.example".to_owned(), "127.0.0.1".to_owned()]);
        assert_eq!(names.get(..3).unwrap(), ["localhost", "db1.example", "127.0.0.1"]);
        assert_eq!(names.iter().filter(|n| *n == "127.0.0.1").count(), 1);
        assert!(names.contains(&"::1".to_owned()));
    }

    #[test]
    fn what_is_made_is_taken_and_not_overwritten() {
        let folder = std::env::temp_dir().join(format!("sage-init-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let wish = Wish { folder: &folder, names: &[], user: "prometheus", days: 30, exporter: "x", port: 1 };
        let told = make(&wish);
        let (web, again) = (super::super::Web::load(Some(&folder.join("web.yml"))), make(&wish));
        let bad = make(&Wish { user: "a:b", ..wish });
        std::fs::remove_dir_all(&folder).unwrap();
        let told = told.unwrap();
        let shown = told.split_once("shown this once: ").and_then(|(_, rest)| rest.lines().next()).unwrap();
        assert_eq!(shown.len(), PASSWORD_LENGTH);
        let reload = web.unwrap().reload().unwrap();
        let left = reload.not_after.unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_secs(29 * 86_400) && left < Duration::from_secs(30 * 86_400 + 1), "{left:?}");
        assert!(again.unwrap_err().message.ends_with("web.key is there already and is not overwritten"));
        assert!(bad.unwrap_err().message.contains("--user"));
    }
}
