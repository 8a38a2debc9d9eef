//! What is removed is gone, and what was on its way as well.

use super::space::{MINUTE, Space, WAYS};
use super::{Violation, ensure};
use crate::{Filled, Lookup, Scope, Terms};

type Verdict = Result<(), Violation>;

pub(super) async fn removed_keys_are_gone(space: &Space) -> Verdict {
    space.set("k", space.entry("old", &[])).await?;
    space.remove_key("k").await?;
    ensure!(space.value("k").await?.is_none(), "a removed key was read");
    Ok(())
}

pub(super) async fn removed_keys_are_gone_in_every_schema(space: &Space) -> Verdict {
    for name in ["own", "other"] {
        space.set(name, space.entry("old", &[])).await?;
    }
    let (own, other) = (space.lease("own lease").await?, space.lease("other lease").await?);
    let keys = ["own", "own lease"].map(|name| space.key_in(1, name));
    space.remove(Scope::Keys(keys.to_vec())).await?;
    let keys = ["other", "other lease"].map(|name| space.key_in(2, name));
    space.remove(Scope::Keys(keys.to_vec())).await?;
    let filled = space.fill("own lease", own, space.entry("old", &[])).await?;
    if space.value("own").await?.is_some() || filled == Filled::Stored {
        return Ok(()); // another check's business
    }
    ensure!(space.value("other").await?.is_none(), "a key was read that a node of another schema removed");
    let filled = space.fill("other lease", other, space.entry("old", &[])).await?;
    ensure!(
        filled == Filled::Fenced,
        "a load filled that began before a node of another schema removed its key"
    );
    Ok(())
}

pub(super) async fn removed_keys_lose_their_leases(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    space.remove_key("k").await?;
    let filled = space.fill("k", lease, space.entry("old", &[])).await?;
    ensure!(filled == Filled::Fenced, "a load that began before the removal filled after it");
    ensure!(space.value("k").await?.is_none(), "it said fenced, and stored it");
    Ok(())
}

pub(super) async fn every_removed_key_is_gone(space: &Space) -> Verdict {
    let (values, loads) = (["a", "b", "c"], ["d", "e", "f"]);
    for name in values {
        space.set(name, space.entry("old", &[])).await?;
    }
    let mut leases = Vec::new();
    for name in loads {
        leases.push(space.lease(name).await?);
    }
    for names in [values, loads] {
        space.remove(Scope::Keys(names.map(|name| space.key(name)).into())).await?;
    }
    let mut read = Vec::new();
    for name in values {
        read.push(space.value(name).await?.is_some());
    }
    let mut filled = Vec::new();
    for (name, lease) in loads.into_iter().zip(leases) {
        filled.push(space.fill(name, lease, space.entry("old", &[])).await? == Filled::Stored);
    }
    // What becomes of the first is another check's business.
    ensure!(
        read[0] || !read.contains(&true),
        "of three removed keys only the first is gone: {read:?} are read"
    );
    ensure!(
        filled[0] || !filled.contains(&true),
        "of three removed keys only the first lost its lease: {filled:?} were filled"
    );
    Ok(())
}

pub(super) async fn removed_tags_are_gone(space: &Space) -> Verdict {
    space.set("one", space.entry("old", &["other", "tag"])).await?;
    space.set("two", space.entry("old", &["tag"])).await?;
    space.remove_tag("tag").await?;
    for name in ["one", "two"] {
        ensure!(space.value(name).await?.is_none(), "a value was read whose tag was removed");
    }
    Ok(())
}

pub(super) async fn every_removed_tag_is_gone(space: &Space) -> Verdict {
    let tags = ["a", "b", "c"];
    for tag in tags {
        space.set(tag, space.entry("old", &[tag])).await?;
    }
    space.remove(Scope::Tags(tags.map(Into::into).into())).await?;
    let mut read = Vec::new();
    for tag in tags {
        read.push(space.value(tag).await?.is_some());
    }
    ensure!(read[0] || !read.contains(&true), "of three removed tags only the first is: {read:?} are read");
    Ok(())
}

pub(super) async fn removed_tags_outrun_loads(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    space.remove_tag("tag").await?;
    space.fill("k", lease, space.entry("old", &["tag"])).await?;
    ensure!(space.value("k").await?.is_none(), "a load that began before its tag was removed is read");
    Ok(())
}

pub(super) async fn removed_namespaces_are_gone(space: &Space) -> Verdict {
    space.set("one", space.entry("old", &[])).await?;
    space.set("two", space.entry("old", &["tag"])).await?;
    space.remove(Scope::Namespace).await?;
    for name in ["one", "two"] {
        ensure!(space.value(name).await?.is_none(), "a value of a removed namespace was read");
    }
    Ok(())
}

