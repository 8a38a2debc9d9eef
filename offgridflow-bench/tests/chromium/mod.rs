//! A browser that is there, asked what it makes of a page.
#![allow(unreachable_pub, reason = "a module of a test file")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a browser made of a page.
#[derive(Debug)]
pub struct Seen {
    /// The document, after all that the page did.
    pub document: String,
    /// What was said on the console, a line each.
    pub console: Vec<String>,
    /// What the page asked for over the network.
    pub asked: Vec<String>,
}

/// The browser to try pages in: `OFFGRIDFLOW_BROWSER`, or a Chromium of the system's.
pub fn browser() -> Option<PathBuf> {
    const NAMES: [&str; 5] =
        ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"];
    let there = |name: &str| {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
    };
    std::env::var_os("OFFGRIDFLOW_BROWSER").map(PathBuf::from).or_else(|| NAMES.into_iter().find_map(there))
}

/// The page with a policy under which nothing runs and nothing is fetched: what wants to is told on the console.
pub fn with_nothing_allowed(page: &str) -> String {
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">";
    page.replacen("<head>", &format!("<head>{policy}"), 1)
}

/// Opens a page on a machine that reaches nothing.
pub fn open(browser: &Path, page: &Path) -> Seen {
    let work = tempfile::tempdir().unwrap();
    let said = |name: &str| fs::File::create(work.path().join(name)).unwrap();
    let argument = |name: &str, value: &str| format!("--{name}={value}");
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox", // the pages are ours, and in containers the browser may have no right to one
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=2000",
        "--dump-dom",
    ]);
    command.arg(argument("user-data-dir", &work.path().join("profile").display().to_string()));
    command.arg(argument("log-net-log", &work.path().join("net.json").display().to_string()));
    command.arg(format!("file://{}", page.display()));
    command.stdin(Stdio::null()).stdout(said("document")).stderr(said("log"));
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let read = |name: &str| {
        fs::read(work.path().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    let log = read("log").unwrap();
    let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
    let asked = read("net.json").unwrap_or_default();
    let asked = asked.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
    let asked = asked.filter(|url| url.starts_with("http")).map(str::to_owned).collect();
    Seen { document: read("document").unwrap(), console, asked }
}
