//! `docs/adopt/from-redis-rs.md`

mod before {
    use crate::users;

    use redis::AsyncCommands;
    use redis::aio::MultiplexedConnection as Redis;

    pub(crate) async fn connect(url: &str) -> redis::RedisResult<Redis> {
        redis::Client::open(url)?.get_multiplexed_async_connection().await
    }

    pub(crate) async fn name_of(redis: &mut Redis, id: u64) -> redis::RedisResult<Option<String>> {
        if let Some(name) = redis.get(format!("user:{id}")).await? {
            return Ok(Some(name));
        }
        let Ok(name) = users::read(id).await else { return Ok(None) };
        let () = redis.set_ex(format!("user:{id}"), &name, 300).await?;
        Ok(Some(name))
    }

    pub(crate) async fn rename(redis: &mut Redis, id: u64, name: &str) -> redis::RedisResult<()> {
        users::write(id, name).await;
        redis.del(format!("user:{id}")).await
    }
}

mod after {
    use std::sync::Arc;

    use crate::users;

    use std::time::Duration;

    use offgridflow_cache::{Breaker, Cache, Error, Json, Loaded, Loader, RedisBackend};

    pub(crate) type Users = Cache<u64, String, Table>;

    pub(crate) struct Table;

    impl Loader<u64, String> for Table {
        type Error = users::Unknown;

        async fn load(&self, id: u64) -> Result<Loaded<String>, users::Unknown> {
            let name = users::read(id).await.ok();
            Ok(Loaded::maybe(name).tag("users"))
        }
    }

    pub(crate) fn connect(url: &str) -> Result<Users, Box<dyn std::error::Error>> {
        let redis = Breaker::new(RedisBackend::connect(url)?);
        Ok(Cache::builder("users").shared(redis, Json).ttl(Duration::from_secs(300)).build(Table)?)
    }

    pub(crate) async fn name_of(
        users: &Users,
        id: u64,
    ) -> Result<Option<Arc<String>>, Error<users::Unknown>> {
        users.get(&id).await
    }

    pub(crate) async fn rename(users: &Users, id: u64, name: &str) {
        users::write(id, name).await;
        let _ = users.invalidate(&id).await;
    }
}

use std::time::{Duration, Instant};

use crate::users;

/// The cache's own bound, and what a busy machine may take on top.
const DELTA: Duration = Duration::from_millis(2_000 + 500);
const UNDER_WAY: Duration = Duration::from_millis(30);

#[tokio::test(flavor = "multi_thread")]
async fn both_keep_and_the_other_process_follows() {
    let (redis, id) = (testkit::Redis::start().unwrap(), users::somebody("Ada"));
    let mut old = before::connect(&redis.url()).await.unwrap();
    assert_eq!(before::name_of(&mut old, id).await.unwrap().as_deref(), Some("Ada"));
    before::rename(&mut old, id, "Grace").await.unwrap();
    assert_eq!(before::name_of(&mut old, id).await.unwrap().as_deref(), Some("Grace"));

    let nodes = [after::connect(&redis.url()).unwrap(), after::connect(&redis.url()).unwrap()];
    for node in &nodes {
        assert_eq!(after::name_of(node, id).await.unwrap().unwrap().as_str(), "Grace");
    }
    assert_eq!(nodes[0].stats().loads + nodes[1].stats().loads, 1, "one load for both");
    after::rename(&nodes[0], id, "Ada").await;
    let renamed = Instant::now();
    while after::name_of(&nodes[1], id).await.unwrap().unwrap().as_str() != "Ada" {
        assert!(renamed.elapsed() < DELTA);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `GET`, load, `SETEX` puts back what `DEL` removed; a fill without a live lease is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_meets_a_change_leaves_the_old_value_by_hand_alone() {
    let (redis, id) = (testkit::Redis::start().unwrap(), users::somebody("Ada"));
    let mut old = before::connect(&redis.url()).await.unwrap();
    let mut other = old.clone();
    let (_, ()) = tokio::join!(before::name_of(&mut other, id), async {
        tokio::time::sleep(UNDER_WAY).await;
        before::rename(&mut old, id, "Grace").await.unwrap();
    });
    assert_eq!(before::name_of(&mut old, id).await.unwrap().as_deref(), Some("Ada"), "for five minutes");

    let (new, id) = (after::connect(&redis.url()).unwrap(), users::somebody("Ada"));
    let (_, ()) = tokio::join!(after::name_of(&new, id), async {
        tokio::time::sleep(UNDER_WAY).await;
        after::rename(&new, id, "Grace").await;
    });
    assert_eq!(after::name_of(&new, id).await.unwrap().unwrap().as_str(), "Grace");
}

/// Without Redis the one fails, and the other reads the source.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_gone_fails_reads_by_hand_alone() {
    let (mut redis, id) = (testkit::Redis::start().unwrap(), users::somebody("Ada"));
    let mut old = before::connect(&redis.url()).await.unwrap();
    let new = after::connect(&redis.url()).unwrap();
    redis.kill();
    let read = tokio::time::timeout(Duration::from_secs(5), before::name_of(&mut old, id)).await;
    assert!(!matches!(read, Ok(Ok(_))), "{read:?}");
    assert_eq!(after::name_of(&new, id).await.unwrap().unwrap().as_str(), "Ada");
}

/// The keys of the cache begin with a namespace of their own.
#[tokio::test(flavor = "multi_thread")]
async fn the_two_do_not_meet_in_redis() {
    let (redis, id) = (testkit::Redis::start().unwrap(), users::somebody("Ada"));
    let mut old = before::connect(&redis.url()).await.unwrap();
    before::name_of(&mut old, id).await.unwrap();
    let new = after::connect(&redis.url()).unwrap();
    after::name_of(&new, id).await.unwrap();
    let keys = redis.cli(&["KEYS", "*"]).unwrap();
    assert!(keys.lines().any(|key| key == format!("user:{id}")), "{keys}");
    let theirs: Vec<_> = keys.lines().filter(|key| !key.starts_with("user:")).collect();
    assert!(!theirs.is_empty() && theirs.iter().all(|key| key.starts_with("ogf:{users}:")), "{keys}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_holds_two_connections() {
    let (redis, id) = (testkit::Redis::start().unwrap(), users::somebody("Ada"));
    let new = after::connect(&redis.url()).unwrap();
    after::name_of(&new, id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let clients = redis.cli(&["CLIENT", "LIST"]).unwrap();
    assert_eq!(clients.lines().filter(|line| !line.contains("cmd=client")).count(), 2, "{clients}");
}
