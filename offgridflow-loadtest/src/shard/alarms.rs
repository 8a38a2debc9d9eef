//! Waits of a shard's tasks, all kept by one pacer.

use std::{
    cell::{Cell, RefCell},
    cmp::Ordering,
    collections::BinaryHeap,
    future::poll_fn,
    task::{Poll, Waker},
    time::Duration,
};

use super::slot::Bell;

/// Instants at which tasks of a shard want to go on. All on one thread.
///
/// Setting an alarm costs O(log waiting tasks) and, once as many tasks wait as ever will, no allocation. An alarm whose task is
/// gone rings for nobody.
#[derive(Debug, Default)]
pub(super) struct Alarms {
    waiting: RefCell<BinaryHeap<Alarm>>, // the earliest on top; at most one a task
    is_sooner: Cell<bool>,               // a new one is earlier than all others
    sooner: Bell,
}

#[derive(Debug)]
struct Alarm {
    at: Duration,
    waker: Waker,
}

impl Alarms {
    /// Waits until `over`, asked now, at `at` and whenever [`ring`](Self::ring) reaches it.
    pub(super) async fn wait(&self, at: Duration, over: impl Fn() -> bool) {
        let mut is_set = false;
        poll_fn(|cx| {
            if over() {
                return Poll::Ready(());
            }
            if !is_set {
                self.set(at, cx.waker().clone());
                is_set = true;
            }
            Poll::Pending
        })
        .await;
    }

    fn set(&self, at: Duration, waker: Waker) {
        let mut waiting = self.waiting.borrow_mut();
        let is_sooner = waiting.peek().is_none_or(|earliest| at < earliest.at);
        waiting.push(Alarm { at, waker });
        if is_sooner {
            self.is_sooner.set(true);
            self.sooner.ring();
        }
    }

    /// The earliest instant waited for.
    pub(super) fn earliest(&self) -> Option<Duration> {
        self.waiting.borrow().peek().map(|alarm| alarm.at)
    }

    /// Waits until a new alarm is earlier than all others.
    pub(super) async fn sooner(&self) {
        self.sooner.wait_for(|| self.is_sooner.take().then_some(())).await;
    }

    /// Wakes whoever waited for `now` or earlier, the earliest first.
    pub(super) fn ring(&self, now: Duration) {
        while let Some(waker) = self.take_due(now) {
            waker.wake();
        }
    }

    fn take_due(&self, now: Duration) -> Option<Waker> {
        let mut waiting = self.waiting.borrow_mut();
        let is_due = waiting.peek()?.at <= now;
        if is_due { waiting.pop().map(|alarm| alarm.waker) } else { None }
    }
}

impl Ord for Alarm {
    /// The earlier one is the greater, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Alarm {}

#[cfg(test)]
mod tests {
    use std::{pin::pin, rc::Rc, sync::Arc, task::Context};

    use super::*;

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicU32);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    impl Count {
        fn get(&self) -> u32 {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    const fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn each_task_is_woken_at_its_own_microsecond_whatever_the_order_they_came_in() {
        let alarms = Alarms::default();
        let woken: Vec<_> = (0..100).map(|_| Arc::new(Count::default())).collect();
        for k in 0..100 {
            let k = k * 37 % 100; // every one, in no order
            alarms.set(us(k), Arc::clone(&woken[usize::try_from(k).expect("small")]).into());
        }
        for now in 0..100 {
            assert_eq!(alarms.earliest(), Some(us(now)));
            alarms.ring(us(now));
            let counts = woken.iter().map(|count| count.get());
            assert!(counts.eq((0..100).map(|k| u32::from(k <= now))), "{now}");
        }
        assert_eq!(alarms.earliest(), None);
    }

    #[test]
    fn only_an_alarm_before_all_others_disturbs_the_pacer() {
        let (alarms, pacer) = (Alarms::default(), Arc::new(Count::default()));
        let waker = Arc::clone(&pacer).into();
        let mut cx = Context::from_waker(&waker);
        let mut disturbed = |at| {
            let before = pacer.get();
            let mut sooner = pin!(alarms.sooner());
            assert!(sooner.as_mut().poll(&mut cx).is_pending());
            alarms.set(at, Waker::noop().clone());
            let is_ready = sooner.poll(&mut cx).is_ready();
            assert_eq!(pacer.get() - before, u32::from(is_ready), "woken for it");
            is_ready
        };
        assert_eq!([us(50), us(50), us(90), us(49)].map(&mut disturbed), [true, false, false, true]);
    }

    #[test]
    fn a_task_polled_for_another_reason_waits_on_with_one_alarm() {
        let alarms = Alarms::default();
        let (now, woken) = (Rc::new(Cell::new(us(0))), Arc::new(Count::default()));
        let waker = Arc::clone(&woken).into();
        let mut cx = Context::from_waker(&waker);
        let clock = Rc::clone(&now);
        let mut wait = pin!(alarms.wait(us(10), move || clock.get() >= us(10)));
        for _ in 0..5 {
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        now.set(us(10));
        alarms.ring(us(10));
        assert!(wait.poll(&mut cx).is_ready());
        assert_eq!((woken.get(), alarms.earliest()), (1, None));
    }
}
