//! An incident for tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Evidence, Incident, Suspect, id};
use crate::{Frame, Observation, Profile, Sample, Stack, ValueKind};

pub(super) fn heap(bytes: i64) -> Profile {
    let kind = ValueKind::new("inuse_space", "bytes");
    Profile {
        kinds: vec![kind.clone()],
        stacks: vec![Stack {
            frames: vec![Frame::named("shop::<T as Keep>::receipts")],
            values: vec![bytes],
            labels: vec![],
        }],
        began: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        duration: Duration::ZERO,
        period: 1,
        period_kind: kind,
        comments: vec![],
        mappings: vec![],
    }
}

pub(super) fn incident() -> Incident {
    let at: SystemTime = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let mut seen = Observation::new(Duration::from_secs(9));
    seen.cpu_cores = Some(0.5);
    Incident {
        id: id(at, "leak"),
        at,
        kind: "leak".to_owned(),
        why: "leak: grows & <grows>".to_owned(),
        place: None,
        verdict: None,
        limit: None,
        memory: (0..10).map(|s| Sample { at: Duration::from_secs(s), bytes: s << 20 }).collect(),
        observations: vec![seen],
        evidence: vec![Evidence {
            what: "heap".to_owned(),
            before: Some(heap(1 << 20)),
            after: Some(heap(41 << 20)),
        }],
        suspects: vec![Suspect {
            name: "shop::receipts".to_owned(),
            what: "heap".to_owned(),
            grew: "40.0 MiB more in use".to_owned(),
            share: 1.0,
        }],
        notes: vec!["no CPU profile".to_owned()],
    }
}
