use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::Window;
use super::name::{self, UNFINISHED};
use crate::{Profile, ProfileError};

/// Keeps the newest profiles on disk, or in memory, within bounds of bytes and of age.
///
/// A file is written under another name and renamed when it is whole, so a crash leaves whole files only; room is made *before* a file is
/// written, so the folder is within its bound at every instant. Where the disk is full although there should be room, older
/// windows make way, and when there are none left the profile is kept in memory. Files of others in the folder are left alone. Each file
/// is a profile that `go tool pprof` reads.
///
/// Age counts back from the newest window that the clock has reached: one that ends later than now makes no other old, makes way first where
/// bytes are short, and goes once it ends further ahead than `oldest`, which no right clock has said.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use offgridflow_profile::Ring;
/// # use offgridflow_profile::{Frame, Profile, Stack, ValueKind};
/// # let folder = tempfile::tempdir()?;
/// # let profile = |began| Profile {
/// #     kinds: vec![ValueKind::new("samples", "count")],
/// #     stacks: vec![Stack { frames: vec![Frame::named("parse")], values: vec![7], labels: vec![] }],
/// #     began, duration: Duration::from_secs(10), period: 1, period_kind: ValueKind::new("samples", "count"), comments: vec![], mappings: vec![],
/// # };
/// let ring = Ring::dir(folder.path(), 64 << 20, Duration::from_secs(24 * 3_600))?;
/// let now = SystemTime::now();
/// for window in (0..6).rev() {
///     ring.push("cpu", &profile(now - Duration::from_secs(10 * window)))?;
/// }
/// let minute_before = ring.between("cpu", now - Duration::from_secs(30), now)?.expect("three windows");
/// assert_eq!(minute_before.total(0), 21);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ring {
    folder: Option<PathBuf>,
    most_bytes: u64,
    oldest: Duration,
    held: Mutex<State>,
}

/// What a ring holds, and what went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct RingStats {
    /// Windows held.
    pub windows: usize,
    /// What they take.
    pub bytes: u64,
    /// Files that could not be written: the disk was full, or not writable; their windows are in memory.
    pub kept_in_memory: u64,
    /// Files that could not be read: torn, or changed by somebody.
    pub unreadable: u64,
    /// Windows and files that say to end further ahead of the clock than the ring reaches back: the clock was wrong, or a name is. They are left out.
    pub misdated: u64,
}

#[derive(Debug, Default)]
struct State {
    windows: VecDeque<Held>, // by their end
    number: u64,
    kept_in_memory: u64,
    unreadable: u64,
    misdated: u64,
}

#[derive(Debug)]
struct Held {
    window: Window,
    place: Place,
    /// Whether an earlier process left it: of other tasks, of other memory, and of counts that began elsewhere.
    #[cfg_attr(not(feature = "profiler"), expect(dead_code, reason = "captures ask for it"))]
    inherited: bool,
}

#[derive(Debug, Clone)]
enum Place {
    File(PathBuf),
    Memory(Arc<[u8]>),
}

impl Ring {
    /// In memory: at most `most_bytes`, compressed, and none that ended longer than `oldest` before the newest of the past. Of no bytes it
    /// refuses every profile, of no age it holds the newest alone; a profiler refuses both.
    #[must_use]
    pub fn memory(most_bytes: u64, oldest: Duration) -> Self {
        Self { folder: None, most_bytes, oldest, held: Mutex::default() }
    }

