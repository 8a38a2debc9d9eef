//! Flame graphs of programs whose names were chosen to break them.
#![cfg(feature = "flamegraph")]

use std::time::{Duration, SystemTime};

use offgridflow_profile::{Frame, Profile, Stack, ValueKind};

fn profile(stacks: &[(&[&str], i64)]) -> Profile {
    let kind = ValueKind::new("goroutine", "count");
    let stack = |(names, value): &(&[&str], i64)| Stack {
        frames: names.iter().map(|name| Frame::named(*name)).collect(),
        values: vec![*value],
        labels: vec![],
    };
    Profile {
        kinds: vec![kind.clone()],
        stacks: stacks.iter().map(stack).collect(),
        began: SystemTime::UNIX_EPOCH,
        duration: Duration::ZERO,
        period: 1,
        period_kind: kind,
        comments: vec![],
        mappings: vec![],
    }
}

/// Characters that XML 1.0 has (§2.2): a file with another one is refused as a whole.
fn is_xml(text: &str) -> bool {
    text.chars().all(|one| match one {
        '\t' | '\n' | '\r' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        other => other >= ' ',
    })
}

fn svg(profile: &Profile, title: &str) -> String {
    String::from_utf8(profile.to_svg(0, title).unwrap()).unwrap()
}

#[test]
fn names_of_any_characters_make_a_file_that_can_be_read() {
    let hostile = profile(&[
        (&["<script>alert(1)</script>", "main"], 5),
        (&["nul\0 escape\u{1b}[31m bell\u{7}", "main"], 4),
        (&["]]> & \"quoted' \u{ffff}\u{fffe}", "a;b\nc"], 3),
        (&["", ""], 2),
    ]);
    let earlier = profile(&[(&["\u{1}\u{8}\u{c}", "main"], 5)]);
    let drawn = svg(&hostile, "title \u{1} & <b>");
    assert!(is_xml(&drawn) && !drawn.contains("<script>alert"), "{drawn}");
    assert!(drawn.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{drawn}");
    let compared = String::from_utf8(hostile.to_diff_svg(&earlier, 0, "\u{2}").unwrap()).unwrap();
    assert!(is_xml(&compared) && !compared.contains("<script>alert"), "{compared}");
}

/// `worker 7 5` may be read as a stack `worker` with the counts 7 and 5.
#[test]
fn a_name_that_ends_in_a_number_keeps_it() {
    let tasks = profile(&[(&["shard 7"], 5), (&["shard 8"], 4), (&["1.5"], 3)]);
    let drawn = svg(&tasks, "tasks").replace('\u{a0}', " ");
    for words in ["<title>shard 7 (5 ", "<title>shard 8 (4 ", "<title>1.5 (3 "] {
        assert!(drawn.contains(words), "{words}: {drawn}");
    }
    let later = profile(&[(&["shard 7"], 50), (&["shard 8"], 4), (&["1.5"], 3)]);
    let compared = String::from_utf8(later.to_diff_svg(&tasks, 0, "tasks").unwrap()).unwrap();
    assert!(compared.replace('\u{a0}', " ").contains("<title>shard 7 (50 "), "{compared}");
}
