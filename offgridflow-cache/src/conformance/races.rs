//! Calls that meet: one is held wherever it waits for something, while another comes to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::join;
use tokio::time::timeout;

use super::space::{Space, WAYS};
use super::{Violation, ensure};

type Verdict = Result<(), Violation>;

/// In how many places a call is held. Each of ours waits in fewer.
const STEPS: usize = 8;

/// How long one call is held for the other. A store may have it wait for the first, as behind a lock, and is then no worse.
const HOLD: Duration = Duration::from_millis(50);

/// Brings `first` to where it waits for the `steps`-th time, `second` to its end, then `first`. `None` in place of the first answer if it
/// came to its end before `second` began: there is no such place.
async fn interleave<A, B>(
    first: impl Future<Output = A>,
    steps: usize,
    second: impl Future<Output = B>,
) -> (Option<A>, B) {
    let (mut first, mut second) = (pin!(first), pin!(second));
    let mut waited = 0;
    let ended = poll_fn(|cx| {
        waited += 1;
        match first.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if waited == steps => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    });
    if ended.await {
        return (None, second.await);
    }
    let Ok(answer) = timeout(HOLD, second.as_mut()).await else {
        let (first, second) = join!(first, second);
        return (Some(first), second);
    };
    (Some(first.await), answer)
}

pub(super) async fn fills_meet_removals(space: &Space) -> Verdict {
    for (way, by) in WAYS.into_iter().zip(["key", "tag", "namespace"]) {
        for held in ["fill", "removal"] {
            for steps in 1..=STEPS {
                let name = format!("{by}, {held} held at {steps}");
                let lease = space.lease(&name).await?;
                let fill = space.fill(&name, lease, space.entry("old", &[&name]));
                let removal = space.remove(way(space, &name));
                let met = if held == "fill" {
                    let (filled, removed) = interleave(fill, steps, removal).await;
                    removed?;
                    filled.transpose()?.is_some()
                } else {
                    let (removed, filled) = interleave(removal, steps, fill).await;
                    filled?;
                    removed.transpose()?.is_some()
                };
                if !met {
                    break; // one after the other: another check's business
                }
                let read = space.value(&name).await?;
                ensure!(
                    read.is_none(),
                    "a value is read after a fill and a removal by {by}, the {held} held"
                );
            }
        }
    }
    Ok(())
}

pub(super) async fn removals_are_told_once_done(space: &Space) -> Verdict {
    for (way, by) in WAYS.into_iter().zip(["key", "tag", "namespace"]) {
        for steps in 1..=STEPS {
            let name = format!("{by}, held at {steps}");
            space.set(&name, space.entry("old", &[&name])).await?;
            let mut seen = space.position().await?;
            let reading = async {
                space.news(&mut seen).await?;
                space.value(&name).await
            };
            let (removed, read) = interleave(space.remove(way(space, &name)), steps, reading).await;
            let Some(removed) = removed else { break }; // one after the other: another check's business
            removed?;
            if read?.is_some() {
                let told = space.news(&mut seen).await?;
                let again = told.is_none_or(|changes| !changes.is_empty());
                ensure!(
                    again,
                    "a removal by {by} was told, then the old value was read, and nothing told after it"
                );
            }
        }
    }
    Ok(())
}