    /// In the folder at `path`, which is made if it is not there; what an earlier process left in it is taken over, within the bounds.
    ///
    /// # Errors
    /// When the folder cannot be made or read; [`ProfileError::Setting`] for no bytes or no age.
    pub fn dir(path: impl AsRef<Path>, most_bytes: u64, oldest: Duration) -> Result<Self, ProfileError> {
        check(most_bytes, oldest)?;
        let folder = path.as_ref().to_owned();
        let failed = |source| ProfileError::Read { path: folder.display().to_string(), source };
        let not_made = |source| ProfileError::Write { path: folder.display().to_string(), source };
        fs::create_dir_all(&folder).map_err(not_made)?;
        let mut windows: Vec<Held> = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)?.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_file(&path); // a crash left it
            } else if let (Some((what, began, until)), Ok(file)) = (name::parse(&path), entry.metadata())
                && file.is_file()
            {
                let window = Window { what, began, until, bytes: file.len(), on_disk: true };
                windows.push(Held { window, place: Place::File(path), inherited: true });
            }
        }
        windows.sort_by_key(|held| held.window.until);
        let state = State { windows: windows.into(), ..State::default() };
        let ring = Self { folder: Some(folder), most_bytes, oldest, held: Mutex::new(state) };
        ring.make_room(&mut ring.state(), 0, SystemTime::UNIX_EPOCH);
        Ok(ring)
    }

    /// Keeps a profile of `what` (lower-case letters, digits and `_`). Blocks for the time of writing a file.
    ///
    /// # Errors
    /// [`ProfileError::Setting`] for another name, when the profile alone is larger than the bound, or ends further ahead of the clock than the ring
    /// reaches back; [`ProfileError::Malformed`] when its end cannot be
    /// said.
    pub fn push(&self, what: &str, profile: &Profile) -> Result<Window, ProfileError> {
        let refuse = |setting, value: String, hint| Err(ProfileError::Setting { setting, value, hint });
        if !name::is_plain(what) {
            return refuse("what", what.to_owned(), "use 1 to 32 lower-case letters, digits and `_`");
        }
        let encoded = profile.to_pprof();
        let bytes = encoded.len() as u64;
        if bytes > self.most_bytes {
            return refuse(
                "most_bytes",
                self.most_bytes.to_string(),
                "the profile is larger than all that may be kept",
            );
        }
        let endless = ProfileError::Malformed { what: "it ends later than a clock can say" };
        let until = profile.began.checked_add(profile.duration).ok_or(endless)?;
        let mut window = Window { what: what.to_owned(), began: profile.began, until, bytes, on_disk: false };
        let mut state = self.state();
        if self.is_misdated(until, SystemTime::now()) {
            state.misdated += 1;
            let hint = "it ends further ahead of the clock than the ring reaches back: check the clock";
            return refuse("began", format!("{:?}", profile.began), hint);
        }
        self.make_room(&mut state, bytes, until);
        let place = self.place(&mut state, &window, encoded);
        window.on_disk = matches!(place, Place::File(_));
        let after = state.windows.partition_point(|held| held.window.until <= until);
        state.windows.insert(after, Held { window: window.clone(), place, inherited: false });
        Ok(window)
    }

    /// What is held, the oldest first.
    #[must_use]
    pub fn windows(&self) -> Vec<Window> {
        self.state().windows.iter().map(|held| held.window.clone()).collect()
    }

    /// The windows of `what` with some part from `from` on and before `to`, as one profile; `None` when there is none. Files that cannot be read are left
    /// out, and counted.
    ///
    /// # Errors
    /// [`ProfileError::Malformed`] when windows count different kinds.
    pub fn between(
        &self,
        what: &str,
        from: SystemTime,
        to: SystemTime,
    ) -> Result<Option<Profile>, ProfileError> {
        let places = self.places(|held| held.window.what == what && held.window.overlaps(from, to));
        let profiles: Vec<Profile> = places.iter().filter_map(|place| self.read(place)).collect();
        if profiles.is_empty() {
            return Ok(None);
        }
        let differ = ProfileError::Malformed { what: "the windows count different kinds" };
        Profile::merged(profiles).map(Some).ok_or(differ)
    }

    /// The oldest window of `what` that ended at `from` or later; `None` when there is none. For profiles of an instant, or of counts since
    /// the start, of which the sum means nothing. Files that cannot be read are passed over, and counted.
    #[must_use]
    pub fn first(&self, what: &str, from: SystemTime) -> Option<Profile> {
        let places = self.places(|held| held.window.what == what && held.window.until >= from);
        places.iter().find_map(|place| self.read(place))
    }

    /// The same of what this process put here: what an earlier one had in use, or had counted, is no "before" of it.
    #[cfg(feature = "profiler")]
    pub(crate) fn first_of_own(&self, what: &str, from: SystemTime) -> Option<Profile> {
        let own = |held: &Held| !held.inherited && held.window.what == what && held.window.until >= from;
        self.places(own).iter().find_map(|place| self.read(place))
    }

    /// Where these windows are, the oldest first: to be read without the lock, as files take long.
    fn places(&self, which: impl Fn(&Held) -> bool) -> Vec<Place> {
        let state = self.state();
        state.windows.iter().filter(|held| which(held)).map(|held| held.place.clone()).collect()
    }

    /// What is there. A file that made way meanwhile is gone; one that cannot be read otherwise is counted.
    fn read(&self, place: &Place) -> Option<Profile> {
        let read = place.read();
        let made_way = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let profile = read.ok().and_then(|bytes| Profile::from_pprof(&bytes).ok());
        if profile.is_none() && (!made_way || self.holds(place)) {
            self.state().unreadable += 1;
        }
        profile
    }

    fn holds(&self, place: &Place) -> bool {
        let Place::File(path) = place else { return true };
        let same = |held: &Held| matches!(&held.place, Place::File(held) if held == path);
        self.state().windows.iter().any(same)
    }

    /// What is held, and what went wrong.
    #[must_use]
    pub fn stats(&self) -> RingStats {
        let state = self.state();
        RingStats {
            windows: state.windows.len(),
            bytes: state.bytes(),
            kept_in_memory: state.kept_in_memory,
            unreadable: state.unreadable,
            misdated: state.misdated,
        }
    }

    /// # Errors
    /// [`ProfileError::Setting`] for a ring that could hold nothing.
    #[cfg(feature = "profiler")]
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        check(self.most_bytes, self.oldest)
    }

    /// Where, and within which bounds.
    #[cfg(feature = "profiler")]
    pub(crate) fn describe(&self) -> String {
        let place = self.folder.as_ref().map_or("memory".to_owned(), |folder| folder.display().to_string());
        format!("in {place}, at most {} KiB and {} s", self.most_bytes >> 10, self.oldest.as_secs())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets windows go that cannot be right, then the oldest until `bytes` more are within the bound, and those that ended too long before the newest
    /// of the past, which one that ends at `until` joins.
    fn make_room(&self, state: &mut State, bytes: u64, until: SystemTime) {
        let now = SystemTime::now();
        while state.newest().is_some_and(|newest| self.is_misdated(newest, now)) {
            state.let_misdated_go(self.most_bytes);
        }
        let past = state.windows.iter().map(|held| held.window.until).filter(|until| *until <= now).max();
        let newest = past.unwrap_or(SystemTime::UNIX_EPOCH).max(until.min(now));
        let too_old =
            |held: &Held| newest.duration_since(held.window.until).is_ok_and(|age| age > self.oldest);
        while state.bytes().saturating_add(bytes) > self.most_bytes
            || state.windows.front().is_some_and(too_old)
        {
            if !state.let_one_go(now) {
                return;
            }
        }
    }

    /// Whether a window cannot end then: the ring reaches no further ahead of the clock than back.
    fn is_misdated(&self, until: SystemTime, now: SystemTime) -> bool {
        until.duration_since(now).is_ok_and(|ahead| ahead > self.oldest)
    }

    /// Writes the file; while the disk is full, older windows make way.
    fn place(&self, state: &mut State, window: &Window, encoded: Vec<u8>) -> Place {
        let Some(folder) = &self.folder else { return Place::Memory(encoded.into()) };
        state.number += 1;
        let number = u64::from(std::process::id()) << 32 | state.number & 0xFFFF_FFFF;
        let name = name::of(&window.what, window.began, window.until, number);
        loop {
            match write(folder, &name, &encoded) {
                Ok(path) => return Place::File(path),
                Err(error) if is_full(&error) && state.let_oldest_file_go() => {}
                Err(_) => {
                    state.kept_in_memory += 1;
                    return Place::Memory(encoded.into());
                }
            }
        }
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.windows.iter().map(|held| held.window.bytes).sum()
    }

    fn newest(&self) -> Option<SystemTime> {
        self.windows.back().map(|held| held.window.until)
    }

    /// The one furthest ahead of the clock, else the oldest: after a clock stepped back, what was taken before lies ahead.
    fn let_one_go(&mut self, now: SystemTime) -> bool {
        let ahead = self.newest().is_some_and(|newest| newest > now);
        let held = if ahead { self.windows.pop_back() } else { self.windows.pop_front() };
        held.map(|held| held.place.remove()).is_some()
    }

    /// Leaves out the newest. Its file is removed if it is a profile; otherwise it is somebody else's.
    fn let_misdated_go(&mut self, most_bytes: u64) {
        let Some(held) = self.windows.pop_back() else { return };
        self.misdated += 1;
        let read = (held.window.bytes <= most_bytes).then(|| held.place.read());
        if read.is_some_and(|read| read.is_ok_and(|bytes| Profile::from_pprof(&bytes).is_ok())) {
            held.place.remove();
        }
    }

    fn let_oldest_file_go(&mut self) -> bool {
        let oldest = self.windows.iter().position(|held| matches!(held.place, Place::File(_)));
        oldest.and_then(|index| self.windows.remove(index)).map(|held| held.place.remove()).is_some()
    }
}

impl Place {
    fn read(&self) -> io::Result<Arc<[u8]>> {
        match self {
            Self::File(path) => fs::read(path).map(Into::into),
            Self::Memory(bytes) => Ok(Arc::clone(bytes)),
        }
    }

    /// A file that somebody else has removed is gone, too.
    fn remove(self) {
        if let Self::File(path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

fn check(most_bytes: u64, oldest: Duration) -> Result<(), ProfileError> {
    if most_bytes == 0 {
        return Err(ProfileError::setting("most_bytes", 0, "must be above 0: 8388608 (8 MiB) hold an hour"));
    }
    if oldest.is_zero() {
        return Err(ProfileError::setting("oldest", 0, "must be longer than zero: an hour is usual"));
    }
    Ok(())
}

/// Under another name first: a crash leaves no torn file with a whole one's name.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (unfinished, whole) = (folder.join(format!("{UNFINISHED}{name}")), folder.join(name));
    let written = fs::write(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &whole));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written.map(|()| whole)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
