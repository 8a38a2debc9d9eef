//! A Redis that runs out of memory, evicts, forgets and refuses. One that comes back with what it knew before is in `rollback.rs`; what every
//! store keeps is checked by `conformance.rs`.
#![cfg(feature = "redis")]

mod space;

use std::sync::Arc;

use bytes::Bytes;
use offgridflow_cache::{BackendError, CacheBackend, Change, Filled, Key, Lookup, Scope, Terms};
use space::{MINUTE, Space, over, space};
use testkit::Redis;

#[tokio::test]
async fn a_redis_without_memory_still_removes() {
    let redis = Redis::start().unwrap();
    let space = space(&redis);
    space.set("k", "old", &["tag"]).await;
    space.set("tagged", "old", &["tag"]).await;
    let mut seen = None;
    space.changes(&mut seen).await;
    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
    assert!(redis.cli(&["SET", "x", "y"]).map_or(true, |said| said.contains("OOM")), "the control");
    assert_eq!(space.value("k").await.as_deref(), Some("old"), "reads go on");
    space.remove(Scope::Keys(vec![space.key("k")])).await;
    space.remove(Scope::Tags(vec!["tag".into()])).await;
    assert_eq!((space.value("k").await, space.value("tagged").await), (None, None));
    assert_eq!(space.changes(&mut seen).await.map(|changes| changes.len()), Some(2));
    assert!(matches!(space.ask("fresh").await, Lookup::Miss(_)), "a miss whose fill will be refused");
}

#[tokio::test]
async fn tags_and_a_log_that_redis_evicts_are_missed() {
    let redis = Redis::start().unwrap();
    let space = space(&redis);
    space.set("k", "old", &["tag"]).await;
    space.set("free", "kept", &[]).await;
    let mut seen = None;
    space.changes(&mut seen).await;
    space.remove(Scope::Tags(vec!["tag".into()])).await;
    redis.cli(&["DEL", "ogf:{space}:tags", "ogf:{space}:log"]).unwrap();
    assert_eq!(space.value("k").await, None, "its tag was removed, though nobody knows any more");
    assert_eq!(space.changes(&mut seen).await, None, "a removal is missing");
    space.set("k", "new", &["tag"]).await;
    assert_eq!(space.value("k").await.as_deref(), Some("new"), "and it works again");

    space.remove(Scope::Tags(vec!["tag".into()])).await;
    redis.cli(&["DEL", "ogf:{space}:tags", "ogf:{space}:log"]).unwrap();
    space.remove(Scope::Tags(vec!["another".into()])).await; // both are there again, without what they knew
    assert_eq!(space.value("k").await, None);
    assert_eq!(space.changes(&mut seen).await, None);
}

