//! What is stored comes back, as long as it is valid.

use std::time::Duration;

use tokio::time::sleep;

use super::space::{MINUTE, Space};
use super::{Violation, ensure};
use crate::{CacheKey, Entry, Fill, FillWith, Filled, Key, KeyParts, Lookup, Terms};

type Verdict = Result<(), Violation>;

pub(super) async fn values_are_found(space: &Space) -> Verdict {
    space.set("k", space.entry("v", &[])).await?;
    for _ in 0..3 {
        let value = space.value("k").await?;
        ensure!(value.as_deref() == Some(b"v"), "{value:?} in place of the value");
    }
    Ok(())
}

pub(super) async fn values_expire(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    space.fill("k", lease, Entry { left: Duration::from_millis(20), ..space.entry("v", &[]) }).await?;
    sleep(Duration::from_millis(80)).await;
    ensure!(space.value("k").await?.is_none(), "a value was read after its ttl");
    Ok(())
}

pub(super) async fn stale_is_not_fresh(space: &Space) -> Verdict {
    space.set_stale(&["k"], MINUTE).await?;
    let lookup = space.ask("k").await?;
    ensure!(!matches!(lookup, Lookup::Fresh(_)), "{lookup:?} after its ttl");
    if let Lookup::Stale(entry, _) = lookup {
        ensure!(entry.left.is_zero(), "a stale value has {:?} left", entry.left);
        let longest = Duration::from_secs(20);
        ensure!(
            (Duration::from_millis(40)..longest).contains(&entry.stale),
            "stale for {:?}, not 60 ms",
            entry.stale
        );
    }
    Ok(())
}

pub(super) async fn stale_values_are_leased_once(space: &Space) -> Verdict {
    space.set_stale(&["k"], MINUTE).await?;
    space.ask("k").await?;
    for _ in 0..2 {
        let second = space.ask("k").await?;
        ensure!(!matches!(second, Lookup::Stale(_, Some(_))), "a second lease for a stale value");
    }
    Ok(())
}

pub(super) async fn graces_end(space: &Space) -> Verdict {
    space.set_stale(&["k"], Duration::from_millis(20)).await?;
    ensure!(space.value("k").await?.is_none(), "a value was read after its grace");
    Ok(())
}

pub(super) async fn early_asks_are_leased_once(space: &Space) -> Verdict {
    space.set("k", space.entry("v", &[])).await?;
    let mut leases = 0;
    for _ in 0..3 {
        let lookup = space.ask_on("k", &Terms::new(MINUTE).early()).await?;
        leases += usize::from(matches!(lookup, Lookup::Stale(_, Some(_))));
    }
    ensure!(leases <= 1, "{leases} leases for one fresh value");
    Ok(())
}

pub(super) async fn what_is_left_shrinks(space: &Space) -> Verdict {
    space.set("k", space.entry("v", &[])).await?;
    sleep(Duration::from_millis(50)).await;
    let Lookup::Fresh(entry) = space.ask("k").await? else { return Ok(()) }; // another check's business
    let longest = MINUTE - Duration::from_millis(20);
    ensure!(entry.left <= longest, "{:?} left of {MINUTE:?} after 50 ms", entry.left);
    ensure!(entry.left > MINUTE / 2, "only {:?} left of {MINUTE:?} after 50 ms", entry.left);
    Ok(())
}

pub(super) async fn times_may_be_long(space: &Space) -> Verdict {
    for ttl in [MINUTE, Duration::MAX] {
        let name = format!("{ttl:?}");
        let lease = space.lease_for(&name, Duration::MAX).await?;
        let entry = Entry { left: ttl, ..space.entry("v", &[]) };
        let filled = space.fill(&name, lease, entry.with_grace(Duration::MAX)).await?;
        ensure!(filled == Filled::Stored, "the longest lease did not fill");
        let Lookup::Fresh(entry) = space.ask(&name).await? else {
            return Err(Violation(format!("a value with a ttl of {ttl:?} is not fresh at once")));
        };
        ensure!(entry.left > ttl.min(10 * MINUTE) / 2, "only {:?} left of {ttl:?}", entry.left);
    }
    Ok(())
}

pub(super) async fn frames_come_back_whole(space: &Space) -> Verdict {
    let all: Vec<u8> = (0..=255).collect();
    let long = all.repeat(4_096);
    for (name, frame) in [("none", Vec::new()), ("all", all), ("zeros", vec![0; 9]), ("long", long)] {
        let entry = Entry { frame: frame.clone().into(), ..space.entry("", &[]) };
        let lease = space.lease(name).await?;
        space.fill(name, lease, entry).await?;
        let value = space.value(name).await?;
        ensure!(
            value.as_deref() == Some(&frame),
            "{} bytes came back as {:?}",
            frame.len(),
            value.map(|value| value.len())
        );
    }
    Ok(())
}

pub(super) async fn tags_come_back(space: &Space) -> Verdict {
    let given = ["team:7", "", "Kiruna ☃ \n\0", "a,b"];
    space.set("k", space.entry("v", &given)).await?;
    let Lookup::Fresh(entry) = space.ask("k").await? else { return Ok(()) };
    let mut tags: Vec<&str> = entry.tags.iter().map(|tag| &**tag).collect();
    let mut given = given.to_vec();
    tags.sort_unstable();
    given.sort_unstable();
    ensure!(tags == given, "tags {given:?} came back as {tags:?}");
    Ok(())
}

/// A key of any bytes.
struct Raw(&'static [u8]);

impl CacheKey for Raw {
    fn parts(&self, parts: &mut KeyParts) {
        parts.push(self.0);
    }
}

pub(super) async fn keys_are_bytes(space: &Space) -> Verdict {
    let namespace = space.key("");
    let keys: Vec<Key> =
        [b"a".as_slice(), b"b", b"A", b"a\0", b"\xff", b"\xfe", b"\xff\xff", b"*", b"a b", b"{a}", b""]
            .map(|raw| Key::of(namespace.namespace(), 1, &Raw(raw)))
            .into();
    for key in &keys {
        let lookup = space.ask_all(std::slice::from_ref(key)).await?.remove(0);
        let Lookup::Miss(lease) = lookup else {
            return Err(Violation(format!("{lookup:?} for {:?}, which nobody asked for yet", key.name())));
        };
        let entry = space.entry(&format!("{:?}", key.name()), &[]);
        space.use_lease(Fill::new(key.clone(), lease, FillWith::Entry(entry))).await?;
    }
    for key in &keys {
        let lookup = space.ask_all(std::slice::from_ref(key)).await?.remove(0);
        let own = matches!(&lookup, Lookup::Fresh(entry) if entry.frame == format!("{:?}", key.name()));
        ensure!(own, "{:?} does not have its own value", key.name());
    }
    Ok(())
}

pub(super) async fn namespaces_are_apart(space: &Space) -> Verdict {
    let beside = space.beside();
    space.set("k", space.entry("here", &["tag"])).await?;
    let there = beside.value("k").await?;
    ensure!(there.is_none(), "a namespace reads another's value");
    space.remove(crate::Scope::Namespace).await?;
    let seen = &mut beside.position().await?;
    space.remove_tag("tag").await?;
    let told = beside.news(seen).await?;
    ensure!(told.is_none_or(|changes| changes.is_empty()), "a namespace is told another's removals");
    Ok(())
}
