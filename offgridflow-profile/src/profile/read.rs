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
/// What its stacks may be once each has its own frames: a small file can name one place as often as it likes.
const LARGEST_STACKS: u64 = 1 << 30;

impl Profile {
    /// Reads a profile in pprof's format, gzip-compressed or not: what [`to_pprof`](Self::to_pprof) writes, and what Go's and other tools do.
    /// A location with several lines (inlined calls) becomes several frames.
    ///
    /// # Errors
    /// [`ProfileError::Malformed`] for what is no such profile: torn, not gzip's checksum, with numbers that lead nowhere, or larger than 256 MiB (its stacks
    /// than 1 GiB) once it is unpacked.
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
        let reader = Reader::of(&message);
        if reader.bytes_of_stacks(&message) > LARGEST_STACKS {
            return Err(malformed("its stacks are larger than 1 GiB"));
        }
        reader.profile(&message).ok_or_else(|| malformed("a number in it leads nowhere"))
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

    /// What the frames of all stacks take, each with its own names.
    fn bytes_of_stacks(&self, message: &messages::Profile) -> u64 {
        let text = |index: i64| self.text_len(index);
        let function = |line: &messages::Line| {
            let names = self.functions.get(&line.function_id);
            size_of::<Frame>() + names.map_or(0, |names| text(names.name) + text(names.filename))
        };
        let location =
            |location: &messages::Location| location.line.iter().map(function).sum::<usize>() as u64;
        let locations: HashMap<u64, u64> =
            message.location.iter().map(|one| (one.id, location(one))).collect();
        let ids = message.sample.iter().flat_map(|sample| &sample.location_id);
        ids.fold(0, |sum, id| sum.saturating_add(locations.get(id).copied().unwrap_or(0)))
    }

    fn text_len(&self, index: i64) -> usize {
        usize::try_from(index).ok().and_then(|index| self.strings.get(index)).map_or(0, String::len)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples of a thousand locations each, which are one of a hundred lines.
    fn repeated(samples: usize) -> Vec<u8> {
        let line = messages::Line { function_id: 1, line: 7 };
        let location = messages::Location { id: 1, mapping_id: 0, address: 0, line: vec![line; 100] };
        let sample = messages::Sample { location_id: vec![1; 1_000], value: vec![], label: vec![] };
        let message = messages::Profile {
            sample: vec![sample; samples],
            location: vec![location],
            function: vec![messages::Function { id: 1, name: 1, system_name: 1, filename: 0 }],
            string_table: vec![String::new(), "f".repeat(400)],
            ..messages::Profile::default()
        };
        message.encode_to_vec()
    }

    /// Three million frames in thirty kilobytes.
    #[test]
    fn a_small_file_cannot_claim_endless_stacks() {
        let refused = Profile::from_pprof(&repeated(30)).err().map(|error| error.to_string());
        assert!(refused.as_ref().is_some_and(|why| why.contains("larger than 1 GiB")), "{refused:?}");
        assert_eq!(Profile::from_pprof(&repeated(1)).unwrap().stacks[0].frames.len(), 100_000);
    }
}
