use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::clock;
use super::estimate::{Estimate, Sums, chance};
use super::live::{self, Live};
use super::machinery;
use super::site::{self, Counted};
use crate::symbols::{self, Exact};
use crate::{Frame, Mapping, Profile, Stack, ValueKind};

/// Ages that objects in use are counted by: younger than the first, then than the second, …, and older than the last.
pub const AGES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3_600),
];

/// Objects, and the bytes they take.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Held {
    /// How many.
    pub objects: Estimate,
    /// How large together, as asked for; what the allocator adds is not in it.
    pub bytes: Estimate,
}

/// A place in the program that allocates.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HeapSite {
    /// How it is reached, the allocating function first. Empty for what came after 4 095 other sites.
    pub frames: Vec<Frame>,
    /// What was allocated here since the start.
    pub allocated: Held,
    /// What of it is in use. Samples that found no room may be of objects that are: the upper end holds them.
    pub in_use: Held,
    /// Bytes in use by age, as [`AGES`] says: a leak grows old.
    pub bytes_by_age: [f64; AGES.len() + 1],
    /// Samples that the figures of what is in use rest on.
    pub samples: u64,
}

/// What holds memory, at one instant.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HeapSnapshot {
    /// When.
    pub taken: SystemTime,
    /// Mean bytes between samples.
    pub rate_bytes: u64,
    /// Sites, by bytes in use, the largest first.
    pub sites: Vec<HeapSite>,
    /// All of them together.
    pub in_use: Held,
    /// Samples taken since the start.
    pub samples: u64,
    /// Samples that found no room; their objects are missing among those in use, of whose upper ends they are a part.
    pub dropped: u64,
    /// Samples whose stack was deeper than 32 frames; their outermost are left out.
    pub truncated: u64,
    /// The files that the frames are from.
    pub mappings: Vec<Mapping>,
}

impl HeapSnapshot {
    pub(super) fn take(rate_bytes: u64, samples: u64, dropped: u64) -> Self {
        let mut by_site = HashMap::<u32, Vec<Live>>::new();
        live::all().for_each(|live| by_site.entry(live.site).or_default().push(live));
        let counted: Vec<Counted> = site::all().collect();
        let calls = counted.iter().flat_map(|site| machinery::calls(&site.frames));
        let symbols = symbols::resolve(calls, Exact::Instruction);
        #[expect(clippy::cast_precision_loss, reason = "a rate of megabytes")]
        let rate = rate_bytes as f64;
        let mut whole = Use::default();
        let named: Vec<(Vec<Frame>, Counted)> =
            counted.into_iter().map(|site| (machinery::frames(&site.frames, &symbols), site)).collect();
        let site = |same: Vec<&(Vec<Frame>, Counted)>| {
            let (mut held, mut allocated) = (Use::default(), (Sums::default(), Sums::default()));
            for (_, counted) in &same {
                held.lose(counted.lost);
                whole.lose(counted.lost);
                allocated = (allocated.0.with(counted.objects), allocated.1.with(counted.bytes));
                for live in by_site.get(&counted.index).map_or(&[][..], Vec::as_slice) {
                    held.add(live, rate);
                    whole.add(live, rate);
                }
            }
            HeapSite {
                frames: same[0].0.clone(),
                allocated: Held { objects: allocated.0.estimate(), bytes: allocated.1.estimate() },
                in_use: held.estimate(),
                bytes_by_age: held.by_age,
                samples: held.bytes.samples,
            }
        };
        let mut sites: Vec<HeapSite> = places(&named).into_iter().map(site).collect();
        sites.sort_by(|a, b| b.in_use.bytes.value.total_cmp(&a.in_use.bytes.value));
        Self {
            taken: SystemTime::now(),
            rate_bytes,
            sites,
            in_use: whole.estimate(),
            samples,
            dropped,
            truncated: site::truncated(),
            mappings: symbols.into_mappings(),
        }
    }

    /// As a profile with the four kinds of Go's heap profile: `alloc_objects`, `alloc_space`, `inuse_objects`, `inuse_space`.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "estimates of memory fit"
    )]
    pub fn to_profile(&self) -> Profile {
        let stack = |site: &HeapSite| Stack {
            frames: site.frames.clone(),
            values: [site.allocated.objects, site.allocated.bytes, site.in_use.objects, site.in_use.bytes]
                .iter()
                .map(|estimate| estimate.value.round() as i64)
                .collect(),
            labels: Vec::new(),
        };
        let kinds = [
            ("alloc_objects", "count"),
            ("alloc_space", "bytes"),
            ("inuse_objects", "count"),
            ("inuse_space", "bytes"),
        ];
        let stacks: Vec<Stack> = self.sites.iter().map(stack).collect();
        Profile {
            kinds: kinds.iter().map(|(name, unit)| ValueKind::new(name, unit)).collect(),
            began: self.taken,
            duration: Duration::ZERO,
            period: self.rate_bytes as i64,
            period_kind: ValueKind::new("space", "bytes"),
            comments: [
                format!("{} samples, one in {} bytes on average", self.samples, self.rate_bytes),
                format!("{} dropped: they found no room; what they stood for may be in use beside what is shown, and is in the upper ends", self.dropped),
                format!("{} truncated at {} frames", self.truncated, site::DEPTH),
            ]
            .into_iter()
            .chain(symbols::without_names(&stacks))
            .collect(),
            stacks,
            mappings: self.mappings.clone(),
        }
    }
}

/// Sites that are one place once the machinery is cut off: it allocates there, reallocates, and asks for zeroed memory.
fn places(named: &[(Vec<Frame>, Counted)]) -> Vec<Vec<&(Vec<Frame>, Counted)>> {
    let mut places = Vec::<Vec<_>>::new();
    let mut found = HashMap::new();
    for site in named {
        let words: Vec<_> = site.0.iter().map(Frame::place).collect();
        let place = *found.entry(words).or_insert(places.len());
        match places.get_mut(place) {
            Some(same) => same.push(site),
            None => places.push(vec![site]),
        }
    }
    places
}

#[derive(Default)]
struct Use {
    objects: Sums,
    bytes: Sums,
    by_age: [f64; AGES.len() + 1],
    lost: [f64; 2],
}

impl Use {
    /// Objects and bytes that may be in use, and whose samples found no room.
    fn lose(&mut self, lost: [f64; 2]) {
        self.lost = [self.lost[0] + lost[0], self.lost[1] + lost[1]];
    }

    #[expect(clippy::cast_precision_loss, reason = "memory below 2^53 bytes is exact")]
    fn add(&mut self, live: &Live, rate: f64) {
        let p = chance(live.size, rate);
        self.objects.add(1.0, p);
        self.bytes.add(live.size as f64, p);
        let age = clock::since(live.born);
        let class = AGES.iter().position(|limit| age < *limit).unwrap_or(AGES.len());
        self.by_age[class] += live.size as f64 / p;
    }

    fn estimate(&self) -> Held {
        let (mut objects, mut bytes) = (self.objects.estimate(), self.bytes.estimate());
        objects.high += self.lost[0];
        bytes.high += self.lost[1];
        Held { objects, bytes }
    }
}
