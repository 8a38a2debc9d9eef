//! A Redis that comes back with what it knew before: nothing of it is served to who can know.
#![cfg(feature = "redis")]

mod space;

use std::sync::Arc;

use bytes::Bytes;
use offgridflow_cache::{
    BackendError, CacheBackend, Entry, Fill, FillWith, Filled, Key, Lookup, RedisBackend, Scope, Terms,
};
use space::{MINUTE, Space, over, restricted, space};
use testkit::Redis;
use tokio::time::sleep;

/// S5, for leases: a lease that was removed comes back with the file.
#[tokio::test]
async fn a_lease_that_a_restart_brings_back_does_not_fill() {
    let mut redis = Redis::start().unwrap();
    let before = space(&redis);
    let mut seen = None;
    before.changes(&mut seen).await;
    let early = before.lease("k").await;
    redis.cli(&["SAVE"]).unwrap();
    before.remove(Scope::Keys(vec![before.key("k")])).await;
    redis.kill();
    redis.restart().unwrap();
    assert!(!redis.cli(&["KEYS", "*:k:*"]).unwrap().is_empty(), "the control: the lease is there again");
    let after = space(&redis);
    assert_eq!(after.changes(&mut seen).await, None, "a look for news finds another life");
    assert_eq!(after.fill("k", early, "old", MINUTE, &[]).await, Filled::Fenced);
    assert!(matches!(after.ask("k").await, Lookup::Miss(_)), "nor does it keep others from loading");
}

#[tokio::test]
async fn who_may_not_ask_for_the_run_id_disturbs_nobody_who_may() {
    let redis = Redis::start().unwrap();
    let (knows, does_not) = (space(&redis), restricted(&redis, "-info"));
    knows.set("k", "v", &[]).await;
    let (mut one, mut other) = (None, None);
    knows.changes(&mut one).await;
    does_not.changes(&mut other).await;
    for _ in 0..3 {
        assert_eq!(does_not.changes(&mut other).await, Some(Vec::new()), "no other life");
        assert_eq!(knows.changes(&mut one).await, Some(Vec::new()), "no other life");
    }
    assert_eq!(one, other);
    assert_eq!(knows.value("k").await.as_deref(), Some("v"));
}

/// S5 without the right to `INFO`: the sequence is behind what this follower has seen.
#[tokio::test]
async fn a_restart_is_noticed_by_its_sequence_where_the_run_id_is_not_told() {
    let mut redis = Redis::start().unwrap();
    let before = restricted(&redis, "-info");
    before.set("k", "old", &[]).await;
    redis.cli(&["SAVE"]).unwrap();
    before.remove(Scope::Keys(vec![before.key("k")])).await;
    let mut seen = None;
    before.changes(&mut seen).await;
    redis.kill();
    redis.restart().unwrap();
    let after = restricted(&redis, "-info");
    assert_eq!(after.value("k").await.as_deref(), Some("old"), "the control: the old value is there again");
    assert_eq!(after.changes(&mut seen).await, None, "a look for news finds another life");
    assert_eq!(after.value("k").await, None);
    assert_eq!(after.changes(&mut seen).await, Some(Vec::new()), "and it stays the same one");
}

/// Runs until the connection that a restart broke is there again.
async fn once_connected<T, F>(call: impl Fn() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    for _ in 0..1_000 {
        match call().await {
            Err(BackendError::Failed { .. } | BackendError::Timeout { .. }) => sleep(MINUTE / 6_000).await,
            answer => return answer,
        }
    }
    panic!("no connection")
}

/// What `space` finds under `k` now, without having looked for news.
async fn found(space: &Space) -> Result<Lookup, BackendError> {
    let (key, terms) = (space.key("k"), Terms::new(MINUTE));
    once_connected(|| space.store.get_or_lease(std::slice::from_ref(&key), &terms))
        .await
        .map(|mut lookups| lookups.remove(0))
}

/// Redis comes back with what was saved before `k` was removed. Nobody has looked for news since.
async fn rolled_back(redis: &mut Redis, space: &Space, denied: &str) {
    space.set("k", "old", &[]).await;
    redis.cli(&["SAVE"]).unwrap();
    space.remove(Scope::Keys(vec![space.key("k")])).await;
    redis.kill();
    redis.restart().unwrap();
    restricted(redis, denied); // users are not saved
}

/// Who may ask for the run id, and who may not, but has seen what the file knows nothing of.
const RIGHTS: [&str; 2] = ["+info", "-info"];

/// S5 before anybody looks for news.
#[tokio::test]
async fn what_a_restart_brings_back_is_not_served_to_who_removed_it_even_before_news() {
    for denied in RIGHTS {
        let mut redis = Redis::start().unwrap();
        let space = restricted(&redis, denied);
        rolled_back(&mut redis, &space, denied).await;
        let looked = found(&space).await;
        assert!(matches!(looked, Ok(Lookup::Miss(_))), "{denied}: {looked:?}");
        assert_eq!(space.store.stats().rolled_back, 1, "{denied}");
        assert_eq!(space.changes(&mut None).await, None);
        let looked = found(&space).await;
        assert!(matches!(looked, Ok(Lookup::Busy)), "{denied}: it is the same life since, not {looked:?}");
    }
}

