use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::build::Executable;
use super::cancel::{kill, own_group};
use super::settings::LONGEST;
use super::{Cancel, GateError};
use crate::criterion_io::{Block, CONTINUE, Event, Frames, HELLO};
use crate::{CriterionDir, MeasurementSource};

/// How a benchmark tells its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// While it runs, as it would tell `cargo criterion`.
    Protocol,
    /// In criterion's files.
    Files,
}

/// How long a block is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) samples: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// Starts benchmark processes one after the other: same path, same environment, same port, fresh file.
#[derive(Debug)]
pub(crate) struct Stage {
    folder: PathBuf,
    listener: TcpListener,
    port: u16,
    via: Via,
    cancel: Cancel,
}

/// What a process told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) measured: Vec<Block>,
    pub(crate) skipped: Vec<String>,
}

/// Why a process told nothing usable, in words.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is the benchmark's.
    Bench(String),
    /// It is ours.
    Gate(GateError),
}

impl From<GateError> for Trouble {
    fn from(error: GateError) -> Self {
        Self::Gate(error)
    }
}

impl Stage {
    pub(crate) fn new(folder: PathBuf, via: Via, cancel: Cancel) -> Result<Self, GateError> {
        let refuse = |error: io::Error| {
            GateError::Setup(format!("cannot listen for benchmarks on 127.0.0.1: {error}"))
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(refuse)?;
        listener.set_nonblocking(true).map_err(refuse)?;
        let port = listener.local_addr().map_err(refuse)?.port();
        Ok(Self { folder, listener, port, via, cancel })
    }

    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Every benchmark of a program, by a filter that matches none: criterion names what it skips.
    pub(crate) fn list(&self, program: &Executable, limit: Duration) -> Result<Vec<String>, Trouble> {
        let shape =
            Shape { samples: 10, warm_up: Duration::from_millis(1), measure: Duration::from_millis(1) };
        let told = self.process(program, "no benchmark is called this", shape, limit, Via::Protocol)?;
        Ok(told.skipped)
    }

    /// One benchmark's block from a fresh process of the program in the link order `layout`.
    pub(crate) fn block(
        &self,
        program: &Executable,
        layout: usize,
        bench: &str,
        shape: Shape,
        limit: Duration,
    ) -> Result<Block, Trouble> {
        let file = layout.checked_sub(1).and_then(|nth| program.layouts.get(nth)).unwrap_or(&program.file);
        let program = &Executable { file: file.clone(), ..program.clone() };
        let mut told = self.process(program, bench, shape, limit, self.via)?;
        told.measured.retain(|block| block.name == bench);
        let block =
            told.measured.pop().ok_or_else(|| Trouble::Bench("it ran and told no samples".to_owned()))?;
        match block.samples.iter().all(|sample| sample.is_finite() && *sample > 0.0)
            && !block.samples.is_empty()
        {
            true => Ok(block),
            false => Err(Trouble::Bench(
                "it takes no time that can be measured: let an iteration do more".to_owned(),
            )),
        }
    }

    fn process(
        &self,
        program: &Executable,
        filter: &str,
        shape: Shape,
        limit: Duration,
        via: Via,
    ) -> Result<Told, Trouble> {
        self.cancel.check()?;
        let slot = self.folder.join("slot");
        let file = slot.join("bench");
        self.fresh(&slot, &program.file, &file)?;
        let said = slot.join("said");
        let mut command = Command::new(&file);
        command.args(["--bench", "--exact", "--noplot", "--sample-size", &shape.samples.to_string()]);
        command.args(["--warm-up-time", &shape.warm_up.as_secs_f64().to_string()]);
        command.args([
            "--measurement-time",
            &shape.measure.as_secs_f64().to_string(),
            "--nresamples",
            "100", // for figures that nobody reads: the samples are what is told
            "--",
            filter,
        ]);
        command
            .current_dir(&program.folder)
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .env("CRITERION_HOME", slot.join("criterion"));
        match via {
            Via::Protocol => command.env("CARGO_CRITERION_PORT", self.port.to_string()),
            Via::Files => command.env_remove("CARGO_CRITERION_PORT"),
        };
        let log = File::create(&said).map_err(|error| GateError::write(&said, &error))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        own_group(&mut command);
        let mut child =
            command.spawn().map_err(|error| Trouble::Bench(format!("it cannot be started: {error}")))?;
        let told = self.attend(&mut child, via, limit);
        if told.is_err() {
            kill(&mut child);
        }
        told.map_err(|trouble| with_words(trouble, &said)).and_then(|told| match via {
            Via::Protocol => Ok(told),
            Via::Files => from_files(&slot.join("criterion")),
        })
    }

    /// New pages for the program's text every time; the path stays.
    fn fresh(&self, slot: &Path, from: &Path, file: &Path) -> Result<(), GateError> {
        if slot.exists() {
            fs::remove_dir_all(slot).map_err(|error| GateError::write(slot, &error))?;
        }
        fs::create_dir_all(slot).map_err(|error| GateError::write(slot, &error))?;
        fs::copy(from, file).map(drop).map_err(|error| GateError::write(file, &error))
    }

    /// Listens until the process has ended well.
    fn attend(&self, child: &mut Child, via: Via, limit: Duration) -> Result<Told, Trouble> {
        let deadline = Instant::now() + limit.min(Duration::from_secs(LONGEST));
        let mut told = Told::default();
        if via == Via::Protocol
            && let Some(mut stream) = self.accept(child, deadline)?
        {
            listen(&mut stream, &mut told, &|| self.go_on(deadline))?;
        }
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(told),
                Ok(Some(status)) => return Err(Trouble::Bench(format!("it failed ({status})"))),
                Ok(None) => self.go_on(deadline)?,
                Err(error) => return Err(Trouble::Bench(format!("it cannot be waited for: {error}"))),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The process's connection; `None` when it ends without one, as what is not criterion does.
    fn accept(&self, child: &mut Child, deadline: Instant) -> Result<Option<TcpStream>, Trouble> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(Trouble::Bench(format!("its connection failed: {error}"))),
            }
            if child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(None);
            }
            self.go_on(deadline)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn go_on(&self, deadline: Instant) -> Result<(), Trouble> {
        self.cancel.check()?;
        if Instant::now() < deadline {
            Ok(())
        } else {
            Err(Trouble::Bench("it hangs: it was ended after many times its expected time".to_owned()))
        }
    }
}

