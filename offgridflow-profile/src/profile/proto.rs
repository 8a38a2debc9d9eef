use std::collections::HashMap;
use std::io::Write;
use std::time::UNIX_EPOCH;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use super::{Frame, Profile, Stack, ValueKind};

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
        #[prost(int64, tag = "5")]
        pub(in crate::profile) filename: i64,
        #[prost(bool, tag = "7")]
        pub(in crate::profile) has_functions: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::profile) struct Location {
        #[prost(uint64, tag = "1")]
        pub(in crate::profile) id: u64,
        #[prost(uint64, tag = "2")]
        pub(in crate::profile) mapping_id: u64,
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
    locations: HashMap<Frame, u64>,
}

impl Writer {
    fn profile(mut self, profile: &Profile, shown: &str) -> messages::Profile {
        self.string(""); // the table begins with the empty string
        let executable = std::env::current_exe().ok();
        let name = executable.as_deref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        let filename = self.string(name.as_deref().unwrap_or("program"));
        self.message.mapping = vec![messages::Mapping { id: 1, filename, has_functions: true }];
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
            location_id: stack.frames.iter().map(|frame| self.location(frame)).collect(),
            value: stack.values.clone(),
            label: stack.labels.iter().map(|(key, text)| self.label(key, text)).collect(),
        }
    }

    fn label(&mut self, key: &str, text: &str) -> messages::Label {
        messages::Label { key: self.string(key), str: self.string(text) }
    }

    fn location(&mut self, frame: &Frame) -> u64 {
        if let Some(id) = self.locations.get(frame) {
            return *id;
        }
        let function_id = self.function(frame);
        let id = self.message.location.len() as u64 + 1;
        let line = vec![messages::Line { function_id, line: frame.line.map_or(0, i64::from) }];
        self.message.location.push(messages::Location { id, mapping_id: 1, line });
        self.locations.insert(frame.clone(), id);
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
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    fn decode(bytes: &[u8]) -> messages::Profile {
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut message).unwrap();
        messages::Profile::decode(message.as_slice()).unwrap()
    }

    fn frames() -> impl Strategy<Value = Vec<Frame>> {
        let frame = ("[a-d]{0,3}", proptest::option::of("[a-c]"), proptest::option::of(0_u32..4));
        proptest::collection::vec(
            frame.prop_map(|(function, file, line)| Frame { function, file, line }),
            0..6,
        )
    }

    proptest! {
        /// Every number in the message leads back to the text it stands for.
        #[test]
        fn what_is_written_can_be_read_back(stacks in proptest::collection::vec((frames(), any::<i64>()), 0..12)) {
            let stacks: Vec<Stack> = stacks.into_iter().map(|(frames, value)| Stack { frames, values: vec![value], labels: vec![("thread".to_owned(), "main".to_owned())] }).collect();
            let kind = ValueKind::new("cpu", "nanoseconds");
            let profile = Profile { kinds: vec![kind.clone()], stacks: stacks.clone(), began: SystemTime::now(), duration: Duration::from_secs(1), period: 10, period_kind: kind, comments: vec!["remark".to_owned()] };
            let message = decode(&profile.to_pprof());
            let text = |index: i64| message.string_table[usize::try_from(index).unwrap()].clone();
            prop_assert_eq!(&message.string_table[0], "");
            prop_assert_eq!(text(message.comment[0]), "remark");
            prop_assert_eq!(message.sample.len(), stacks.len());
            for (sample, stack) in message.sample.iter().zip(&stacks) {
                let read: Vec<Frame> = sample.location_id.iter().map(|id| {
                    let location = message.location.iter().find(|location| location.id == *id).unwrap();
                    assert_eq!(location.mapping_id, 1, "every location has a mapping");
                    let function = message.function.iter().find(|function| function.id == location.line[0].function_id).unwrap();
                    let file = Some(text(function.filename)).filter(|file| !file.is_empty());
                    Frame { function: text(function.name), file, line: u32::try_from(location.line[0].line).ok().filter(|line| *line > 0) }
                }).collect();
                let written: Vec<Frame> = stack.frames.iter().cloned().map(|frame| Frame { line: frame.line.filter(|line| *line > 0), ..frame }).collect();
                prop_assert_eq!(read, written);
                prop_assert_eq!(&sample.value, &stack.values);
            }
        }
    }
}
