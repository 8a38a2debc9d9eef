//! A Redis that runs out of memory, evicts, forgets, refuses, and comes back with what it knew before. What every store keeps is
//! checked by `conformance.rs`.
#![cfg(feature = "redis")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use offgridflow_cache::{
    BackendError, CacheBackend, Change, Entry, Fill, FillWith, Filled, Key, Lease, Lookup, Position,
    RedisBackend, Scope, Terms,
};
use testkit::Redis;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

/// One namespace of a store.
#[derive(Clone)]
struct Space {
    store: Arc<dyn CacheBackend>,
    name: String,
}

impl Space {
    fn key(&self, name: &str) -> Key {
        Key::of(&self.name, 1, name)
    }

    async fn ask_for(&self, name: &str, lease: Duration) -> Lookup {
        let mut lookups = self.store.get_or_lease(&[self.key(name)], &Terms::new(lease)).await.unwrap();
        assert_eq!(lookups.len(), 1);
        lookups.remove(0)
    }

    async fn ask(&self, name: &str) -> Lookup {
        self.ask_for(name, MINUTE).await
    }

    async fn lease(&self, name: &str) -> Lease {
        match self.ask(name).await {
            Lookup::Miss(lease) => lease,
            other => panic!("{name}: a miss, not {other:?}"),
        }
    }

    /// What a reader that does not load would see: it gives its lease back.
    async fn value(&self, name: &str) -> Option<String> {
        match self.ask(name).await {
            Lookup::Fresh(entry) => Some(String::from_utf8(entry.frame.to_vec()).unwrap()),
            Lookup::Miss(lease) => {
                let release = Fill::new(self.key(name), lease, FillWith::Release);
                self.store.fill_if(vec![release]).await.unwrap();
                None
            }
            _ => None,
        }
    }

    async fn fill(&self, name: &str, lease: Lease, value: &str, ttl: Duration, tags: &[&str]) -> Filled {
        let tags = tags.iter().map(|tag| Arc::from(*tag)).collect();
        let entry = Entry::new(Bytes::copy_from_slice(value.as_bytes()), ttl, tags);
        let fill = Fill::new(self.key(name), lease, FillWith::Entry(entry));
        self.store.fill_if(vec![fill]).await.unwrap()[0]
    }

    async fn set(&self, name: &str, value: &str, tags: &[&str]) {
        let lease = self.lease(name).await;
        assert_eq!(self.fill(name, lease, value, MINUTE, tags).await, Filled::Stored);
    }

    async fn remove(&self, scope: Scope) {
        self.store.remove(&self.name, scope).await.unwrap();
    }

    async fn changes(&self, seen: &mut Option<Position>) -> Option<Vec<Change>> {
        let news = self.store.news(&self.name, seen.clone()).await.unwrap();
        *seen = Some(news.position);
        news.changes
    }
}

fn over(url: &str) -> RedisBackend {
    RedisBackend::connect(url).unwrap()
}

fn space(redis: &Redis) -> Space {
    Space { store: Arc::new(over(&redis.url())), name: "space".to_owned() }
}

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

/// A store over a user who may do everything but what `denied` says.
fn restricted(redis: &Redis, denied: &str) -> Space {
    redis.cli(&["ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", denied]).unwrap();
    let store = over(&redis.url().replace("redis://", "redis://limited:secret@"));
    Space { store: Arc::new(store), name: "space".to_owned() }
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
