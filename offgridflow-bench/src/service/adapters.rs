use std::borrow::Cow;
use std::fmt;
use std::future::Future;

use super::{Probe, ProbeError, probe_fn};

/// A probe of a cache: `look_up` asks for something that should be there. A miss is a failed run.
///
/// ```
/// use offgridflow_bench::service::{Probe, cache_probe};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let hit = cache_probe("hit", || async { Ok::<_, std::io::Error>(Some(7)) });
/// let miss = cache_probe("miss", || async { Ok::<_, std::io::Error>(None::<u8>) });
/// assert!(hit.run().await.is_ok());
/// assert_eq!(miss.run().await.unwrap_err().to_string(), "missed: what should be there was not");
/// # }
/// ```
#[must_use]
pub fn cache_probe<F, Fut, T, E>(name: impl Into<Cow<'static, str>>, look_up: F) -> impl Probe
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
    T: 'static,
    E: fmt::Display,
{
    judged(name, look_up, |found| match found {
        Some(_) => Ok(()),
        None => Err(ProbeError::new("missed: what should be there was not")),
    })
}

/// A probe of a database: `query` says how many rows it got. None is a failed run.
///
/// ```
/// use offgridflow_bench::service::{Probe, sql_probe};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let ping = sql_probe("ping", || async { Ok::<_, std::io::Error>(1) });
/// let empty = sql_probe("empty", || async { Ok::<_, std::io::Error>(0) });
/// assert!(ping.run().await.is_ok());
/// assert_eq!(empty.run().await.unwrap_err().to_string(), "the query gave no row");
/// # }
/// ```
#[must_use]
pub fn sql_probe<F, Fut, E>(name: impl Into<Cow<'static, str>>, query: F) -> impl Probe
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u64, E>> + Send + 'static,
    E: fmt::Display,
{
    judged(name, query, |rows| match rows {
        0 => Err(ProbeError::new("the query gave no row")),
        _ => Ok(()),
    })
}

/// A probe over HTTP: `send` makes a request, reads the answer to its end, and says its status. Below 200 and from 400 on it is a failed run.
///
/// ```
/// use offgridflow_bench::service::{Probe, http_probe};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let up = http_probe("up", || async { Ok::<_, std::io::Error>(204) });
/// let down = http_probe("down", || async { Ok::<_, std::io::Error>(503) });
/// assert!(up.run().await.is_ok());
/// assert_eq!(down.run().await.unwrap_err().to_string(), "answered 503");
/// # }
/// ```
#[must_use]
pub fn http_probe<F, Fut, E>(name: impl Into<Cow<'static, str>>, send: F) -> impl Probe
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<u16, E>> + Send + 'static,
    E: fmt::Display,
{
    judged(name, send, |status| match status {
        200..400 => Ok(()),
        _ => Err(ProbeError::new(format_args!("answered {status}"))),
    })
}

/// A probe whose run is right when `judge` says so of what it gave.
fn judged<F, Fut, T, E>(
    name: impl Into<Cow<'static, str>>,
    run: F,
    judge: fn(T) -> Result<(), ProbeError>,
) -> impl Probe
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: 'static,
    E: fmt::Display,
{
    probe_fn(name, move || {
        let run = run();
        async move { judge(run.await.map_err(ProbeError::new)?) }
    })
}