pub(super) async fn removed_namespaces_lose_their_leases(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    space.remove(Scope::Namespace).await?;
    space.fill("k", lease, space.entry("old", &[])).await?;
    ensure!(space.value("k").await?.is_none(), "a load that began before its namespace was removed is read");
    Ok(())
}

/// Whether a fresh value stays after it was removed, which is another check's business.
async fn stays_fresh(space: &Space, way: fn(&Space, &str) -> Scope, name: &str) -> Result<bool, Violation> {
    space.set(name, space.entry("old", &[name])).await?;
    space.remove(way(space, name)).await?;
    Ok(space.value(name).await?.is_some())
}

pub(super) async fn removed_values_are_not_stale(space: &Space) -> Verdict {
    let names = ["by key", "by tag", "by namespace"];
    space.set_stale(&names, MINUTE).await?;
    for (way, name) in WAYS.into_iter().zip(names) {
        if stays_fresh(space, way, &format!("{name}, fresh")).await? {
            continue;
        }
        space.remove(way(space, name)).await?;
        ensure!(space.value(name).await?.is_none(), "a stale value was read that was removed {name}");
    }
    Ok(())
}

pub(super) async fn removed_values_are_not_told_early(space: &Space) -> Verdict {
    for (way, name) in WAYS.into_iter().zip(["by key", "by tag", "by namespace"]) {
        if stays_fresh(space, way, &format!("{name}, not early")).await? {
            continue;
        }
        space.set(name, space.entry("old", &[name])).await?;
        space.remove(way(space, name)).await?;
        for _ in 0..2 {
            let lookup = space.ask_on(name, &Terms::new(MINUTE).early()).await?;
            let told = matches!(lookup, Lookup::Fresh(_) | Lookup::Stale(..));
            ensure!(!told, "{lookup:?} for a value that was removed {name}");
        }
    }
    Ok(())
}

pub(super) async fn leases_beside_values_end(space: &Space) -> Verdict {
    let names = ["by key", "by tag", "by namespace"];
    space.set_stale(&names, MINUTE).await?;
    for (way, stale) in WAYS.into_iter().zip(names) {
        lease_ends(space, way, stale, Terms::new(MINUTE)).await?;
        let early = format!("{stale}, early");
        space.set(&early, space.entry("old", &[&early])).await?;
        lease_ends(space, way, &early, Terms::new(MINUTE).early()).await?;
    }
    Ok(())
}

async fn lease_ends(space: &Space, way: fn(&Space, &str) -> Scope, name: &str, terms: Terms) -> Verdict {
    let Lookup::Stale(_, Some(beside)) = space.ask_on(name, &terms).await? else { return Ok(()) };
    let alone = format!("{name}, alone");
    let leases = [(alone.as_str(), space.lease(&alone).await?), (name, beside)];
    let mut read = Vec::new();
    for (name, lease) in leases {
        space.remove(way(space, name)).await?;
        space.fill(name, lease, space.entry("new", &[name])).await?;
        read.push(space.value(name).await?.as_deref() == Some(b"new"));
    }
    // A lease that was given without a value is another check's business.
    ensure!(read != [false, true], "a lease given beside a value filled after it was removed {name}");
    Ok(())
}

pub(super) async fn removals_spare_the_rest(space: &Space) -> Verdict {
    space.set("kept", space.entry("v", &["kept"])).await?;
    space.remove_key("other").await?;
    ensure!(space.value("kept").await?.is_some(), "removing one key removed another");
    space.remove_tag("other").await?;
    ensure!(space.value("kept").await?.is_some(), "removing a tag removed what does not carry it");
    Ok(())
}

pub(super) async fn values_return_after_removals(space: &Space) -> Verdict {
    let scopes = [
        Scope::Keys(vec![space.key("0"), space.key("1"), space.key("2")]),
        Scope::Tags(vec!["tag".into()]),
        Scope::Namespace,
    ];
    for (n, scope) in scopes.into_iter().enumerate() {
        let name = n.to_string(); // a key of its own: what an earlier removal left is another check's business
        space.remove(scope.clone()).await?;
        let lease = space.lease(&name).await?;
        space.fill(&name, lease, space.entry("new", &["tag"])).await?;
        let value = space.value(&name).await?;
        ensure!(value.is_some(), "nothing can be read that was filled after {scope:?}");
    }
    Ok(())
}
