//! Spans of `tracing`, made ready to be pushed.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::identity::Identity;
use super::wire;

/// Spans that wait to be pushed; further ones are lost, and counted.
const WAITING: usize = 8_192;
/// Spans that are open; more are not looked at.
const OPEN: usize = 65_536;
/// Kinds of spans, by OTLP's numbers.
const KINDS: [(&str, i32); 2] = [("server", 2), ("client", 3)];
const INTERNAL: i32 = 1;
const FAILED: i32 = 2;

/// What is seen of spans by [`layer`], once somebody collects it.
static SEEN: OnceLock<Arc<Seen>> = OnceLock::new();

#[derive(Debug, Default)]
pub(super) struct Seen {
    sql: AtomicBool,
    redis: AtomicBool,
    open: Mutex<HashMap<u64, Open>>,
    ended: Mutex<Vec<wire::Span>>,
    lost: AtomicU64,
}

#[derive(Debug)]
struct Open {
    identity: Identity,
    parent: Option<[u8; 8]>,
    name: String,
    kind: i32,
    began: SystemTime,
    ended: Option<SystemTime>,
    attributes: Vec<wire::KeyValue>,
    failed: bool,
}

/// From now on spans are collected; what has ended is to be taken now and then.
pub(super) fn collect(sql: bool, redis: bool) -> Arc<Seen> {
    let seen = SEEN.get_or_init(Arc::default);
    seen.sql.store(sql, Relaxed);
    seen.redis.store(redis, Relaxed);
    Arc::clone(seen)
}

/// The current span as a comment for a statement, where that is wanted and there is one.
pub(crate) fn comment() -> Option<String> {
    let seen = SEEN.get().filter(|seen| seen.sql.load(Relaxed))?;
    let id = tracing::Span::current().id()?.into_u64();
    let identity = seen.open().get(&id)?.identity;
    Some(format!("/*traceparent='{identity}'*/"))
}

impl Seen {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> MutexGuard<'_, Vec<wire::Span>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self) -> Vec<wire::Span> {
        std::mem::take(&mut *self.ended())
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Requests, and calls of Redis where they are wanted.
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        match metadata.target().split("::").next() {
            Some("offgridflow") => true,
            Some("offgridflow_cache") => self.redis.load(Relaxed),
            _ => false,
        }
    }
}

/// A layer that collects spans of this server and its caches, once an endpoint is set.
#[must_use]
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Spans
        .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target().starts_with("offgridflow")))
}

#[derive(Debug)]
struct Spans;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(seen) = SEEN.get().filter(|seen| seen.wants(attributes.metadata())) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let mut open = seen.open();
        let around = context.span(id).and_then(|span| {
            span.scope().skip(1).find_map(|span| open.get(&span.id().into_u64()).map(|one| one.identity))
        });
        let parent = fields.parent.or(around);
        if open.len() >= OPEN {
            seen.lost.fetch_add(1, Relaxed);
            return;
        }
        let span = Open {
            identity: parent.map_or_else(Identity::new, Identity::child),
            parent: parent.map(|parent| parent.span),
            name: fields.name.unwrap_or_else(|| attributes.metadata().name().to_owned()),
            kind: fields.kind.unwrap_or(INTERNAL),
            began: SystemTime::now(),
            ended: None,
            attributes: fields.others,
            failed: fields.failed,
        };
        open.insert(id.into_u64(), span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let Some(seen) = SEEN.get() else { return };
        let mut fields = Fields::default();
        values.record(&mut fields);
        if let Some(span) = seen.open().get_mut(&id.into_u64()) {
            span.attributes.append(&mut fields.others);
            span.failed |= fields.failed;
            // What is said last of a span is how it ended: work that goes on behind it does not make it longer.
            span.ended = Some(SystemTime::now());
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let Some(seen) = SEEN.get() else { return };
        let Some(span) = seen.open().remove(&id.into_u64()).filter(|span| span.identity.sampled) else {
            return;
        };
        let mut ended = seen.ended();
        if ended.len() < WAITING {
            ended.push(span.into());
        } else {
            seen.lost.fetch_add(1, Relaxed);
        }
    }
}

impl From<Open> for wire::Span {
    fn from(span: Open) -> Self {
        Self {
            trace_id: span.identity.trace.into(),
            span_id: span.identity.span.into(),
            parent_span_id: span.parent.map_or_else(Vec::new, Into::into),
            name: span.name,
            kind: span.kind,
            start_time_unix_nano: nanos(span.began),
            end_time_unix_nano: nanos(span.ended.unwrap_or_else(SystemTime::now)),
            attributes: span.attributes,
            status: span.failed.then_some(wire::Status { code: FAILED }),
        }
    }
}

pub(super) fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The fields of a span: some say what it is, the others are its attributes.
#[derive(Default)]
struct Fields {
    name: Option<String>,
    kind: Option<i32>,
    parent: Option<Identity>,
    failed: bool,
    others: Vec<wire::KeyValue>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = Some(value.to_owned()),
            "otel.kind" => self.kind = KINDS.iter().find(|(name, _)| *name == value).map(|(_, kind)| *kind),
            "traceparent" => self.parent = Identity::parse(value),
            name => self.others.push(wire::KeyValue::text(name, value)),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.failed |= field.name() == "http.response.status_code" && value >= 500;
        self.others.push(wire::KeyValue::number(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "error" {
            self.failed |= value;
        } else {
            self.others.push(wire::KeyValue::text(field.name(), value.to_string()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.others.push(wire::KeyValue::text(field.name(), format!("{value:?}")));
    }
}
