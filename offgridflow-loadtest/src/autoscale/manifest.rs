//! HorizontalPodAutoscalers out of YAML, and what is wrong with them that no schema tells.

use std::{collections::HashMap, time::Duration};

use serde_json::{Map, Value};

use crate::autoscale::{Direction, Hpa, Limit, Policy, Resource, Select, Target, Tolerance};

/// Something in a manifest that Kubernetes would refuse, or take and do something else with than was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Finding {
    /// The object and the field: `api: spec.maxReplicas`.
    pub at: String,
    /// What is wrong, and what to write instead.
    pub hint: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.at, self.hint)
    }
}

/// What a file of manifests says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// Its autoscalers, as far as they can be read.
    pub hpas: Vec<Hpa>,
    /// What is wrong with them.
    pub findings: Vec<Finding>,
}

/// Reads all autoscalers of `yaml`, several documents if need be, beside the Deployments that they scale, if these are there too.
///
/// # Errors
/// Where it is no YAML, with line and column.
///
/// ```
/// use offgridflow_loadtest::autoscale::manifests;
/// let yaml = "
/// apiVersion: autoscaling/v2
/// kind: HorizontalPodAutoscaler
/// metadata: { name: api }
/// spec:
///   scaleTargetRef: { apiVersion: apps/v1, kind: Deployment, name: api }
///   minReplicas: 9
///   maxReplicas: 2
///   metrics:
///     - type: Resource
///       resource: { name: cpu, target: { type: Utilization, averageUtilization: 70 } }";
/// let found = manifests(yaml).unwrap();
/// assert_eq!(found.findings[0].to_string(), "api: spec.minReplicas: 9 is more than maxReplicas, 2");
/// ```
pub fn manifests(yaml: &str) -> Result<Manifests, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
    let of = |kind: &str| -> Vec<Object<'_>> {
        documents.iter().filter(|value| value["kind"] == kind).map(Object::new).collect()
    };
    let (scalers, deployments) = (of("HorizontalPodAutoscaler"), of("Deployment"));
    let mut found = Manifests::default();
    let mut scaled: HashMap<String, String> = HashMap::new();
    for object in &scalers {
        let mut reader = Reader { object: &object.name, findings: &mut found.findings };
        let hpa = reader.hpa(object);
        let target = &object.value["spec"]["scaleTargetRef"];
        reader.target(target, &deployments, &hpa);
        if let Some(other) = scaled.insert(target["name"].to_string(), object.name.clone()) {
            reader.say(
                "spec.scaleTargetRef",
                format!("{other} scales the same object: they would undo each other's work"),
            );
        }
        found.hpas.push(hpa);
    }
    if scalers.is_empty() {
        let hint = "no HorizontalPodAutoscaler in it".to_owned();
        found.findings.push(Finding { at: "manifest".to_owned(), hint });
    }
    Ok(found)
}

struct Object<'a> {
    name: String,
    value: &'a Value,
}

impl<'a> Object<'a> {
    fn new(value: &'a Value) -> Self {
        Self { name: value["metadata"]["name"].as_str().unwrap_or("(no name)").to_owned(), value }
    }
}

const SPEC: [&str; 5] = ["scaleTargetRef", "minReplicas", "maxReplicas", "metrics", "behavior"];
const RULES: [&str; 4] = ["stabilizationWindowSeconds", "selectPolicy", "policies", "tolerance"];
const LONGEST_WINDOW: u64 = 3_600;
const LONGEST_PERIOD: u64 = 1_800;

