//! The channels between the conductor of a run and its shards.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    conductor::{Lines, Readies, Results},
    generator::ShardUse,
    pulse::Pulse,
    shard::Links,
    stop::StopHandle,
    window_record::WindowRecord,
};

/// How many windows of a shard may wait for the conductor.
const WINDOWS_WAITING: usize = 4;

/// What the conductor holds: to start the shards, to follow them, and to take their results.
pub(super) struct ConductorEnds {
    pub(super) readies: Readies,
    pub(super) results: Results,
    pub(super) go: watch::Sender<Option<Instant>>,
    pub(super) lines: Lines,
}

/// What a shard holds.
pub(super) struct ShardEnds {
    pub(super) links: Links,
    pub(super) result: oneshot::Sender<ShardUse>,
}

/// Connects a conductor with so many shards, all of which `stop` ends.
pub(super) fn wire(shards: usize, stop: &StopHandle) -> (ConductorEnds, Vec<ShardEnds>) {
    let (windows, from_shards) = mpsc::channel(WINDOWS_WAITING * shards);
    let (go, _) = watch::channel(None);
    let (measure_from, _) = watch::channel(None);
    let lines = Lines { windows: from_shards, spares: Vec::new(), measure_from, pulses: Vec::new() };
    let mut ends = ConductorEnds { readies: Vec::new(), results: Vec::new(), go, lines };
    let shards = (0..shards).map(|_| ends.one_more(windows.clone(), stop.clone())).collect();
    (ends, shards)
}

impl ConductorEnds {
    /// Connects one more shard, whose windows go where all shards' do.
    fn one_more(&mut self, windows: mpsc::Sender<WindowRecord>, stop: StopHandle) -> ShardEnds {
        let (ready, is_ready) = oneshot::channel();
        let (result, has_result) = oneshot::channel();
        let (spare, spares) = mpsc::channel(WINDOWS_WAITING);
        let pulse = Arc::new(Pulse::default());
        self.readies.push(is_ready);
        self.results.push(has_result);
        self.lines.spares.push(spare);
        self.lines.pulses.push(Arc::clone(&pulse));
        let (start, measure_from) = (self.go.subscribe(), self.lines.measure_from.subscribe());
        let links = Links { ready, start, windows, spares, measure_from, stop, pulse };
        ShardEnds { links, result }
    }
}
