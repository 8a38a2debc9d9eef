//! The addresses of Go's `net/http/pprof`, asked as a `tower` service.
#![cfg(feature = "http")]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use offgridflow_profile::{
    Access, Cpu, CpuCaps, CpuProfiler, CpuSpec, Frame, Profile, ProfileError, ProfileService, Profiled,
    Profiler, Ring, Stack, Trigger, ValueKind, wait_site,
};
use tower_service::Service;

/// An engine that says what was told, and counts.
#[derive(Debug, Default)]
struct Told {
    started: AtomicU64,
    discarded: AtomicU64,
    foreign: bool,
}

impl CpuProfiler for Told {
    fn start(&self, spec: &CpuSpec) -> Result<(), ProfileError> {
        if self.foreign {
            return Err(ProfileError::Conflict { what: "other code handles SIGPROF", hint: "stop it" });
        }
        if spec.hz > 1_000 {
            return Err(ProfileError::Setting {
                setting: "hz",
                value: spec.hz.to_string(),
                hint: "at most 1000",
            });
        }
        self.started.fetch_add(1, SeqCst);
        Ok(())
    }

    fn drain(&self) -> Result<Profile, ProfileError> {
        Ok(cpu("shop::serve", 100))
    }

    fn discard(&self) {
        self.discarded.fetch_add(1, SeqCst);
    }

    fn caps(&self) -> CpuCaps {
        CpuCaps::new("told", 1_000)
    }
}

fn cpu(function: &str, samples: i64) -> Profile {
    let kind = ValueKind::new("samples", "count");
    let frames = vec![Frame::named(function)];
    Profile {
        kinds: vec![kind.clone()],
        stacks: vec![Stack { frames, values: vec![samples], labels: vec![] }],
        began: SystemTime::now() - Duration::from_secs(1),
        duration: Duration::from_secs(1),
        period: 10_000_000,
        period_kind: kind,
        comments: vec!["engine: told".to_owned()],
        mappings: vec![],
    }
}

fn served(engine: &Arc<Told>) -> (Profiler, ProfileService) {
    let profiler =
        Profiler::builder().cpu(Cpu::on_demand()).cpu_engine(Arc::clone(engine) as _).start().unwrap();
    let service = profiler.service(Access::open()).captures(2).build().unwrap();
    (profiler, service)
}

fn ask(service: &ProfileService, uri: &str) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
    send(service, Request::get(uri).body(Full::default()).unwrap())
}

fn send(
    service: &ProfileService,
    request: Request<Full<Bytes>>,
) -> impl Future<Output = Response<Full<Bytes>>> + use<> {
    let answer = service.clone().call(request);
    async { answer.await.unwrap() }
}

async fn body(answer: Response<Full<Bytes>>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

async fn said(answer: Response<Full<Bytes>>) -> (StatusCode, String) {
    let status = answer.status();
    (status, String::from_utf8(body(answer).await.to_vec()).unwrap())
}

#[tokio::test]
async fn every_address_answers_below_any_prefix() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    let task = std::future::pending::<()>().profiled("answered");
    drop(wait_site!("answered"));
    for prefix in ["", "/debug/pprof"] {
        for address in [
            "/",
            "/goroutine",
            "/block",
            "/mutex",
            "/threadcreate",
            "/cmdline",
            "/symbol",
            "/memory",
            "/windows",
            "/incidents",
            "/health",
            "/goroutine?debug=2&gc=1",
        ] {
            let answer = ask(&service, &format!("{prefix}{address}")).await;
            assert_eq!(answer.status(), StatusCode::OK, "{address}");
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        }
    }
    let goroutine = ask(&service, "/goroutine").await;
    assert!(goroutine.headers()["content-disposition"].to_str().unwrap().contains("goroutine"));
    let goroutine = Profile::from_pprof(&body(goroutine).await).unwrap();
    assert!(
        goroutine.stacks.iter().any(|stack| stack.frames[0].function == "answered" && stack.values == [1])
    );
    let (_, words) = said(ask(&service, "/goroutine?debug=2").await).await;
    assert!(
        words.contains("answered (offgridflow-profile/tests/http.rs:") && words.contains("1 alive"),
        "{words}"
    );
    let (_, waits) = said(ask(&service, "/block?debug=1").await).await;
    assert!(
        waits.contains("contentions/count, delay/nanoseconds") && waits.contains("@ answered"),
        "{waits}"
    );
    let threads = Profile::from_pprof(&body(ask(&service, "/threadcreate").await).await).unwrap();
    assert!(threads.total(0) >= 4, "{threads:?}");
    let (_, index) = said(ask(&service, "/").await).await;
    assert!(index.contains("href=\"/debug/pprof/heap\"") && index.contains("unknown (needs"), "{index}");
    drop(task);
}

