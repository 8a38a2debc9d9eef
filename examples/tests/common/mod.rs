//! A server in this process, asked over real sockets.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use clap::Parser;
use hyper::Method;
use hyper::body::Bytes;
use offgridflow::api;
use offgridflow::app::App;
use offgridflow::config::Config;
use offgridflow::http_client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    config: Config,
}

/// Settings as the command line gives them.
pub fn config(arguments: &[&str]) -> Config {
    Line::parse_from(std::iter::once("test").chain(arguments.iter().copied())).config
}

/// A running `all` role.
pub struct Server {
    pub app: Arc<App>,
    pub base: String,
    folder: tempfile::TempDir,
    serving: JoinHandle<()>,
    working: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

/// What came back: the status, and the body as JSON (`null` when it is none).
pub type Answer = (StatusCode, Value);

impl Server {
    /// On a SQLite file of its own.
    pub async fn on_sqlite(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self::start(folder, &[&["--database-url", &url], arguments].concat()).await
    }

    /// On a database of any kind.
    pub async fn on(url: &str, arguments: &[&str]) -> Self {
        Self::start(tempfile::tempdir().unwrap(), &[&["--database-url", url], arguments].concat()).await
    }

    async fn start(folder: tempfile::TempDir, arguments: &[&str]) -> Self {
        let app = App::start(config(arguments)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = api::router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
        let (stop, stopped) = watch::channel(false);
        let worker = Arc::clone(&app);
        let working = tokio::spawn(async move { offgridflow::worker::run(worker.ledger(), stopped).await });
        Self { app, base, folder, serving, working, stop }
    }

    /// Ends the server as SIGTERM does.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        self.working.await.unwrap();
        self.serving.abort();
        self.app.close().await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn get_as(&self, tenant: &str, path: &str) -> Answer {
        self.send(Method::GET, path, &[("x-tenant", tenant)], "").await
    }

    pub async fn post(&self, content_type: &str, query: &str, body: impl AsRef<[u8]>) -> Answer {
        let path = format!("/api/v1/activities{query}");
        self.send(Method::POST, &path, &[("content-type", content_type)], body).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Answer {
        let body = Bytes::copy_from_slice(body.as_ref());
        let answer = http_client::send(&self.base, method, path, headers, body).await.unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}

/// A row of NDJSON.
pub fn row(id: &str, category: &str, quantity: &str, period: &str) -> String {
    format!(
        "{{\"id\":\"{id}\",\"category\":\"{category}\",\"quantity\":{quantity},\"period\":\"{period}\"}}\n"
    )
}