#[tokio::test]
async fn a_redis_that_lost_everything_or_only_its_clock_starts_a_new_life() {
    let redis = Redis::start().unwrap();
    let space = space(&redis);
    for lost in [vec!["FLUSHALL"], vec!["DEL", "ogf:{space}:clock"]] {
        let mut seen = None;
        for _ in 0..5 {
            space.remove(Scope::Tags(vec!["tag".into()])).await; // the sequence of this life is ahead of the next one's
        }
        space.set("k", "old", &["tag"]).await;
        let early = space.lease("leased").await;
        space.changes(&mut seen).await;
        redis.cli(&lost).unwrap();
        assert_eq!(space.value("k").await, None, "{lost:?}: what another life knew is not served");
        assert_eq!(space.fill("leased", early, "old", MINUTE, &[]).await, Filled::Fenced, "{lost:?}");
        assert_eq!(space.changes(&mut seen).await, None, "{lost:?}");
        space.set("new", "v", &["tag"]).await;
        assert_eq!(
            space.value("new").await.as_deref(),
            Some("v"),
            "{lost:?}: its tags are those of this life"
        );
        space.remove(Scope::Namespace).await;
    }
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_sent_again() {
    let redis = Redis::start().unwrap();
    let space = space(&redis);
    space.set("k", "v", &[]).await;
    redis.cli(&["SCRIPT", "FLUSH"]).unwrap();
    assert_eq!(space.value("k").await.as_deref(), Some("v"));
    space.remove(Scope::Namespace).await;
    assert_eq!(space.value("k").await, None);
}

#[tokio::test]
async fn a_redis_that_refuses_the_password_is_an_error_and_never_a_miss() {
    let redis = Redis::start().unwrap();
    redis.cli(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all"]).unwrap();
    let store = over(&redis.url().replace("redis://", "redis://reader:wrong@"));
    let answer = store.get_or_lease(&[Key::of("space", 1, "k")], &Terms::new(MINUTE)).await;
    assert!(matches!(answer, Err(BackendError::Refused { .. })), "{answer:?}");
    let said = format!("{:?}", answer.unwrap_err());
    assert!(!said.contains("secret") && !said.contains("wrong@"), "{said}");
    assert!(store.stats().errors > 0);
    redis.cli(&["CONFIG", "SET", "requirepass", "secret"]).unwrap();
    let store = over(&redis.url());
    let answer = store.get_or_lease(&[Key::of("space", 1, "k")], &Terms::new(MINUTE)).await;
    assert!(matches!(answer, Err(BackendError::Refused { .. })), "without a password: {answer:?}");
}

#[tokio::test]
async fn who_may_not_run_scripts_reads_what_others_write_and_writes_nothing() {
    let redis = Redis::start().unwrap();
    let rights = |scripts| {
        redis.cli(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "&*", "+@all", scripts]).unwrap()
    };
    rights("-@scripting");
    let writer = space(&redis);
    let reader = Space {
        store: Arc::new(over(&redis.url().replace("redis://", "redis://reader:secret@"))),
        name: writer.name.clone(),
    };
    assert!(matches!(reader.ask("k").await, Lookup::Miss(_)), "nothing is there yet, not even a clock");
    assert!(!reader.store.caps().leases);
    let mut seen = None;
    assert_eq!(reader.changes(&mut seen).await, None);

    writer.set("k", "v", &["tag"]).await;
    writer.set("plain", "w", &[]).await;
    writer.set("beside", "x", &["other", "tag"]).await;
    assert_eq!(reader.changes(&mut seen).await, None, "another life than none");
    for (name, value) in [("k", "v"), ("plain", "w"), ("beside", "x")] {
        assert_eq!(reader.value(name).await.as_deref(), Some(value));
    }
    let lookups = reader
        .store
        .get_or_lease(&["none", "beside", "plain"].map(|name| reader.key(name)), &Terms::new(MINUTE))
        .await
        .unwrap();
    assert!(
        matches!(lookups.as_slice(), [Lookup::Miss(_), Lookup::Fresh(_), Lookup::Fresh(_)]),
        "{lookups:?}"
    );

    writer.remove(Scope::Tags(vec!["tag".into()])).await;
    writer.remove(Scope::Keys(vec![writer.key("gone")])).await;
    assert_eq!(reader.value("k").await, None);
    assert_eq!(reader.value("beside").await, None, "its second tag");
    assert_eq!(reader.value("plain").await.as_deref(), Some("w"));
    let gone = Change::Key(Bytes::copy_from_slice(writer.key("gone").name()));
    assert_eq!(reader.changes(&mut seen).await, Some(vec![Change::Tag("tag".into()), gone]));
    assert_eq!(reader.changes(&mut seen).await, Some(Vec::new()));
    writer.remove(Scope::Namespace).await;
    assert_eq!(reader.value("plain").await, None);

    let Lookup::Miss(lease) = reader.ask("k").await else { panic!("a miss") };
    assert_eq!(reader.fill("k", lease, "mine", MINUTE, &[]).await, Filled::Fenced);
    reader.store.remove(&reader.name, Scope::Namespace).await.unwrap_err();
    assert_eq!(writer.value("k").await, None);

    rights("+@scripting");
    reader.changes(&mut seen).await;
    assert!(reader.store.caps().leases, "noticed at the next look for news");
    reader.set("new", "v", &[]).await;
}

#[tokio::test]
async fn who_may_not_run_scripts_misses_what_evicted_tags_may_have_removed() {
    let redis = Redis::start().unwrap();
    redis.cli(&["ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-@scripting"]).unwrap();
    let writer = space(&redis);
    let store = over(&redis.url().replace("redis://", "redis://reader:secret@"));
    let reader = Space { store: Arc::new(store), name: writer.name.clone() };
    writer.set("k", "v", &["tag"]).await;
    let mut seen = None;
    reader.changes(&mut seen).await;
    assert_eq!(reader.value("k").await.as_deref(), Some("v"));
    writer.remove(Scope::Tags(vec!["tag".into()])).await;
    redis.cli(&["DEL", "ogf:{space}:tags", "ogf:{space}:log"]).unwrap();
    assert_eq!(reader.value("k").await, None);
    assert_eq!(reader.changes(&mut seen).await, None);
}
