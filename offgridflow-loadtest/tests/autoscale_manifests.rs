//! Manifests that a schema takes and Kubernetes does not, or not as meant: each is named with its field.
#![cfg(feature = "autoscale")]

use offgridflow_loadtest::autoscale::{Direction, Policy, Resource, Select, Target, Tolerance, manifests};
use std::time::Duration;

const GOOD: &str = "
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: api
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: api
  minReplicas: 2
  maxReplicas: 10
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: 70
    - type: Resource
      resource:
        name: memory
        target:
          type: Utilization
          averageUtilization: 80
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      selectPolicy: Max
      policies:
        - type: Percent
          value: 100
          periodSeconds: 30
    scaleDown:
      stabilizationWindowSeconds: 300
      tolerance: 50m
      policies:
        - type: Percent
          value: 50
          periodSeconds: 60
";

const DEPLOYMENT: &str = "
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: api
spec:
  template:
    spec:
      containers:
        - name: api
          resources:
            requests:
              cpu: 500m
              memory: 256Mi
";

fn findings(yaml: &str) -> Vec<String> {
    manifests(yaml).unwrap().findings.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_written_is_what_is_simulated() {
    let found = manifests(&format!("{GOOD}{DEPLOYMENT}")).unwrap();
    assert!(found.findings.is_empty(), "{:?}", found.findings);
    let [hpa] = found.hpas.as_slice() else { panic!("{found:?}") };
    let direction = |percent, period, window| Direction {
        window: Duration::from_secs(window),
        select: Select::Max,
        policies: vec![Policy::percent(percent, Duration::from_secs(period))],
    };
    assert_eq!((hpa.name.as_str(), hpa.min, hpa.max), ("api", 2, 10));
    assert_eq!((&hpa.up, &hpa.down), (&direction(100, 30, 0), &direction(50, 60, 300)));
    assert_eq!(hpa.tolerance, Tolerance::Between { down: 0.05, up: 0.1 });
    let [cpu, memory] = [(Resource::Cpu, 70), (Resource::Memory, 80)];
    assert_eq!(hpa.targets, [cpu, memory].map(|(resource, percent)| Target { resource, percent }));
}

#[test]
fn each_broken_autoscaler_is_named_with_its_field() {
    let cases = [
        ("minReplicas: 2", "minReplicas: 11", "spec.minReplicas"),
        ("minReplicas: 2", "minReplicas: 0", "spec.minReplicas"),
        ("maxReplicas: 10", "maxReplicas: 0", "spec.maxReplicas"),
        ("  maxReplicas: 10\n", "", "spec.maxReplicas"),
        (
            "averageUtilization: 70",
            "averageUtilization: 0",
            "spec.metrics[0].resource.target.averageUtilization",
        ),
        (
            "type: Utilization\n          averageUtilization: 80",
            "type: AverageValue\n          averageUtilization: 80",
            "spec.metrics[1].resource.target.type",
        ),
        ("name: cpu", "name: gpu", "spec.metrics[0].resource.name"),
        ("name: memory", "name: cpu", "spec.metrics[1]"),
        ("WindowSeconds: 300", "WindowSeconds: 3601", "spec.behavior.scaleDown.stabilizationWindowSeconds"),
        (
            "type: Percent\n          value: 100",
            "type: Pct\n          value: 100",
            "spec.behavior.scaleUp.policies[0].type",
        ),
        ("value: 50", "value: 0", "spec.behavior.scaleDown.policies[0].value"),
        ("periodSeconds: 60", "periodSeconds: 1801", "spec.behavior.scaleDown.policies[0].periodSeconds"),
        ("selectPolicy: Max", "selectPolicy: Most", "spec.behavior.scaleUp.selectPolicy"),
        ("tolerance: 50m", "tolerance: 5", "spec.behavior.scaleDown.tolerance"),
        (
            "stabilizationWindowSeconds: 300",
            "stabilisationWindowSeconds: 300",
            "spec.behavior.scaleDown.stabilisationWindowSeconds",
        ),
        ("autoscaling/v2", "autoscaling/v2beta2", "apiVersion"),
        ("    name: api\n", "", "spec.scaleTargetRef.name"),
    ];
    for (good, bad, field) in cases {
        assert!(GOOD.contains(good), "{good}");
        let found = findings(&GOOD.replacen(good, bad, 1));
        let expected = format!("api: {field}: ");
        assert!(found.iter().any(|finding| finding.starts_with(&expected)), "{bad}: {found:?}");
    }
}

#[test]
fn what_stands_beside_an_autoscaler_is_looked_at_too() {
    let with = |good: &str, bad: &str| findings(&format!("{GOOD}{}", DEPLOYMENT.replacen(good, bad, 1)));
    assert!(with("spec:\n", "spec:\n  replicas: 3\n")[0].contains("sets replicas"));
    assert!(with("              memory: 256Mi\n", "")[0].contains("requests no memory"));
    assert!(with("  name: api", "  name: web")[0].contains("no Deployment \"api\""));
    let twice = findings(&format!("{GOOD}\n---{}", GOOD.replacen("name: api", "name: other", 1)));
    assert!(
        twice.iter().any(|finding| finding.starts_with("other: ") && finding.contains("api scales the same")),
        "{twice:?}"
    );
    assert!(findings("kind: Service")[0].contains("no HorizontalPodAutoscaler"));
    assert!(manifests("a: [1").unwrap_err().contains("line"));
}

/// What this repository deploys (without the repository, as in the package, there is nothing to read).
#[test]
fn our_own_autoscalers_are_as_promised_and_pinned_by_nothing() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/k8s");
    let read = |name: &str| std::fs::read_to_string(folder.join(name));
    let Ok(hpa) = read("hpa.yaml") else { return };
    let deployments = ["api.yaml", "worker.yaml", "web.yaml"].map(|name| read(name).unwrap());
    let found = manifests(&format!("{hpa}\n---\n{}", deployments.join("\n---\n"))).unwrap();
    assert!(found.findings.is_empty(), "{:#?}", found.findings);
    let said: Vec<_> = found
        .hpas
        .iter()
        .map(|hpa| {
            let percents: Vec<_> = hpa.targets.iter().map(|target| target.percent).collect();
            (hpa.name.as_str(), hpa.min, hpa.max, percents, hpa.down.window.as_secs())
        })
        .collect();
    let promised = [("api", 2, 10, 70, 80, 300), ("web", 2, 8, 70, 80, 300), ("worker", 1, 5, 75, 85, 600)];
    let promised =
        promised.map(|(name, min, max, cpu, memory, window)| (name, min, max, vec![cpu, memory], window));
    assert_eq!(said, promised);
    for hpa in &found.hpas {
        let rules = |policies: &[Policy]| policies.to_vec();
        assert_eq!((hpa.up.window, hpa.up.select), (Duration::ZERO, Select::Max));
        assert_eq!(rules(&hpa.up.policies), [Policy::percent(100, Duration::from_secs(30))]);
        assert_eq!(rules(&hpa.down.policies), [Policy::percent(50, Duration::from_secs(60))]);
    }
}
