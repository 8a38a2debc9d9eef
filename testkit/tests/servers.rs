//! Private servers are ours, can be hurt, and come back with what they had.
use testkit::{Postgres, Redis, RedisCluster};

#[test]
fn redis_keeps_what_was_saved_and_loses_the_rest_when_killed() {
    let mut redis = Redis::start().unwrap();
    redis.cli(&["SET", "saved", "1"]).unwrap();
    redis.cli(&["SAVE"]).unwrap();
    redis.cli(&["SET", "unsaved", "1"]).unwrap();
    let (addr, pid) = (redis.addr(), redis.pid());
    redis.kill();
    assert!(redis.cli(&["PING"]).is_err());
    redis.restart().unwrap();
    assert_eq!(redis.addr(), addr);
    assert_ne!(redis.pid(), pid);
    assert_eq!(redis.cli(&["EXISTS", "saved", "unsaved"]).unwrap(), "1");
}

#[test]
fn a_frozen_redis_goes_on_where_it_was() {
    let redis = Redis::start().unwrap();
    redis.freeze();
    let state = std::fs::read_to_string(format!("/proc/{}/stat", redis.pid())).unwrap();
    assert!(state.contains(") T "), "{state}");
    redis.thaw();
    assert_eq!(redis.cli(&["PING"]).unwrap(), "PONG");
}

#[test]
fn a_server_that_refuses_its_settings_is_reported_with_its_log() {
    let error = Redis::start_with(&["--no-such-setting", "1"]).unwrap_err().to_string();
    assert!(error.contains("exited before it was ready") && error.contains("no-such-setting"), "{error}");
}

#[test]
fn three_nodes_form_one_cluster() {
    let cluster = RedisCluster::start().unwrap();
    let ports: Vec<_> = cluster.nodes().iter().map(|node| node.addr().port()).collect();
    let nodes = cluster.nodes()[2].cli(&["CLUSTER", "NODES"]).unwrap();
    assert!(ports.iter().all(|port| nodes.contains(&format!("127.0.0.1:{port}@"))), "{nodes}");
    assert!(cluster.nodes()[0].cli(&["SET", "foo", "1"]).is_err(), "`foo` lives in the third node's slots");
    assert_eq!(cluster.nodes()[2].cli(&["SET", "foo", "1"]).unwrap(), "OK");
}

#[test]
fn a_database_is_gone_with_its_handle() {
    let server = testkit::postgres();
    let database = server.create_database("gone").unwrap();
    database.psql("CREATE TABLE kept (n int)").unwrap();
    let other = server.create_database("gone").unwrap();
    assert!(other.psql("SELECT * FROM kept").is_err(), "databases are apart");
    let name = database.name().to_owned();
    drop(database);
    let left = other.psql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'")).unwrap();
    assert_eq!(left, "0");
}

#[test]
fn postgres_survives_being_killed_and_frozen() {
    let mut postgres = Postgres::start().unwrap();
    let database = postgres.create_database("killed").unwrap();
    database.psql("CREATE TABLE kept AS SELECT 7 AS n").unwrap();
    postgres.kill();
    assert!(database.psql("SELECT 1").is_err());
    postgres.restart().unwrap();
    postgres.freeze();
    postgres.thaw();
    assert_eq!(database.psql("SELECT n FROM kept").unwrap(), "7");
}
