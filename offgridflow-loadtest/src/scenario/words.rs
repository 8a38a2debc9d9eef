//! What the reader of a file says, in the words of who wrote it.

use super::suggest::{instead_of, nearest};

/// A refusal without names of Rust's types, and without what may be a secret.
pub(super) fn plain(message: &str) -> String {
    let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, wanted)) = rest.and_then(|rest| rest.rsplit_once(", expected ")) {
        return format!("expected {}, not {}", expected(wanted), given(found));
    }
    if let Some((variant, known)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        let meant = nearest(variant.trim_matches('`'), &quoted(known));
        let meant = meant.map_or_else(String::new, |meant| format!(" (did you mean `{meant}`?)"));
        return format!("{variant} is not known: write {known}{meant}");
    }
    if let Some((field, known)) =
        message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'))
    {
        return unknown_field(field, &quoted(known));
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return format!("{field} is missing");
    }
    if message == "wanted string or table" { "expected text in quotes".into() } else { message.into() }
}

fn unknown_field(field: &str, known: &[&str]) -> String {
    let advice = instead_of(field, known).unwrap_or_else(|| {
        let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
        format!("there are {}", known.join(", "))
    });
    format!("unknown field `{field}`: {advice}")
}

/// What stands between pairs of backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn expected(wanted: &str) -> &str {
    match wanted {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 up",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") => "a table",
        wanted => wanted,
    }
}

fn given(found: &str) -> String {
    let kinds = [
        ("integer", "a number"),
        ("floating point", "a number with a fraction"),
        ("string", "text"),
        ("boolean", "true or false"),
        ("sequence", "a list"),
        ("map", "a table"),
    ];
    match kinds.iter().find(|(kind, _)| found.starts_with(kind)) {
        Some((_, kind)) if found.starts_with("integer `-") => format!("{kind} below 0"),
        Some((_, kind)) => (*kind).into(),
        None => "what stands there".into(),
    }
}
