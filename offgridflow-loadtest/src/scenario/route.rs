//! What is asked.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    template::{Place, Sources, Template},
    values::{Secret, Secrets, Span, Statuses},
};
use crate::{
    error::ConfigError,
    target::http::{HttpRoute, HttpTarget},
};

/// The largest body that is read from a file, in bytes.
const MAX_BODY_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Route {
    path: String,
    method: Option<String>,
    name: Option<String>,
    pub(super) weight: Option<u32>,
    #[serde(default)]
    headers: BTreeMap<String, Secrets>,
    body: Option<Secret>,
    body_file: Option<std::path::PathBuf>,
    expect: Option<Statuses>,
    #[serde(default)]
    pub(super) check: Vec<String>,
    #[serde(default)]
    pub(super) extract: BTreeMap<String, String>, // of a step
    pub(super) pause: Option<Span>,       // likewise
    pub(super) retry_every: Option<Span>, // likewise
}

/// What a route is built with: where its values come from, and where the names of files begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) from: Sources<'a>,
    pub(super) folder: &'a Path,
}

impl Route {
    /// What tells it from others where it has no name of its own.
    pub(super) fn place(&self) -> Option<(&str, &str)> {
        let path = self.path.split('?').next().unwrap_or_default();
        self.name.is_none().then_some((self.method.as_deref().unwrap_or("GET"), path))
    }

    /// One of a target's routes.
    pub(super) fn build(&self, around: &Around<'_>) -> Result<HttpRoute, ConfigError> {
        if self.weight == Some(0) {
            return Err(ConfigError::new("weight", "must be at least 1; leave the route out instead"));
        }
        let misplaced = [
            ("extract", !self.extract.is_empty()),
            ("pause", self.pause.is_some()),
            ("retry_every", self.retry_every.is_some()),
        ];
        if let Some((field, _)) = misplaced.into_iter().find(|(_, is_said)| *is_said) {
            return Err(ConfigError::new(field, "is for the steps of a flow: [[flow]] and [[flow.step]]"));
        }
        Ok(self.request(around)?.weight(self.weight.unwrap_or(1)))
    }

    /// What it asks for, and what it expects.
    pub(super) fn request(&self, around: &Around<'_>) -> Result<HttpRoute, ConfigError> {
        let mut route = self.asked(around)?;
        for (name, Secrets(values)) in &self.headers {
            for Secret(value) in values {
                route = with_own_header(route, name, header(name, value, around)?)?;
            }
        }
        if let Some(name) = &self.name {
            route = route.named(name);
        }
        route = self.with_body(route, around)?;
        if let Some((first, more)) = self.expect.as_ref().and_then(|Statuses(all)| all.split_first()) {
            route = more.iter().cloned().fold(route.expect(first.clone()), HttpRoute::or_expect);
        }
        let checks = self.check.iter().enumerate();
        checks.into_iter().try_fold(route, |route, (index, check)| {
            route.check(check).map_err(|error| ConfigError::new(format!("check.{index}"), error.hint))
        })
    }

    /// Method and path.
    fn asked(&self, around: &Around<'_>) -> Result<HttpRoute, ConfigError> {
        let method = self.method.as_deref().unwrap_or("GET");
        let path = Template::parse(&self.path, Place::Path, &around.from);
        let path = path.map_err(|hint| ConfigError::new("path", hint))?;
        let route = HttpRoute::new(method, path.name())?;
        if let Some(path) = path.constant() {
            return route.asking(path);
        }
        let needs_row = path.needs_row();
        let route = route.path_with(move |op| path.fill(op));
        route.sound()?;
        Ok(if needs_row { route.needing_row() } else { route })
    }

    fn with_body(&self, route: HttpRoute, around: &Around<'_>) -> Result<HttpRoute, ConfigError> {
        let (field, text) = match (&self.body, &self.body_file) {
            (None, None) => return Ok(route),
            (Some(_), Some(_)) => {
                return Err(ConfigError::new("body_file", "give either body or body_file, not both"));
            }
            (Some(Secret(body)), None) => ("body", body.clone()),
            (None, Some(file)) => match read(&around.folder.join(file))? {
                Ok(text) => ("body_file", text),
                Err(bytes) => return Ok(route.body(bytes)),
            },
        };
        let body = Template::parse(&text, Place::Plain, &around.from);
        let body = body.map_err(|hint| ConfigError::new(field, hint))?;
        let needs_row = body.needs_row();
        let route = match body.constant() {
            Some(body) => route.body(body),
            None => route.body_with(move |op| body.fill(op)),
        };
        Ok(if needs_row { route.needing_row() } else { route })
    }
}

/// A header of a route.
fn with_own_header(route: HttpRoute, name: &str, value: Template) -> Result<HttpRoute, ConfigError> {
    let needs_row = value.needs_row();
    let route = match value.constant() {
        Some(value) => route.header(name, &value)?,
        None => route.header_with(name, move |op| value.fill(op))?,
    };
    Ok(if needs_row { route.needing_row() } else { route })
}

/// A header of the target, its value a template as those of routes.
pub(super) fn with_header(
    target: HttpTarget,
    name: &str,
    value: &str,
    around: &Around<'_>,
) -> Result<HttpTarget, ConfigError> {
    let value = header(name, value, around)?;
    let needs_row = value.needs_row();
    let target = match value.constant() {
        Some(value) => target.header(name, &value),
        None => target.header_with(name, move |op| value.fill(op)),
    };
    if needs_row { target.map(HttpTarget::needing_row) } else { target }
}

/// Refuses a table's cells that no header can hold, before any of them is sent.
fn header(name: &str, value: &str, around: &Around<'_>) -> Result<Template, ConfigError> {
    for_header(value, around).map_err(|hint| ConfigError::new(format!("headers.{name}"), hint))
}

/// A value that goes into a header, or why it cannot.
pub(super) fn for_header(value: &str, around: &Around<'_>) -> Result<Template, String> {
    let template = Template::parse(value, Place::Plain, &around.from)?;
    let feed = around.from.feed.iter();
    for (feed, column) in feed.flat_map(|feed| template.columns().map(move |column| (feed, column))) {
        let unfit = |cell: &str| cell.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t');
        if let Some(row) = feed.column(column).position(unfit) {
            let column = &feed.columns()[column];
            return Err(format!(
                "row {} of the feed has characters in `{column}` that HTTP does not allow in a header",
                row + 1
            ));
        }
    }
    Ok(template)
}

/// The text of a file; its bytes where it is no text, which no template can be.
fn read(path: &Path) -> Result<Result<String, Vec<u8>>, ConfigError> {
    let wrong = |hint: String| ConfigError::new("body_file", format!("{}: {hint}", path.display()));
    let about = fs::metadata(path).map_err(|error| wrong(format!("cannot be opened: {error}")))?;
    if !about.is_file() {
        return Err(wrong("it is no file".into()));
    }
    if about.len() > MAX_BODY_BYTES {
        return Err(wrong(format!(
            "it is {} MiB long, and a body is at most {} MiB",
            about.len() >> 20,
            MAX_BODY_BYTES >> 20
        )));
    }
    let bytes = fs::read(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    Ok(String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes))
}
