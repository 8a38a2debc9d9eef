//! The closed loop: the last answer decides when an operation begins.

use std::{rc::Rc, time::Duration};

use super::{BURST, Job, Shard, Slot, Tasks, as_u64};
use crate::{executor::Closed, op::Marks, workload::Workload};

impl<W: Workload> Shard<W> {
    pub(super) fn start_workers(self: &Rc<Self>, closed: &Closed) -> Tasks {
        let mine = (self.plan.index..closed.workers).step_by(self.plan.shards);
        let start = |worker| {
            let slot = Rc::new(Slot::new(Marks::new(&self.plan.routes)));
            self.slots.borrow_mut().push(Rc::clone(&slot));
            self.in_flight.set(self.in_flight.get() + 1);
            let (from, to) = closed.shift(worker);
            self.start(Rc::clone(self).work(slot, from, to, closed.think_time))
        };
        mine.map(start).collect()
    }

    /// A worker's life: an operation, a rest, the next.
    async fn work(self: Rc<Self>, slot: Rc<Slot>, from: Duration, to: Duration, think_time: Duration) {
        let (mut session, mut intended, mut burst) = (None, from, 0);
        while intended < to {
            self.rest_until(intended).await;
            if self.stop.ends() {
                break;
            }
            let index = self.next_index.replace(self.next_index.get() + as_u64(self.plan.shards));
            let lag = self.operate(&mut session, Job { index, intended, held_since: None }, &slot).await;
            burst = (burst + 1) % BURST;
            if burst == 0 {
                tokio::task::yield_now().await; // operations that never wait must not starve the others
            }
            // Whom a pause of the generator made late together goes on apart, as without it.
            intended = self.clock.now() + think_time.saturating_sub(lag);
        }
        self.leave();
        self.close(session).await;
    }
}