#[tokio::test]
async fn what_is_not_there_is_said_in_a_sentence() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    for (address, status, part) in [
        ("/trace?seconds=1", StatusCode::NOT_IMPLEMENTED, "no execution trace"),
        ("/heap", StatusCode::NOT_IMPLEMENTED, "`Tracked` allocator"),
        ("/nothing", StatusCode::NOT_FOUND, "no such profile"),
        ("/incidents/../../etc/passwd", StatusCode::NOT_FOUND, "no such incident"),
        ("/windows?profile=cpu", StatusCode::NOT_FOUND, "no window"),
        ("/diff", StatusCode::NOT_FOUND, "`.cpu(Cpu::always())`"),
        (
            "/goroutine?seconds=0",
            StatusCode::BAD_REQUEST,
            "seconds=0: a whole number from 1 to 120 is wanted",
        ),
        ("/profile?seconds=100000", StatusCode::BAD_REQUEST, "a whole number from 1 to 120 is wanted"),
        ("/profile?seconds=99999999999999999999", StatusCode::BAD_REQUEST, "a whole number is wanted"),
        ("/profile?seconds=-1", StatusCode::BAD_REQUEST, "seconds=-1: a whole number is wanted, 0 or more"),
        ("/profile?second=1", StatusCode::BAD_REQUEST, "unknown parameter \"second\""),
        ("/profile?seconds=1&hz=100000", StatusCode::BAD_REQUEST, "hz = 100000"),
        (
            "/goroutine?seconds=1&debug=1",
            StatusCode::BAD_REQUEST,
            "seconds and debug params are incompatible",
        ),
        ("/goroutine?debug=x", StatusCode::BAD_REQUEST, "debug=x: a whole number is wanted"),
        ("/flamegraph?profile=nothing", StatusCode::BAD_REQUEST, "one of cpu, heap"),
    ] {
        let answer = ask(&service, address).await;
        assert_eq!(
            answer.headers().get("x-go-pprof").map(http::HeaderValue::as_bytes),
            Some(&b"1"[..]),
            "{address}"
        );
        let (was, words) = said(answer).await;
        assert_eq!(was, status, "{address}: {words}");
        assert!(words.contains(part), "{address}: {words}");
    }
    let posted = send(&service, Request::post("/profile").body(Full::default()).unwrap()).await;
    assert_eq!(
        (posted.status(), posted.headers()["allow"].as_bytes()),
        (StatusCode::METHOD_NOT_ALLOWED, &b"GET, HEAD"[..])
    );
    let foreign = Arc::new(Told { foreign: true, ..Told::default() });
    let (_profiler, service) = served(&foreign);
    assert_eq!(said(ask(&service, "/profile?seconds=1").await).await.0, StatusCode::CONFLICT);
    let bare = Profiler::builder().start().unwrap();
    let service = bare.service(Access::open()).build().unwrap();
    let (status, words) = said(ask(&service, "/profile?seconds=1").await).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert!(words.contains("Cpu::on_demand()"), "{words}");
    assert!(bare.service(Access::open()).captures(0).build().is_err());
}

/// Go takes its 30 s for 0; here the longest that is allowed is shorter.
#[tokio::test]
async fn a_profile_of_no_seconds_takes_the_default() {
    let (profiler, _) = served(&Arc::default());
    let service = profiler.service(Access::open()).longest(Duration::from_secs(1)).build().unwrap();
    assert_eq!(ask(&service, "/profile?seconds=0").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_head_is_answered_at_once_and_takes_no_capture() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    for (address, status) in [
        ("/", StatusCode::OK),
        ("/health", StatusCode::OK),
        ("/profile?seconds=100", StatusCode::OK),
        ("/goroutine?seconds=100", StatusCode::OK),
        ("/nothing", StatusCode::NOT_FOUND),
    ] {
        let answer = send(&service, Request::head(address).body(Full::default()).unwrap()).await;
        assert_eq!(answer.status(), status, "{address}");
        assert_eq!(body(answer).await.is_empty(), status == StatusCode::OK, "{address}");
    }
    assert_eq!(engine.started.load(SeqCst), 0);
}

/// A rate that no capture could have is the request's fault, whether another one is under way or not.
#[tokio::test]
async fn a_rate_of_nothing_is_refused_even_during_a_capture() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    let first = tokio::spawn(ask(&service, "/profile?seconds=100"));
    while engine.started.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&service, "/profile?seconds=1").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let (status, words) = said(ask(&service, "/profile?seconds=1&hz=0").await).await;
    assert_eq!((status, words.contains("hz = 0")), (StatusCode::BAD_REQUEST, true), "{words}");
    first.abort();
}

