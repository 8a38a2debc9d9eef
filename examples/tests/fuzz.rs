//! Whatever the parsers are given: no panic, no row that is neither read nor refused, no value that reads back as another. A few thousand inputs; `FUZZ_INPUTS`
//! says how many, `FUZZ_SEED` which.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use offgridflow::carbon::{Period, Quantity, Ratio};
use offgridflow::intake::{self, Format, WideTable};
use offgridflow::keys::KeyList;

/// Inputs where nothing else is said, and the longest one may take to be read.
const INPUTS: u64 = 20_000;
const LONGEST: Duration = Duration::from_secs(5);

/// Pieces that parsers know, so that inputs come near to what is right.
const PIECES: [&str; 44] = [
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\n",
    "\r\n",
    "\\",
    "null",
    "true",
    "1e999",
    "-0",
    "0.1",
    "1.0000001",
    "99999999999999999999",
    "\"id\":\"a\"",
    "\"category\":\"diesel\"",
    "\"quantity\":1",
    "\"quantity\":\"1.5\"",
    "\"period\":\"2024-02\"",
    "{\"category\":\"diesel\",\"quantity\":1,\"period\":\"2024\"}",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "é",
    "😀",
    "category,quantity,period\n",
    "diesel,1,2024\n",
    "\"a\nb\",1,2024\n",
    "2024",
    "2024-13",
    "2024-02-30",
    "44/12",
    "1/0",
    "=",
    "Nation,Year,Total\n",
    "Nation",
    "Year",
    "Total CO2",
    "acme=0123456789abcdef",
    ";",
];

/// A generator of its own, so that a seed and a number give an input again (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// Pieces, bytes, and a good body that was damaged.
fn input(chance: &mut Chance) -> Vec<u8> {
    let mut bytes = Vec::new();
    match chance.below(3) {
        0 => (0..chance.below(200)).for_each(|_| bytes.push(chance.next().to_le_bytes()[0])),
        1 => (0..chance.below(24)).for_each(|_| bytes.extend(PIECES[chance.below(PIECES.len())].bytes())),
        _ => {
            bytes = good_body(chance);
            for _ in 0..1 + chance.below(3) {
                let at = chance.below(bytes.len());
                match chance.below(3) {
                    0 => bytes[at] ^= 1 << chance.below(8),
                    1 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, chance.next().to_le_bytes()[0]),
                }
            }
        }
    }
    bytes
}

fn good_body(chance: &mut Chance) -> Vec<u8> {
    let rows = 1 + chance.below(4);
    let row = |n: usize| {
        format!(
            "{{\"id\":\"{n}\",\"category\":\"diesel\",\"quantity\":\"{n}.5\",\"period\":\"2024-0{}\"}}",
            1 + n % 9
        )
    };
    match chance.below(4) {
        0 => format!("[{}]", (0..rows).map(row).collect::<Vec<_>>().join(",\n")),
        1 => (0..rows).map(|n| row(n) + "\n").collect(),
        2 => {
            "id,category,quantity,period\n".to_owned()
                + &(0..rows).map(|n| format!("{n},diesel,{n}.5,2024\n")).collect::<String>()
        }
        _ => String::from_utf8_lossy(include_bytes!("data/wide.csv")).into_owned(),
    }
    .into_bytes()
}

/// What every parser must hold for an input.
fn check(bytes: &[u8]) -> Result<(), String> {
    for format in [Format::Json, Format::Ndjson, Format::Csv] {
        let read = intake::read(format, bytes);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let places =
            read.drafts.iter().map(|draft| draft.line).chain(read.rejections.iter().map(|one| one.line));
        if let Some(far) = places.into_iter().find(|line| *line == 0 || *line > lines) {
            return Err(format!("{format:?} names line {far} of {lines}"));
        }
        if format == Format::Ndjson {
            let is_filled =
                |line: &&[u8]| std::str::from_utf8(line).map_or(true, |line| !line.trim().is_empty());
            let filled = bytes.split(|byte| *byte == b'\n').filter(is_filled).count();
            let told = read.drafts.len() + read.rejections.len();
            if told != filled {
                return Err(format!("{filled} lines, {told} told of"));
            }
        }
    }
    let _ = WideTable::read(bytes);
    let text = String::from_utf8_lossy(bytes);
    let _ = KeyList::of_tenants(&text).checked();
    for word in text.split([',', '\n', '"']) {
        returns::<Quantity>(word)?;
        returns::<Ratio>(word)?;
        returns::<Period>(word)?;
    }
    Ok(())
}

/// What was read is written so that it reads back as the same.
fn returns<T: std::str::FromStr + PartialEq + std::fmt::Display>(text: &str) -> Result<(), String> {
    let Ok(value) = text.parse::<T>() else { return Ok(()) };
    let written = value.to_string();
    match written.parse::<T>() {
        Ok(again) if again == value => Ok(()),
        _ => Err(format!("`{text}` is written `{written}`, which is read otherwise")),
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn parsers_survive_whatever_they_are_given() {
    let (inputs, seed) = (setting("FUZZ_INPUTS", INPUTS), setting("FUZZ_SEED", 1));
    let mut slowest = Duration::ZERO;
    for number in 0..inputs {
        let bytes = input(&mut Chance(seed.wrapping_mul(0x1_0000_0001).wrapping_add(number)));
        let began = Instant::now();
        let held = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
        slowest = slowest.max(began.elapsed());
        let shown = String::from_utf8_lossy(&bytes);
        match held {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => panic!("input {number} of seed {seed}: {fault}: {shown:?}"),
            Err(_) => panic!("input {number} of seed {seed} panics: {shown:?}"),
        }
    }
    assert!(slowest < LONGEST, "an input took {slowest:?}");
    println!("fuzz inputs={inputs} seed={seed} slowest={slowest:?}");
}

/// The control: the check finds what is wrong.
#[test]
fn a_value_that_reads_back_as_another_is_found() {
    #[derive(PartialEq)]
    struct Cut(String);
    impl std::str::FromStr for Cut {
        type Err = ();
        fn from_str(text: &str) -> Result<Self, ()> {
            Ok(Self(text.to_owned()))
        }
    }
    impl std::fmt::Display for Cut {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0.get(..1).unwrap_or(""))
        }
    }
    assert!(returns::<Cut>("a").is_ok() && returns::<Cut>("ab").is_err());
}