/// Takes in events until the process closes the connection.
fn listen(
    stream: &mut TcpStream,
    told: &mut Told,
    go_on: &dyn Fn() -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let failed = |error: io::Error| Trouble::Bench(format!("its connection failed: {error}"));
    stream.set_nonblocking(false).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_millis(100))).map_err(failed)?;
    stream.write_all(HELLO).map_err(failed)?;
    let mut frames = Frames::default();
    let mut bytes = vec![0; 1 << 16];
    loop {
        while let Some(event) =
            frames.next().map_err(|what| Trouble::Bench(format!("it tells garbage: {what}")))?
        {
            let waits = matches!(event, Event::Measured(_) | Event::GroupDone);
            match event {
                Event::Measured(block) => told.measured.push(block),
                Event::Skipped(name) => told.skipped.push(name),
                Event::GroupDone | Event::Other => {}
            }
            if waits {
                stream.write_all(CONTINUE).map_err(failed)?;
            }
        }
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => frames.push(&bytes[..read]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                go_on()?;
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(()), // its status tells
            Err(error) => return Err(failed(error)),
        }
    }
}

fn from_files(home: &Path) -> Result<Told, Trouble> {
    let measured =
        CriterionDir::new(home, "new").measurements().map_err(|error| Trouble::Bench(error.to_string()))?;
    let block = |one: crate::Measurement| Block { name: one.name, samples: one.samples };
    Ok(Told { measured: measured.into_iter().map(block).collect(), skipped: Vec::new() })
}

/// The last words of the process beside what went wrong.
fn with_words(trouble: Trouble, said: &Path) -> Trouble {
    let Trouble::Bench(what) = trouble else { return trouble };
    let words = fs::read(said).unwrap_or_default();
    let tail = String::from_utf8_lossy(&words[words.len().saturating_sub(600)..]).trim().replace('\n', " / ");
    Trouble::Bench(if tail.is_empty() { what } else { format!("{what}, having said: {tail}") })
}
