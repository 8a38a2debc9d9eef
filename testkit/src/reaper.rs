//! The reaper: a shell outside our process group that outlives us long enough to clean up.
//!
//! It reads process ids from its standard input, the newest replacing the one before (`0`: nothing to stop). When the pipe
//! closes, because we stopped it or because we died in whatever way, it ends the last process and removes the directory.
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Error;

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
last=0
while read -r pid; do last=$pid; done
if [ "$last" -ne 0 ]; then
  kill -CONT "$last" 2>/dev/null
  kill -"$2" "$last" 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$last" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$last" 2>/dev/null
fi
for _ in 1 2 3 4 5; do rm -rf -- "$1" 2>/dev/null && break; sleep 0.2; done
"#;

/// A running reaper; dropping it lets it do its work and waits for it.
#[derive(Debug)]
pub(crate) struct Reaper(Child);

impl Reaper {
    /// Starts a reaper that will end what it watches with `signal` (`TERM`, `QUIT`) and remove `directory`.
    pub(crate) fn start(directory: &Path, signal: &str) -> Result<Self, Error> {
        Command::new("/bin/sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(directory)
            .arg(signal)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(Error::io("start the reaper"))
    }

    /// From now on `pid` is what has to end (0: nothing).
    pub(crate) fn watch(&mut self, pid: u32) -> Result<(), Error> {
        let pipe = self.0.stdin.as_mut().expect("the pipe stays open until drop");
        writeln!(pipe, "{pid}").map_err(Error::io("tell the reaper"))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
