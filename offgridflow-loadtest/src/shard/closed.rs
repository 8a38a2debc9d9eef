//! The closed loop: the last answer decides when an operation begins.

use std::{rc::Rc, time::Duration};

use super::{BURST, Job, Shard, Slot, Tasks, as_u64};
use crate::{executor::Closed, guard::TimeOut, op::Marks, pacer::LONGEST_SLEEP, workload::Workload};

impl<W: Workload> Shard<W> {
    pub(super) fn start_workers(self: &Rc<Self>, closed: &Closed) -> Tasks {
        let mine = (self.plan.index..closed.workers).step_by(self.plan.shards);
        let start = |worker| {
            let slot = Rc::new(Slot::new(Marks::new(&self.plan.routes)));
            self.slots.borrow_mut().push(Rc::clone(&slot));
            self.in_flight.set(self.in_flight.get() + 1);
            let (from, to) = closed.shift(worker);
            self.start(Rc::clone(self).work(slot, from, to, closed.clone()))
        };
        mine.map(start).collect()
    }

    /// A worker's life: an operation, a rest, the next. Instants are the plan's, which stands still while it is paused.
    async fn work(self: Rc<Self>, slot: Rc<Slot>, from: Duration, to: Duration, closed: Closed) {
        let (mut session, mut timer) = (None, TimeOut::default());
        let (mut next, mut burst) = (from, 0);
        while next < to && !self.is_spent(&closed) {
            let intended = self.rest_until_planned(next, &closed).await;
            if self.stop.ends() || self.is_spent(&closed) {
                break;
            }
            let index = self.next_index.replace(self.next_index.get() + as_u64(self.plan.shards));
            if self.is_spent(&closed) {
                self.rouse(); // nobody rests for an operation that there is not
            }
            let job = Job { index, intended, held_since: None };
            let lag = self.operate(&mut session, &mut timer, job, &slot).await;
            burst = (burst + 1) % BURST;
            if burst == 0 {
                tokio::task::yield_now().await; // operations that never wait must not starve the others
            }
            let now = self.clock.now();
            let rest = after_rest(intended, lag, now, closed.think_time).saturating_sub(now);
            next = closed.plan_at(now) + rest;
        }
        self.leave();
        self.close(session).await;
    }

    /// Rests until the plan gets there, which a pause may put off while it rests, and says when in the run that is.
    async fn rest_until_planned(&self, next: Duration, closed: &Closed) -> Duration {
        loop {
            let at = closed.run_at(next);
            let look =
                if self.plan.steered.is_some() { at.min(self.clock.now() + LONGEST_SLEEP) } else { at };
            let over = || self.clock.now() >= look || self.is_over() || self.is_spent(closed);
            self.alarms.wait(look, over).await;
            if look == at || self.stop.ends() || self.is_spent(closed) {
                return at;
            }
        }
    }

    /// Whether all operations were begun that there are.
    fn is_spent(&self, closed: &Closed) -> bool {
        closed.iterations.is_some_and(|all| self.next_index.get() >= all)
    }
}

/// When a worker goes on whose operation was due at `intended`, began `lag` late, and was over at `now`: a think time after its answer would have
/// come in time. If that has passed already, a whole turn later, or as many as it takes: whom a pause of the generator made late
/// together goes on apart, as before it.
fn after_rest(intended: Duration, lag: Duration, now: Duration, think_time: Duration) -> Duration {
    let turn = now.saturating_sub(intended + lag) + think_time;
    let next = intended + turn;
    if next >= now || think_time.is_zero() {
        return next.max(now);
    }
    let missed = (now - next).as_nanos().div_ceil(turn.as_nanos());
    next + turn.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_keeps_its_beat_however_late_the_generator_was() {
        let ms = Duration::from_millis;
        // Due at 100, two milliseconds of service: 20 ms of rest, on time and 5 ms late, end at the same instant.
        assert_eq!(after_rest(ms(100), ms(0), ms(102), ms(20)), ms(122));
        assert_eq!(after_rest(ms(100), ms(5), ms(107), ms(20)), ms(122));
        assert_eq!(after_rest(ms(100), ms(20), ms(122), ms(20)), ms(122), "just in time");
        // Later than a whole turn: the next one of its own.
        assert_eq!(after_rest(ms(100), ms(21), ms(123), ms(20)), ms(144));
        assert_eq!(after_rest(ms(100), ms(90), ms(192), ms(20)), ms(210));
        // Without a rest there is no beat: the answer decides.
        assert_eq!(after_rest(ms(100), ms(5), ms(107), ms(0)), ms(107));
    }
}
