//! Running a role until a signal ends it: stop accepting, drain, flush.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use offgridflow_profile::{MemoryWatch, Profiled};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::app::{App, AppError};
use crate::config::Config;
#[cfg(feature = "otlp")]
use crate::otlp::Pushing;
use crate::{api, listen, web, worker};

/// How long requests under way may take to end once the server stops.
const DRAIN: Duration = Duration::from_secs(25);

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The HTTP interface.
    Api,
    /// The jobs.
    Worker,
    /// The page.
    Web,
    /// All three in one process.
    All,
}

impl Role {
    fn router(self, app: &Arc<App>) -> Router {
        match self {
            Self::Api => api::router(Arc::clone(app)),
            Self::Worker => api::side_router(Arc::clone(app)),
            Self::Web => web::router(app.config()),
            Self::All => api::router(Arc::clone(app)).merge(web::page_router(Arc::clone(app))),
        }
    }

    #[cfg(feature = "otlp")]
    const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Web => "web",
            Self::All => "all",
        }
    }

    const fn works(self) -> bool {
        matches!(self, Self::Worker | Self::All)
    }
}

/// Runs `role` until SIGTERM or SIGINT, then ends it without losing anything that was acknowledged.
/// Prints `listening on http://ADDRESS` when it is ready to be asked.
///
/// # Errors
/// What kept it from starting, in one sentence.
pub async fn run(role: Role, config: Config) -> Result<(), AppError> {
    if role == Role::Web { config.check_addresses() } else { config.check() }?;
    let listener =
        TcpListener::bind(config.listen).await.map_err(|error| AppError::Listen(config.listen, error))?;
    api::install_metrics();
    if role == Role::Web {
        return run_web(&config, listener).await;
    }
    let app = App::start(config).await?;
    #[cfg(feature = "otlp")]
    let pushing = {
        let shown = Arc::clone(&app);
        Pushing::start(&app.config().otlp, role.name(), move || api::metrics_of(&shown))
    };
    eprintln!("offgridflow: {}", who_is_let_in(&app));
    let (stop, stopped) = watch::channel(false);
    let looking = tokio::spawn(look_at_keys(Arc::clone(&app)).profiled("look at keys"));
    let following = tokio::spawn(Arc::clone(&app).follow_traffic().profiled("follow traffic"));
    let work = role.works().then(|| {
        let (app, stopped) = (Arc::clone(&app), stopped);
        tokio::spawn(async move { worker::run(app.ledger(), stopped).await }.profiled("worker"))
    });
    let signal = stop_signal()?;
    let draining = Arc::clone(&app);
    let ended = async move {
        signal.await;
        draining.drain();
    };
    serve(listener, role.router(&app), ended).await?;
    let _ = stop.send(true);
    looking.abort();
    following.abort();
    if let Some(work) = work {
        let _ = work.await;
    }
    let stored = app.close().await?;
    #[cfg(feature = "otlp")]
    pushing.end().await;
    tracing::info!(stored, "drained and closed");
    Ok(())
}

async fn run_web(config: &Config, listener: TcpListener) -> Result<(), AppError> {
    let _memory = MemoryWatch::builder().start()?; // so that this role, too, shows what it takes
    #[cfg(feature = "otlp")]
    let pushing = Pushing::start(&config.otlp, Role::Web.name(), api::metrics_of_process);
    serve(listener, web::router(config), stop_signal()?).await?;
    #[cfg(feature = "otlp")]
    pushing.end().await;
    Ok(())
}

async fn serve(
    listener: TcpListener,
    router: Router,
    ended: impl Future<Output = ()> + Send + 'static,
) -> Result<(), AppError> {
    println!("listening on http://{}", listener.local_addr()?);
    let (stopping, mut stopped) = watch::channel(false);
    tokio::spawn(async move {
        ended.await;
        let _ = stopping.send(true);
    });
    let server = listen::serve(listener, router, listen::Limits::default(), stopped.clone());
    let patience = async {
        let _ = stopped.wait_for(|stopped| *stopped).await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        () = server => {}
        () = patience => tracing::warn!("requests still under way after {DRAIN:?} were dropped"),
    }
    Ok(())
}

/// How long a key that was issued or revoked by another process may go unnoticed.
const LOOK: Duration = Duration::from_secs(1);

async fn look_at_keys(app: Arc<App>) {
    loop {
        tokio::time::sleep(LOOK).await;
        app.refresh_keys().await;
    }
}

/// Says who is let in, whatever the log's filter is.
fn who_is_let_in(app: &App) -> String {
    let (doors, ring) = (app.doors(), app.doors().ring());
    if ring.is_open() {
        return "DEVELOPMENT START: no API keys. Everybody on this machine may read and write every tenant's data and is administrator; \
             nobody else is served. `offgridflow keys issue --admin` ends this."
            .to_owned();
    }
    let ((tenants, admins), rate) = (ring.counts(), doors.rate().unwrap_or_default());
    format!("API keys: {tenants} of tenants, {admins} of administrators; {rate} requests a second and tenant")
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> Result<impl Future<Output = ()> + Send + 'static, AppError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
