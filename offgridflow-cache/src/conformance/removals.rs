//! What is removed is gone, and what was on its way as well.

use super::space::Space;
use super::{Violation, ensure};
use crate::{Filled, Scope};

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

pub(super) async fn removed_tags_are_gone(space: &Space) -> Verdict {
    space.set("one", space.entry("old", &["other", "tag"])).await?;
    space.set("two", space.entry("old", &["tag"])).await?;
    space.remove_tag("tag").await?;
    for name in ["one", "two"] {
        ensure!(space.value(name).await?.is_none(), "a value was read whose tag was removed");
    }
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
