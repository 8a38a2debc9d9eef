//! What is loaded together and ends together: the wave of reloads, on paused time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offgridflow_cache::{Cache, Loaded, QuickCache, loader_fn};

use crate::Failure;
use benches::{figures::as_f64, row};

const KEYS: u64 = 10_000;
const TTL: Duration = Duration::from_secs(300);
/// The cache's own default.
const JITTER: f64 = 0.1;
const WINDOW: Duration = Duration::from_millis(100);
/// How many times the mean a window may have.
const MOST: f64 = 3.0;

/// The first wave, which is the steepest: later ones are spread over more time.
pub(crate) struct Waves {
    pub(crate) held: bool,
    pub(crate) control_failed: bool,
    pub(crate) measured: String,
    pub(crate) control: String,
}

pub(crate) fn measure() -> Result<Waves, Failure> {
    let ([jittered, of_ttl], [plain, _]) = (wave(None)?, wave(Some(0.0))?);
    Ok(Waves {
        held: jittered <= MOST,
        control_failed: plain > MOST,
        measured: format!("fullest-100-ms={jittered:.2}x-mean-of-the-wave"),
        control: format!("without-jitter={plain:.0}x"),
    })
    .inspect(|_| row!("the fullest window has {of_ttl:.1} times the mean of a whole ttl"))
}

/// Reloads in the fullest window over the mean of the last tenth of the ttl, in which a wave ends; and over that of the whole ttl.
fn wave(jitter: Option<f64>) -> Result<[f64; 2], Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let windows = runtime.block_on(reloads(jitter))?;
    let reloaded: u64 = windows.iter().sum();
    if reloaded < KEYS {
        return Err(format!("{reloaded} of {KEYS} keys were reloaded").into());
    }
    let fullest = as_f64(windows.iter().copied().max().unwrap_or_default());
    let mean = |span: Duration| as_f64(KEYS) / (span.as_secs_f64() / WINDOW.as_secs_f64());
    let (of_wave, of_ttl) = (fullest / mean(TTL.mul_f64(JITTER)), fullest / mean(TTL));
    row!(
        "jitter {jitter:?}: {reloaded} reloads, at most {fullest} in 100 ms, {of_wave:.2} times the mean of the wave"
    );
    Ok([of_wave, of_ttl])
}

/// Loads every key at once, then reads every key in every window until each was loaded again; the loads of each window.
async fn reloads(jitter: Option<f64>) -> Result<Vec<u64>, Failure> {
    let loads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&loads);
    let builder = Cache::builder("waves").near(QuickCache::entries(4 * KEYS)).ttl(TTL);
    let builder = match jitter {
        Some(share) => builder.jitter(share),
        None => builder,
    };
    let cache = builder.build(loader_fn(move |key: u64| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(Loaded::value(key)) }
    }))?;
    let keys: Vec<u64> = (0..KEYS).collect();
    cache.get_many(&keys).await;
    tokio::time::advance(TTL.mul_f64(1.0 - JITTER) - WINDOW).await;
    let mut windows = Vec::new();
    let last = TTL.mul_f64(JITTER).as_secs_f64() / WINDOW.as_secs_f64() + 2.0;
    while as_f64(windows.len() as u64) < last {
        tokio::time::advance(WINDOW).await;
        let before = loads.load(Ordering::Relaxed);
        cache.get_many(&keys).await;
        windows.push(loads.load(Ordering::Relaxed) - before);
    }
    Ok(windows)
}
