//! Nothing is left behind, whatever ends the process that started the servers.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `script` under `testkit run` with a scratch folder of its own; gives the folder and what the script printed.
fn run(script: &str) -> (tempfile::TempDir, String) {
    let scratch = tempfile::tempdir().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap(); // PostgreSQL's user enters too
    let output = Command::new(env!("CARGO_BIN_EXE_testkit"))
        .args(["run", "--", "sh", "-c", script])
        .env("TMPDIR", scratch.path())
        .env_remove(testkit::REDIS_ENV)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    (scratch, String::from_utf8(output.stdout).unwrap())
}

fn left_behind(scratch: &Path) -> usize {
    fs::read_dir(scratch).unwrap().count()
}

/// Process ids whose command line names the scratch folder, zombies apart.
fn processes_of(scratch: &Path) -> Vec<String> {
    let name = scratch.display().to_string();
    let running = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        String::from_utf8_lossy(&line)
            .contains(&name)
            .then(|| entry.file_name().to_string_lossy().into_owned())
    });
    running.collect()
}

fn wait_until_clean(scratch: &Path) {
    let patience = Instant::now();
    while left_behind(scratch) > 0 || !processes_of(scratch).is_empty() {
        assert!(patience.elapsed() < Duration::from_secs(30), "left behind: {:?}", processes_of(scratch));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_ordinary_end_leaves_nothing() {
    let (scratch, printed) = run("ls \"$TMPDIR\" | wc -l; echo $OFFGRIDFLOW_TESTKIT_POSTGRES");
    assert!(printed.starts_with("2\npostgres://"), "both servers ran: {printed}");
    assert_eq!((left_behind(scratch.path()), processes_of(scratch.path()).len()), (0, 0));
}

#[test]
fn kill_minus_nine_leaves_nothing() {
    let (scratch, _) = run("kill -KILL $PPID");
    wait_until_clean(scratch.path());
}

#[test]
fn the_exit_code_is_the_commands() {
    let status =
        Command::new(env!("CARGO_BIN_EXE_testkit")).args(["run", "--", "sh", "-c", "exit 7"]).status();
    assert_eq!(status.unwrap().code(), Some(7));
}
