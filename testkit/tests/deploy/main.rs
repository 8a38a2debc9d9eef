//! `scripts/k8s-deploy.sh` and its neighbours, with the real kubectl, on a cluster's API that was written for this: a fake of what a deployment
//! touches. Its faults are those that a real one has.
#![expect(unreachable_pub, reason = "modules of one test")]

mod cluster;
mod controllers;
mod http;
mod kinds;
mod store;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::{Cluster, Faults, short_names};
use serde_json::Value;

const STAGING: &str = "offgridflow-staging";
const KEYS: [&str; 2] = ["OFFGRIDFLOW_API_KEYS", "OFFGRIDFLOW_DATABASE_URL"];
const STEPS: [&str; 7] = ["check", "render", "secret", "rehearse", "migrate", "apply", "roll out"];

/// A cluster, and what `kubectl` needs to find it.
struct Rig {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

/// What a script said, and its exit status.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Rig {
    /// `None` where there is no kubectl; says so.
    fn start() -> Option<Self> {
        if Command::new("kubectl").args(["version", "--client"]).output().is_err() {
            eprintln!("SKIP: there is no kubectl, so nothing was deployed; install it to try");
            return None;
        }
        let (cluster, folder) = (Cluster::start(), tempfile::tempdir().unwrap());
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters: [{{name: fake, cluster: {{server: \"{}\"}}}}]\n\
             contexts: [{{name: fake, context: {{cluster: fake, user: nobody}}}}]\nusers: [{{name: nobody, user: {{}}}}]\n",
            cluster.url
        );
        fs::write(folder.path().join("config"), config).unwrap();
        Some(Self { cluster, folder })
    }

    /// One that has been deployed to.
    fn deployed() -> Option<Self> {
        let rig = Self::start()?;
        rig.cluster.put_secret(STAGING, &KEYS);
        rig.deploy("1.2.3").succeeds();
        Some(rig)
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(root())
            .env("KUBECONFIG", self.folder.path().join("config"))
            .env("HOME", self.folder.path())
            .env_remove("CONTEXT");
        command
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Said {
        said(self.command(root().join("scripts").join(script)).args(arguments))
    }

    fn deploy(&self, tag: &str) -> Said {
        self.run("k8s-deploy.sh", &["staging", tag, "registry.example/team"])
    }

    fn deployment(&self, name: &str) -> Option<Value> {
        self.cluster.get("deployments", STAGING, name)
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Said {
    fn succeeds(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }

    /// Ends at `step`, with a sentence.
    fn stops_at(&self, step: usize, sentence: &str) {
        let last = format!("step {step} of 7, {}: ", STEPS[step - 1]);
        let named = self.err.lines().any(|line| line.starts_with(&last) && line.contains(sentence));
        assert!(self.code == 1 && named, "{} not {last}…{sentence}: {}{}", self.code, self.out, self.err);
        assert_eq!(self.steps(), STEPS[..step]);
    }

    fn steps(&self) -> Vec<&str> {
        let numbered = self.out.lines().filter(|line| line.as_bytes().get(1..3) == Some(b"/7"));
        numbered.map(|line| line[4..13].trim()).collect()
    }
}

/// Where scripts and manifests are: here, or in a copy in which somebody planted a fault.
fn root() -> PathBuf {
    let here = || Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    std::env::var_os("OFFGRIDFLOW_DEPLOY_ROOT").map_or_else(here, PathBuf::from)
}

fn position(changes: &[String], change: &str) -> usize {
    changes.iter().position(|one| one == change).unwrap_or_else(|| panic!("no {change} in {changes:#?}"))
}

#[test]
fn a_release_comes_in_seven_steps_and_the_schema_before_what_needs_it() {
    let Some(rig) = Rig::start() else { return };
    rig.cluster.put_secret(STAGING, &KEYS);
    let said = rig.deploy("1.2.3").succeeds();
    assert_eq!(said.steps(), STEPS);
    assert!(said.out.ends_with("release 1.2.3 runs in offgridflow-staging\n"), "{}", said.out);

    let changes = rig.cluster.changes();
    let migrated = position(&changes, "jobs/migrate-1.2.3: complete");
    for before in [
        "namespaces/offgridflow-staging",
        "configmaps/offgridflow",
        "networkpolicies/nothing",
        "jobs/migrate-1.2.3",
    ] {
        assert!(position(&changes, before) < migrated, "{before} comes too late: {changes:#?}");
    }
    for role in ["api", "worker", "web"] {
        assert!(
            position(&changes, &format!("deployments/{role}")) > migrated,
            "{role} comes too early: {changes:#?}"
        );
        let deployment = rig.deployment(role).unwrap();
        let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
        assert_eq!(*image, format!("registry.example/team/offgridflow/{role}:1.2.3"));
        assert_eq!(deployment["status"]["availableReplicas"], deployment["spec"]["replicas"], "waited for");
    }
}

#[test]
fn a_second_deploy_changes_nothing_and_the_next_release_changes_what_is_new() {
    let Some(rig) = Rig::deployed() else { return };
    let (objects, changes) = (rig.cluster.snapshot(), rig.cluster.changes().len());
    let said = rig.deploy("1.2.3").succeeds();
    assert_eq!(said.steps(), STEPS);
    assert_eq!(rig.cluster.changes()[changes..], [] as [String; 0]);
    assert_eq!(rig.cluster.snapshot(), objects);

    rig.deploy("1.2.4").succeeds();
    let changes = rig.cluster.changes().split_off(changes);
    let ours = |change: &&String| !change.contains(": ");
    let expected = ["jobs/migrate-1.2.4", "deployments/api", "deployments/web", "deployments/worker"];
    assert_eq!(changes.iter().filter(ours).collect::<Vec<_>>(), expected);
    assert!(position(&changes, "jobs/migrate-1.2.4: complete") < position(&changes, "deployments/api"));
}

/// The control of the test before: where a manifest says how many replicas there are, each deployment takes the autoscaler's back, and is seen to.
#[test]
fn replicas_in_a_manifest_would_be_seen_as_a_change() {
    let Some(rig) = Rig::deployed() else { return };
    let copy = tempfile::tempdir().unwrap();
    for folder in ["infra", "scripts"] {
        said(Command::new("cp").arg("-r").arg(root().join(folder)).arg(copy.path())).succeeds();
    }
    let manifest = copy.path().join("infra/k8s/worker.yaml");
    let text = fs::read_to_string(&manifest).unwrap().replacen("spec:\n", "spec:\n  replicas: 3\n", 1);
    fs::write(&manifest, text).unwrap();
    let before = rig.cluster.changes().len();
    let deploy = copy.path().join("scripts/k8s-deploy.sh");
    said(rig.command(deploy).args(["staging", "1.2.3", "registry.example/team"])).succeeds();
    assert!(rig.cluster.changes()[before..].contains(&"deployments/worker".to_owned()));
}

#[test]
fn without_its_secret_a_release_stops_before_it_applies_anything() {
    let Some(rig) = Rig::start() else { return };
    rig.deploy("1.2.3").stops_at(3, "there is no Secret `offgridflow`");
    assert_eq!(rig.cluster.changes(), ["namespaces/offgridflow-staging"]);
    rig.cluster.put_secret(STAGING, &KEYS[..1]);
    rig.deploy("1.2.3").stops_at(3, "has no OFFGRIDFLOW_DATABASE_URL");
    assert_eq!(rig.cluster.snapshot().len(), 2);
}

#[test]
fn a_manifest_that_the_cluster_refuses_stops_a_release_before_it_applies_anything() {
    let Some(rig) = Rig::start() else { return };
    rig.cluster.put_secret(STAGING, &KEYS);
    rig.cluster.plant(Faults { refused: Some("Ingress"), ..Faults::default() });
    let said = rig.deploy("1.2.3");
    said.stops_at(4, "nothing of this release was applied");
    assert!(said.err.contains("admission denied: no Ingress here"), "{}", said.err);
    assert_eq!(rig.cluster.snapshot().len(), 2, "the namespace and the secret");
}

#[test]
fn a_migration_that_fails_stops_a_release_and_is_tried_anew_by_the_next() {
    let Some(rig) = Rig::deployed() else { return };
    let before = rig.deployment("api");
    rig.cluster.plant(Faults { migration_fails: true, ..Faults::default() });
    let said = rig.deploy("1.2.4");
    said.stops_at(5, "what runs is untouched");
    assert!(said.err.contains("a line of migrate-1.2.4-1"), "its log is shown: {}", said.err);
    assert_eq!(rig.deployment("api"), before);
    rig.deploy("1.2.4").stops_at(5, "the migration failed");
    rig.cluster.plant(Faults::default());
    rig.deploy("1.2.4").succeeds();
    assert_ne!(rig.deployment("api"), before);
}

#[test]
fn a_role_that_does_not_come_up_stops_a_release_and_says_the_way_back() {
    let Some(rig) = Rig::deployed() else { return };
    rig.cluster.plant(Faults { stuck: Some("worker".to_owned()), ..Faults::default() });
    let said = rig.deploy("1.2.4");
    said.stops_at(7, "kubectl -n offgridflow-staging rollout undo deployment/worker");
    assert!(said.err.contains("exceeded its progress deadline"), "{}", said.err);
    assert_eq!(rig.run("k8s-status.sh", &["staging"]).code, 1);
}

#[test]
fn a_tag_that_means_another_image_is_refused_before_anything_is_applied() {
    let Some(rig) = Rig::deployed() else { return };
    let before = rig.cluster.snapshot();
    let said = rig.run("k8s-deploy.sh", &["staging", "1.2.3", "elsewhere.example"]);
    said.stops_at(4, "the cluster refuses a manifest");
    assert!(said.err.contains("field is immutable"), "{}", said.err);
    assert_eq!(rig.cluster.snapshot(), before);
}

#[test]
fn what_makes_no_sense_is_refused_before_the_cluster_is_asked() {
    let Some(rig) = Rig::start() else { return };
    let cases = [
        (
            ["nowhere", "1.2.3", "registry.example"],
            "there is no infra/overlays/nowhere; there are: production staging",
        ),
        (["staging", "", "registry.example"], "TAG=(none)"),
        (["staging", "latest", "registry.example"], "TAG=latest names no release"),
        (["staging", "V1", "registry.example"], "lower case letters"),
        (["staging", "1.2.3", ""], "REGISTRY=(none)"),
    ];
    for (arguments, sentence) in cases {
        let Said { code, out, err } = rig.run("k8s-deploy.sh", &arguments);
        assert!(code == 2 && err.contains(sentence) && out.is_empty(), "{arguments:?}: {code} {out}{err}");
    }
    assert!(rig.cluster.snapshot().is_empty());
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    let Some(rig) = Rig::start() else { return };
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = fs::read_to_string(rig.folder.path().join("config")).unwrap();
    fs::write(
        rig.folder.path().join("config"),
        config.replace(&rig.cluster.url, &format!("http://{nobody}")),
    )
    .unwrap();
    for (script, arguments) in
        [("k8s-deploy.sh", &["staging", "1.2.3", "registry.example"][..]), ("k8s-status.sh", &["staging"])]
    {
        let said = rig.run(script, arguments);
        assert!(
            said.code == 1 && said.err.contains("the cluster of context fake does not answer"),
            "{}",
            said.err
        );
    }
}

#[test]
fn status_and_logs_show_what_runs_also_by_make() {
    let Some(rig) = Rig::start() else { return };
    assert_eq!(rig.run("k8s-status.sh", &["staging"]).code, 1, "nothing is deployed");
    assert!(rig.run("k8s-logs.sh", &["staging", "api"]).err.contains("no replica of api runs"));
    rig.cluster.put_secret(STAGING, &KEYS);
    let make =
        |arguments: &[&str]| said(rig.command("make").arg("--no-print-directory").args(arguments)).succeeds();
    make(&["k8s-deploy", "OVERLAY=staging", "TAG=1.2.3", "REGISTRY=registry.example"]);
    let status = make(&["k8s-status", "OVERLAY=staging"]);
    for shown in [
        "deployment.apps/api",
        "horizontalpodautoscaler.autoscaling/worker",
        "job.batch/migrate-1.2.3",
        "pod/web-1",
    ] {
        assert!(status.out.contains(shown), "no {shown}: {}", status.out);
    }
    assert!(status.out.ends_with("all replicas are new and ready\n"), "{}", status.out);
    let logs = make(&["k8s-logs-api", "OVERLAY=staging"]);
    assert!(logs.out.contains("[pod/api-1/api] a line of api-1"), "{}", logs.out);
}

#[test]
fn kubectl_knows_the_fake_by_its_short_names() {
    let Some(rig) = Rig::deployed() else { return };
    for name in short_names() {
        said(rig.command("kubectl").args(["--namespace", STAGING, "get", name])).succeeds();
    }
}
