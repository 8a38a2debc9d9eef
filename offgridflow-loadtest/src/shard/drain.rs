//! The end of a shard: waiting for what is in flight, and closing sessions.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{GRACE, Order, Shard, Tasks};
use crate::{
    clock::OpTimes,
    guard::guarded,
    outcome::{FailKind, Outcome, TargetError},
    pacer::LONGEST_SLEEP,
    recorder::Begun,
    workload::Workload,
};

impl<W: Workload> Shard<W> {
    pub(super) async fn close(&self, session: Option<W::Session>) {
        if let Some(session) = session {
            let deadline = Instant::now() + self.plan.timeout;
            let _ = guarded(deadline, self.workload.close(session)).await;
        }
    }

    /// Waits for what is in flight: every operation ends at its time-out. After a stop, not longer than [`GRACE`].
    pub(super) async fn drain(&self) {
        let idle = || (self.in_flight.get() == 0).then_some(());
        let drained = self.drained.wait_for(idle);
        tokio::pin!(drained);
        while timeout(LONGEST_SLEEP, &mut drained).await.is_err() {
            if self.stop.ends() {
                let _ = timeout(GRACE, &mut drained).await;
                return self.give_up();
            }
        }
    }

    /// Counts what is still in flight as stopped.
    fn give_up(&self) {
        let now = self.clock.now();
        for slot in self.slots.borrow().iter() {
            let Some(running) = slot.running.take() else { continue };
            let times = OpTimes {
                intended: running.job.intended,
                dispatched: running.dispatched,
                admitted: now,
                first_byte: None,
                done: now,
            };
            let error =
                TargetError::unanswered(FailKind::Stopped, "still in flight when the run was stopped");
            self.occupy(now, -1);
            let marks = slot.marks.borrow();
            let begun = Begun {
                index: running.job.index,
                route: marks.route(),
                cause: marks.route(),
                times: times.ordered(),
                rested: Duration::ZERO,
                began: running.began,
                admitted: false,
                within: false,
                bytes: marks.bytes(),
            };
            self.count(begun, &marks, &Outcome::Failed(error));
        }
    }

    /// Closes sessions in good order, or drops them after a stop.
    pub(super) async fn wind_up(&self, tasks: Tasks) {
        if self.stop.ends() {
            tasks.iter().for_each(JoinHandle::abort);
        } else if self.plan.executor.arrivals().is_some() {
            self.is_closing.set(true);
            self.rouse();
            self.slots.borrow().iter().for_each(|slot| slot.give(Order::Close));
        }
        for task in tasks {
            let _ = task.await;
        }
        let unused = self.idle.take();
        let closing = async {
            for session in unused {
                self.close(Some(session)).await;
            }
        };
        let _ = timeout(self.plan.timeout, closing).await;
    }
}
