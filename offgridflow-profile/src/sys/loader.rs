#![expect(unsafe_code, reason = "the dynamic loader is C's, and so is what is done at a fork")]

/// Runs `work` while no library is unloaded: others that unload one wait for it, and so do those that fork. For work of milliseconds that reads
/// what libraries say of themselves. It must not load, unload or fork, nor begin a thread or a thread-local that has a destructor: those wait for who unloads.
#[cfg(target_os = "linux")]
pub(crate) fn while_nothing_is_unloaded<R>(work: impl FnOnce() -> R) -> R {
    linux::hold(work)
}

/// Nothing holds them elsewhere.
#[cfg(not(target_os = "linux"))]
pub(crate) fn while_nothing_is_unloaded<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_void};
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Once;
    use std::sync::atomic::{AtomicBool, Ordering::*};
    use std::thread;

    /// Whether somebody holds the loader's lock here, or forks: a child that is forked while it is held would never get it.
    static HELD: AtomicBool = AtomicBool::new(false);

    struct Call<F, R> {
        work: Option<F>,
        done: Option<thread::Result<R>>,
    }

    /// The loader keeps its lock while it calls back.
    pub(super) fn hold<F: FnOnce() -> R, R>(work: F) -> R {
        static FORKS: Once = Once::new();
        // SAFETY: the three functions touch an atomic alone, and are there as long as the program is.
        FORKS.call_once(|| _ = unsafe { libc::pthread_atfork(Some(wait), Some(go_on), Some(go_on)) });
        let mut call = Call { work: Some(work), done: None };
        wait();
        // SAFETY: `called` takes the pointer for what it is, and nobody else has it meanwhile.
        unsafe { libc::dl_iterate_phdr(Some(called::<F, R>), (&raw mut call).cast()) };
        go_on();
        match (call.done, call.work) {
            (Some(done), _) => done.unwrap_or_else(|panic| resume_unwind(panic)),
            (None, Some(work)) => work(), // nothing is loaded: nothing is unloaded
            (None, None) => unreachable!("it was taken to be done"),
        }
    }

    unsafe extern "C" fn called<F: FnOnce() -> R, R>(
        _: *mut libc::dl_phdr_info,
        _: usize,
        call: *mut c_void,
    ) -> c_int {
        // SAFETY: it is the pointer that `hold` gave.
        let call = unsafe { &mut *call.cast::<Call<F, R>>() };
        call.done = call.work.take().map(|work| catch_unwind(AssertUnwindSafe(work)));
        1 // of one object we are called, not of each
    }

    extern "C" fn wait() {
        while HELD.swap(true, Acquire) {
            thread::yield_now();
        }
    }

    extern "C" fn go_on() {
        HELD.store(false, Release);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Of another thread, seen without anything that waits for the loader, as a channel does when it begins to wait.
    #[derive(Default)]
    struct Stage {
        begun: AtomicBool,
        ended: AtomicBool,
    }

    impl Stage {
        /// Lets the other begin, and says whether it has still not ended after a third of a second.
        fn is_held_back(&self) -> bool {
            self.begun.store(true, SeqCst);
            thread::sleep(Duration::from_millis(300));
            !self.ended.load(SeqCst)
        }

        /// The other's part, from when it may begin.
        fn play(&self, part: impl FnOnce()) {
            while !self.begun.load(SeqCst) {
                thread::yield_now();
            }
            part();
            self.ended.store(true, SeqCst);
        }
    }

    /// One of these tests at a time: a child that is forked while another thread unloads never gets the lock, which glibc leaves as it was.
    static ALONE: Mutex<()> = Mutex::new(());

    const LIBRARY: &std::ffi::CStr = c"libresolv.so.2";

    fn is_mapped() -> bool {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        maps.lines().any(|line| line.ends_with("libresolv.so.2"))
    }

    #[test]
    fn a_library_stays_until_the_work_is_done_and_a_panic_comes_through() {
        let _alone = ALONE.lock();
        // SAFETY: C's own library, with constructors of its own alone.
        let library = unsafe { libc::dlopen(LIBRARY.as_ptr(), libc::RTLD_NOW) };
        if library.is_null() || !is_mapped() {
            eprintln!("not run: this system has no {LIBRARY:?}");
            return;
        }
        let library = library.expose_provenance();
        let (stage, (closed, closes)) = (Arc::new(Stage::default()), channel());
        let other = Arc::clone(&stage);
        thread::spawn(move || {
            // SAFETY: it is the handle from above, which is closed once.
            other.play(|| _ = unsafe { libc::dlclose(std::ptr::with_exposed_provenance_mut(library)) });
            closed.send(()).unwrap();
        });
        let said = while_nothing_is_unloaded(|| (stage.is_held_back(), is_mapped()));
        assert_eq!(said, (true, true));
        closes.recv_timeout(Duration::from_secs(60)).unwrap();
        let panics = std::panic::catch_unwind(|| while_nothing_is_unloaded(|| panic!("meant")));
        assert!(panics.is_err());
        assert_eq!(while_nothing_is_unloaded(|| 7), 7, "and it is free again");
    }

    /// What the loader is asked in the child needs the lock that its parent held.
    #[test]
    fn a_fork_waits_until_the_work_is_done() {
        let _alone = ALONE.lock();
        let (stage, (forked, forks)) = (Arc::new(Stage::default()), channel());
        let other = Arc::clone(&stage);
        let fork = || {
            // SAFETY: the child asks the loader, and ends at once.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: the alarm ends a child that hangs.
                unsafe { libc::alarm(20) };
                while_nothing_is_unloaded(|| ());
                // SAFETY: it ends the child at once.
                unsafe { libc::_exit(0) };
            }
            let mut status = 0;
            // SAFETY: it writes into `status` alone.
            unsafe { libc::waitpid(child, &mut status, 0) };
            status
        };
        thread::spawn(move || {
            let mut status = 0;
            other.play(|| status = fork());
            forked.send(status).unwrap();
        });
        assert!(while_nothing_is_unloaded(|| stage.is_held_back()));
        assert_eq!(forks.recv_timeout(Duration::from_secs(60)), Ok(0));
    }
}
