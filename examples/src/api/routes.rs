use std::sync::Arc;

use axum::routing::MethodRouter;
use axum::{Router, middleware};

use super::guard;
use crate::app::App;

/// Who is let through to a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Everybody.
    Open,
    /// A tenant, as often as its rate allows.
    Tenants,
    /// Administrators.
    Admins,
}

/// Routes, each behind a door, which is noted down so that tests can try every one.
#[derive(Debug, Default)]
pub(super) struct Routes {
    open: Router<Arc<App>>,
    tenants: Router<Arc<App>>,
    admins: Router<Arc<App>>,
    doors: Vec<(Door, &'static str)>,
}

impl Routes {
    /// Adds a route behind `door`.
    pub(super) fn add(mut self, door: Door, path: &'static str, route: MethodRouter<Arc<App>>) -> Self {
        self.doors.push((door, path));
        let routes = match door {
            Door::Open => &mut self.open,
            Door::Tenants => &mut self.tenants,
            Door::Admins => &mut self.admins,
        };
        *routes = std::mem::take(routes).route(path, route);
        self
    }

    /// Everything of another set of routes, too.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.open = self.open.merge(other.open);
        self.tenants = self.tenants.merge(other.tenants);
        self.admins = self.admins.merge(other.admins);
        self.doors.extend(other.doors);
        self
    }

    /// What was added.
    pub(super) fn doors(&self) -> Vec<(Door, &'static str)> {
        self.doors.clone()
    }

    /// The router, with its doors.
    pub(super) fn router(self, app: &Arc<App>) -> Router<Arc<App>> {
        let mut router = self.open;
        if self.doors.iter().any(|(door, _)| *door == Door::Tenants) {
            router = router.merge(
                self.tenants.route_layer(middleware::from_fn_with_state(Arc::clone(app), guard::tenants)),
            );
        }
        if self.doors.iter().any(|(door, _)| *door == Door::Admins) {
            router = router.merge(
                self.admins.route_layer(middleware::from_fn_with_state(Arc::clone(app), guard::admins)),
            );
        }
        let longest = app.config().longest_request();
        router.layer(middleware::from_fn_with_state(longest, guard::in_time))
    }
}
