//! Profiles of CPU time, and flame graphs.

use std::time::Duration;

use tokio::sync::oneshot;

use super::answer::{Answer, Refusal, pprof, svg};
use super::query::Query;
use super::service::Shared;
use crate::{CpuSpec, Profile, ProfileError};

/// What Go takes when `seconds` is not given.
const SECONDS: Duration = Duration::from_secs(30);

impl Shared {
    /// `profile?seconds=&hz=`. For 0 seconds the default is taken, as Go does.
    pub(super) async fn profile(&self, query: Option<&str>) -> Result<Answer, Refusal> {
        let query = Query::read(query, &["seconds", "hz", "debug"])?;
        let body = self.cpu(&query, |profile| Ok(profile.to_pprof())).await?;
        Ok(pprof("profile", body))
    }

    /// `flamegraph?profile=cpu&seconds=&hz=`: as SVG.
    pub(super) async fn flamegraph(&self, query: Option<&str>) -> Result<Answer, Refusal> {
        let query = Query::read(query, &["profile", "seconds", "hz"])?;
        let drawn = match query.get("profile").unwrap_or("cpu") {
            "cpu" => self.cpu(&query, |profile| draw(&profile, "cpu")).await?,
            name => {
                let profile = self.taken(name, &query).await?;
                let name = name.to_owned();
                self.on_desk(move || draw(&profile, &name)).await?
            }
        };
        Ok(svg(drawn))
    }

    /// Captures, and renders on the engine's own thread. Dropped before, the capture ends.
    async fn cpu(
        &self,
        query: &Query,
        render: impl FnOnce(Profile) -> Result<Vec<u8>, ProfileError> + Send + 'static,
    ) -> Result<Vec<u8>, Refusal> {
        let expected =
            query.seconds_or_default("seconds", self.longest)?.unwrap_or(SECONDS.min(self.longest));
        let spec = CpuSpec { hz: query.number("hz")?.unwrap_or(CpuSpec::default().hz), expected };
        let desk = self.profiler.parts().cpu.as_ref().ok_or(ProfileError::Unsupported {
            what: "CPU profiling in this program",
            hint: "start the profiler with `.cpu(Cpu::on_demand())`",
        })?;
        let (reply, replies) = oneshot::channel();
        let _ticket = desk.order(spec, move |profile| {
            if !reply.is_closed() {
                drop(reply.send(profile.and_then(render)));
            }
        })?;
        Ok(replies.await.map_err(|_| ProfileError::Ended)??)
    }
}

#[cfg(feature = "flamegraph")]
fn draw(profile: &Profile, name: &str) -> Result<Vec<u8>, ProfileError> {
    let kind = match name {
        "allocs" => "alloc_space",
        _ => profile.kinds.last().map_or("", |kind| kind.name.as_str()),
    };
    let index = profile.kinds.iter().position(|one| one.name == kind).unwrap_or(0);
    let title = profile.comments.last().cloned().unwrap_or_else(|| name.to_owned());
    if profile.to_folded(index).is_empty() {
        return Err(ProfileError::Nothing {
            what: "to draw: no stack was sampled",
            hint: "ask while there is work",
        });
    }
    profile.to_svg(index, &title)
}

#[cfg(not(feature = "flamegraph"))]
fn draw(_: &Profile, _: &str) -> Result<Vec<u8>, ProfileError> {
    Err(ProfileError::Unsupported {
        what: "a flame graph in this build",
        hint: "enable the feature `flamegraph`",
    })
}