/// A node that is new, or knows another life: the run id tells it even where Redis knows the scripts already.
#[tokio::test]
async fn what_a_restart_brings_back_is_not_served_to_who_has_not_seen_the_epoch() {
    let mut redis = Redis::start().unwrap();
    let (space, elsewhere) = (restricted(&redis, "+info"), over(&redis.url()));
    rolled_back(&mut redis, &space, "+info").await;
    let other = Key::of("elsewhere", 1, "k");
    let (other, terms) = (std::slice::from_ref(&other), Terms::new(MINUTE));
    once_connected(|| elsewhere.get_or_lease(other, &terms)).await.unwrap(); // which loads the script
    let looked = found(&restricted(&redis, "+info")).await;
    assert!(matches!(looked, Ok(Lookup::Miss(_))), "{looked:?}");
}

/// Removals after the restart must not bring the sequence to where it was, as if nothing had happened.
#[tokio::test]
async fn a_sequence_that_was_rolled_back_does_not_catch_up() {
    for denied in RIGHTS {
        let mut redis = Redis::start().unwrap();
        let space = restricted(&redis, denied);
        rolled_back(&mut redis, &space, denied).await;
        let remover = if denied == "+info" { restricted(&redis, denied) } else { space.clone() };
        for _ in 0..3 {
            let scope = Scope::Keys(vec![remover.key("another")]);
            once_connected(|| remover.store.remove(&remover.name, scope.clone())).await.unwrap();
        }
        let looked = found(&space).await;
        assert!(matches!(looked, Ok(Lookup::Miss(_))), "{denied}: {looked:?}");
    }
}

/// The control: so is nobody's who was not told to.
#[tokio::test]
async fn a_restart_is_believed_by_who_was_told_to_unless_it_is_behind_what_they_have_seen() {
    let mut redis = Redis::start().unwrap();
    let [trusting, others] = ["space", "not told"].map(|name| {
        let url = redis.url();
        move || {
            let store = RedisBackend::connect(&url).unwrap();
            let store = if name == "space" { store.trust_restarts() } else { store };
            Space { store: Arc::new(store), name: name.to_owned() }
        }
    });
    let mut seen = None;
    for before in [trusting(), others()] {
        before.set("k", "kept", &[]).await;
        before.remove(Scope::Keys(vec![before.key("another")])).await;
    }
    trusting().changes(&mut seen).await;
    redis.cli(&["SAVE"]).unwrap();
    redis.kill();
    redis.restart().unwrap();
    let after = trusting();
    assert!(matches!(found(&after).await, Ok(Lookup::Fresh(_))));
    assert_eq!(after.changes(&mut seen).await, Some(Vec::new()), "and no gap");
    assert!(matches!(found(&others()).await, Ok(Lookup::Miss(_))));
    after.remove(Scope::Keys(vec![after.key("k")])).await;
    redis.kill();
    redis.restart().unwrap();
    assert!(matches!(found(&after).await, Ok(Lookup::Miss(_))), "a removal was forgotten");
    assert_eq!(after.store.stats().rolled_back, 1);
}

#[tokio::test]
async fn a_lease_that_a_restart_brings_back_does_not_fill_even_before_news() {
    for denied in RIGHTS {
        let mut redis = Redis::start().unwrap();
        let space = restricted(&redis, denied);
        let early = space.lease("leased").await;
        rolled_back(&mut redis, &space, denied).await;
        let entry = Entry::new(Bytes::from_static(b"old"), MINUTE, Vec::new());
        let fill = vec![Fill::new(space.key("leased"), early, FillWith::Entry(entry))];
        let filled = once_connected(|| space.store.fill_if(fill.clone())).await.unwrap();
        assert_eq!(filled, [Filled::Fenced], "{denied}");
    }
}

/// Who may not run scripts cannot begin another life; it takes nothing until somebody has.
#[tokio::test]
async fn what_a_restart_brings_back_is_refused_by_who_only_reads() {
    let mut redis = Redis::start().unwrap();
    let (writer, reader) = (space(&redis), restricted(&redis, "-@scripting"));
    writer.set("k", "old", &[]).await;
    redis.cli(&["SAVE"]).unwrap();
    writer.remove(Scope::Keys(vec![writer.key("k")])).await;
    reader.changes(&mut None).await;
    redis.kill();
    redis.restart().unwrap();
    restricted(&redis, "-@scripting");
    let looked = found(&reader).await;
    assert!(matches!(looked, Err(BackendError::RolledBack { .. })), "{looked:?}");
    assert!(reader.store.stats().rolled_back > 0);
    once_connected(|| writer.store.news(&writer.name, None)).await.unwrap();
    let looked = found(&reader).await;
    assert!(matches!(looked, Ok(Lookup::Miss(_))), "{looked:?}");
}
