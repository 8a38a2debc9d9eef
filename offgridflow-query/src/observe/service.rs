//! A scope around each request.

use crate::observe::observer::Observer;
use crate::observe::scope::QueryScope;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// A tower layer that runs each request in a [`QueryScope`], and keeps what it finds with an [`Observer`], whether or not the request is answered. One box a
/// request.
///
/// ```
/// # use offgridflow_query::{Observer, QueryScopeLayer};
/// # use std::convert::Infallible;
/// # use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let observer = Observer::new("postgresql");
/// let asking = observer.clone();
/// let handler = service_fn(move |sites: u32| {
///     let observer = asking.clone();
///     async move {
///         for _ in 0..sites {
///             observer.start("SELECT name FROM sites WHERE id = $1").succeeded(1);
///         }
///         Ok::<_, Infallible>(sites)
///     }
/// });
/// let mut service = ServiceBuilder::new().layer(QueryScopeLayer::new(observer.clone())).service(handler);
/// for sites in [3, 12] {
///     service.ready().await.unwrap().call(sites).await.unwrap();
/// }
/// let found = observer.findings();
/// assert_eq!((found.len(), found[0].scopes, found[0].worst.times), (1, 1, 12));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct QueryScopeLayer {
    observer: Observer,
    scope: QueryScope,
}

impl QueryScopeLayer {
    /// Finds statements that a request executes five times or more from one place.
    #[must_use]
    pub fn new(observer: Observer) -> Self {
        Self { observer, scope: QueryScope::new() }
    }

    /// Finds them by another number.
    #[must_use]
    pub fn with_scope(self, scope: QueryScope) -> Self {
        Self { scope, ..self }
    }
}

impl<S> Layer<S> for QueryScopeLayer {
    type Service = QueryScopeService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        QueryScopeService { inner, layer: self.clone() }
    }
}

/// Made by [`QueryScopeLayer`].
#[derive(Debug, Clone)]
pub struct QueryScopeService<S> {
    inner: S,
    layer: QueryScopeLayer,
}

impl<S, R> Service<R> for QueryScopeService<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let begun = self.layer.scope.begin(&self.layer.observer);
        let answering = begun.within(|| self.inner.call(request));
        Box::pin(async move { begun.run(answering).await })
    }
}
