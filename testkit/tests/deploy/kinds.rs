//! The kinds of which the fake knows, and what kubectl asks first: discovery, and whether fields are validated.

use serde_json::{Value, json};

/// One kind of object.
pub struct Kind {
    pub group: &'static str, // empty: the core
    pub version: &'static str,
    pub plural: &'static str,
    pub name: &'static str,
    pub short: &'static [&'static str],
    pub namespaced: bool,
}

const fn kind(
    (group, version): (&'static str, &'static str),
    plural: &'static str,
    name: &'static str,
    short: &'static [&'static str],
) -> Kind {
    Kind { group, version, plural, name, short, namespaced: true }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const NETWORK: (&str, &str) = ("networking.k8s.io", "v1");

pub const KINDS: &[Kind] = &[
    Kind { namespaced: false, ..kind(CORE, "namespaces", "Namespace", &["ns"]) },
    kind(CORE, "configmaps", "ConfigMap", &["cm"]),
    kind(CORE, "secrets", "Secret", &[]),
    kind(CORE, "serviceaccounts", "ServiceAccount", &["sa"]),
    kind(CORE, "services", "Service", &["svc"]),
    kind(CORE, "pods", "Pod", &["po"]),
    kind(APPS, "deployments", "Deployment", &["deploy"]),
    kind(("batch", "v1"), "jobs", "Job", &[]),
    kind(("autoscaling", "v2"), "horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"]),
    kind(("policy", "v1"), "poddisruptionbudgets", "PodDisruptionBudget", &["pdb"]),
    kind(NETWORK, "networkpolicies", "NetworkPolicy", &["netpol"]),
    kind(NETWORK, "ingresses", "Ingress", &["ing"]),
];

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `/api/v1` or `/apis/GROUP/VERSION`.
    fn root(&self) -> String {
        if self.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}", self.api_version()) }
    }

    pub fn of(root: &str, plural: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.root() == root && kind.plural == plural)
    }

    fn resource(&self) -> Value {
        json!({
            "name": self.plural, "singularName": self.name.to_lowercase(), "namespaced": self.namespaced, "kind": self.name,
            "shortNames": self.short, "verbs": ["create", "delete", "get", "list", "patch", "watch"],
        })
    }
}

/// What a path of discovery answers.
pub fn discovery(path: &str) -> Option<Value> {
    match path {
        "/version" => Some(json!({ "major": "1", "minor": "33", "gitVersion": "v1.33.0" })),
        "/api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/apis" => Some(groups()),
        "/openapi/v3" => Some(json!({ "paths": roots().map(|root| {
            (root[1..].to_owned(), json!({ "serverRelativeURL": format!("/openapi/v3{root}") }))
        }).collect::<serde_json::Map<_, _>>() })),
        _ => match path.strip_prefix("/openapi/v3") {
            Some(root) => schema(root),
            None => resources(path),
        },
    }
}

fn roots() -> impl Iterator<Item = String> {
    let mut roots: Vec<_> = KINDS.iter().map(Kind::root).collect();
    roots.dedup();
    roots.into_iter()
}

fn groups() -> Value {
    let mut groups: Vec<_> = KINDS.iter().filter(|kind| !kind.group.is_empty()).collect();
    groups.dedup_by_key(|kind| kind.group);
    let group = |kind: &&Kind| {
        let version = json!({ "groupVersion": kind.api_version(), "version": kind.version });
        json!({ "name": kind.group, "versions": [version], "preferredVersion": version })
    };
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(group).collect::<Vec<_>>() })
}

fn resources(root: &str) -> Option<Value> {
    let kinds: Vec<_> = KINDS.iter().filter(|kind| kind.root() == root).collect();
    let group = kinds.first()?.api_version();
    let resources: Vec<_> = kinds.iter().map(|kind| kind.resource()).collect();
    Some(
        json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources }),
    )
}

/// As much of the schema as kubectl reads: that a patch takes `fieldValidation`.
fn schema(root: &str) -> Option<Value> {
    let kinds: Vec<_> = KINDS.iter().filter(|kind| kind.root() == root).collect();
    kinds.first()?;
    let parameters = json!([{ "name": "fieldValidation", "in": "query", "schema": { "type": "string" } }]);
    let path = |kind: &&Kind| {
        let gvk = json!({ "group": kind.group, "version": kind.version, "kind": kind.name });
        let patch =
            json!({ "parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": gvk });
        (format!("{root}/{}/{{name}}", kind.plural), json!({ "patch": patch }))
    };
    let paths: serde_json::Map<_, _> = kinds.iter().map(path).collect();
    Some(json!({ "openapi": "3.0.0", "info": { "title": "fake", "version": "v1" }, "paths": paths }))
}