struct Reader<'a> {
    object: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn say(&mut self, field: &str, hint: impl Into<String>) {
        self.findings.push(Finding { at: format!("{}: {field}", self.object), hint: hint.into() });
    }

    fn hpa(&mut self, object: &Object<'_>) -> Hpa {
        let version = object.value["apiVersion"].as_str().unwrap_or_default();
        if version != "autoscaling/v2" {
            self.say("apiVersion", format!("{version:?} is not autoscaling/v2, the only one that Kubernetes 1.26 and later serve with behavior"));
        }
        let spec = &object.value["spec"];
        self.known(spec, "spec", &SPEC);
        let max = self.number(spec, "spec", "maxReplicas", 1..=u64::from(u32::MAX));
        let min = match spec["minReplicas"] {
            Value::Null => Some(1),
            Value::Number(ref zero) if zero.as_u64() == Some(0) => {
                self.say("spec.minReplicas", "0 needs the feature HPAScaleToZero and a metric that is not of the pods; write 1 or more");
                None
            }
            _ => self.number(spec, "spec", "minReplicas", 1..=u64::from(u32::MAX)),
        };
        let (min, most) = (min.unwrap_or(1), max.unwrap_or(u32::MAX));
        if min > most {
            self.say("spec.minReplicas", format!("{min} is more than maxReplicas, {most}"));
        }
        let mut hpa = Hpa::new(object.name.clone(), min, most.max(min));
        hpa.targets = self.targets(&spec["metrics"]);
        self.known(&spec["behavior"], "spec.behavior", &["scaleUp", "scaleDown"]);
        let up = self.direction(&spec["behavior"]["scaleUp"], "spec.behavior.scaleUp", &mut hpa.up);
        let down = self.direction(&spec["behavior"]["scaleDown"], "spec.behavior.scaleDown", &mut hpa.down);
        hpa.tolerance = Tolerance::Between { down: down.unwrap_or(0.1), up: up.unwrap_or(0.1) };
        hpa
    }

    fn targets(&mut self, metrics: &Value) -> Vec<Target> {
        let metrics = metrics.as_array().map_or(&[][..], Vec::as_slice);
        if metrics.is_empty() {
            self.say(
                "spec.metrics",
                "there is none: Kubernetes would take 80 % of the CPU requests; say what is meant",
            );
        }
        let mut targets: Vec<Target> = Vec::new();
        for (at, metric) in metrics.iter().enumerate() {
            let field = format!("spec.metrics[{at}]");
            let Some(target) = self.metric(metric, &field) else { continue };
            if targets.iter().any(|other| other.resource == target.resource) {
                self.say(&field, "a second target for the same resource: the lower one always decides");
            }
            targets.push(target);
        }
        targets
    }

    fn metric(&mut self, metric: &Value, field: &str) -> Option<Target> {
        if metric["type"] != "Resource" {
            self.say(
                field,
                format!("metrics of type {} are not simulated; only Resource is", metric["type"]),
            );
            return None;
        }
        let resource = match metric["resource"]["name"].as_str() {
            Some("cpu") => Resource::Cpu,
            Some("memory") => Resource::Memory,
            other => {
                self.say(
                    &format!("{field}.resource.name"),
                    format!("{} is neither cpu nor memory", named(other)),
                );
                return None;
            }
        };
        let (target, field) = (&metric["resource"]["target"], format!("{field}.resource.target"));
        if target["type"] != "Utilization" {
            self.say(
                &format!("{field}.type"),
                format!("{} is not Utilization, which averageUtilization belongs to", target["type"]),
            );
        }
        let percent = self.number(target, &field, "averageUtilization", 1..=1_000)?;
        Some(Target { resource, percent })
    }

    /// Overwrites what is said; the tolerance, if it is.
    fn direction(&mut self, rules: &Value, field: &str, direction: &mut Direction) -> Option<f64> {
        if rules.is_null() {
            return None;
        }
        self.known(rules, field, &RULES);
        if !rules["stabilizationWindowSeconds"].is_null()
            && let Some(secs) = self.number(rules, field, "stabilizationWindowSeconds", 0..=LONGEST_WINDOW)
        {
            direction.window = Duration::from_secs(secs.into());
        }
        match rules["selectPolicy"].as_str() {
            None | Some("Max") => direction.select = Select::Max,
            Some("Min") => direction.select = Select::Min,
            Some("Disabled") => direction.select = Select::Disabled,
            Some(other) => self
                .say(&format!("{field}.selectPolicy"), format!("{other:?} is none of Max, Min and Disabled")),
        }
        match rules["policies"].as_array() {
            Some(policies) if policies.is_empty() && direction.select != Select::Disabled => {
                self.say(
                    &format!("{field}.policies"),
                    "empty: nothing could ever change; leave it out for the defaults",
                );
            }
            Some(policies) => {
                let policies = policies.iter().enumerate();
                direction.policies = policies
                    .filter_map(|(at, policy)| self.policy(policy, &format!("{field}.policies[{at}]")))
                    .collect();
            }
            None => {}
        }
        self.tolerance(&rules["tolerance"], &format!("{field}.tolerance"))
    }

    fn policy(&mut self, policy: &Value, field: &str) -> Option<Policy> {
        let value = self.number(policy, field, "value", 1..=u64::from(u32::MAX));
        let period = self.number(policy, field, "periodSeconds", 1..=LONGEST_PERIOD);
        let limit: fn(u32) -> Limit = match policy["type"].as_str() {
            Some("Pods") => Limit::Pods,
            Some("Percent") => Limit::Percent,
            other => {
                let other = named(other);
                self.say(&format!("{field}.type"), format!("{other} is neither \"Pods\" nor \"Percent\""));
                return None;
            }
        };
        Some(Policy { limit: limit(value?), period: Duration::from_secs(period?.into()) })
    }

    /// A quantity: `0.05`, `"50m"`.
    fn tolerance(&mut self, value: &Value, field: &str) -> Option<f64> {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let number = text.strip_suffix('m').map_or_else(
            || text.parse::<f64>().ok(),
            |thousandths| thousandths.parse::<f64>().ok().map(|number| number / 1e3),
        );
        let fits = number.filter(|number| (0.0..1.0).contains(number));
        if fits.is_none() {
            self.say(field, format!("{text:?} is no share from 0 to 1, such as 0.05"));
        }
        fits
    }

    fn number(
        &mut self,
        object: &Value,
        parent: &str,
        key: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Option<u32> {
        let value = &object[key];
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let what = if value.is_null() { "missing".to_owned() } else { value.to_string() };
            let (least, most) = (range.start(), range.end());
            let most = if *most == u64::from(u32::MAX) { "up".to_owned() } else { format!("to {most}") };
            self.say(&format!("{parent}.{key}"), format!("{what}; it is a whole number from {least} {most}"));
        }
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// Kubernetes drops what it does not know without a word.
    fn known(&mut self, object: &Value, field: &str, names: &[&str]) {
        let keys = object.as_object().into_iter().flat_map(Map::keys);
        for key in keys.filter(|key| !names.contains(&key.as_str())).cloned().collect::<Vec<_>>() {
            self.say(&format!("{field}.{key}"), format!("no such field; there are {}", names.join(", ")));
        }
    }

    fn target(&mut self, target: &Value, deployments: &[Object<'_>], hpa: &Hpa) {
        for key in ["apiVersion", "kind", "name"] {
            if target[key].as_str().is_none_or(str::is_empty) {
                self.say(&format!("spec.scaleTargetRef.{key}"), "missing: there is nothing to scale");
            }
        }
        let name = target["name"].as_str().unwrap_or_default();
        if deployments.is_empty() || target["kind"] != "Deployment" {
            return;
        }
        let Some(deployment) = deployments.iter().find(|deployment| deployment.name == name) else {
            return self.say(
                "spec.scaleTargetRef.name",
                format!("there is no Deployment {name:?} in these manifests"),
            );
        };
        let spec = &deployment.value["spec"];
        if !spec["replicas"].is_null() {
            let hint = format!(
                "Deployment {name} sets replicas: each time it is applied it takes back what was scaled; leave it out"
            );
            self.say("spec.scaleTargetRef", hint);
        }
        for container in spec["template"]["spec"]["containers"].as_array().into_iter().flatten() {
            self.requests(container, hpa);
        }
    }

    fn requests(&mut self, container: &Value, hpa: &Hpa) {
        for target in &hpa.targets {
            let resource = match target.resource {
                Resource::Cpu => "cpu",
                Resource::Memory => "memory",
            };
            if container["resources"]["requests"][resource].is_null() {
                let name = container["name"].as_str().unwrap_or("(no name)");
                self.say(
                    "spec.metrics",
                    format!("container {name:?} requests no {resource}: there is nothing to be percent of"),
                );
            }
        }
    }
}

/// What is written, or that nothing is.
fn named(text: Option<&str>) -> String {
    text.map_or_else(|| "what is missing".to_owned(), |text| format!("{text:?}"))
}
