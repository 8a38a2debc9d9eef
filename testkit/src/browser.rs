//! A browser that is there, asked what it makes of a page.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const NAMES: [&str; 5] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome"];
/// Without a window, and without asking for anything of its own accord.
pub(crate) const ALONE: [&str; 7] = [
    "--headless",
    "--no-sandbox", // the pages are ours, and in containers the browser may have no right to one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
];
const LONGEST: Duration = Duration::from_secs(120);

/// A Chromium of the system's, or the one that `OFFGRIDFLOW_BROWSER` names.
#[derive(Debug, Clone)]
pub struct Browser {
    program: PathBuf,
}

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

impl Browser {
    /// The browser, if one is there. Nothing installs it, so a test without one says so and tries nothing.
    #[must_use]
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("OFFGRIDFLOW_BROWSER").map(PathBuf::from);
        named.or_else(|| NAMES.into_iter().find_map(on_the_path)).map(|program| Self { program })
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Opens a page on a machine that reaches nothing, and waits until it is done.
    ///
    /// # Errors
    /// What starting the browser or reading what it left fails with; [`io::ErrorKind::TimedOut`] after two minutes.
    pub fn open(&self, page: &Path) -> io::Result<Seen> {
        let work = tempfile::tempdir()?;
        let mut child = self.command(page, work.path())?.spawn()?;
        within(LONGEST, &mut child)?;
        let read = |name: &str| {
            fs::read(work.path().join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let (document, log, net) = (read("document")?, read("log")?, read("net.json").unwrap_or_default());
        let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect();
        let asked = net.split("\"url\":\"").skip(1).filter_map(|rest| rest.split('"').next());
        let asked = asked.filter(|url| url.starts_with("http")).map(str::to_owned).collect();
        Ok(Seen { document, console, asked })
    }

    fn command(&self, page: &Path, work: &Path) -> io::Result<Command> {
        let argument = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let mut command = Command::new(&self.program);
        command.args(ALONE).args([
            "--enable-logging=stderr",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=2000",
            "--dump-dom",
        ]);
        command.arg(argument("user-data-dir", &work.join("profile")));
        command.arg(argument("log-net-log", &work.join("net.json")));
        command.arg(format!("file://{}", page.display()));
        command
            .stdin(Stdio::null())
            .stdout(File::create(work.join("document"))?)
            .stderr(File::create(work.join("log"))?);
        Ok(command)
    }
}

/// The page with a policy under which nothing runs and nothing is fetched: what wants to is told on the console.
#[must_use]
pub fn with_nothing_allowed(page: &str) -> String {
    let policy = "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">";
    page.replacen("<head>", &format!("<head>{policy}"), 1)
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn within(longest: Duration, child: &mut Child) -> io::Result<ExitStatus> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if began.elapsed() > longest {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the browser took longer than {longest:?}"),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
