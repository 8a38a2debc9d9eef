//! Processes, machines, and the cluster where there is one.

use crate::board::Board;
use crate::panel::Panel;

pub(super) fn board() -> Board {
    Board::new(
        "system-dashboard",
        "OffGridFlow: system",
        "What the processes and their machines take; replicas, throttling and restarts where there is a cluster.",
    )
    .row("Processes", processes())
    .row("Machine (node_exporter)", machine())
    .row("Cluster (kube-state-metrics and cAdvisor)", cluster())
}

fn processes() -> Vec<Panel> {
    vec![
        Panel::lines("CPU", "percentunit", "Cores in use, by process: 1 is one core.").query(
            "sum by (job, instance) (rate(process_cpu_seconds_total{$sel}[$__rate_interval]))",
            "{{job}} {{instance}}",
        ),
        Panel::lines("Resident memory", "bytes", "By process.")
            .query("sum by (job, instance) (process_resident_memory_bytes{$sel})", "{{job}} {{instance}}"),
        Panel::lines("Descriptors", "percentunit", "Open file descriptors as a share of those that may be open.").query(
            "sum by (job, instance) (process_open_fds{$sel}) / sum by (job, instance) (process_max_fds{$sel})",
            "{{job}} {{instance}}",
        ),
        Panel::lines("Threads", "short", "By process.")
            .query("sum by (job, instance) (process_threads{$sel})", "{{job}} {{instance}}"),
        Panel::lines("Up since", "s", "How long each process has run; a fall is a restart.").query(
            "time() - max by (job, instance) (process_start_time_seconds{$sel})",
            "{{job}} {{instance}}",
        ),
        Panel::lines("Targets up", "bool_yes_no", "Whether each target answers its scrapes.")
            .query("min by (job, instance) (up{$sel})", "{{job}} {{instance}}"),
    ]
}

fn machine() -> Vec<Panel> {
    vec![
        Panel::lines("CPU of the machine", "percentunit", "Share of the cores' time that is not idle.").query(
            r#"1 - avg by (instance) (rate(node_cpu_seconds_total{$sel, mode="idle"}[$__rate_interval]))"#,
            "{{instance}}",
        ),
        Panel::lines("Memory of the machine", "percentunit", "Share that is not available.").query(
            "1 - sum by (instance) (node_memory_MemAvailable_bytes{$sel}) / sum by (instance) (node_memory_MemTotal_bytes{$sel})",
            "{{instance}}",
        ),
        Panel::lines("Load", "short", "Tasks that run or wait, a core, over five minutes.").query(
            r#"sum by (instance) (node_load5{$sel}) / count by (instance) (node_cpu_seconds_total{$sel, mode="idle"})"#,
            "{{instance}}",
        ),
        Panel::lines("Network", "Bps", "Bytes a second, in and out.")
            .query("sum by (instance) (rate(node_network_receive_bytes_total{$sel}[$__rate_interval]))", "{{instance}} in")
            .query("sum by (instance) (rate(node_network_transmit_bytes_total{$sel}[$__rate_interval]))", "{{instance}} out"),
        Panel::lines("Disk full", "percentunit", "Share of each file system that is taken.").query(
            "1 - max by (instance, mountpoint) (node_filesystem_avail_bytes{$sel}) / max by (instance, mountpoint) (node_filesystem_size_bytes{$sel})",
            "{{instance}} {{mountpoint}}",
        ),
        Panel::lines("Descriptors of the machine", "short", "Open files of the whole machine.")
            .query("sum by (instance) (node_filefd_allocated{$sel})", "{{instance}}"),
    ]
}

fn cluster() -> Vec<Panel> {
    vec![
        Panel::lines("Replicas", "short", "What the autoscaler has, wants, and may have at most.")
            .query("sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_current_replicas{$sel})", "{{horizontalpodautoscaler}}")
            .query("sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_status_desired_replicas{$sel})", "{{horizontalpodautoscaler}} wanted")
            .query("sum by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_spec_max_replicas{$sel})", "{{horizontalpodautoscaler}} max"),
        Panel::lines("Autoscaler's metrics", "percentunit", "Each metric as a share of its target: above 1.1 it asks for more.").query(
            "max by (horizontalpodautoscaler, metric_name) (kube_horizontalpodautoscaler_status_target_metric{$sel}) / max by (horizontalpodautoscaler, metric_name) (kube_horizontalpodautoscaler_spec_target_metric{$sel})",
            "{{horizontalpodautoscaler}} {{metric_name}}",
        ),
        Panel::lines("Throttled", "percentunit", "Share of the scheduler's periods in which a container was held back by its CPU limit.").query(
            "sum by (pod, container) (rate(container_cpu_cfs_throttled_periods_total{$sel}[$__rate_interval])) / sum by (pod, container) (rate(container_cpu_cfs_periods_total{$sel}[$__rate_interval]))",
            "{{pod}} {{container}}",
        ),
        Panel::lines("Memory by its limit", "percentunit", "What a container cannot give back, as a share of its limit.").query(
            r#"max by (pod, container) (container_memory_working_set_bytes{$sel, container!=""}) / max by (pod, container) (container_spec_memory_limit_bytes{$sel, container!=""})"#,
            "{{pod}} {{container}}",
        ),
        Panel::lines("Restarts", "short", "Restarts of containers in the range that is shown.").query(
            "sum by (pod, container) (increase(kube_pod_container_status_restarts_total{$sel}[$__range]))",
            "{{pod}} {{container}}",
        ),
        Panel::lines("Pods not ready", "short", "By deployment.").query(
            "sum by (deployment) (kube_deployment_status_replicas_unavailable{$sel})",
            "{{deployment}}",
        ),
    ]
}
