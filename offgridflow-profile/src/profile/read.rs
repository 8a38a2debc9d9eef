use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::GzDecoder;
use prost::Message;

use super::proto::messages;
use super::{Frame, Mapping, Profile, Stack, ValueKind};
use crate::ProfileError;

/// What a profile may be when unpacked: ours are a few megabytes, and a small file can claim to be endless.
const LARGEST: u64 = 256 << 20;

impl Profile {
    /// Reads a profile in pprof's format, gzip-compressed or not: what [`to_pprof`](Self::to_pprof) writes, and what Go's and other tools do.
    /// A location with several lines (inlined calls) becomes several frames.
    ///
    /// # Errors
    /// [`ProfileError::Malformed`] for what is no such profile: torn, not gzip's checksum, or with numbers that lead nowhere.
    pub fn from_pprof(bytes: &[u8]) -> Result<Self, ProfileError> {
        let malformed = |what| ProfileError::Malformed { what };
        let mut plain = Vec::new();
        if bytes.starts_with(&[0x1F, 0x8B]) {
            let read = GzDecoder::new(bytes).take(LARGEST + 1).read_to_end(&mut plain);
            let length = read.map_err(|_| malformed("its compression is damaged"))?;
            if length as u64 > LARGEST {
                return Err(malformed("it is larger than 256 MiB"));
            }
        }
        let message = if plain.is_empty() { bytes } else { &plain };
        let message =
            messages::Profile::decode(message).map_err(|_| malformed("it is no protobuf of a profile"))?;
        Reader::of(&message).profile(&message).ok_or_else(|| malformed("a number in it leads nowhere"))
    }

    /// All of them as one: values of equal stacks are added, from the earliest beginning on, as long as all together. `None` for none, or where
    /// they do not count the same kinds.
    #[must_use]
    pub fn merged(profiles: Vec<Self>) -> Option<Self> {
        let mut profiles = profiles.into_iter();
        let mut whole = profiles.next()?;
        let mut places = HashMap::new();
        for (index, stack) in whole.stacks.iter().enumerate() {
            places.insert((stack.frames.clone(), stack.labels.clone()), index);
        }
        for profile in profiles {
            if profile.kinds != whole.kinds {
                return None;
            }
            whole.began = whole.began.min(profile.began);
            whole.duration = whole.duration.saturating_add(profile.duration);
            whole.comments.extend(profile.comments);
            whole.mappings.extend(profile.mappings);
            for stack in profile.stacks {
                let next = whole.stacks.len();
                match *places.entry((stack.frames.clone(), stack.labels.clone())).or_insert(next) {
                    index if index == next => whole.stacks.push(stack),
                    index => add(&mut whole.stacks[index].values, &stack.values),
                }
            }
        }
        let mut seen = HashSet::new();
        whole.mappings.retain(|mapping| seen.insert(mapping.clone()));
        Some(whole)
    }
}

fn add(sums: &mut [i64], values: &[i64]) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(*value));
}

/// Numbers to what they stand for.
struct Reader<'a> {
    strings: &'a [String],
    locations: HashMap<u64, &'a messages::Location>,
    functions: HashMap<u64, &'a messages::Function>,
}

impl<'a> Reader<'a> {
    fn of(message: &'a messages::Profile) -> Self {
        Self {
            strings: &message.string_table,
            locations: message.location.iter().map(|location| (location.id, location)).collect(),
            functions: message.function.iter().map(|function| (function.id, function)).collect(),
        }
    }

    fn profile(&self, message: &messages::Profile) -> Option<Profile> {
        let nanos = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let kinds = message.sample_type.iter().map(|kind| self.kind(kind)).collect::<Option<Vec<_>>>()?;
        Some(Profile {
            stacks: message
                .sample
                .iter()
                .map(|sample| self.stack(sample, kinds.len()))
                .collect::<Option<_>>()?,
            kinds,
            began: UNIX_EPOCH.checked_add(nanos(message.time_nanos))?,
            duration: nanos(message.duration_nanos),
            period: message.period,
            period_kind: message
                .period_type
                .as_ref()
                .map_or(Some(ValueKind::new("", "")), |kind| self.kind(kind))?,
            comments: message.comment.iter().map(|index| self.text(*index)).collect::<Option<_>>()?,
            mappings: message
                .mapping
                .iter()
                .filter(|mapping| mapping.memory_limit > 0)
                .map(|mapping| self.mapping(mapping))
                .collect::<Option<_>>()?,
        })
    }

    /// Those with addresses: one without says nothing but the program's name.
    fn mapping(&self, mapping: &messages::Mapping) -> Option<Mapping> {
        Some(Mapping {
            start: mapping.memory_start,
            limit: mapping.memory_limit,
            offset: mapping.file_offset,
            file: self.text(mapping.filename)?,
            build_id: self.text(mapping.build_id)?,
            has_functions: mapping.has_functions,
        })
    }

    fn text(&self, index: i64) -> Option<String> {
        self.strings.get(usize::try_from(index).ok()?).cloned()
    }

    fn kind(&self, kind: &messages::ValueType) -> Option<ValueKind> {
        Some(ValueKind { name: self.text(kind.kind)?, unit: self.text(kind.unit)? })
    }

    fn stack(&self, sample: &messages::Sample, kinds: usize) -> Option<Stack> {
        let frames = sample.location_id.iter().map(|id| self.frames(*id)).collect::<Option<Vec<_>>>()?;
        let labels = sample.label.iter().map(|label| Some((self.text(label.key)?, self.text(label.str)?)));
        (sample.value.len() == kinds).then_some(Stack {
            frames: frames.into_iter().flatten().collect(),
            values: sample.value.clone(),
            labels: labels.collect::<Option<_>>()?,
        })
    }

    fn frames(&self, location: u64) -> Option<Vec<Frame>> {
        let location = self.locations.get(&location)?;
        let address = Some(location.address).filter(|address| *address > 0);
        let last = location.line.len().saturating_sub(1);
        let frames = location.line.iter().enumerate();
        frames.map(|(index, line)| self.frame(line, address, index < last)).collect()
    }

    fn frame(&self, line: &messages::Line, address: Option<u64>, inlined: bool) -> Option<Frame> {
        let function = self.functions.get(&line.function_id)?;
        Some(Frame {
            function: self.text(function.name)?,
            file: Some(self.text(function.filename)?).filter(|file| !file.is_empty()),
            line: u32::try_from(line.line).ok().filter(|line| *line > 0),
            address,
            inlined,
        })
    }
}
