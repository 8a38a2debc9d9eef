//! `docs/slow-query.md`, played through.

use std::process::Command;

#[test]
fn a_dropped_index_is_flagged_advised_and_used_once_it_is_made() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/slow-query.sh");
    let database = testkit::postgres().create_database("slow_query").unwrap();
    let played = Command::new(script)
        .args(["--server", env!("CARGO_BIN_EXE_offgridflow")])
        .env(testkit::POSTGRES_ENV, database.url())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&played.stdout);
    let log = String::from_utf8_lossy(&played.stderr);
    assert!(played.status.success(), "{said}\n{log}");
    for part in ["slower with a new plan", "CREATE INDEX CONCURRENTLY", "now uses activities_tenant_id_idx"] {
        assert!(said.contains(part), "{part} in {said}\n{log}");
    }
}
