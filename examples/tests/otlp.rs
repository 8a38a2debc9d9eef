//! What is pushed as OTLP, read with the official definitions of its messages; and what of a trace goes on to the database and to Redis.
#![cfg(feature = "otlp")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use offgridflow::http_client;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message;
use testkit::{Postgres, PostgresOptions};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const PATIENCE: Duration = Duration::from_secs(30);

/// Takes what a collector takes, and hands it over as it came.
struct Collector {
    url: String,
    traces: UnboundedReceiver<Bytes>,
    metrics: UnboundedReceiver<Bytes>,
}

impl Collector {
    async fn start() -> Self {
        let (traces_in, traces) = unbounded_channel();
        let (metrics_in, metrics) = unbounded_channel();
        let take = |into: UnboundedSender<Bytes>| {
            post(move |body: Bytes| async move {
                let _ = into.send(body);
            })
        };
        let router =
            Router::new().route("/v1/traces", take(traces_in)).route("/v1/metrics", take(metrics_in));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, traces, metrics }
    }

    /// Spans as they come, until one is as wanted.
    async fn spans_until(&mut self, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let (mut seen, until) = (Vec::new(), Instant::now() + PATIENCE);
        while !seen.iter().any(&wanted) {
            let left = until.saturating_duration_since(Instant::now());
            let body = tokio::time::timeout(left, self.traces.recv())
                .await
                .unwrap_or_else(|_| panic!("only {seen:#?}"));
            let request = ExportTraceServiceRequest::decode(body.unwrap()).unwrap();
            for resource in request.resource_spans {
                assert_eq!(
                    text(&resource.resource.unwrap().attributes, "service.name"),
                    Some("offgridflow-api")
                );
                seen.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
            }
        }
        seen
    }

    async fn metrics(&mut self) -> Vec<Metric> {
        let body =
            tokio::time::timeout(PATIENCE, self.metrics.recv()).await.expect("nothing is pushed").unwrap();
        let request = ExportMetricsServiceRequest::decode(body).unwrap();
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        scopes.flat_map(|scope| scope.metrics).collect()
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|one| one.key == key)?.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value { Some(text) } else { None }
}

