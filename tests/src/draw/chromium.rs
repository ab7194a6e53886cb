//! Pictures of pages by Debian's Chromium, without a window, a network or a profile that stays.

use std::path::Path;
use std::time::Duration;

use crate::poll;
use crate::process::{self, Process};
use crate::temp::TempFolder;

const PROGRAM: &str = "/usr/bin/chromium";
const LIMIT: Duration = Duration::from_secs(60);
/// Width of the picture in pixels, that of the page.
const WIDTH: u32 = 1600;

/// Writes a PNG of a page (a file) of this height to `picture`.
///
/// # Errors
/// Chromium is missing, or made no picture in a minute; the text has what it said.
pub fn picture(page: &Path, height: u32, picture: &Path) -> Result<(), String> {
    if !Path::new(PROGRAM).exists() {
        return Err(format!("{PROGRAM} is missing: run scripts/setup.sh pictures"));
    }
    let folder = TempFolder::new("chromium");
    let made = folder.join("picture.png");
    let mut command = process::command(PROGRAM, folder.path());
    command.env("HOME", folder.path()).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.arg(format!("--window-size={WIDTH},{height}"));
    command.arg(format!("--screenshot={}", made.display()));
    command.arg(format!("file://{}", page.display()));
    let mut chromium = Process::start("chromium", command, folder.path());
    let ended = poll::within(LIMIT, || chromium.ended());
    if !ended.is_some_and(|s| s.success()) || !made.exists() {
        return Err(format!("chromium made no picture of {}: {ended:?}\n{}", page.display(), chromium.logs()));
    }
    std::fs::copy(&made, picture).map(drop).map_err(|e| format!("{}: {e}", picture.display()))
}
