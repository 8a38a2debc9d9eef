use std::collections::BTreeMap;
use std::fmt::Write;

use super::Profile;

impl Profile {
    /// Folded stacks, a line each: frames from the root joined by `;`, a space, and the value of the kind at `index`.
    /// What Brendan Gregg's flame graph tools and their descendants read. Equal stacks are one line.
    #[must_use]
    pub fn to_folded(&self, index: usize) -> String {
        let mut lines = BTreeMap::<String, i64>::new();
        for stack in &self.stacks {
            let frames: Vec<String> = stack.frames.iter().rev().map(|frame| plain(&frame.function)).collect();
            *lines.entry(frames.join(";")).or_default() += stack.values.get(index).copied().unwrap_or(0);
        }
        let mut text = String::new();
        for (stack, value) in lines.iter().filter(|(_, value)| **value > 0) {
            let _ = writeln!(text, "{stack} {value}");
        }
        text
    }
}

/// `;` and line breaks have a meaning of their own in the format.
fn plain(function: &str) -> String {
    function.replace([';', '\n', '\r'], ":")
}
