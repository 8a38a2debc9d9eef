//! A cluster's API on loopback, as far as a deployment needs it, with faults that can be planted.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{self, Answer, Request};
use crate::kinds::{Kind, discovery};
use crate::store::{Key, Refusal, Store};
use crate::{controllers, kinds};

/// How often controllers look.
const TICK: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Default, Clone)]
pub struct Faults {
    /// The migration's pod fails.
    pub migration_fails: bool,
    /// This Deployment never gets a replica ready.
    pub stuck: Option<String>,
    /// Objects of this kind are refused, as an admission controller does.
    pub refused: Option<&'static str>,
}

#[derive(Default)]
struct State {
    store: Store,
    faults: Faults,
}

pub struct Cluster {
    state: Arc<Mutex<State>>,
    pub url: String,
}

impl Cluster {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let answering = Arc::clone(&state);
        http::serve(listener, move |request| answer(&answering, request));
        let controlling = Arc::downgrade(&state);
        thread::spawn(move || {
            while let Some(state) = controlling.upgrade() {
                let State { store, faults } = &mut *state.lock().unwrap();
                controllers::step(store, faults);
                thread::sleep(TICK);
            }
        });
        Self { state, url }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn plant(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Every object, whole.
    pub fn snapshot(&self) -> BTreeMap<Key, Value> {
        self.state().store.all().clone()
    }

    /// Every change so far, in order.
    pub fn changes(&self) -> Vec<String> {
        self.state().store.changes.clone()
    }

    pub fn get(&self, plural: &str, namespace: &str, name: &str) -> Option<Value> {
        self.state().store.get(&(plural.into(), namespace.into(), name.into())).cloned()
    }

    /// As somebody with the right to do so.
    pub fn put_secret(&self, namespace: &str, keys: &[&str]) {
        let data: BTreeMap<_, _> = keys.iter().map(|key| (*key, "eA==")).collect();
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": { "name": "offgridflow", "namespace": namespace } });
        let key = ("secrets".into(), namespace.into(), "offgridflow".into());
        self.state().store.put(key, secret, "written by somebody else");
    }
}

fn answer(state: &Arc<Mutex<State>>, request: &Request) -> Answer {
    if request.path == "/readyz" {
        return Answer::Text("ok".to_owned());
    }
    if let Some(found) = discovery(&request.path) {
        return Answer::Json(200, found);
    }
    let Some(place) = Place::of(&request.path) else {
        return refusal((404, "NotFound", "the server could not find the requested resource".to_owned()));
    };
    if request.query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") {
        return watch(Arc::clone(state), place, request.query.clone());
    }
    let State { store, faults } = &mut *state.lock().unwrap();
    match (request.method.as_str(), &place.name) {
        ("GET", Some(_)) if place.log => Answer::Text(format!("a line of {}\n", place.key().2)),
        ("GET", Some(_)) => found(store.get(&place.key()).cloned(), &place),
        ("GET", None) => Answer::Json(200, place.list(store, &request.query)),
        ("DELETE", Some(_)) => found(store.delete(&place.key()), &place),
        ("PATCH", Some(_)) => patch(store, faults, &place, request),
        (method, _) => {
            refusal((405, "MethodNotAllowed", format!("{method} is not among what the fake does")))
        }
    }
}

fn patch(store: &mut Store, faults: &Faults, place: &Place, request: &Request) -> Answer {
    if faults.refused == Some(place.kind.name) {
        let sentence = format!("admission denied: no {} here", place.kind.name);
        return refusal((403, "Forbidden", sentence));
    }
    let keep = !request.query.contains_key("dryRun");
    match store.apply(place.kind, &place.key(), request.body.clone(), keep) {
        Ok(object) => Answer::Json(200, object),
        Err(refused) => refusal(refused),
    }
}

fn found(object: Option<Value>, place: &Place) -> Answer {
    let key = place.key();
    object.map_or_else(
        || refusal((404, "NotFound", format!("{} \"{}\" not found", key.0, key.2))),
        |object| Answer::Json(200, object),
    )
}

fn refusal((status, reason, message): Refusal) -> Answer {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": status });
    Answer::Json(status, body)
}

/// Sends what changes until the client's own time-out, at most half a minute.
fn watch(state: Arc<Mutex<State>>, place: Place, query: BTreeMap<String, String>) -> Answer {
    let began = Instant::now();
    let since = query.get("resourceVersion").and_then(|version| version.parse().ok());
    let mut seen: u64 = since.unwrap_or(0);
    Answer::Events(Box::new(move |send| {
        let items = {
            let store = &state.lock().unwrap().store;
            place.items(store, &query)
        };
        let version = |object: &Value| {
            object["metadata"]["resourceVersion"]
                .as_str()
                .and_then(|version| version.parse().ok())
                .unwrap_or(0_u64)
        };
        let mut newer: Vec<_> = items.iter().filter(|object| version(object) > seen).collect();
        newer.sort_by_key(|object| version(object));
        for object in newer {
            seen = version(object);
            send(&json!({ "type": "MODIFIED", "object": object }))?;
        }
        thread::sleep(TICK);
        Ok(began.elapsed() < Duration::from_secs(30))
    }))
}

/// What a path names.
struct Place {
    kind: &'static Kind,
    namespace: String, // empty: all, or none
    name: Option<String>,
    log: bool,
}

impl Place {
    /// `ROOT/namespaces/NAMESPACE/PLURAL/NAME/log`, `ROOT/PLURAL/NAME`, and shorter.
    fn of(path: &str) -> Option<Self> {
        let mut parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let depth = if parts.first() == Some(&"api") { 2 } else { 3 };
        let rest = (parts.len() > depth).then(|| parts.split_off(depth))?;
        let root = format!("/{}", parts.join("/"));
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let kind = Kind::of(&root, rest.first()?)?;
        let name = rest.get(1).map(|name| (*name).to_owned());
        Some(Self { kind, namespace: namespace.to_owned(), name, log: rest.get(2) == Some(&"log") })
    }

    fn key(&self) -> Key {
        (self.kind.plural.to_owned(), self.namespace.clone(), self.name.clone().unwrap_or_default())
    }

    fn items(&self, store: &Store, query: &BTreeMap<String, String>) -> Vec<Value> {
        let all = store.of(self.kind.plural, &self.namespace);
        all.filter(|object| selected(object, query)).cloned().collect()
    }

    fn list(&self, store: &Store, query: &BTreeMap<String, String>) -> Value {
        json!({ "kind": format!("{}List", self.kind.name), "apiVersion": self.kind.api_version(),
            "metadata": { "resourceVersion": store.version().to_string() }, "items": self.items(store, query) })
    }
}

fn selected(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let equal = |selector: &str, of: &dyn Fn(&str) -> Value| {
        selector
            .split(',')
            .filter_map(|pair| pair.split_once('='))
            .all(|(field, value)| of(field) == value.trim_start_matches('='))
    };
    let labels = |label: &str| object["metadata"]["labels"][label].clone();
    let fields =
        |field: &str| object.pointer(&format!("/{}", field.replace('.', "/"))).cloned().unwrap_or_default();
    query.get("labelSelector").is_none_or(|selector| equal(selector, &labels))
        && query.get("fieldSelector").is_none_or(|selector| equal(selector, &fields))
}

/// Names of the kinds that `kubectl get` may be asked for by their short names.
pub fn short_names() -> impl Iterator<Item = &'static str> {
    kinds::KINDS.iter().flat_map(|kind| kind.short.iter().copied())
}
