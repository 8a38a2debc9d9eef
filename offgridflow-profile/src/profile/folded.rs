use std::collections::BTreeMap;
use std::fmt::Write;

use super::Profile;

impl Profile {
    /// Folded stacks, a line each: frames from the root joined by `;`, a space, and the value of the kind at `index`.
    /// What Brendan Gregg's flame graph tools and their descendants read. Equal stacks are one line. A name that ends in a number has a no-break space
    /// before it, as a number behind a space is a count.
    #[must_use]
    pub fn to_folded(&self, index: usize) -> String {
        let mut lines = BTreeMap::<String, i64>::new();
        for stack in &self.stacks {
            let frames: Vec<String> = stack.frames.iter().rev().map(|frame| plain(&frame.function)).collect();
            let sum = lines.entry(frames.join(";")).or_default();
            *sum = sum.saturating_add(stack.values.get(index).copied().unwrap_or(0));
        }
        let mut text = String::new();
        for (stack, value) in lines.iter().filter(|(_, value)| **value > 0) {
            let _ = writeln!(text, "{stack} {value}");
        }
        text
    }
}

/// A name that cannot be taken for anything else: `;` and line breaks have a meaning of their own in the format, a number behind a space is a
/// count, and control characters make no file of XML, which flame graphs are.
pub(super) fn plain(function: &str) -> String {
    let meant = |one: char| match one {
        ';' | '\n' | '\r' => ':',
        '\u{fffe}' | '\u{ffff}' => char::REPLACEMENT_CHARACTER,
        one if one.is_control() => char::REPLACEMENT_CHARACTER,
        one => one,
    };
    let mut name: String = function.chars().map(meant).collect();
    if let Some((_, last)) = name.rsplit_once(' ').filter(|(_, last)| last.parse::<f64>().is_ok()) {
        name.replace_range(name.len() - last.len() - 1..name.len() - last.len(), "\u{a0}");
    }
    name
}
