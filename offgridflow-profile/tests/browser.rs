//! Pages in a browser. Where none is there, nothing is tried, and that is said.
#![cfg(all(feature = "profiler", feature = "flamegraph"))]

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use offgridflow_profile::{Frame, Profile, Profiler, Stack, Trigger, ValueKind, wait_site};
use testkit::{Browser, with_nothing_allowed};

/// The page of an incident that a profiler captured.
fn incident_page() -> String {
    let short = Duration::from_millis(20);
    let profiler = Profiler::builder()
        .observe_every(short)
        .window(short)
        .trigger(Trigger::wait_above(Duration::ZERO).lasting(Duration::ZERO))
        .start()
        .unwrap();
    let _waiting = wait_site!("<b>pool</b> & \"lock\"");
    let began = Instant::now();
    loop {
        if let Some(incident) = profiler.incidents().pop() {
            return profiler.incident_page(&incident.id).unwrap().to_string();
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no incident");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The control: a page that does both is caught at it.
#[test]
fn an_incident_runs_nothing_and_asks_for_nothing() {
    let Some(browser) = Browser::find() else { return eprintln!("SKIP no browser is here") };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("incident.html");
    let page = incident_page();
    fs::write(&file, with_nothing_allowed(&page)).unwrap();
    let seen = browser.open(&file).unwrap();
    for part in ["Who may be to blame", "&lt;b&gt;pool&lt;/b&gt; &amp; \"lock\"", "<polyline", "</html>"] {
        assert!(seen.document.contains(part), "{part}: {seen:?}");
    }
    assert!(seen.console.is_empty() && seen.asked.is_empty(), "{seen:?}");

    let restless = page.replace("</body>", "<script>fetch('http://example.invalid/x')</script></body>");
    fs::write(&file, with_nothing_allowed(&restless)).unwrap();
    assert!(!browser.open(&file).unwrap().console.is_empty(), "the script was refused");
    fs::write(&file, restless).unwrap();
    assert_eq!(
        browser.open(&file).unwrap().asked.first().map(String::as_str),
        Some("http://example.invalid/x")
    );
}

#[test]
fn a_flame_graph_of_hostile_names_is_drawn_and_runs_nothing_of_theirs() {
    let Some(browser) = Browser::find() else { return eprintln!("SKIP no browser is here") };
    let names = [
        "</script><script>document.title='owned'</script>",
        "nul\0\u{1b}[31m\u{ffff}",
        "<svg onload=alert(1)>",
        "shard 7",
    ];
    let kind = ValueKind::new("samples", "count");
    let stack = |name: &&str| Stack {
        frames: vec![Frame::named(*name), Frame::named("main")],
        values: vec![100],
        labels: vec![],
    };
    let profile = Profile {
        kinds: vec![kind.clone()],
        stacks: names.iter().map(stack).collect(),
        began: SystemTime::UNIX_EPOCH,
        duration: Duration::from_secs(1),
        period: 1,
        period_kind: kind,
        comments: vec![],
        mappings: vec![],
    };
    let folder = tempfile::tempdir().unwrap();
    // By itself, and as a part of a page on which no script runs.
    let whole = String::from_utf8(profile.to_svg(0, "<title> & \u{1}").unwrap()).unwrap();
    let part = with_nothing_allowed(&format!(
        "<html><head></head><body>{}</body></html>",
        &whole[whole.find("<svg").unwrap()..]
    ));
    for (name, text, scripts) in [("flame.svg", whole, true), ("flame.html", part, false)] {
        let page = folder.path().join(name);
        fs::write(&page, text).unwrap();
        let seen = browser.open(&page).unwrap();
        assert!(!seen.document.contains("parsererror"), "{seen:?}");
        assert!(seen.document.contains("&lt;svg onload=alert(1)&gt;"), "{seen:?}");
        assert!(seen.document.replace("&nbsp;", "\u{a0}").contains("shard\u{a0}7"), "{seen:?}");
        assert!(!seen.document.contains("<title>owned"), "{seen:?}");
        assert!(seen.asked.is_empty() && seen.console.is_empty() == scripts, "{seen:?}");
    }
}
