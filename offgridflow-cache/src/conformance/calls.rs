//! Calls that do not come to an end.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::space::{MINUTE, Space};
use super::{Violation, ensure};
use crate::Terms;

type Verdict = Result<(), Violation>;

pub(super) async fn dropped_calls_leave_it_usable(space: &Space) -> Verdict {
    let (keys, terms) = ([space.key("dropped")], Terms::new(MINUTE));
    {
        let mut call = pin!(space.store.get_or_lease(&keys, &terms));
        poll_fn(|cx| {
            let _ = call.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }
    let answer = timeout(Duration::from_secs(5), space.ask("k")).await;
    ensure!(answer.is_ok(), "no answer after another call was dropped");
    Ok(())
}
