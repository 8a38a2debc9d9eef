use std::collections::HashMap;
use std::io::Write;
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::{Frame, Mapping, Profile, Stack, ValueKind};

/// The messages of github.com/google/pprof/proto/profile.proto, with the fields that are written here.
pub(super) mod messages {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(in crate::profile) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(in crate::profile) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(in crate::profile) mapping: Vec<Mapping>,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::profile) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(in crate::profile) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(in crate::profile) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(in crate::profile) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(in crate::profile) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(in crate::profile) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(in crate::profile) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(in crate::profile) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(in crate::profile) default_sample_type: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(in crate::profile) kind: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::profile) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(in crate::profile) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(in crate::profile) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(in crate::profile) label: Vec<Label>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Label {
        #[prost(int64, tag = "1")]
        pub(in crate::profile) key: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::profile) str: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Mapping {
        #[prost(uint64, tag = "1")]
        pub(in crate::profile) id: u64,
        #[prost(uint64, tag = "2")]
        pub(in crate::profile) memory_start: u64,
        #[prost(uint64, tag = "3")]
        pub(in crate::profile) memory_limit: u64,
        #[prost(uint64, tag = "4")]
        pub(in crate::profile) file_offset: u64,
        #[prost(int64, tag = "5")]
        pub(in crate::profile) filename: i64,
        #[prost(int64, tag = "6")]
        pub(in crate::profile) build_id: i64,
        #[prost(bool, tag = "7")]
        pub(in crate::profile) has_functions: bool,
        #[prost(bool, tag = "8")]
        pub(in crate::profile) has_filenames: bool,
        #[prost(bool, tag = "9")]
        pub(in crate::profile) has_line_numbers: bool,
        #[prost(bool, tag = "10")]
        pub(in crate::profile) has_inline_frames: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Location {
        #[prost(uint64, tag = "1")]
        pub(in crate::profile) id: u64,
        #[prost(uint64, tag = "2")]
        pub(in crate::profile) mapping_id: u64,
        #[prost(uint64, tag = "3")]
        pub(in crate::profile) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::profile) line: Vec<Line>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Line {
        #[prost(uint64, tag = "1")]
        pub(in crate::profile) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::profile) line: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Function {
        #[prost(uint64, tag = "1")]
        pub(in crate::profile) id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::profile) name: i64,
        #[prost(int64, tag = "3")]
        pub(in crate::profile) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(in crate::profile) filename: i64,
    }
}

impl Profile {
    /// The profile as gzip-compressed pprof protobuf, which Go's `pprof` and everything that descends from it reads.
    ///
    /// # Panics
    /// Never: it writes to memory.
    #[must_use]
    pub fn to_pprof(&self) -> Vec<u8> {
        self.to_pprof_of("")
    }

    /// The same, of which a reader shows this kind unless told otherwise; the last one for an empty name.
    pub(crate) fn to_pprof_of(&self, kind: &str) -> Vec<u8> {
        let message = Writer::default().profile(self, kind).encode_to_vec();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&message).and_then(|()| gzip.finish()).expect("memory takes every byte")
    }
}

/// Gives strings, functions and locations their numbers as they turn up.
#[derive(Default)]
struct Writer {
    message: messages::Profile,
    strings: HashMap<String, i64>,
    functions: HashMap<(String, Option<String>), u64>,
    locations: HashMap<Vec<Frame>, u64>,
    /// From, to and number of each mapping.
    mapped: Vec<(u64, u64, u64)>,
}

/// Every location is in a mapping, as some readers want it: in this one where it has no address.
const FIRST: u64 = 1;

impl Writer {
    fn profile(mut self, profile: &Profile, shown: &str) -> messages::Profile {
        self.string(""); // the table begins with the empty string
        self.mappings(&profile.mappings);
        self.message.sample_type = profile.kinds.iter().map(|kind| self.kind(kind)).collect();
        self.message.sample = profile.stacks.iter().map(|stack| self.stack(stack)).collect();
        self.message.period_type = Some(self.kind(&profile.period_kind));
        self.message.period = profile.period;
        self.message.default_sample_type = self.string(shown);
        self.message.comment = profile.comments.iter().map(|comment| self.string(comment)).collect();
        let began = profile.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.message.time_nanos = i64::try_from(began.as_nanos()).unwrap_or(i64::MAX);
        self.message.duration_nanos = i64::try_from(profile.duration.as_nanos()).unwrap_or(i64::MAX);
        self.message
    }