#[cfg(feature = "flamegraph")]
#[tokio::test]
async fn a_flame_graph_of_nothing_is_not_found() {
    let (_profiler, service) = served(&Arc::default());
    let (status, words) = said(ask(&service, "/flamegraph?profile=mutex").await).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{words}");
    assert_eq!(words.trim(), "there is nothing to draw: no stack was sampled; ask while there is work");
}

#[tokio::test]
async fn a_second_capture_is_told_when_to_come_back_and_hanging_up_ends_the_first() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    let first = tokio::spawn(ask(&service, "/profile?seconds=100"));
    while engine.started.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = ask(&service, "/profile?seconds=1").await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = second.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=100).contains(&wait) && wait > 50, "{wait}");
    first.abort();
    while engine.discarded.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let again = loop {
        let answer = ask(&service, "/profile?seconds=1").await;
        if answer.status() != StatusCode::TOO_MANY_REQUESTS {
            break answer;
        }
    };
    assert_eq!(Profile::from_pprof(&body(again).await).unwrap().total(0), 100);
}

#[tokio::test]
async fn captures_of_a_time_are_bounded_and_give_what_was_added() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    let before: Vec<_> = (0..3).map(|_| std::future::pending::<()>().profiled("delta")).collect();
    let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(ask(&service, "/goroutine?seconds=1"))).collect();
    // Both have their place once they have read the tasks for the first time.
    for one in &mut waiting {
        assert!(tokio::time::timeout(Duration::from_millis(200), one.as_mut()).await.is_err());
    }
    let after: Vec<_> = (0..4).map(|_| std::future::pending::<()>().profiled("delta")).collect();
    let third = ask(&service, "/goroutine?seconds=1").await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.headers()["retry-after"], "1");
    for one in waiting {
        let delta = Profile::from_pprof(&body(one.await).await).unwrap();
        let added: i64 = delta
            .stacks
            .iter()
            .filter(|stack| stack.frames[0].function == "delta")
            .map(|stack| stack.values[0])
            .sum();
        assert_eq!(added, 4);
        assert!(delta.duration >= Duration::from_secs(1), "{:?}", delta.duration);
    }
    drop((before, after));
}

