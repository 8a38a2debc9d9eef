//! What a cluster does by itself: autoscalers set replicas, Deployments roll out, Jobs end.

use serde_json::{Value, json};

use crate::cluster::Faults;
use crate::store::{Key, Store};

/// One look at everything; each object moves by at most a step, so that who watches sees the way.
pub fn step(store: &mut Store, faults: &Faults) {
    let keys: Vec<Key> = store.all().keys().cloned().collect();
    for key in keys {
        let object = store.get(&key).cloned().unwrap_or_default();
        match key.0.as_str() {
            "horizontalpodautoscalers" => scale(store, &key, &object),
            "deployments" => roll(store, key, object, faults),
            "jobs" => run(store, key, object, faults),
            _ => {}
        }
    }
}

/// Never fewer than the least.
fn scale(store: &mut Store, key: &Key, hpa: &Value) {
    let name = hpa["spec"]["scaleTargetRef"]["name"].as_str().unwrap_or_default();
    let target = ("deployments".to_owned(), key.1.clone(), name.to_owned());
    let Some(mut deployment) = store.get(&target).cloned() else { return };
    let least = hpa["spec"]["minReplicas"].as_u64().unwrap_or(1);
    if deployment["spec"]["replicas"].as_u64().unwrap_or(1) < least {
        deployment["spec"]["replicas"] = json!(least);
        bump(&mut deployment);
        store.put(target, deployment, "scaled");
    }
}

fn bump(object: &mut Value) {
    object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap_or(0) + 1);
}

fn roll(store: &mut Store, key: Key, mut deployment: Value, faults: &Faults) {
    if deployment["spec"]["replicas"].is_null() {
        deployment["spec"]["replicas"] = json!(1);
        bump(&mut deployment);
        return store.put(key, deployment, "one replica, as nobody says how many");
    }
    let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
    let (generation, status) = (&deployment["metadata"]["generation"], &deployment["status"]);
    let ready = status["updatedReplicas"].as_u64().unwrap_or(0);
    if status["observedGeneration"] == *generation && (ready == wanted || late(&deployment)) {
        return;
    }
    let stuck = faults.stuck.as_deref() == Some(key.2.as_str());
    let ready = if status["observedGeneration"] == *generation { ready + 1 } else { 0 };
    if stuck && ready > 0 {
        let why = json!({ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" });
        deployment["status"]["conditions"] = json!([why]);
        return store.put(key, deployment, "stuck");
    }
    let seen = deployment["metadata"]["generation"].clone();
    deployment["status"] = json!({ "observedGeneration": seen, "replicas": wanted, "updatedReplicas": ready,
        "readyReplicas": ready, "availableReplicas": ready });
    if ready > 0 {
        let (kind, name, pod) = pod(&key, &deployment, ready);
        store.put((kind, key.1.clone(), name), pod, "runs");
    }
    let said = if ready == wanted { "rolled out" } else { "rolls" };
    store.put(key, deployment, said);
}

fn late(deployment: &Value) -> bool {
    deployment["status"]["conditions"][0]["reason"] == "ProgressDeadlineExceeded"
}

fn pod(key: &Key, owner: &Value, number: u64) -> (String, String, Value) {
    let name = format!("{}-{number}", key.2);
    let template = &owner["spec"]["template"];
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": key.1, "labels": template["metadata"]["labels"] },
        "spec": template["spec"], "status": { "phase": "Running" } });
    ("pods".to_owned(), name, pod)
}

fn run(store: &mut Store, key: Key, mut job: Value, faults: &Faults) {
    if !job["status"]["conditions"].is_null() {
        return;
    }
    if job["status"]["active"].is_null() {
        job["status"]["active"] = json!(1);
        job["spec"]["selector"] = json!({ "matchLabels": { "job-name": key.2 } });
        let (kind, name, mut pod) = pod(&key, &job, 1);
        pod["metadata"]["labels"]["job-name"] = json!(key.2);
        store.put((kind, key.1.clone(), name), pod, "runs");
        return store.put(key, job, "runs");
    }
    let (kind, said) = if faults.migration_fails { ("Failed", "failed") } else { ("Complete", "complete") };
    job["status"] = json!({ "conditions": [{ "type": kind, "status": "True" }] });
    store.put(key, job, said);
}