    /// The mappings; where there are none, the program as one without addresses.
    fn mappings(&mut self, mappings: &[Mapping]) {
        for mapping in mappings {
            let id = self.message.mapping.len() as u64 + FIRST;
            let (filename, build_id) = (self.string(&mapping.file), self.string(&mapping.build_id));
            self.mapped.push((mapping.start, mapping.limit, id));
            self.message.mapping.push(messages::Mapping {
                id,
                memory_start: mapping.start,
                memory_limit: mapping.limit,
                file_offset: mapping.offset,
                filename,
                build_id,
                has_functions: mapping.has_functions,
                ..messages::Mapping::default()
            });
        }
        if mappings.is_empty() {
            let executable = std::env::current_exe().ok();
            let name = executable.as_deref().and_then(|path| path.file_name());
            let filename = self.string(name.map_or("program".into(), |name| name.to_string_lossy()).as_ref());
            let mapping = messages::Mapping {
                id: FIRST,
                filename,
                has_functions: true,
                ..messages::Mapping::default()
            };
            self.message.mapping.push(mapping);
        }
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = i64::try_from(self.message.string_table.len()).unwrap_or(0);
        self.message.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn kind(&mut self, kind: &ValueKind) -> messages::ValueType {
        messages::ValueType { kind: self.string(&kind.name), unit: self.string(&kind.unit) }
    }

    fn stack(&mut self, stack: &Stack) -> messages::Sample {
        messages::Sample {
            location_id: stack
                .frames
                .chunk_by(|frame, _| frame.inlined)
                .map(|frames| self.location(frames))
                .collect(),
            value: stack.values.clone(),
            label: stack.labels.iter().map(|(key, text)| self.label(key, text)).collect(),
        }
    }

    fn label(&mut self, key: &str, text: &str) -> messages::Label {
        messages::Label { key: self.string(key), str: self.string(text) }
    }

    /// A function and those that are inlined into it, the innermost first.
    fn location(&mut self, frames: &[Frame]) -> u64 {
        if let Some(id) = self.locations.get(frames) {
            return *id;
        }
        let mut line = Vec::with_capacity(frames.len());
        for frame in frames {
            line.push(messages::Line {
                function_id: self.function(frame),
                line: frame.line.map_or(0, i64::from),
            });
        }
        let id = self.message.location.len() as u64 + 1;
        let address = frames.first().and_then(|frame| frame.address).unwrap_or(0);
        let mapping_id = self.mapping(address, frames);
        self.message.location.push(messages::Location { id, mapping_id, address, line });
        self.locations.insert(frames.to_vec(), id);
        id
    }

    /// The mapping of an address, of which it is noted what is known.
    fn mapping(&mut self, address: u64, frames: &[Frame]) -> u64 {
        let inside = self.mapped.iter().find(|(from, to, _)| (*from..*to).contains(&address));
        let id = inside.map_or(FIRST, |(_, _, id)| *id);
        let index = usize::try_from(id - FIRST).unwrap_or(0);
        let mapping = &mut self.message.mapping[index];
        mapping.has_filenames |= frames.iter().any(|frame| frame.file.is_some());
        mapping.has_line_numbers |= frames.iter().any(|frame| frame.line.is_some());
        mapping.has_inline_frames |= frames.len() > 1;
        id
    }

    fn function(&mut self, frame: &Frame) -> u64 {
        let key = (frame.function.clone(), frame.file.clone());
        if let Some(id) = self.functions.get(&key) {
            return *id;
        }
        let id = self.message.function.len() as u64 + 1;
        let name = self.string(&frame.function);
        let filename = self.string(frame.file.as_deref().unwrap_or(""));
        self.message.function.push(messages::Function { id, name, system_name: name, filename });
        self.functions.insert(key, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> messages::Profile {
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut message).unwrap();
        messages::Profile::decode(message.as_slice()).unwrap()
    }

    const START: u64 = 0x1000;

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = (
            "[a-d]{0,3}",
            proptest::option::of("[a-c]"),
            proptest::option::of(1_u32..4),
            proptest::option::of(START..START + 0x40),
        );
        let frame = frame.prop_map(|(function, file, line, address)| Frame {
            function,
            file,
            line,
            address,
            inlined: false,
        });
        let location = (frame, 0_usize..3).prop_map(|(frame, inlined)| {
            let inner = (0..inlined).map(|depth| Frame {
                function: format!("{}{depth}", frame.function),
                inlined: true,
                ..frame.clone()
            });
            inner.chain([frame.clone()]).collect::<Vec<_>>()
        });
        proptest::collection::vec(location, 0..6).prop_map(|locations| locations.concat())
    }

    proptest! {
        /// Every number in the message leads back to what it stands for, and every location is in a mapping.
        #[test]
        fn what_is_written_can_be_read_back(stacks in proptest::collection::vec((frames(), any::<i64>()), 0..12), mapped: bool) {
            let stacks = stacks.into_iter().map(|(frames, value)| Stack { frames, values: vec![value], labels: vec![("thread".to_owned(), "main".to_owned())] }).collect();
            let kind = ValueKind::new("cpu", "nanoseconds");
            let mapping = |start: u64, file: &str| Mapping { start, limit: start + 0x20, offset: 0x300, file: file.to_owned(), build_id: "c0ffee".to_owned(), has_functions: start == START };
            let mappings = if mapped { vec![mapping(START, "/srv/shop"), mapping(START + 0x20, "/lib/libc.so.6")] } else { vec![] };
            let began = UNIX_EPOCH + Duration::from_nanos(1_790_000_000_123_456_789);
            let profile = Profile { kinds: vec![kind.clone()], stacks, began, duration: Duration::from_secs(1), period: 10, period_kind: kind, comments: vec!["remark".to_owned()], mappings };
            let bytes = profile.to_pprof();
            let message = decode(&bytes);
            prop_assert_eq!(&message.string_table[0], "");
            for location in &message.location {
                prop_assert!(location.mapping_id == FIRST || location.mapping_id == FIRST + 1);
                let mapping = &message.mapping[usize::try_from(location.mapping_id - FIRST).unwrap()];
                let inside = (mapping.memory_start..mapping.memory_limit).contains(&location.address);
                prop_assert!(inside || !mapped || location.address == 0, "{location:?} {mapping:?}");
                prop_assert!(mapping.has_inline_frames || location.line.len() == 1);
            }
            prop_assert_eq!(Profile::from_pprof(&bytes).unwrap(), profile);
        }
    }
}
