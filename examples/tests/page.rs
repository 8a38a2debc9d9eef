//! The page, in a browser: what stands on it, that it lives, that keys and screen readers get along with it, and that it asks nobody but its own server. Where no
//! browser is, nothing is tried, and that is said. `PAGE_PICTURES=FOLDER` keeps pictures of it.
mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Server, config, row};
use hyper::Method;
use offgridflow::{http_client, web};
use testkit::{Browser, Tab};
use tokio::net::TcpListener;

const ADMIN: &str = "admin-0123456789abcdef";
const ACME: &str = "acme-0123456789abcdef";

/// The `web` role on a server of this process, which has some history.
struct Shown {
    server: Server,
    base: String,
    _reports: tempfile::TempDir,
}

async fn shown() -> Shown {
    let reports = tempfile::tempdir().unwrap();
    let report = reports.path().join("report.json");
    let keys = format!("acme={ACME}");
    let incidents = reports.path().join("incidents");
    let settings = [
        "--faults",
        "--incidents",
        incidents.to_str().unwrap(),
        "--admin-keys",
        ADMIN,
        "--api-keys",
        &keys,
        "--probe-secs",
        "1",
        "--load-report",
        report.to_str().unwrap(),
    ];
    let server = Server::on_sqlite(&settings).await;
    tokio::spawn(std::sync::Arc::clone(&server.app).follow_traffic());
    let begun = server.send(Method::POST, "/debug/faults/tasks", &[("x-api-key", ADMIN)], "").await;
    assert_eq!(begun.0, 204, "tasks pile up, which is an incident after ten seconds");
    for n in 0..200 {
        let sent = [("content-type", "application/x-ndjson"), ("x-api-key", ACME)];
        server
            .send(Method::POST, "/api/v1/activities", &sent, row(&n.to_string(), "<b>diesel", "1", "2024"))
            .await;
        server.send(Method::GET, "/api/v1/emissions", &[("x-api-key", ACME)], "").await;
    }
    if std::env::var_os("PAGE_PICTURES").is_some() {
        tokio::spawn(bustle(server.base.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let settings = config(&["--api-url", &server.base]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service = web::router(&settings).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    let load = offgridflow_loadtest::LoadTest::new(
        offgridflow_loadtest::HttpTarget::new(&server.base)
            .unwrap()
            .route(offgridflow_loadtest::HttpRoute::get("/healthz")),
    );
    let load = load
        .rate(offgridflow_loadtest::Rate::constant(100.0, Duration::from_secs(3)))
        .threshold("p95(response) < 100ms");
    std::fs::write(&report, serde_json::to_vec(&load.run().await.unwrap()).unwrap()).unwrap();
    Shown { server, base, _reports: reports }
}

/// Traffic that rises and falls, so that pictures have something to show.
async fn bustle(base: String) {
    let (key, sent) = (("x-api-key", ACME), ("content-type", "application/x-ndjson"));
    let began = std::time::Instant::now();
    let mut n = 0_u64;
    while began.elapsed() < Duration::from_secs(120) {
        n += 1;
        let by = ["scope", "category", "year", "month"][usize::try_from(n % 4).unwrap()];
        let _ = http_client::get(&base, &format!("/api/v1/emissions?by={by}"), &[key]).await;
        if n.is_multiple_of(40) {
            let body: String =
                (0..5).map(|m| row(&format!("b{n}-{m}"), "diesel", "1.5", "2024-03")).collect();
            let _ =
                http_client::send(&base, Method::POST, "/api/v1/activities", &[sent, key], body.into()).await;
            let _ = http_client::get(&base, "/api/v1/activities?limit=20", &[key]).await;
        }
        let pause = 1.0 + 6.0 * (1.0 + (began.elapsed().as_secs_f64() / 9.0).sin());
        tokio::time::sleep(Duration::from_secs_f64(pause / 1e3)).await;
    }
}

/// A tab of a browser with an administrator's key, as a browser gives it.
fn tab() -> Option<Tab> {
    let Some(browser) = Browser::find() else {
        eprintln!("SKIP no browser is here");
        return None;
    };
    let mut tab = browser.tab().unwrap();
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{ADMIN}")));
    tab.headers(&[("authorization", &basic)]).unwrap();
    Some(tab)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_everything_lives_and_asks_nobody_else() {
    let shown = shown().await;
    let Some(mut tab) = tab() else { return };
    let base = shown.base.clone();
    let mut tab = tokio::task::spawn_blocking(move || {
        tab.go(&base).unwrap();
        let text = tab.evaluate("document.body.innerText").unwrap();
        let text = text.as_str().unwrap();
        for part in [
            "Requests a second",
            "p95",
            "Cache hits",
            "Connections",
            "Memory",
            "Jobs",
            "SQLite",
            "totals",
            "factors",
            "SELECT",
            "cached factor",
            "database ping",
            "p95 within 2ms",
            "Last load test",
            "p95(response) < 100ms",
            "Incidents",
            "processor time as a flame graph",
        ] {
            assert!(text.to_lowercase().contains(&part.to_lowercase()), "no {part} in {text}");
        }
        tab.until("Number(document.documentElement.dataset.updates || 0) >= 2").unwrap();
        tab
    })
    .await
    .unwrap();

    // What happens on the server happens on the page.
    for n in 1_000..1_042 {
        let sent = [("content-type", "application/x-ndjson"), ("x-api-key", ACME)];
        shown
            .server
            .send(Method::POST, "/api/v1/activities", &sent, row(&n.to_string(), "coal", "1", "2024"))
            .await;
    }
    let committed = shown.server.app.store().writer_stats().committed;
    let base = shown.base.clone();
    tokio::task::spawn_blocking(move || {
        tab.until(&format!(
            "Number(document.getElementById('database').innerText.replace(/\\s/g, '').match(/Rowscommitted([0-9]+)/)[1]) >= {committed}"
        )).unwrap();
        tab.until("document.querySelectorAll('#incidents a').length === 2").unwrap();
        for link in ["incident", "flame"] {
            let asked = format!("fetch(document.querySelector('#incidents a[id^={link}]').href).then(answer => answer.status)");
            assert_eq!(tab.evaluate(&asked).unwrap(), 200, "the page of the {link}");
        }
        pauses_by_keyboard(&mut tab);
        is_readable_aloud(&mut tab);
        let fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        for (name, width, dark) in [("wide", 1_360, false), ("wide-dark", 1_360, true), ("narrow", 390, false), ("narrow-dark", 390, true)] {
            tab.look(width, 900, dark).unwrap();
            tab.until(fits).unwrap();
            keep(&mut tab, name);
        }
        assert!(tab.console().is_empty(), "{:?}", tab.console());
        let elsewhere: Vec<_> = tab.asked().iter().filter(|url| !url.starts_with(&base) && *url != "data:,").collect();
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
        // The control: what is refused, and what is thrown, is seen.
        let _ = tab.evaluate("fetch('http://elsewhere.example/').catch(() => {})");
        tab.evaluate("setTimeout(() => { throw new Error('thrown') })").unwrap();
        tab.until("new Promise(done => setTimeout(() => done(true), 200))").unwrap();
        assert!(tab.console().len() >= 2, "{:?}", tab.console());
    })
    .await
    .unwrap();
    shown.server.close().await;
}

/// The first stop is the way past the head, the second the button; while it is pressed nothing changes.
fn pauses_by_keyboard(tab: &mut Tab) {
    let focused = "document.activeElement.id || document.activeElement.className";
    tab.press("Tab").unwrap();
    assert_eq!(tab.evaluate(focused).unwrap(), "skip");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    tab.press("Tab").unwrap();
    assert_eq!(tab.evaluate(focused).unwrap(), "pause");
    assert_eq!(tab.evaluate(outline).unwrap(), "solid", "who has the focus is seen");
    tab.press("Enter").unwrap();
    tab.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'").unwrap();
    assert_eq!(tab.evaluate("document.getElementById('link').textContent").unwrap(), "Updates are paused.");
    let updates = tab.evaluate("document.documentElement.dataset.updates").unwrap();
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!(tab.evaluate("document.documentElement.dataset.updates").unwrap(), updates);
    tab.press("Enter").unwrap();
    tab.until(&format!("document.documentElement.dataset.updates !== {updates}")).unwrap();
    assert_eq!(tab.evaluate(focused).unwrap(), "pause", "an update leaves the focus where it is");
}

/// Landmarks, headings in order, captions, names, and a live region that is polite.
fn is_readable_aloud(tab: &mut Tab) {
    for (what, expression) in [
        ("one heading of the page", "document.querySelectorAll('h1').length === 1"),
        (
            "landmarks",
            "['header', 'main', 'footer'].every(name => document.querySelectorAll(name).length === 1)",
        ),
        (
            "no level of headings is left out",
            "[...document.querySelectorAll('h1, h2, h3')].map(h => Number(h.tagName[1])).every((level, i, all) => i === 0 || level <= all[i - 1] + 1)",
        ),
        (
            "sections have names",
            "[...document.querySelectorAll('section')].every(one => one.ariaLabel || document.getElementById(one.getAttribute('aria-labelledby')))",
        ),
        (
            "tables have captions",
            "[...document.querySelectorAll('table')].every(one => one.caption && one.caption.textContent)",
        ),
        ("and heads that say what they head", "[...document.querySelectorAll('th')].every(one => one.scope)"),
        (
            "plots say what they show",
            "document.querySelectorAll('svg').length > 2 && [...document.querySelectorAll('svg')].every(one => one.role === 'img' && one.ariaLabel)",
        ),
        (
            "what is live is polite",
            "[...document.querySelectorAll('[aria-live]')].every(one => one.ariaLive === 'polite') && !document.querySelector('#cards[aria-live], main [aria-live]')",
        ),
        (
            "no meaning in colour alone",
            "[...document.querySelectorAll('.chip')].every(one => one.textContent.trim().length > 2)",
        ),
        ("the language is said", "document.documentElement.lang === 'en'"),
    ] {
        assert_eq!(tab.evaluate(expression).unwrap(), true, "{what}");
    }
    for dark in [false, true] {
        tab.look(1_360, 900, dark).unwrap();
        let faint = tab.evaluate(CONTRAST).unwrap();
        assert_eq!(faint, serde_json::json!([]), "text that is too faint (WCAG 2.2, 1.4.3), dark: {dark}");
    }
}

/// Texts whose contrast with what they stand on is below 4.5.
const CONTRAST: &str = "(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => { const [r, g, b] = channels(colour).map(c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = one => { for (; one; one = one.parentElement) { const colour = getComputedStyle(one).backgroundColor; if ((channels(colour)[3] ?? 1) > 0) return colour; } return 'rgb(255, 255, 255)'; };
  const written = [...document.querySelectorAll('body *')].filter(one => !(one instanceof SVGElement) && [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()));
  return written.filter(one => { const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05) < 4.5; }).map(one => one.outerHTML.slice(0, 90));
})()";

fn keep(tab: &mut Tab, name: &str) {
    let Some(folder) = std::env::var_os("PAGE_PICTURES").map(PathBuf::from) else { return };
    tab.evaluate("document.activeElement.blur()").unwrap();
    let picture = STANDARD.decode(tab.screenshot().unwrap()).unwrap();
    std::fs::write(folder.join(format!("page-{name}.png")), picture).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_for_administrators_and_passes_their_key_on() {
    let shown = shown().await;
    for base in [&shown.base, &shown.server.base] {
        let path = if base == &shown.base { "/" } else { "/api/v1/overview" };
        for (key, status) in
            [(None, 401), (Some("wrong-wrong-wrong-wrong"), 401), (Some(ACME), 403), (Some(ADMIN), 200)]
        {
            let basic = key.map(|key| format!("Basic {}", STANDARD.encode(format!("me:{key}"))));
            let headers: Vec<_> = basic.iter().map(|basic| ("authorization", basic.as_str())).collect();
            let answer = http_client::get(base, path, &headers).await.unwrap();
            assert_eq!(answer.status, status, "{base}{path} with {key:?}");
        }
    }
    shown.server.close().await;
}

/// A development server behind the page serves this machine only, and the page does not make others out to be it.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_lends_nobody_its_own_address() {
    let server = Server::on_sqlite(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service = web::router(&config(&["--api-url", &server.base]))
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    for path in ["/", "/api/v1/performance", "/api/v1/insight"] {
        assert_eq!(http_client::get(&base, path, &[]).await.unwrap().status, 200, "{path}");
        let passed_on = http_client::get(&base, path, &[("x-forwarded-for", "203.0.113.9")]).await.unwrap();
        assert_eq!(passed_on.status, 401, "{path}");
    }
    server.close().await;
}

/// What the ingress leads where: path, whether it is a beginning only, and the service.
fn ingress() -> Vec<(String, bool, String)> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/k8s/ingress.yaml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let after = |line: &str, key: &str| line.split_once(key).map(|(_, value)| value.trim().to_owned());
    let mut rules = Vec::new();
    for part in text.split("- path:").skip(1) {
        let path = part.lines().next().unwrap().trim().to_owned();
        let is_prefix = part.lines().any(|line| line.trim() == "pathType: Prefix");
        let service = part.lines().find_map(|line| after(line, "name: ")).unwrap();
        rules.push((path, is_prefix, service));
    }
    rules
}

/// What a text of the page refers to on its own server, without what follows from data.
fn referred(text: &str) -> Vec<String> {
    let begins = ["href=\"/", "src=\"/", "EventSource(\"/", "fetch(\"/"];
    let found = begins.iter().flat_map(|begin| text.split(begin).skip(1));
    found.map(|rest| format!("/{}", rest.split(['"', '?', '#']).next().unwrap())).collect()
}

/// Asks while the server works: of one that rests nothing can be drawn.
async fn busy<T>(server: &Server, asked: impl Future<Output = T>) -> T {
    let work = async {
        loop {
            let _ =
                http_client::get(&server.base, "/api/v1/activities?limit=200", &[("x-api-key", ACME)]).await;
        }
    };
    tokio::select! {
        answer = asked => answer,
        () = work => unreachable!("it never ends"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_page_refers_to_is_led_to_who_answers_it_and_nothing_else_of_web_is() {
    let shown = shown().await;
    let rules = ingress();
    let led = |path: &str| {
        let matching =
            rules.iter().filter(
                |(rule, is_prefix, _)| {
                    if *is_prefix { path.starts_with(rule.as_str()) } else { path == rule }
                },
            );
        matching.max_by_key(|(rule, ..)| rule.len()).map(|(.., service)| service.as_str())
    };
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{ADMIN}")));
    let key = [("authorization", basic.as_str())];
    let mut paths = vec!["/".to_owned()];
    for text in ["/", "/page.js"] {
        let answer = http_client::get(&shown.base, text, &key).await.unwrap();
        paths.extend(referred(std::str::from_utf8(&answer.body).unwrap()));
    }
    for path in ["/page.css", "/page.js", "/events", "/api/v1/insight", "/debug/pprof/flamegraph"] {
        assert!(paths.iter().any(|found| found == path), "{path} is no longer found in {paths:?}");
    }
    paths.sort();
    paths.dedup();
    for path in &paths {
        let base = match led(path) {
            Some("web") => &shown.base,
            Some("api") => &shown.server.base,
            other => panic!("{path} is led to {other:?}"),
        };
        if path == "/events" {
            continue; // goes on for ever
        }
        let status = if path.ends_with("flamegraph") {
            busy(&shown.server, http_client::get(base, "/debug/pprof/flamegraph?seconds=1", &key)).await
        } else {
            http_client::get(base, path, &key).await
        };
        let status = status.unwrap().status;
        assert!(status.is_success(), "{path}: {status}");
    }
    for path in ["/metrics", "/healthz", "/readyz", "/debug/faults/tasks", "/page.css/x"] {
        assert_eq!(led(path), None, "{path} is nobody's business outside");
    }
}
