use std::backtrace::Backtrace;
use std::hint::black_box;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::engine::Engine;

/// As many as the process timer keeps: most signals are sent beside it.
const HZ: u32 = 250;

static ENDED: AtomicBool = AtomicBool::new(false);
/// Threads that may be sent signals: while one is listed it does not end.
static VICTIMS: Mutex<Vec<libc::pthread_t>> = Mutex::new(Vec::new());

/// Sends signals to threads that panic, take backtraces, open libraries, allocate, fork and end. Prints `signals=… samples=…`; a crash or a
/// hang is for the caller to see.
pub fn run(signals: u64) {
    std::panic::set_hook(Box::new(|_| {}));
    let engine = Engine::start(HZ);
    let sent = AtomicU64::new(0);
    let mut tasks: [fn(u64); 6] = [panics, backtraces, libraries, allocations, forks, threads];
    if std::env::var_os("PANICS").is_some() {
        tasks = [panics; 6];
    }
    std::thread::scope(|scope| {
        for task in tasks {
            scope.spawn(move || victim(task));
        }
        scope.spawn(|| send(signals, &sent));
        while !ENDED.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
            eprintln!("sent {}", sent.load(Ordering::Relaxed)); // a sign of life
        }
    });
    let samples: i64 = engine.stop().iter().map(|(_, count)| count).sum();
    println!("signals={} samples={samples}", sent.load(Ordering::Relaxed));
}

fn send(signals: u64, sent: &AtomicU64) {
    for number in 0..signals {
        {
            let victims = VICTIMS.lock().expect("nobody panics with it");
            if let Some(thread) = victims.get(number as usize % victims.len().max(1)) {
                // SAFETY: a thread is taken off the list, under this lock, before it ends.
                unsafe { libc::pthread_kill(*thread, libc::SIGPROF) };
                sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        if number % 64 == 0 {
            std::thread::yield_now();
        }
    }
    ENDED.store(true, Ordering::Relaxed);
}

fn victim(task: fn(u64)) {
    // SAFETY: it has no requirements.
    let own = unsafe { libc::pthread_self() };
    VICTIMS.lock().expect("nobody panics with it").push(own);
    for round in 0.. {
        if ENDED.load(Ordering::Relaxed) {
            break;
        }
        task(round);
    }
    VICTIMS.lock().expect("nobody panics with it").retain(|thread| *thread != own);
}

#[inline(never)]
fn deep(depth: u64) -> u64 {
    if depth == 0 { panic!("meant") }
    black_box(deep(depth - 1)) + 1
}

fn panics(round: u64) {
    let _ = black_box(catch_unwind(|| deep(round % 20)));
}

fn backtraces(round: u64) {
    let trace = black_box(Backtrace::force_capture());
    if round % 500 == 0 {
        black_box(trace.to_string());
    }
}

fn libraries(_: u64) {
    // SAFETY: a library of the system's is opened and closed; nothing of it is used.
    unsafe {
        let library = libc::dlopen(c"libm.so.6".as_ptr(), libc::RTLD_NOW);
        let other = libc::dlopen(c"libutil.so.1".as_ptr(), libc::RTLD_NOW);
        for opened in [library, other] {
            if !opened.is_null() {
                libc::dlclose(opened);
            }
        }
    }
}

fn allocations(round: u64) {
    let kept: Vec<Vec<u8>> = (0..64).map(|size| vec![round as u8; 16 << (size % 12)]).collect();
    black_box(kept);
}

fn forks(round: u64) {
    if round % 50 == 0 {
        let _ = std::process::Command::new("/bin/true").status();
    }
    black_box((0..2_000_u64).fold(1, |held: u64, round| black_box(held.wrapping_mul(round | 1))));
}

fn threads(_: u64) {
    let thread = std::thread::spawn(|| black_box(vec![7_u8; 4_096]).len());
    let _ = thread.join();
}
