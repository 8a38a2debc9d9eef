//! Who may fill.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::space::{MINUTE, Space};
use super::{Violation, ensure};
use crate::{Fill, FillWith, Filled, Lease, Lookup, Terms};

type Verdict = Result<(), Violation>;

pub(super) async fn one_lease_at_a_time(space: &Space) -> Verdict {
    space.lease("k").await?;
    for _ in 0..3 {
        let second = space.ask("k").await?;
        ensure!(second == Lookup::Busy, "a second reader was told {second:?} while the first loads");
    }
    Ok(())
}

pub(super) async fn fills_need_the_lease_of_their_key(space: &Space) -> Verdict {
    let (_mine, other) = (space.lease("k").await?, space.lease("other").await?);
    let filled = space.fill("k", other, space.entry("v", &[])).await?;
    ensure!(filled == Filled::Fenced, "another key's lease filled");
    ensure!(space.value("k").await?.is_none(), "it said fenced, and stored it");
    Ok(())
}

pub(super) async fn fills_by_nobody_are_fenced(space: &Space) -> Verdict {
    let invented = Lease::new(Bytes::from_static(b"invented"), 0);
    let filled = space.fill("k", invented, space.entry("v", &[])).await?;
    ensure!(filled == Filled::Fenced && space.value("k").await?.is_none(), "an invented lease filled");
    Ok(())
}

pub(super) async fn leases_are_used_once(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    space.fill("k", lease.clone(), space.entry("first", &[])).await?;
    let again = space.fill("k", lease, space.entry("second", &[])).await?;
    ensure!(again == Filled::Fenced, "a lease filled twice");
    let value = space.value("k").await?;
    ensure!(value.as_deref() != Some(b"second"), "it said fenced, and stored it");
    Ok(())
}

pub(super) async fn leases_end(space: &Space) -> Verdict {
    let short = space.lease_for("k", Duration::from_millis(20)).await?;
    sleep(Duration::from_millis(80)).await;
    let filled = space.fill("k", short, space.entry("v", &[])).await?;
    ensure!(filled == Filled::Fenced, "a lease filled after it had run out");
    let next = space.ask("k").await?;
    ensure!(matches!(next, Lookup::Miss(_)), "{next:?} after the lease had run out");
    Ok(())
}

pub(super) async fn leases_taken_over_do_not_fill(space: &Space) -> Verdict {
    let slow = space.lease("k").await?;
    sleep(Duration::from_millis(60)).await;
    let terms = Terms::new(MINUTE).patience(Duration::from_millis(20));
    let lookups = space.store.get_or_lease(&[space.key("k")], &terms).await?;
    let [Lookup::Miss(second)] = lookups.as_slice() else { return Ok(()) }; // who does not take over is slower, and safe
    let filled = space.fill("k", second.clone(), space.entry("second", &[])).await?;
    ensure!(filled == Filled::Stored, "the lease that took over does not fill");
    let filled = space.fill("k", slow, space.entry("slow", &[])).await?;
    ensure!(filled == Filled::Fenced, "a lease filled that had been taken over");
    Ok(())
}

pub(super) async fn releases_free_the_key(space: &Space) -> Verdict {
    let lease = space.lease("k").await?;
    let filled = space.use_lease(Fill::new(space.key("k"), lease, FillWith::Release)).await?;
    ensure!(filled == Filled::Stored, "a release was fenced");
    let next = space.ask("k").await?;
    ensure!(matches!(next, Lookup::Miss(_)), "{next:?} after the lease was given back");
    Ok(())
}

pub(super) async fn tokens_are_not_used_again(space: &Space) -> Verdict {
    let first = space.lease("k").await?;
    space.remove_key("k").await?;
    let Lookup::Miss(second) = space.ask("k").await? else { return Ok(()) }; // another check's business
    ensure!(first.token != second.token, "two leases of a key have one token");
    Ok(())
}
