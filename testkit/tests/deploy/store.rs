//! What a cluster keeps: objects, who applied what of them, and every change in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::Kind;

/// Plural, namespace (empty where there is none) and name.
pub type Key = (String, String, String);

/// Why a request is refused: the status, and the sentence.
pub type Refusal = (u16, &'static str, String);

#[derive(Default)]
pub struct Store {
    live: BTreeMap<Key, Value>,
    applied: BTreeMap<Key, Value>, // as the deployer last applied it
    version: u64,
    /// Every change in order: `deployments/api`, or what a controller did.
    pub changes: Vec<String>,
}

impl Store {
    pub fn get(&self, key: &Key) -> Option<&Value> {
        self.live.get(key)
    }

    pub fn all(&self) -> &BTreeMap<Key, Value> {
        &self.live
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn of<'a>(&'a self, plural: &'a str, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        let of = move |key: &Key| key.0 == plural && (namespace.is_empty() || key.1 == namespace);
        self.live.iter().filter(move |(key, _)| of(key)).map(|(_, object)| object)
    }

    /// Server-side apply: what is applied wins, what was applied before and no longer is goes, and what others own stays.
    pub fn apply(&mut self, kind: &Kind, key: &Key, body: Value, keep: bool) -> Result<Value, Refusal> {
        let (_, namespace, _) = key;
        let home = ("namespaces".to_owned(), String::new(), namespace.clone());
        if kind.namespaced && !self.live.contains_key(&home) {
            return Err((404, "NotFound", format!("namespaces \"{namespace}\" not found")));
        }
        let (old, before) = (self.live.get(key), self.applied.get(key));
        if let (Some(before), "Job") = (before, kind.name)
            && before["spec"]["template"] != body["spec"]["template"]
        {
            let sentence = format!("Job.batch \"{}\" is invalid: spec.template: field is immutable", key.2);
            return Err((422, "Invalid", sentence));
        }
        let none = json!({});
        let mut new = merged(old.unwrap_or(&none), before.unwrap_or(&none), &body);
        if old == Some(&new) {
            return Ok(new);
        }
        let specified = old.is_none_or(|old| old["spec"] != new["spec"]);
        let version = self.version + 1;
        new["metadata"]["resourceVersion"] = json!(version.to_string());
        if old.is_none() {
            new["metadata"]["uid"] = json!(format!("uid-{version}"));
            new["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        if specified {
            new["metadata"]["generation"] = json!(new["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
        }
        if keep {
            self.version = version;
            self.changes.push(format!("{}/{}", key.0, key.2));
            self.live.insert(key.clone(), new.clone());
            self.applied.insert(key.clone(), body);
        }
        Ok(new)
    }

    /// What a controller, or a test, writes.
    pub fn put(&mut self, key: Key, mut object: Value, said: &str) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.changes.push(format!("{}/{}: {said}", key.0, key.2));
        self.live.insert(key, object);
    }

    pub fn delete(&mut self, key: &Key) -> Option<Value> {
        self.applied.remove(key);
        let gone = self.live.remove(key)?;
        self.version += 1;
        self.changes.push(format!("{}/{}: deleted", key.0, key.2));
        Some(gone)
    }
}

fn merged(live: &Value, before: &Value, new: &Value) -> Value {
    let (Some(live), Some(wanted)) = (live.as_object(), new.as_object()) else { return new.clone() };
    let none = json!({});
    let mut all = live.clone();
    all.retain(|field, _| wanted.contains_key(field) || before.get(field).is_none());
    for (field, value) in wanted {
        let value = match live.get(field) {
            Some(live) => merged(live, before.get(field).unwrap_or(&none), value),
            None => value.clone(),
        };
        all.insert(field.clone(), value);
    }
    Value::Object(all)
}
