//! Scenarios and one-liners for databases and caches, against servers of this test's own.
#![cfg(feature = "cli")]

use offgridflow_loadtest::{ConfigError, Scenario};

fn refused(text: &str) -> ConfigError {
    Scenario::parse(text).and_then(|scenario| scenario.load_test().map(drop)).expect_err(text)
}

#[test]
fn what_is_of_another_kind_of_server_is_refused_where_it_stands() {
    let http = "[target]\nurl = \"http://127.0.0.1:1\"\n";
    let sql = "[target]\nurl = \"sqlite://x.db\"\n";
    for (text, field, hint) in [
        ("[target]\n".to_owned(), "target", "url_env"),
        (
            "[target]\nurl_env = \"OFFGRIDFLOW_NO_SUCH_NAME\"\n".into(),
            "target.url_env",
            "has no `OFFGRIDFLOW",
        ),
        (format!("{http}url_env = \"HOME\"\n"), "target.url_env", "not both"),
        (format!("{http}pool = 4\n"), "target.pool", "is for a database, and this is an HTTP service"),
        (format!("{http}[[statement]]\nname = \"a\"\nsql = \"b\"\n"), "statement", "is for a database"),
        (format!("{http}[[command]]\nname = \"GET\"\n"), "command", "is for a Redis server"),
        (
            format!("{sql}[[route]]\npath = \"/\"\n"),
            "route",
            "is for an HTTP service, and this is a database",
        ),
        (format!("{sql}cookies = true\n"), "target.cookies", "is for an HTTP service"),
    ] {
        let error = refused(&text);
        assert!(error.field == field && error.hint.contains(hint), "{text}: {error}");
        assert!(error.line.is_some(), "{text}: {error}");
    }
}

#[cfg(not(feature = "sql"))]
#[test]
fn a_build_that_does_not_speak_to_databases_says_so() {
    let error =
        refused("[target]\nurl = \"sqlite://x.db\"\n[[statement]]\nname = \"a\"\nsql = \"SELECT 1\"\n");
    assert!(error.hint.contains("needs the feature `sql`"), "{error}");
}

#[cfg(feature = "sql")]
mod sql {
    use std::{fs, process::Command};

    use offgridflow_loadtest::{LoadTest, Scenario, Workload};

    use super::refused;

