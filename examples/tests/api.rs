//! What the HTTP interface promises, asked over real sockets.
mod common;

use std::time::Duration;

use axum::http::StatusCode;
use common::{Server, row};
use hyper::Method;
use offgridflow::carbon::assess;
use offgridflow::import;
use offgridflow::intake::{Draft, WideTable};
use offgridflow_profile::Profiled;
use serde_json::{Value, json};

const NDJSON: &str = "application/x-ndjson";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_any_format_is_stored_and_totalled() {
    let server = Server::on_sqlite(&[]).await;
    let json = r#"[{"id":"a","category":"electricity","quantity":1000,"unit":"kWh","period":"2024-03"},
                   {"id":"b","category":"diesel","quantity":"2.5","period":"2024"}]"#;
    let csv =
        "id,category,quantity,unit,period\nc,electricity,10,kWh,2024-03-15\nd,bunker-fuels,1,kt C,2024\n";
    assert_eq!(server.post("application/json; charset=utf-8", "", json).await.1["accepted"], 2);
    assert_eq!(server.post("text/csv", "", csv).await.1["accepted"], 2);
    assert_eq!(
        server.post(NDJSON, "", row("e", "coal", "1", "2023-12")).await,
        (StatusCode::OK, json!({ "accepted": 1, "duplicates": 0, "rejected": [], "not_stored": [] }))
    );
    let (_, by_month) = server.get("/api/v1/emissions?by=month").await;
    // 1 010 kWh x 0.20705, 2.5 GJ x 74.1, 94.6; the bunker fuel stands apart.
    assert_eq!(by_month["total_co2e_kg"], "488.971");
    let group = |name: &str, counted: bool| {
        let groups = by_month["groups"].as_array().unwrap();
        groups.iter().find(|group| group["group"] == name && group["in_totals"] == counted).unwrap()["co2e_kg"].clone()
    };
    assert_eq!((group("2024-03", true), group("2024", true)), (json!("209.121"), json!("185.25")));
    assert_eq!(group("2024", false), "3666666.667");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_follow_ingestion_at_once() {
    let server = Server::on_sqlite(&[]).await;
    for n in 1..=20 {
        server.post(NDJSON, "", row(&n.to_string(), "electricity", "1000", "2024")).await;
        let (_, totals) = server.get("/api/v1/emissions").await;
        assert_eq!(
            totals["groups"][0]["activities"], n,
            "a read after the answer sees what was acknowledged"
        );
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_cost_only_themselves_and_say_where_they_are() {
    let server = Server::on_sqlite(&[]).await;
    let body = [
        row("good", "diesel", "1", "2024"),
        row("unknown", "plutonium", "1", "2024"),
        row("negative", "diesel", "-1", "2024"),
        row("nan", "diesel", "\"NaN\"", "2024"),
        row("month", "diesel", "1", "2024-13"),
        row("good too", "diesel", "1", "2024"),
    ];
    let (status, receipt) = server.post(NDJSON, "", body.concat()).await;
    assert_eq!((status, &receipt["accepted"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(2)));
    let rejected: Vec<_> = receipt["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["line"].clone(), one["field"].clone()))
        .collect();
    assert_eq!(
        rejected,
        [(2, "category"), (3, "quantity"), (4, "quantity"), (5, "period")]
            .map(|(line, field)| (json!(line), json!(field)))
    );
    let (_, page) = server.get("/api/v1/activities").await;
    assert_eq!(page["activities"].as_array().unwrap().len(), 2);
    let negative = row("negative", "diesel", "-1", "2024").replace('}', ",\"adjustment\":true}");
    assert_eq!(server.post(NDJSON, "", negative).await.0, StatusCode::OK, "an adjustment may be negative");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_400_with_their_place_and_keep_the_good_rows() {
    let server = Server::on_sqlite(&[]).await;
    let (status, receipt) = server
        .post(
            "application/json",
            "",
            "[{\"id\":\"a\",\"category\":\"diesel\",\"quantity\":1,\"period\":\"2024\"},\n  oops]",
        )
        .await;
    assert_eq!((status, &receipt["accepted"]), (StatusCode::BAD_REQUEST, &json!(1)));
    assert_eq!((&receipt["rejected"][0]["line"], &receipt["rejected"][0]["column"]), (&json!(2), &json!(3)));
    let (status, receipt) =
        server.post("text/csv", "", "category,quantity,period\ndiesel,1,2024\ndiesel,1\n").await;
    assert_eq!(
        (status, &receipt["accepted"], &receipt["rejected"][0]["line"]),
        (StatusCode::BAD_REQUEST, &json!(1), &json!(3))
    );
    for (content_type, body) in
        [("application/json", "{}"), ("application/json", ""), ("text/csv", "a,b\n"), (NDJSON, "x")]
    {
        assert_eq!(
            server.post(content_type, "", body).await.0,
            StatusCode::BAD_REQUEST,
            "{content_type} {body}"
        );
    }
    assert_eq!(server.post("image/png", "", "x").await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.post(NDJSON, "?atomic=perhaps", "").await.0, StatusCode::BAD_REQUEST);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn atomic_requests_are_stored_whole_or_not_at_all() {
    let server = Server::on_sqlite(&[]).await;
    let good = |n: usize| row(&n.to_string(), "diesel", "1", "2024");
    let with_a_bad_one = (0..50).map(good).collect::<String>() + &row("bad", "diesel", "-1", "2024");
    let (status, receipt) = server.post(NDJSON, "?atomic=true", &with_a_bad_one).await;
    assert_eq!((status, &receipt["accepted"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(0)));
    assert_eq!(server.get("/api/v1/activities").await.1["activities"], json!([]));
    let whole: String = (0..50).map(good).collect();
    assert_eq!(server.post(NDJSON, "?atomic=true", &whole).await.1["accepted"], 50);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_stored_once() {
    let server = Server::on_sqlite(&[]).await;
    let body = row("same", "diesel", "1", "2024") + &row("same", "diesel", "2", "2024");
    assert_eq!(server.post(NDJSON, "", &body).await.1["duplicates"], 1);
    let (status, receipt) = server.post(NDJSON, "", &body).await;
    assert_eq!(
        (status, &receipt["accepted"], &receipt["duplicates"]),
        (StatusCode::OK, &json!(0), &json!(2))
    );
    assert_eq!(server.get("/api/v1/activities").await.1["activities"][0]["quantity"], "1");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_beyond_64_bits_are_exact_on_both_databases() {
    let database = testkit::postgres().create_database("large").unwrap();
    for server in [Server::on_sqlite(&[]).await, Server::on(&database.url(), &[]).await] {
        // Each about 2.5 x 10^18 g; 9.2 x 10^18 fit 64 bits.
        let body: String =
            (0..20).map(|n| row(&n.to_string(), "solid-fuel", "690000000.5", "2024")).collect();
        assert_eq!(server.post(NDJSON, "", body).await.1["accepted"], 20);
        for by in ["scope", "category", "year", "month"] {
            let (status, totals) = server.get(&format!("/api/v1/emissions?by={by}")).await;
            // 20 x round(690 000 000.5 x 11 x 10^9 / 3) g
            assert_eq!(
                (status, &totals["total_co2e_kg"]),
                (StatusCode::OK, &json!("50600000036666666.66")),
                "{by}"
            );
        }
        server.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other_without_gaps_or_repeats() {
    let server = Server::on_sqlite(&[]).await;
    let body: String = (0..257).map(|n| row(&format!("{n:04}"), "diesel", "1", "2024")).collect();
    server.post(NDJSON, "", body).await;
    let (mut after, mut seen) = (String::new(), Vec::new());
    loop {
        let (_, page) = server.get(&format!("/api/v1/activities?limit=50&after={after}")).await;
        seen.extend(
            page["activities"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        let Value::String(next) = &page["next"] else { break };
        after.clone_from(next);
    }
    assert_eq!(seen, (0..257).map(|n| format!("{n:04}")).collect::<Vec<_>>());
    for limit in ["0", "1001", "-1", "many"] {
        assert_eq!(server.get(&format!("/api/v1/activities?limit={limit}")).await.0, StatusCode::BAD_REQUEST);
    }
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_factor_is_the_tenants_own_and_recalculates_what_is_stored() {
    let server = Server::on_sqlite(&[]).await;
    let body: String = (0..2_500).map(|n| row(&n.to_string(), "electricity", "1", "2024")).collect();
    for tenant in ["acme", "beta"] {
        let headers = [("content-type", NDJSON), ("x-tenant", tenant)];
        assert_eq!(
            server.send(Method::POST, "/api/v1/activities", &headers, &body).await.1["accepted"],
            2_500
        );
    }
    assert_eq!(server.get_as("acme", "/api/v1/factors/heat").await.0, StatusCode::NOT_FOUND);
    let change =
        json!({ "unit": "kWh", "kg_co2e_per_unit": "1/2", "scope": 2, "source": "the supplier's contract" })
            .to_string();
    let (status, factor) =
        server.send(Method::PUT, "/api/v1/factors/electricity", &[("x-tenant", "acme")], &change).await;
    assert_eq!(
        (status, &factor["version"], &factor["kg_co2e_per_unit"]),
        (StatusCode::OK, &json!(2), &json!("0.5"))
    );
    while server.app.store().queue().await.unwrap().depth > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.get_as("acme", "/api/v1/emissions").await.1["total_co2e_kg"], "1250");
    assert_eq!(
        server.get_as("beta", "/api/v1/emissions").await.1["total_co2e_kg"],
        "517.5",
        "2 500 x 0.20705, each rounded"
    );
    let heat =
        json!({ "unit": "GJ", "kg_co2e_per_unit": "60", "scope": 2, "source": "the supplier" }).to_string();
    server.send(Method::PUT, "/api/v1/factors/heat", &[("x-tenant", "acme")], &heat).await;
    assert_eq!(
        server.get_as("acme", "/api/v1/factors/heat").await.1["unit"],
        "GJ",
        "a cached absence ends with the change"
    );
    assert_eq!(server.get_as("beta", "/api/v1/factors/heat").await.0, StatusCode::NOT_FOUND);
    for wrong in [
        "",
        "{}",
        r#"{"unit":"kWh","kg_co2e_per_unit":"-1","scope":2,"source":"x"}"#,
        r#"{"unit":"kWh","kg_co2e_per_unit":"1","scope":4,"source":"x"}"#,
    ] {
        assert_eq!(
            server.send(Method::PUT, "/api/v1/factors/heat", &[], wrong).await.0,
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    server.close().await;
}

/// As after a server that died between the commit and the invalidation: the client sends its rows again.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_brings_totals_up_to_date_though_every_row_was_there() {
    let server = Server::on_sqlite(&[]).await;
    assert_eq!(server.get("/api/v1/emissions").await.1["groups"], json!([]));
    let draft = Draft {
        id: Some("a".into()),
        category: "diesel".into(),
        quantity: "1".into(),
        period: "2024".into(),
        ..Draft::default()
    };
    let factor = server.app.ledger().factor("default", "diesel").await.unwrap();
    let activity = assess("default", &draft, factor.as_deref()).unwrap();
    server.app.store().writer().reserve().await.unwrap().push(activity).committed().await.unwrap();
    assert_eq!(server.get("/api/v1/emissions").await.1["groups"], json!([]), "still cached: nobody was told");
    assert_eq!(server.post(NDJSON, "", row("a", "diesel", "1", "2024")).await.1["duplicates"], 1);
    assert_eq!(server.get("/api/v1/emissions").await.1["groups"][0]["activities"], 1);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_that_would_falsify_what_is_stored_is_refused() {
    let server = Server::on_sqlite(&[]).await;
    server.post(NDJSON, "", row("a", "diesel", "9000000000000", "2024")).await;
    let put = async |unit: &str, ratio: &str| {
        let body =
            json!({ "unit": unit, "kg_co2e_per_unit": ratio, "scope": 1, "source": "a test" }).to_string();
        server.send(Method::PUT, "/api/v1/factors/diesel", &[], body).await
    };
    let (status, answer) = put("L", "2.5").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer["error"].as_str().unwrap().contains("the unit of `diesel` is `GJ`"), "{answer}");
    assert_eq!(put("GJ", "100000").await.0, StatusCode::UNPROCESSABLE_ENTITY, "emissions beyond 64 bits");
    assert_eq!(put("GJ", "100").await.0, StatusCode::OK);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_uses_the_tenants_own_factors() {
    let server = Server::on_sqlite(&[]).await;
    let own = json!({ "unit": "kt C", "kg_co2e_per_unit": "1", "scope": 1, "source": "a test" }).to_string();
    server.send(Method::PUT, "/api/v1/factors/cement", &[("x-tenant", "NORTHLAND")], own).await;
    let table = WideTable::read(include_bytes!("data/wide.csv")).unwrap();
    import::store_table(server.app.ledger(), table).await.unwrap();
    let (_, totals) = server.get_as("NORTHLAND", "/api/v1/emissions").await;
    let cement =
        totals["groups"].as_array().unwrap().iter().find(|group| group["group"] == "cement").unwrap();
    assert_eq!(cement["co2e_kg"], "2", "two cells of one kiloton at one kilogram each");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_key_decides_the_tenant() {
    let keys = "acme=0123456789abcdef,beta=fedcba9876543210";
    let server = Server::on_sqlite(&["--api-keys", keys]).await;
    let as_acme = [("content-type", NDJSON), ("x-api-key", "0123456789abcdef"), ("x-tenant", "beta")];
    server.send(Method::POST, "/api/v1/activities", &as_acme, row("a", "diesel", "1", "2024")).await;
    let with = |key: &'static str| [("authorization", key)];
    let (_, beta) = server.send(Method::GET, "/api/v1/emissions", &with("Bearer fedcba9876543210"), "").await;
    assert_eq!((&beta["tenant"], &beta["groups"]), (&json!("beta"), &json!([])));
    let (_, acme) = server.send(Method::GET, "/api/v1/emissions", &with("Bearer 0123456789abcdef"), "").await;
    assert_eq!(acme["groups"][0]["activities"], 1);
    for path in [
        "/api/v1/emissions",
        "/api/v1/activities",
        "/api/v1/performance",
        "/api/v1/factors/diesel",
        "/debug/pprof/profile",
    ] {
        assert_eq!(server.get(path).await.0, StatusCode::UNAUTHORIZED, "{path}");
        let wrong = server.send(Method::GET, path, &with("Bearer wrongwrongwrongwrong"), "").await;
        assert_eq!(wrong.0, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(server.get("/healthz").await.0, StatusCode::OK);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_413() {
    let server = Server::on_sqlite(&["--max-body-bytes", "1000"]).await;
    assert_eq!(server.post(NDJSON, "", vec![b' '; 1_001]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.post(NDJSON, "", vec![b' '; 1_000]).await.0, StatusCode::OK);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_how_it_does() {
    offgridflow::api::install_metrics();
    let server = Server::on_sqlite(&[]).await;
    server.post(NDJSON, "", row("a", "diesel", "1", "2024")).await;
    assert_eq!(server.get("/readyz").await.0, StatusCode::OK);
    let (_, performance) = server.get("/api/v1/performance").await;
    assert_eq!(performance["writer"]["committed"], 1);
    assert!(
        performance["memory"]["verdict"]["why"].as_str().unwrap().starts_with("unknown (needs"),
        "{performance}"
    );
    assert!(
        performance["statements"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| !one["text"].as_str().unwrap().contains('\''))
    );
    assert_eq!(performance["probes"][0]["name"], "cached factor");
    let alive = tokio::spawn(std::future::pending::<()>().profiled("alive")); // tasks that have ended are none
    for path in ["goroutine", "block"] {
        let profile =
            offgridflow::http_client::get(&server.base, &format!("/debug/pprof/{path}"), &[]).await.unwrap();
        let profile = offgridflow_profile::Profile::from_pprof(&profile.body).unwrap();
        assert!(profile.stacks.iter().any(|stack| stack.frames[0].line.is_some()), "{path}: {profile:?}");
    }
    alive.abort();
    for (path, part) in [("heap", "allocator"), ("trace", "no execution trace")] {
        let path = format!("/debug/pprof/{path}");
        let answer = offgridflow::http_client::get(&server.base, &path, &[]).await.unwrap();
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "the test's allocator is the system's");
        let hint = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(hint.contains(part), "{path}: {hint}");
    }
    for path in ["", "/", "/cmdline", "/threadcreate", "/memory", "/windows", "/health"] {
        assert_eq!(server.get(&format!("/debug/pprof{path}")).await.0, StatusCode::OK, "{path}");
    }
    for wrong in ["profile?seconds=-1", "profile?seconds=100000", "profile?hz=100000", "profile?second=1"] {
        assert_eq!(server.get(&format!("/debug/pprof/{wrong}")).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let metrics = offgridflow::http_client::get(&server.base, "/metrics", &[]).await.unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let of_probe = "offgridflow_bench_probe_verdict{probe=\"database ping\",verdict=\"not-enough-data\"} 1";
    assert!(metrics.lines().any(|line| line == of_probe), "{metrics}");
    assert!(
        metrics.contains("http_route=\"/api/v1/activities\"") && !metrics.contains("/debug/pprof/heap"),
        "{metrics}"
    );
    server.app.drain();
    assert_eq!(server.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    server.close().await;
}

/// One capture at a time in a process, so both answers are asked in one test.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_pprof_and_a_second_one_waits() {
    let server = Server::on_sqlite(&[]).await;
    let ask = || offgridflow::http_client::get(&server.base, "/debug/pprof/profile?seconds=1", &[]);
    let (one, other) = tokio::join!(ask(), ask());
    let mut answers = [one.unwrap(), other.unwrap()];
    answers.sort_by_key(|answer| answer.status);
    assert_eq!(
        answers.each_ref().map(|answer| answer.status),
        [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS]
    );
    assert_eq!(answers[0].body[..2], [0x1f, 0x8b], "pprof is gzip");
    // A client that hangs up frees the place at once.
    let gone = || {
        let asked = offgridflow::http_client::get(&server.base, "/debug/pprof/profile?seconds=100", &[]);
        tokio::time::timeout(Duration::from_millis(300), asked)
    };
    while gone().await.is_ok() {} // refused until the place of the one before is free, a moment after its answer
    while ask().await.unwrap().status != StatusCode::OK {}
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_wrong_on_purpose_without_the_flag() {
    let server = Server::on_sqlite(&[]).await;
    let ask = async |server: &Server, fault| {
        server.send(Method::POST, &format!("/debug/faults/{fault}"), &[], "").await.0
    };
    for fault in ["leak", "cpu", "tasks", "end"] {
        assert_eq!(ask(&server, fault).await, StatusCode::NOT_FOUND, "{fault}");
    }
    server.close().await;
    let server = Server::on_sqlite(&["--faults"]).await;
    assert_eq!(ask(&server, "tasks").await, StatusCode::NO_CONTENT);
    let piled = || offgridflow_profile::tasks().into_iter().find(|site| site.name == "export").unwrap();
    assert_eq!(piled().started, 20_000);
    assert_eq!(ask(&server, "earthquake").await, StatusCode::NOT_FOUND);
    assert_eq!(ask(&server, "end").await, StatusCode::NO_CONTENT);
    while piled().live > 0 {
        tokio::task::yield_now().await;
    }
    server.close().await;
}
