//! The source of a run: a loader that is slow, fails, panics or never returns, and the values it gives.

use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;

use super::history::Fault;
use super::mutant::Probe;
use super::world::World;
use crate::{Codec, CodecError, Loaded, Loader};

/// A value that says where it is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: u64,
    pub(super) version: u64,
}

/// What the source has in this version: of the last key, nothing in every third.
pub(super) fn in_source(key: u64, version: u64) -> Loaded<Version> {
    let there = key != super::plan::KEYS - 1 || !version.is_multiple_of(3);
    Loaded::maybe(there.then_some(Version { key, version })).tag(tag(key))
}

pub(super) fn is_absent(key: u64, version: u64) -> bool {
    in_source(key, version).value.is_none()
}

pub(super) fn tag(key: u64) -> String {
    format!("tag {}", key % 2)
}

/// Writes versions; not JSON, so that simulation needs no other feature.
#[derive(Debug)]
pub(super) struct Plain;

impl Codec<Version> for Plain {
    fn encode(&self, value: &Version) -> Result<Vec<u8>, CodecError> {
        Ok([value.key, value.version].map(u64::to_be_bytes).concat())
    }

    fn decode(&self, bytes: Bytes) -> Result<Version, CodecError> {
        let number = |from: usize| Some(u64::from_be_bytes(*bytes.get(from..)?.first_chunk()?));
        number(0)
            .zip(number(8))
            .map(|(key, version)| Version { key, version })
            .ok_or_else(|| CodecError("short".into()))
    }
}

/// One node's way to the source.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) world: Arc<World>,
    pub(super) node: usize,
    pub(super) probe: Probe,
}

/// A load that is under way: dropped before it ends, it was cancelled.
struct UnderWay<'w> {
    world: &'w World,
    load: usize,
}

impl UnderWay<'_> {
    fn ends(&self, end: Result<(), Fault>) {
        self.world.loaded(self.load, end);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.ends(Err(Fault::Timeout));
    }
}

const SLOW: u64 = 1;
const NEVER: u64 = 2;
const PANIC: u64 = 3;
const ERROR: u64 = 4;

impl Loader<u64, Version> for Source {
    type Error = &'static str;

    async fn load(&self, key: u64) -> Result<Loaded<Version>, &'static str> {
        let (world, node) = (&*self.world, self.node);
        let under_way = UnderWay { world, load: world.loads(node, key, self.probe.fenced(&key)) };
        let mut site = world.site(node, 16 + key);
        let before =
            if world.mishap(&mut site, SLOW, 12) { site.dice.below(120) } else { site.dice.below(4) };
        world.linger(before).await;
        world.running(node).await;
        let version = world.version(key);
        world.note(|| format!("node {node}: its loader reads key {key} = {version}"));
        let after =
            if world.mishap(&mut site, SLOW + 8, 12) { site.dice.below(120) } else { site.dice.below(4) };
        world.linger(if world.mishap(&mut site, NEVER, 2) { 60_000 } else { after }).await;
        world.running(node).await;
        if world.mishap(&mut site, PANIC, 3) {
            world.note(|| format!("node {node}: its loader panics, key {key}"));
            under_way.ends(Err(Fault::Panic));
            resume_unwind(Box::new("a loader's own fault")); // without a word on standard error
        }
        if world.mishap(&mut site, ERROR, 3) {
            world.note(|| format!("node {node}: its loader fails, key {key}"));
            under_way.ends(Err(Fault::Error));
            return Err("the source failed");
        }
        under_way.ends(Ok(()));
        Ok(in_source(key, version))
    }

    /// Says at times that what the cache holds is what there is.
    async fn reload_many(
        &self,
        keys: Vec<(u64, Option<Arc<Version>>)>,
    ) -> Vec<Result<Loaded<Version>, &'static str>> {
        let mut answers = self.load_many(keys.iter().map(|(key, _)| *key).collect()).await;
        for ((key, held), answer) in keys.iter().zip(&mut answers) {
            let same =
                |loaded: &Loaded<Version>| loaded.value.is_some() && loaded.value.as_ref() == held.as_deref();
            let mut site = self.world.site(self.node, 48 + key);
            if answer.as_ref().is_ok_and(same) && site.dice.percent(50) {
                let unchanged = Loaded::not_modified(); // which keeps its tag, or is told it again
                *answer = Ok(if site.dice.percent(50) { unchanged.tag(tag(*key)) } else { unchanged });
            }
        }
        answers
    }
}