/// A PostgreSQL that keeps the texts of statements.
fn recording_server() -> Postgres {
    let settings = vec![("shared_preload_libraries".to_owned(), "pg_stat_statements".to_owned())];
    Postgres::start_with(&PostgresOptions { settings }).unwrap()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The api in a process of its own, killed with the handle.
struct Api {
    child: Child,
    base: String,
}

impl Api {
    fn start(collector: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_offgridflow"))
            .args(["api", "--listen", "127.0.0.1:0", "--otlp-endpoint", collector, "--otlp-secs", "1"])
            .args(["--probe-secs", "3600"])
            .args(more)
            .env("OFFGRIDFLOW_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("listening on ").expect("it says where it listens").to_owned();
        Self { child, base }
    }

    async fn get(&self, path: &str, traceparent: &str) {
        let answer = http_client::get(&self.base, path, &[("traceparent", traceparent)]).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_to_statements_and_to_redis_where_that_is_asked_for() {
    let mut collector = Collector::start().await;
    let server = recording_server();
    let database = server.create_database("traced").unwrap();
    database.psql("CREATE EXTENSION pg_stat_statements").unwrap();
    let (url, redis) = (database.url(), format!("redis://{}", testkit::redis().addr()));
    let to = ["--database-url", &url, "--redis-url", &redis, "--trace-sql", "--trace-redis"];
    let api = Api::start(&collector.url, &to);
    api.get("/api/v1/activities?limit=5", &format!("00-{TRACE}-{PARENT}-01")).await;
    api.get("/api/v1/emissions?by=year", &format!("00-{TRACE}-{PARENT}-01")).await;
    let of_redis = |span: &Span| span.name == "get_or_lease" && hexadecimal(&span.trace_id) == TRACE;
    let spans = collector.spans_until(of_redis).await;

    let named = |name: &str| {
        spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name}: {spans:#?}"))
    };
    let list = named("GET /api/v1/activities");
    assert_eq!(
        (hexadecimal(&list.trace_id).as_str(), hexadecimal(&list.parent_span_id).as_str()),
        (TRACE, PARENT)
    );
    assert_eq!(list.kind(), SpanKind::Server);
    assert_eq!(text(&list.attributes, "http.route"), Some("/api/v1/activities"));
    let status = list.attributes.iter().find(|one| one.key == "http.response.status_code").unwrap();
    assert_eq!(status.value.as_ref().unwrap().value, Some(Value::IntValue(200)));
    assert!(list.end_time_unix_nano > list.start_time_unix_nano);

    let totals = named("GET /api/v1/emissions");
    let call = spans.iter().find(|span| of_redis(span)).unwrap();
    assert_eq!((call.kind(), &call.parent_span_id), (SpanKind::Client, &totals.span_id), "below who asked");

    // The statement that the request asked itself, and that of the load which it began: PostgreSQL keeps the text of the first execution.
    let asked =
        database.psql("SELECT query FROM pg_stat_statements WHERE query LIKE '%traceparent%'").unwrap();
    for span in [list, totals] {
        let comment = format!("/*traceparent='00-{TRACE}-{}-01'*/", hexadecimal(&span.span_id));
        assert!(
            asked.lines().any(|line| line.starts_with("SELECT") && line.ends_with(&comment)),
            "{}: {asked}",
            span.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_settings_nothing_goes_on_and_what_is_not_sampled_is_not_pushed() {
    let mut collector = Collector::start().await;
    let server = recording_server();
    let database = server.create_database("untraced").unwrap();
    database.psql("CREATE EXTENSION pg_stat_statements").unwrap();
    let (url, redis) = (database.url(), format!("redis://{}", testkit::redis().addr()));
    let api = Api::start(&collector.url, &["--database-url", &url, "--redis-url", &redis]);
    api.get("/api/v1/emissions?by=scope", &format!("00-{TRACE}-{PARENT}-00")).await;
    api.get("/api/v1/activities?limit=5", "garbage").await;
    let spans = collector.spans_until(|span| span.name == "GET /api/v1/activities").await;
    assert!(
        spans.iter().all(|span| span.name.starts_with("GET /") && hexadecimal(&span.trace_id) != TRACE),
        "{spans:#?}"
    );
    let told = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE \'%traceparent%\' AND pid <> pg_backend_pid()";
    assert_eq!(database.psql(told).unwrap(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_of_the_metrics_page_arrives_with_its_value() {
    let mut collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let api = Api::start(&collector.url, &["--database-url", &url]);
    for _ in 0..7 {
        api.get("/api/v1/emissions?by=month", "").await;
    }
    while collector.metrics.try_recv().is_ok() {}
    let (pushed, page) =
        (collector.metrics().await, http_client::get(&api.base, "/metrics", &[]).await.unwrap());
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for family in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        let has_series = page.lines().any(|line| line.starts_with(family)); // some have none yet
        assert!(!has_series || pushed.iter().any(|metric| metric.name == family), "{family} is not pushed");
    }
    let metric = pushed.iter().find(|metric| metric.name == "http_server_request_duration_seconds").unwrap();
    assert_eq!((metric.unit.as_str(), metric.description.is_empty()), ("s", false));
    let Some(Data::Histogram(histogram)) = &metric.data else { panic!("{metric:?}") };
    let point = histogram
        .data_points
        .iter()
        .find(|one| text(&one.attributes, "http_route") == Some("/api/v1/emissions"));
    let point = point.unwrap();
    assert_eq!((point.count, point.bucket_counts.iter().sum::<u64>()), (7, 7));
    assert_eq!(point.explicit_bounds.len() + 1, point.bucket_counts.len());
    assert!(point.sum.is_some_and(|sum| sum > 0.0) && point.time_unix_nano > point.start_time_unix_nano);
    let metric = pushed.iter().find(|metric| metric.name == "offgridflow_cache_requests_total").unwrap();
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    assert!(sum.is_monotonic);
}
