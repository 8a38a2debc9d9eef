use std::collections::HashMap;
use std::fmt::Write;

use super::{Frame, FramePlace, Profile, Stack};

impl Profile {
    /// What was added since `earlier`, a profile of the same kinds: values less those of equal stacks then, without what did not change.
    /// What Go serves for `heap?seconds=N`. Values that shrank are negative. `None` where the kinds differ.
    ///
    /// ```
    /// # use std::time::{Duration, SystemTime};
    /// # use offgridflow_profile::{Frame, Profile, Stack, ValueKind};
    /// # let profile = |values: &[(&str, i64)], at: u64| Profile {
    /// #     kinds: vec![ValueKind::new("inuse_space", "bytes")],
    /// #     stacks: values.iter().map(|(name, value)| Stack {
    /// #         frames: vec![Frame::named(*name)], values: vec![*value], labels: vec![],
    /// #     }).collect(),
    /// #     began: SystemTime::UNIX_EPOCH + Duration::from_secs(at), duration: Duration::ZERO, period: 1,
    /// #     period_kind: ValueKind::new("space", "bytes"), comments: vec![], mappings: vec![],
    /// # };
    /// let earlier = profile(&[("parse", 100), ("cache", 700)], 0);
    /// let later = profile(&[("parse", 350), ("cache", 700)], 10);
    /// let delta = later.since(&earlier).unwrap();
    /// assert_eq!((delta.stacks.len(), delta.total(0), delta.duration.as_secs()), (1, 250, 10));
    /// ```
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.kinds != earlier.kinds {
            return None;
        }
        let mut values = HashMap::new();
        for stack in &earlier.stacks {
            let negative = |value: &i64| value.saturating_neg();
            let (sums, _) = values.entry(place(stack)).or_insert_with(|| (vec![0; self.kinds.len()], stack));
            add(sums, stack.values.iter().map(negative));
        }
        let mut whole = self.clone();
        for (stack, same) in whole.stacks.iter_mut().zip(&self.stacks) {
            // Equal stacks of one profile share what was there earlier: the first of them takes it.
            if let Some((sums, _)) = values.remove(&place(same)) {
                add(&mut stack.values, sums.into_iter());
            }
        }
        let gone = values.into_values().map(|(values, stack)| Stack { values, ..stack.clone() });
        whole.stacks.extend(gone);
        whole.stacks.retain(|stack| stack.values.iter().any(|value| *value != 0));
        whole.duration = self.began.duration_since(earlier.began).unwrap_or_default();
        whole.began = earlier.began;
        Some(whole)
    }

    /// As text for people: a line a stack with its values, the largest of the last kind first.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kinds: Vec<String> =
            self.kinds.iter().map(|kind| format!("{}/{}", kind.name, kind.unit)).collect();
        let mut text = format!("# {} stacks; {}\n", self.stacks.len(), kinds.join(", "));
        for comment in &self.comments {
            let _ = writeln!(text, "# {comment}");
        }
        let mut stacks: Vec<_> = self.stacks.iter().collect();
        stacks.sort_by_key(|stack| std::cmp::Reverse(stack.values.last().copied()));
        for stack in stacks {
            let values: Vec<String> = stack.values.iter().map(ToString::to_string).collect();
            let frame = |frame: &Frame| match (&frame.file, frame.line) {
                (Some(file), Some(line)) => format!("{} ({file}:{line})", frame.function),
                _ => frame.function.clone(),
            };
            let frames: Vec<String> = stack.frames.iter().map(frame).collect();
            let labels: Vec<String> =
                stack.labels.iter().map(|(key, text)| format!(" {key}={text}")).collect();
            let _ = writeln!(text, "{} @ {}{}", values.join(" "), frames.join(" < "), labels.concat());
        }
        text
    }
}

/// Equal for stacks that a reader cannot tell apart.
fn place(stack: &Stack) -> (Vec<FramePlace<'_>>, &[(String, String)]) {
    (stack.frames.iter().map(Frame::place).collect(), &stack.labels)
}

fn add(sums: &mut [i64], values: impl Iterator<Item = i64>) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::{Frame, Stack, ValueKind};

    fn profile(values: &[(u8, i64)]) -> Profile {
        let stack = |(name, value): &(u8, i64)| Stack {
            frames: vec![Frame::named(name.to_string())],
            values: vec![*value],
            labels: vec![],
        };
        Profile {
            kinds: vec![ValueKind::new("a", "count")],
            stacks: values.iter().map(stack).collect(),
            began: SystemTime::UNIX_EPOCH,
            duration: Duration::ZERO,
            period: 1,
            period_kind: ValueKind::new("a", "count"),
            comments: vec![],
            mappings: vec![],
        }
    }

    proptest! {
        /// Earlier and what was added since make later, function by function, also where a stack is there twice.
        #[test]
        fn earlier_and_the_delta_make_later(
            earlier in proptest::collection::vec((0_u8..6, 0_i64..100), 0..10),
            later in proptest::collection::vec((0_u8..6, 0_i64..100), 0..10),
        ) {
            let (earlier, later) = (profile(&earlier), profile(&later));
            let delta = later.since(&earlier).unwrap();
            prop_assert!(delta.stacks.iter().all(|stack| stack.values[0] != 0));
            let sum = |profile: &Profile, name: &str| -> i64 {
                profile.stacks.iter().filter(|stack| stack.frames[0].function == name).map(|stack| stack.values[0]).sum()
            };
            for name in 0..6 {
                let name = name.to_string();
                prop_assert_eq!(sum(&earlier, &name) + sum(&delta, &name), sum(&later, &name));
            }
        }
    }

    #[test]
    fn other_kinds_cannot_be_compared_and_text_has_a_line_a_stack() {
        let mut other = profile(&[(1, 1)]);
        other.kinds = vec![ValueKind::new("b", "count")];
        assert_eq!(profile(&[(1, 1)]).since(&other), None);
        assert_eq!(profile(&[(1, 5), (2, 7)]).to_text(), "# 2 stacks; a/count\n7 @ 2\n5 @ 1\n");
    }
}
