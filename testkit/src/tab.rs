//! A page in a browser that is told what to do, over the pipe of its debugging protocol.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Browser;
use crate::browser::ALONE;

/// How long an answer of the browser may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Gives the browser its pipes as descriptors 3 and 4.
const SCRIPT: &str = r#"exec "$@" 3<"$IN" 4>"$OUT""#;

/// A tab that stays open: it takes sizes, keys and questions. The browser ends with it.
#[derive(Debug)]
pub struct Tab {
    child: Child,
    to: File,
    from: Receiver<Value>,
    session: String,
    next: u64,
    waiting: VecDeque<Value>,
    console: Vec<String>,
    asked: Vec<String>,
    _work: tempfile::TempDir,
}

impl Browser {
    /// Opens a tab in a browser that reaches this machine only, at its loopback addresses.
    ///
    /// # Errors
    /// What starting the browser fails with; [`io::ErrorKind::TimedOut`] when it does not answer.
    pub fn tab(&self) -> io::Result<Tab> {
        let work = tempfile::tempdir()?;
        let (input, output) = (work.path().join("in"), work.path().join("out"));
        let made = Command::new("mkfifo").args([&input, &output]).status()?;
        if !made.success() {
            return Err(io::Error::other("mkfifo makes no pipes"));
        }
        let profile = format!("--user-data-dir={}", work.path().join("profile").display());
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "browser"])
            .arg(self.program())
            .args(ALONE)
            .args([
                "--hide-scrollbars",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
                "--remote-debugging-pipe",
                &profile,
                "about:blank",
            ])
            .env("IN", &input)
            .env("OUT", &output)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let to = File::options().write(true).open(&input)?;
        let from = listen(File::open(&output)?);
        let (session, next) = (String::new(), 0);
        let (waiting, console, asked) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut tab = Tab { child, to, from, session, next, waiting, console, asked, _work: work };
        tab.attach()?;
        Ok(tab)
    }
}

/// Messages end with a zero byte.
fn listen(pipe: File) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut bytes = Vec::new();
            match pipe.read_until(0, &mut bytes) {
                Ok(1..) => {}
                _ => return,
            }
            bytes.pop();
            let Ok(message) = serde_json::from_slice(&bytes) else { continue };
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Tab {
    fn attach(&mut self) -> io::Result<()> {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attached =
            self.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }))?;
        self.session = attached["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Calls a method of the protocol (<https://chromedevtools.github.io/devtools-protocol/>) and waits for its result.
    ///
    /// # Errors
    /// What the browser says, or that it says nothing.
    pub fn call(&mut self, method: &str, parameters: Value) -> io::Result<Value> {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(message.to_string().as_bytes())?;
        self.to.write_all(&[0])?;
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.message(until)?;
            if message["id"] != id {
                self.waiting.push_back(message);
                continue;
            }
            return match message["error"]["message"].as_str() {
                Some(error) => Err(io::Error::other(format!("{method}: {error}"))),
                None => Ok(message["result"].clone()),
            };
        }
    }

    fn message(&mut self, until: Instant) -> io::Result<Value> {
        let left = until.saturating_duration_since(Instant::now());
        let message = self.from.recv_timeout(left).map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        self.note(&message);
        Ok(message)
    }

    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.consoleAPICalled") => self.console.push(parameters["args"].to_string()),
            Some("Runtime.exceptionThrown") => self.console.push(parameters["exceptionDetails"].to_string()),
            Some("Log.entryAdded") => self.console.push(parameters["entry"]["text"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.asked.extend(parameters["request"]["url"].as_str().map(str::to_owned));
            }
            _ => {}
        }
    }

    /// Sends these headers with every request.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn headers(&mut self, headers: &[(&str, &str)]) -> io::Result<()> {
        let headers: serde_json::Map<String, Value> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.call("Network.setExtraHTTPHeaders", json!({ "headers": headers })).map(drop)
    }

    /// Goes to an address and waits until the page is loaded.
    ///
    /// # Errors
    /// As [`call`](Self::call); an address that cannot be loaded.
    pub fn go(&mut self, url: &str) -> io::Result<()> {
        self.waiting.clear();
        let went = self.call("Page.navigate", json!({ "url": url }))?;
        if let Some(error) = went["errorText"].as_str() {
            return Err(io::Error::other(format!("{url}: {error}")));
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let message = match self.waiting.pop_front() {
                Some(message) => message,
                None => self.message(until)?,
            };
            if message["method"] == "Page.loadEventFired" {
                return Ok(());
            }
        }
    }

    /// The value of an expression on the page, a promise's once it has one.
    ///
    /// # Errors
    /// As [`call`](Self::call); what the expression throws.
    pub fn evaluate(&mut self, expression: &str) -> io::Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.call("Runtime.evaluate", parameters)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(io::Error::other(format!("{expression}: {thrown}"))),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); [`io::ErrorKind::TimedOut`] after a minute.
    pub fn until(&mut self, expression: &str) -> io::Result<()> {
        let began = Instant::now();
        while self.evaluate(expression)? != Value::Bool(true) {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("never true: {expression}")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// How wide and high the window is, in pixels, and whether its user prefers the dark.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn look(&mut self, width: u32, height: u32, dark: bool) -> io::Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size)?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).map(drop)
    }

    /// Presses a key, `Tab` or `Enter`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn press(&mut self, key: &str) -> io::Result<()> {
        let (code, text) = if key == "Enter" { (13, "\r") } else { (9, "") };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", event)?;
        }
        Ok(())
    }

    /// The whole page as a PNG, in base 64.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub fn screenshot(&mut self) -> io::Result<String> {
        let taken =
            self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }))?;
        taken["data"].as_str().map(str::to_owned).ok_or_else(|| io::Error::other("no picture came"))
    }

    /// What was said on the console, errors of the page and of the network included.
    #[must_use]
    pub fn console(&self) -> &[String] {
        &self.console
    }

    /// What pages asked for over the network.
    #[must_use]
    pub fn asked(&self) -> &[String] {
        &self.asked
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(self._work.path());
    }
}