    const STATEMENTS: &str = r#"
pool = 4
prepare = [
    "CREATE TABLE IF NOT EXISTS site (id BIGINT PRIMARY KEY, name TEXT, share DOUBLE PRECISION, visits BIGINT DEFAULT 0)",
]

[load]
requests_per_second = 200
duration = "2s"

[feed]
file = "sites.csv"

[[statement]]
name = "read"
sql = "SELECT name FROM site WHERE id < $1"
weight = 8
values = [{ int = "${random(1, 50)}" }]

[[transaction]]
name = "visit"

[[transaction.statement]]
name = "add"
sql = "INSERT INTO site (id, name, share) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING"
values = [{ int = "${row.id}" }, "site ${row.id} of ${index}", { real = "${row.share}" }]

[[transaction.statement]]
name = "count"
sql = "UPDATE site SET visits = visits + $2 WHERE id = $1"
values = [{ int = "${row.id}" }, 1]
"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        let rows: String = (0..40).map(|id| format!("{id},{}\n", f64::from(id) / 40.0)).collect();
        fs::write(folder.path().join("sites.csv"), format!("id,share\n{rows}")).expect("written");
        folder
    }

    fn scenario(folder: &tempfile::TempDir, url: &str) -> LoadTest<impl Workload> {
        let file = folder.path().join("load.toml");
        fs::write(&file, format!("[target]\nurl = \"{url}\"{STATEMENTS}")).expect("written");
        Scenario::read(&file).expect("read").load_test().expect("sound")
    }

    async fn loaded(test: LoadTest<impl Workload>) {
        let report = test.run().await.expect("runs");
        assert_eq!((report.offered, report.total.ok), (400, 400), "{report}");
        let read = report.route("read").expect("a route").ok;
        assert!((300..400).contains(&read), "eight of nine\n{report}");
        assert!(report.step("visit: count: query").is_some_and(|step| step.ok == 400 - read), "{report}");
    }

    #[tokio::test]
    async fn a_scenario_asks_sqlite_and_postgresql_alike() {
        let folder = folder();
        let url = format!("sqlite://{}/load.db?mode=rwc", folder.path().display());
        loaded(scenario(&folder, &url)).await;
        let database = testkit::postgres().create_database("scenario").expect("a database");
        loaded(scenario(&folder, &database.url())).await;
        let sites = database.psql("SELECT count(*) FROM site WHERE name LIKE 'site % of %' AND share < 1");
        assert!(sites.expect("answered").trim().parse::<u32>().is_ok_and(|sites| sites > 10));
        let visits = database.psql("SELECT sum(visits) FROM site").expect("answered");
        assert!(visits.trim().parse::<u32>().is_ok_and(|visits| visits > 20), "{visits}");
    }

    #[test]
    fn one_line_asks_a_database() {
        let folder = folder();
        let url = format!("sqlite://{}/one.db?mode=rwc", folder.path().display());
        let run = |more: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
            let ran = command.args(["run", &url, "-r", "200", "--for", "2s", "-q"]).args(more).output();
            let ran = ran.expect("the command runs");
            let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
            (ran.status.code().expect("a code"), said)
        };
        let (code, said) = run(&["--sql", "SELECT 1 + 1", "--pool", "2"]);
        assert!(matches!(code, 0 | 3) && said.contains("400 ok, 0 failed"), "{said}");
        assert!(said.contains("statement: query") && said.contains("2 connections"), "{said}");
        for (flags, why) in [
            (&["--method", "PUT"][..], "--method: is for an HTTP service"),
            (&["--pool", "0"], "--pool: at least one"),
        ] {
            let (code, said) = run(flags);
            assert!(code == 2 && said.contains(why), "{said}");
        }
    }

    #[test]
    fn values_that_are_no_numbers_are_refused_before_the_run() {
        let folder = folder();
        let rows = folder.path().join("sites.csv");
        let text = |value: &str| {
            format!(
                "[target]\nurl = \"sqlite://x.db\"\n[feed]\nfile = {rows:?}\n[[statement]]\nname = \"a\"\nsql = \"SELECT $1\"\nvalues = [{value}]\n"
            )
        };
        for (value, hint) in [
            (r#"{ int = "${row.share}" }"#, "row 2 of the feed has no such number in `share`"),
            (r#"{ int = "x${index}" }"#, "one value and nothing else"),
            (r#"{ int = "${uuid}" }"#, "one value and nothing else"),
            (r#""${row.shares}""#, "did you mean `share`?"),
        ] {
            let error = refused(&text(value));
            assert!(error.field == "statement.0.values.0" && error.hint.contains(hint), "{value}: {error}");
        }
        let error = refused("[target]\nurl = \"sqlite://x.db\"\n");
        assert!(error.hint.contains("add a [[statement]]"), "{error}");
        let twice = "[[statement]]\nname = \"a\"\nsql = \"SELECT 1\"\n".repeat(2);
        let error = refused(&format!("[target]\nurl = \"sqlite://x.db\"\n{twice}"));
        assert_eq!(error.field, "statement.1.name", "{error}");
        let read = |value: &str| Scenario::parse(&text(value)).map(drop).expect_err(value).to_string();
        assert!(read("[1]").contains("expected a value: 5"), "{}", read("[1]"));
    }
}

#[cfg(feature = "redis")]
mod redis {
    use std::process::Command;

    use offgridflow_loadtest::Scenario;

    use super::refused;

    #[tokio::test]
    async fn a_scenario_asks_redis() {
        let redis = testkit::redis();
        let text = format!(
            r#"
[target]
url = "{}"
keys = 500
zipf = 0.99
prefix = "scenario:"
fill = 500

[load]
requests_per_second = 300
duration = "2s"
concurrent_workers = 16
on_cap = "queue"

[[command]]
name = "get"
weight = 9

[[command]]
name = "SET"
value_bytes = [10, 100]

[[command]]
name = "HSET"
label = "mark"
arguments = ["last", "${{index}}"]
weight = 1
"#,
            redis.url()
        );
        let text = text.replace("prefix = \"scenario:\"", "prefix = \"scenario:\"\npipeline = 1");
        let report =
            Scenario::parse(&text).expect("read").load_test().expect("sound").run().await.expect("runs");
        assert_eq!(report.offered, 600, "{report}");
        let get = report.route("GET").expect("a route");
        assert!(get.ok > 400 && get.failed == 0, "{report}");
        // HSET on a key that holds a string is an answer, and a failure, under the name that was given.
        let mark = report.route("mark").expect("a route");
        assert!(
            mark.failed > 0 && report.errors.iter().any(|line| line.cause.contains("WRONGTYPE")),
            "{report}"
        );
        assert!(report.notes.iter().any(|note| note.contains("hit ratio 100.0 %")), "{report}");
    }

    #[test]
    fn one_line_asks_redis_for_what_a_cache_is_asked() {
        let redis = testkit::redis();
        let mut command = Command::new(env!("CARGO_BIN_EXE_offgridflow-loadtest"));
        let ran = command
            .args(["run", &redis.url(), "-r", "200", "--for", "2s", "-c", "16", "--queue", "-q"])
            .output();
        let ran = ran.expect("the command runs");
        let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
        assert!(matches!(ran.status.code(), Some(0 | 3)) && said.contains("400 ok, 0 failed"), "{said}");
        assert!(said.contains("GET") && said.contains("SET") && said.contains("hit ratio"), "{said}");
    }

    #[test]
    fn commands_that_make_no_sense_are_refused() {
        for (more, field) in [
            ("", "target"),
            ("[[command]]\nname = \"SET\"\n", "command.0.value_bytes"),
            ("[[command]]\nname = \"GET\"\nvalue_bytes = 5\n", "command.0.value_bytes"),
            ("[[command]]\nname = \"SET\"\nvalue_bytes = [9, 5]\n", "command.0.value_bytes"),
            ("[[command]]\nname = \"GET\"\nweight = 0\n", "command.0.weight"),
            ("[[command]]\nname = \"LPUSH\"\narguments = [\"${row.x}\"]\n", "command.0.arguments.0"),
        ] {
            let error = refused(&format!("[target]\nurl = \"redis://127.0.0.1:1\"\n{more}"));
            assert_eq!(error.field, field, "{error}");
        }
    }
}
