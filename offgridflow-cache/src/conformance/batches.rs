//! Many keys in one call.

use std::collections::HashMap;

use bytes::Bytes;

use super::space::Space;
use super::{Violation, ensure};
use crate::{Entry, Fill, FillWith, Filled, Key, Lease, Lookup};

type Verdict = Result<(), Violation>;

const LONG: usize = 2_000;

pub(super) async fn batches_are_answered_in_order(space: &Space) -> Verdict {
    let names = ["c", "a", "d", "b"];
    for name in names {
        space.set(name, space.entry(name, &[])).await?;
    }
    let lookups = space.ask_all(&names.map(|name| space.key(name))).await?;
    for (name, lookup) in names.into_iter().zip(lookups) {
        let Lookup::Fresh(entry) = lookup else { continue };
        ensure!(entry.frame == name, "the answer for {name} is {:?}", entry.frame);
    }
    Ok(())
}

pub(super) async fn each_key_is_answered(space: &Space) -> Verdict {
    space.set("k", space.entry("v", &[])).await?;
    let lookups = space.ask_all(&[space.key("k"), space.key("k")]).await?;
    ensure!(lookups.iter().all(|lookup| matches!(lookup, Lookup::Fresh(_))), "one key twice: {lookups:?}");
    Ok(())
}

pub(super) async fn fills_stand_alone(space: &Space) -> Verdict {
    let (first, last) = (space.lease("first").await?, space.lease("last").await?);
    let invented = Lease::new(Bytes::from_static(b"invented"), 0);
    let fill = |name: &str, lease| Fill::new(space.key(name), lease, FillWith::Entry(space.entry("v", &[])));
    let _busy = space.lease("middle").await?;
    let fills = vec![fill("first", first), fill("middle", invented), fill("last", last)];
    let filled = space.store.fill_if(fills).await?;
    ensure!(filled.len() == 3, "{} answers for three fills", filled.len());
    if filled[1] != Filled::Fenced {
        return Ok(()); // another check's business
    }
    ensure!(
        filled[0] == Filled::Stored && filled[2] == Filled::Stored,
        "only the second is fenced, not {filled:?}"
    );
    for name in ["first", "last"] {
        ensure!(space.value(name).await?.is_some(), "the {name} fill of a batch with a fenced one was lost");
    }
    Ok(())
}

pub(super) async fn fills_are_as_old_as_their_leases(space: &Space) -> Verdict {
    let (old, young) = (["old alone", "old first", "old last"], ["young alone", "young first", "young last"]);
    let mut fills = HashMap::new();
    for name in old.into_iter().chain(young) {
        if name == young[0] {
            space.remove_tag("tag").await?;
        }
        let with = FillWith::Entry(space.entry("v", &["tag"]));
        fills.insert(name, Fill::new(space.key(name), space.lease(name).await?, with));
    }
    for batch in [
        ["old alone"].as_slice(),
        &["young alone"],
        &["old first", "young last"],
        &["young first", "old last"],
    ] {
        let batch = batch.iter().filter_map(|name| fills.remove(name)).collect();
        space.store.fill_if(batch).await?;
    }
    if space.value("old alone").await?.is_some() || space.value("young alone").await?.is_none() {
        return Ok(()); // another check's business
    }
    for name in &old[1..] {
        ensure!(
            space.value(name).await?.is_none(),
            "a fill of a batch is read that is older than its tag's removal"
        );
    }
    for name in &young[1..] {
        ensure!(space.value(name).await?.is_some(), "a fill of a batch was lost to the age of another");
    }
    Ok(())
}

pub(super) async fn batches_may_be_long(space: &Space) -> Verdict {
    let keys: Vec<Key> = (0..LONG).map(|n| space.key(&n.to_string())).collect();
    let mut fills = Vec::with_capacity(LONG);
    for (key, lookup) in keys.iter().zip(space.ask_all(&keys).await?) {
        let Lookup::Miss(lease) = lookup else {
            return Err(Violation(format!("{lookup:?} in a batch of {LONG} keys that hold nothing")));
        };
        let entry = Entry { frame: Bytes::copy_from_slice(key.name()), ..space.entry("", &[]) };
        fills.push(Fill::new(key.clone(), lease, FillWith::Entry(entry)));
    }
    let filled = space.store.fill_if(fills).await?;
    ensure!(filled == [Filled::Stored; LONG], "not all of {LONG} fills were stored");
    let lookups = space.ask_all(&keys).await?;
    let found =
        |(key, lookup): (&Key, Lookup)| matches!(lookup, Lookup::Fresh(entry) if entry.frame == key.name());
    ensure!(keys.iter().zip(lookups).all(found), "not all of {LONG} keys were found");
    ensure!(
        space.ask_all(&[]).await?.is_empty() && space.store.fill_if(Vec::new()).await?.is_empty(),
        "answers to nothing"
    );
    Ok(())
}
