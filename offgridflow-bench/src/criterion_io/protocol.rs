//! The protocol that criterion 0.3.4 to 0.8 speak with whoever set `CARGO_CRITERION_PORT`: a greeting each way, then frames of a length
//! (four bytes, most significant first) and a CBOR message. Version 1, as `cargo-criterion` speaks it.

use ciborium::Value;

/// What the runner says first; the version is that of a `cargo-criterion` that criterion takes for current.
pub(crate) const HELLO: &[u8] = b"cargo-criterion\x01\x01\x00";
/// The runner's answer that lets the benchmark go on, as a whole frame: the text `Continue`.
pub(crate) const CONTINUE: &[u8] = b"\x00\x00\x00\x09\x68Continue";

const GREETING: &[u8] = b"Criterion";
/// The greeting, criterion's version, and those of the protocol and its format.
const GREETING_BYTES: usize = GREETING.len() + 3 + 2 + 2;
/// A frame of a million samples has some 20 MB; a longer one is not from criterion.
const LONGEST_FRAME: usize = 64 << 20;

/// What a benchmark process tells, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A benchmark that the filter leaves out.
    Skipped(String),
    /// A benchmark's samples. The process waits for [`CONTINUE`].
    Measured(Block),
    /// A group is over. The process waits for [`CONTINUE`].
    GroupDone,
    /// Something else, known or not.
    Other,
}

/// One benchmark of one process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    /// Its full name.
    pub(crate) name: String,
    /// Nanoseconds an iteration, in the order they were taken.
    pub(crate) samples: Vec<f64>,
}

/// Cuts what arrives into messages.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    greeted: bool,
    buffer: Vec<u8>,
}

impl Frames {
    /// Takes bytes as they arrive.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next event, `None` until more has arrived.
    ///
    /// # Errors
    /// What is wrong with it, in words, when this is not criterion speaking.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, String> {
        if !self.greeted {
            let heard = &self.buffer[..self.buffer.len().min(GREETING.len())];
            if heard != &GREETING[..heard.len()] {
                return Err("it does not greet as criterion does".to_owned());
            }
            if self.buffer.len() < GREETING_BYTES {
                return Ok(None);
            }
            self.buffer.drain(..GREETING_BYTES);
            self.greeted = true;
        }
        let Some((length, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > LONGEST_FRAME {
            return Err(format!("it announces a message of {length} bytes"));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let event = decode(&rest[..length]);
        self.buffer.drain(..4 + length);
        event.map(Some)
    }
}

fn decode(message: &[u8]) -> Result<Event, String> {
    let value: Value =
        ciborium::from_reader(message).map_err(|error| format!("its message is not CBOR: {error}"))?;
    let Some((kind, body)) = only_entry(&value) else { return Ok(Event::Other) };
    match kind {
        "SkippingBenchmark" => Ok(name_of(body).map_or(Event::Other, Event::Skipped)),
        "FinishedBenchmarkGroup" => Ok(Event::GroupDone),
        "MeasurementComplete" => block_of(body).map(Event::Measured).ok_or_else(|| {
            "its measurement lacks the name, `iters` or `times`, or they do not fit".to_owned()
        }),
        _ => Ok(Event::Other),
    }
}

fn block_of(body: &Value) -> Option<Block> {
    let (iters, times) = (numbers(field(body, "iters")?)?, numbers(field(body, "times")?)?);
    let samples = super::sample::nanoseconds_an_iteration(&iters, &times)?;
    Some(Block { name: name_of(body)?, samples })
}

/// Group, function and value, as criterion joins them.
fn name_of(body: &Value) -> Option<String> {
    let id = field(body, "id")?;
    let part = |name| field(id, name).and_then(Value::as_text);
    let parts: Vec<&str> =
        [part("group_id"), part("function_id"), part("value_str")].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn only_entry(value: &Value) -> Option<(&str, &Value)> {
    let (kind, body) = value.as_map()?.first()?;
    Some((kind.as_text()?, body))
}

fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.as_map()?.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
}

#[expect(clippy::cast_precision_loss, reason = "iteration counts are far below 2⁵³")]
fn numbers(value: &Value) -> Option<Vec<f64>> {
    let number = |value: &Value| match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(i128::from(*number) as f64),
        _ => None,
    };
    value.as_array()?.iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(json: &serde_json::Value) -> Vec<u8> {
        let mut message = Vec::new();
        ciborium::into_writer(json, &mut message).unwrap();
        [u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), &message].concat()
    }

