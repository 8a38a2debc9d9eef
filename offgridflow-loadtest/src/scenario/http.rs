//! A scenario of an HTTP service.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use super::{
    Scenario,
    route::{Around, with_header},
    target::Target,
    values::{Secret, Secrets},
    within,
};
use crate::{error::ConfigError, replay::Replay, target::http::HttpTarget};

impl Scenario {
    /// Routes, where there are any, are asked in place of what a log holds.
    pub(super) fn http_target(
        &self,
        url: &str,
        replay: Option<&Arc<Replay>>,
        around: &Around<'_>,
        timeout: Duration,
    ) -> Result<HttpTarget, ConfigError> {
        let Target { http2, ca_file, insecure, cookies, traceparent, auth, headers, .. } = &self.file.target;
        let mut target = HttpTarget::new(url).map_err(within("target"))?;
        if let Some(connections) = http2 {
            target = target.http2(*connections).map_err(within("target"))?;
        }
        if let Some(file) = ca_file {
            target = trusting(target, &around.folder.join(file)).map_err(within("target"))?;
        }
        if *insecure {
            target = target.insecure().map_err(within("target"))?;
        }
        if *cookies {
            target = target.cookies();
        }
        if *traceparent {
            target = target.traceparent();
        }
        for (name, Secrets(values)) in headers {
            for Secret(value) in values {
                target = with_header(target, name, value, around).map_err(within("target"))?;
            }
        }
        if let Some(auth) = auth {
            target = auth.give(target, around).map_err(within("target"))?;
        }
        let asks_by_itself = self.file.route.is_empty() && self.file.flow.is_empty();
        if let Some(replay) = replay.filter(|_| asks_by_itself) {
            target = target.replaying(Arc::clone(replay))?.request_timeout(timeout);
            if let Some(hosts) = self.file.load.hosts() {
                target =
                    target.hosts(hosts).map_err(|error| ConfigError::new("load.replay.hosts", error.hint))?;
            }
        }
        self.refuse_the_same_route_twice()?;
        for (index, route) in self.file.route.iter().enumerate() {
            target = target.route(route.build(around).map_err(within(&format!("route.{index}")))?);
        }
        for (index, flow) in self.file.flow.iter().enumerate() {
            let within = within(&format!("flow.{index}"));
            target = target.flow(flow.build(around, timeout).map_err(&within)?).map_err(&within)?;
        }
        Ok(target)
    }

    /// Routes count together where each says the name, and not by mistake.
    fn refuse_the_same_route_twice(&self) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        let nameless =
            self.file.route.iter().enumerate().filter_map(|(at, route)| Some((at, route.place()?)));
        for (index, (method, path)) in nameless {
            if !seen.insert((method, path)) {
                let hint = format!(
                    "`{method} {path}` stands there twice, and nobody could tell the two apart: give each a name, or both the same one to count them together"
                );
                return Err(ConfigError::new(format!("route.{index}.path"), hint));
            }
        }
        Ok(())
    }
}

/// A target that believes the authorities of this file.
pub(crate) fn trusting(target: HttpTarget, file: &Path) -> Result<HttpTarget, ConfigError> {
    let wrong = |hint: &str| ConfigError::new("ca_file", format!("{}: {hint}", file.display()));
    let pem = std::fs::read(file).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    target.trust(&pem).map_err(|error| wrong(&error.hint))
}
