//! What others are told of removals.

use bytes::Bytes;

use super::space::Space;
use super::{Violation, ensure};
use crate::{Change, Position, Scope};

type Verdict = Result<(), Violation>;

/// More removals than a log of bounded length keeps, or all of them if it does.
const MANY: usize = 3_000;

pub(super) async fn strangers_know_nothing(space: &Space) -> Verdict {
    space.remove_key("k").await?;
    let told = space.news(&mut None).await?;
    ensure!(told.is_none(), "{told:?} for somebody who has seen nothing: what came before cannot be known");
    Ok(())
}

pub(super) async fn every_kind_is_told(space: &Space) -> Verdict {
    for (scope, change) in [
        (Scope::Keys(vec![space.key("k")]), Change::Key(Bytes::copy_from_slice(space.key("k").name()))),
        (Scope::Tags(vec!["tag".into()]), Change::Tag("tag".into())),
        (Scope::Namespace, Change::Namespace),
    ] {
        let mut seen = space.position().await?;
        space.remove(scope).await?;
        if let Some(told) = space.news(&mut seen).await? {
            ensure!(told.contains(&change), "{change:?} is not in the news: {told:?}");
        }
    }
    Ok(())
}

/// Of what is removed together each is told, if the first is: otherwise it is another check's business.
async fn each_is_told(space: &Space, scope: Scope, changes: &[Change]) -> Verdict {
    let mut seen = space.position().await?;
    space.remove(scope).await?;
    let Some(told) = space.news(&mut seen).await? else { return Ok(()) };
    if told.contains(&changes[0]) {
        let missing: Vec<_> = changes.iter().filter(|change| !told.contains(change)).collect();
        ensure!(missing.is_empty(), "{missing:?} are not in the news of what was removed together: {told:?}");
    }
    Ok(())
}

pub(super) async fn every_removed_key_is_told(space: &Space) -> Verdict {
    let keys = ["a", "b", "c"].map(|name| space.key(name));
    let changes = keys.each_ref().map(|key| Change::Key(Bytes::copy_from_slice(key.name())));
    each_is_told(space, Scope::Keys(keys.into()), &changes).await
}

pub(super) async fn every_removed_tag_is_told(space: &Space) -> Verdict {
    let tags = ["a", "b", "c"];
    let changes = tags.map(|tag| Change::Tag(tag.into()));
    each_is_told(space, Scope::Tags(tags.map(Into::into).into()), &changes).await
}

pub(super) async fn news_keep_order(space: &Space) -> Verdict {
    let mut seen = space.position().await?;
    for name in ["c", "a", "d", "b"] {
        space.remove_key(name).await?;
    }
    let Some(told) = space.news(&mut seen).await? else { return Ok(()) };
    let expected =
        ["c", "a", "d", "b"].map(|name| Change::Key(Bytes::copy_from_slice(space.key(name).name())));
    let known: Vec<_> = told.into_iter().filter(|change| expected.contains(change)).collect();
    ensure!(
        known.is_sorted_by_key(|change| expected.iter().position(|one| one == change)),
        "out of order: {known:?}"
    );
    Ok(())
}

pub(super) async fn each_removal_is_told(space: &Space) -> Verdict {
    let mut seen = space.position().await?;
    space.remove_key("k").await?;
    space.remove_key("k").await?;
    if let Some(told) = space.news(&mut seen).await? {
        let key = Change::Key(Bytes::copy_from_slice(space.key("k").name()));
        let times = told.iter().filter(|change| **change == key).count();
        ensure!(times >= 2, "a key that was removed twice is told {times} times: {told:?}");
    }
    Ok(())
}

pub(super) async fn news_are_told_once(space: &Space) -> Verdict {
    let mut seen = space.position().await?;
    for _ in 0..3 {
        space.remove_key("k").await?;
        space.news(&mut seen).await?;
        let again = space.news(&mut seen).await?;
        ensure!(again.as_ref().is_some_and(Vec::is_empty), "{again:?} where nothing is new");
    }
    Ok(())
}

pub(super) async fn other_lives_are_gaps(space: &Space) -> Verdict {
    space.remove_key("k").await?;
    let Some(seen) = space.position().await? else { return Ok(()) };
    let other = Position { epoch: Bytes::from_static(b"another life"), ..seen };
    let told = space.news(&mut Some(other)).await?;
    ensure!(told.is_none(), "{told:?} for a position of another life");
    Ok(())
}

pub(super) async fn positions_ahead_are_gaps(space: &Space) -> Verdict {
    space.remove_key("k").await?;
    for ahead in [1, 1_000] {
        let Some(mut seen) = space.position().await? else { return Ok(()) };
        seen.sequence += ahead;
        let told = space.news(&mut Some(seen)).await?;
        ensure!(told.is_none(), "{told:?} for a position that is {ahead} ahead of the store");
    }
    Ok(())
}

pub(super) async fn forgotten_removals_are_gaps(space: &Space) -> Verdict {
    let mut seen = space.position().await?;
    for n in 0..MANY {
        space.remove_key(&n.to_string()).await?;
    }
    let told = space.news(&mut seen).await?;
    let count = told.as_ref().map_or(MANY, Vec::len);
    ensure!(count >= MANY, "{count} of {MANY} removals are told, and no gap admitted");
    Ok(())
}