    fn greeting() -> Vec<u8> {
        [GREETING, &[0, 8, 2, 0, 1, 0, 1]].concat()
    }

    fn measured() -> serde_json::Value {
        serde_json::json!({"MeasurementComplete": {
            "id": {"group_id": "g", "function_id": "100 %/\"x\"", "value_str": null, "throughput": [], "new field": 1},
            "iters": [1.0, 2.0], "times": [10.0, 24.0], "benchmark_config": {"sample_size": 50},
        }})
    }

    #[test]
    fn messages_are_read_however_they_arrive() {
        let all = [greeting(), frame(&serde_json::json!({"BeginningBenchmarkGroup": {"group": "g"}})), frame(&measured()),
            frame(&serde_json::json!({"SkippingBenchmark": {"id": {"group_id": "g", "function_id": null, "value_str": "7"}}})),
            frame(&serde_json::json!("SomethingNew")), frame(&serde_json::json!({"FinishedBenchmarkGroup": {"group": "g"}}))].concat();
        let block = Block { name: "g/100 %/\"x\"".to_owned(), samples: vec![10.0, 12.0] };
        for step in [1, 3, 1_000] {
            let mut frames = Frames::default();
            let mut events = Vec::new();
            for bytes in all.chunks(step) {
                frames.push(bytes);
                while let Some(event) = frames.next().unwrap() {
                    events.push(event);
                }
            }
            let expected = [
                Event::Other,
                Event::Measured(block.clone()),
                Event::Skipped("g/7".to_owned()),
                Event::Other,
                Event::GroupDone,
            ];
            assert_eq!(events, expected);
        }
    }

    /// What criterion 0.5.1, 0.6.0, 0.7.0 and 0.8.2 themselves said of three benchmarks, of which a filter named one.
    #[test]
    fn what_each_criterion_says_is_read() {
        let said: [&[u8]; 4] = [
            include_bytes!("../../tests/data/criterion-0.5/protocol.bin"),
            include_bytes!("../../tests/data/criterion-0.6/protocol.bin"),
            include_bytes!("../../tests/data/criterion-0.7/protocol.bin"),
            include_bytes!("../../tests/data/criterion-0.8/protocol.bin"),
        ];
        for (version, bytes) in (5..).zip(said) {
            let (mut frames, mut told) = (Frames::default(), Vec::new());
            frames.push(bytes);
            while let Some(event) = frames.next().unwrap() {
                match event {
                    Event::Skipped(name) => told.push(format!("skipped {name}")),
                    Event::Measured(Block { name, samples }) => {
                        assert!(
                            samples.len() == 10 && samples.iter().all(|sample| *sample > 100.0),
                            "{samples:?}"
                        );
                        told.push(format!("measured {name}"));
                    }
                    Event::GroupDone => told.push("done".to_owned()),
                    Event::Other => {}
                }
            }
            let expected =
                ["skipped golden/sum/1000", "measured golden/sum/2000", "done", "skipped 100 %/\"x\""];
            assert_eq!(told[..4], expected, "criterion 0.{version}");
        }
    }

    #[test]
    fn what_is_not_criterion_is_said() {
        let heard = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.push(bytes);
            frames.next()
        };
        assert!(heard(b"HTTP/1.1 200").unwrap_err().contains("greet"));
        assert_eq!(heard(b"Crit"), Ok(None));
        assert!(heard(&[greeting(), vec![255; 4]].concat()).unwrap_err().contains("announces"));
        assert!(heard(&[greeting(), vec![0, 0, 0, 1, 0xff]].concat()).unwrap_err().contains("CBOR"));
        let mut broken = measured();
        broken["MeasurementComplete"]["times"] = serde_json::json!([1.0]);
        assert!(heard(&[greeting(), frame(&broken)].concat()).unwrap_err().contains("do not fit"));
    }

    #[test]
    fn our_frames_are_criterions() {
        let mut message = Vec::new();
        ciborium::into_writer("Continue", &mut message).unwrap();
        assert_eq!(CONTINUE, [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat());
        assert_eq!(HELLO.len(), "cargo-criterion".len() + 3);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), greet in any::<bool>()) {
            let mut frames = Frames::default();
            if greet {
                frames.push(&greeting());
            }
            frames.push(&bytes);
            for _ in 0..50 {
                if !matches!(frames.next(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
