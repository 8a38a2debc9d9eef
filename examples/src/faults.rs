//! Faults on purpose, to see them caught: a leak, a CPU regression, tasks that pile up, a label that explodes, answers that take longer. Only with `--faults`.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use offgridflow_profile::{Profiled, wait_site};
use tokio::task::JoinHandle;

/// Tasks that pile up.
const EXPORTS: usize = 20_000;
/// What leaks, and how often.
const RECEIPT_BYTES: usize = 128 << 10;
const RECEIPT_EVERY: Duration = Duration::from_millis(100);
/// How much longer answers take.
const SLOW: Duration = Duration::from_millis(200);
/// Threads that burn CPU time.
const CHECKERS: usize = 8;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 1.25 MiB a second are kept for ever.
    Leak,
    /// Eight threads are busy.
    Cpu,
    /// 20 000 tasks wait for what never comes.
    Tasks,
    /// Requests are counted under their path as it was asked for, not under their route.
    Labels,
    /// Every answer takes 200 ms longer.
    Slow,
}

impl FromStr for Fault {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "leak" => Ok(Self::Leak),
            "cpu" => Ok(Self::Cpu),
            "tasks" => Ok(Self::Tasks),
            "labels" => Ok(Self::Labels),
            "slow" => Ok(Self::Slow),
            _ => Err(()),
        }
    }
}

/// The faults that go on.
#[derive(Debug, Default)]
pub struct Faults {
    going_on: Arc<AtomicBool>,
    labels: AtomicBool,
    slow: AtomicBool,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    receipts: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Faults {
    /// From now on it goes wrong, until [`end`](Self::end).
    pub fn begin(&self, fault: Fault) {
        self.going_on.store(true, Relaxed);
        let going_on = Arc::clone(&self.going_on);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        match fault {
            Fault::Leak => {
                let receipts = Arc::clone(&self.receipts);
                tasks.push(tokio::spawn(leak(receipts).profiled("receipts")));
            }
            Fault::Cpu => (0..CHECKERS).for_each(|_| {
                let going_on = Arc::clone(&going_on);
                std::thread::spawn(move || {
                    while going_on.load(Relaxed) {
                        std::hint::black_box(checksum_again(50_000));
                    }
                });
            }),
            Fault::Tasks => {
                tasks.extend((0..EXPORTS).map(|_| tokio::spawn(std::future::pending().profiled("export"))));
            }
            Fault::Labels => self.labels.store(true, Relaxed),
            Fault::Slow => self.slow.store(true, Relaxed),
        }
    }

    /// Whether paths are labels.
    pub(crate) fn labels(&self) -> bool {
        self.labels.load(Relaxed)
    }

    /// How much longer an answer is to take, if it is.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.slow.load(Relaxed).then_some(SLOW)
    }

    /// What went wrong ends; what leaked stays, series included.
    pub fn end(&self) {
        self.labels.store(false, Relaxed);
        self.slow.store(false, Relaxed);
        self.going_on.store(false, Relaxed);
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
    }
}

async fn leak(receipts: Arc<Mutex<Vec<Vec<u8>>>>) {
    loop {
        keep_receipt(&receipts);
        tokio::time::sleep(RECEIPT_EVERY).await;
    }
}

#[inline(never)]
fn keep_receipt(receipts: &Mutex<Vec<Vec<u8>>>) {
    let receipt = vec![1; RECEIPT_BYTES];
    let mut receipts = {
        let _waiting = wait_site!(lock "receipts");
        receipts.lock().unwrap_or_else(PoisonError::into_inner)
    };
    receipts.push(receipt);
}

#[inline(never)]
fn checksum_again(rounds: u64) -> u64 {
    (0..rounds).fold(1, |sum: u64, round| sum.rotate_left(5) ^ round.wrapping_mul(0x0100_0000_01B3))
}