#[test]
fn a_runtime_that_shuts_down_ends_its_captures() {
    let engine = Arc::<Told>::default();
    let (_profiler, service) = served(&engine);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.spawn(ask(&service, "/profile?seconds=100"));
    runtime.spawn(ask(&service, "/goroutine?seconds=100"));
    let began = Instant::now();
    while engine.started.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
    runtime.shutdown_background();
    while engine.discarded.load(SeqCst) == 0 {
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn windows_that_were_kept_can_be_asked_for_and_compared() {
    let ring = Ring::memory(1 << 20, Duration::from_secs(3_600));
    let at = |ago: u64, function: &str, samples| {
        let mut profile = cpu(function, samples);
        profile.began = SystemTime::now() - Duration::from_secs(ago);
        profile
    };
    for (ago, function, samples) in [
        (300, "shop::serve", 500),
        (200, "shop::serve", 500),
        (20, "shop::serve", 300),
        (10, "shop::hash", 700),
    ] {
        ring.push("cpu", &at(ago, function, samples)).unwrap();
    }
    let profiler = Profiler::builder().ring(ring).start().unwrap();
    let service = profiler.service(Access::open()).build().unwrap();
    let kept =
        Profile::from_pprof(&body(ask(&service, "/windows?profile=cpu&seconds=60").await).await).unwrap();
    assert_eq!(kept.total(0), 1_000);
    let (_, words) = said(ask(&service, "/diff?recent=60&before=600&debug=1").await).await;
    assert!(
        words.starts_with("# 1000 samples before, 1000 after") && words.contains("+70.0 points shop::hash"),
        "{words}"
    );
    let (_, diff) = said(ask(&service, "/diff").await).await;
    let diff: serde_json::Value = serde_json::from_str(&diff).unwrap();
    assert_eq!(diff["changes"][0]["significant"], true);
    #[cfg(feature = "flamegraph")]
    {
        let drawn = ask(&service, "/diff?format=svg").await;
        let policy = drawn.headers().get("content-security-policy").map(|policy| policy.to_str().unwrap());
        assert!(policy.is_some_and(|policy| policy.starts_with("default-src 'none'")), "{policy:?}");
        assert!(said(drawn).await.1.contains("<svg"));
    }
    let (_, windows) = said(ask(&service, "/windows").await).await;
    let windows: serde_json::Value = serde_json::from_str(&windows).unwrap();
    assert_eq!((&windows["windows"][0]["what"], &windows["stats"]["unreadable"]), (&"cpu".into(), &0.into()));
}

#[tokio::test]
async fn incidents_and_the_reasons_of_triggers_are_served() {
    let profiler = Profiler::builder()
        .observe_every(Duration::from_millis(20))
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO))
        .trigger(Trigger::latency_above(Duration::from_secs(1)))
        .start()
        .unwrap();
    let service = profiler.service(Access::open()).build().unwrap();
    let _waiting = wait_site!("<served>");
    while profiler.incidents().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (_, list) = said(ask(&service, "/incidents").await).await;
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list[0]["suspects"][0]["name"], "<served>");
    let page = ask(&service, &format!("/incidents/{}", list[0]["id"].as_str().unwrap())).await;
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let (_, page) = said(page).await;
    assert!(page.contains("&lt;served&gt;") && !page.contains("<served>"));
    let (_, health) = said(ask(&service, "/health").await).await;
    let health: serde_json::Value = serde_json::from_str(&health).unwrap();
    assert_eq!(
        (&health["triggers"][0]["fired"], &health["triggers"][1]["state"]),
        (&1.into(), &"blind".into()),
        "{health}"
    );
    assert!(health["triggers"][1]["sentence"].as_str().unwrap().contains("latency p99 above 1s"));
    let (_, memory) = said(ask(&service, "/memory").await).await;
    let memory: serde_json::Value = serde_json::from_str(&memory).unwrap();
    assert!(memory["reading"]["rss_bytes"].as_u64().unwrap() > 0 && memory["detail"].is_object(), "{memory}");
}

#[tokio::test]
async fn nobody_from_elsewhere_is_served_and_arguments_are_not_shown() {
    let profiler = Profiler::builder().start().unwrap();
    let from = |ip: [u8; 4]| {
        profiler.service(Access::loopback(move |_| Some(IpAddr::V4(Ipv4Addr::from(ip))))).build().unwrap()
    };
    for address in ["/", "/goroutine", "/nothing", "/memory"] {
        assert_eq!(ask(&from([10, 0, 0, 1]), address).await.status(), StatusCode::FORBIDDEN);
        assert_ne!(ask(&from([127, 0, 0, 1]), address).await.status(), StatusCode::FORBIDDEN);
    }
    let (_, hidden) = said(ask(&from([127, 0, 0, 1]), "/cmdline").await).await;
    assert!(!hidden.contains('\0'), "{hidden:?}");
    let shown = profiler.service(Access::open()).show_arguments(true).build().unwrap();
    let (_, shown) = said(ask(&shown, "/cmdline").await).await;
    assert_eq!(shown.split('\0').count(), std::env::args().count());
}

#[cfg(feature = "heap")]
#[tokio::test]
async fn addresses_have_names() {
    let profiler = Profiler::builder().start().unwrap();
    let service = profiler.service(Access::open()).build().unwrap();
    let address = format!("{:#x}", addresses_have_names as fn() as usize + 1);
    let get = said(ask(&service, &format!("/symbol?{address}+0x1+zz")).await).await.1;
    let post = send(&service, Request::post("/symbol").body(Full::from(address)).unwrap()).await;
    for words in [get, said(post).await.1] {
        assert!(words.starts_with("num_symbols: 1\n") && words.contains("addresses_have_names"), "{words}");
        assert_eq!(words.lines().count(), 2);
    }
    let long = Request::post("/symbol").body(Full::from(vec![b'+'; 100_000])).unwrap();
    assert_eq!(send(&service, long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
