//! Values as people write them in a scenario.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Deserializer, de};

use crate::{
    units::{parse_duration, parse_percent},
    warm_up::WarmUp,
};

#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Span;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes, for example \"30s\" or \"250ms\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse_duration(text).map(Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// A warm-up: a duration, or `"auto"`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warm(pub(super) WarmUp);

impl<'de> Deserialize<'de> for Warm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Warm).map_err(de::Error::custom)
    }
}

/// A share, from `"1%"` or `0.01`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(pub(super) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl de::Visitor<'_> for Any {
            type Value = Share;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share, for example \"1%\" or 0.01")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                parse_percent(text).map(|percent| Share(percent / 100.0)).map_err(E::custom)
            }
            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Share, E> {
                Ok(Share(share))
            }
            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Share, E> {
                if (0..=1).contains(&share) {
                    return Ok(Share(if share == 0 { 0.0 } else { 1.0 }));
                }
                Err(E::custom(format!("{share} is not a share: write \"{share}%\" or a number from 0 to 1")))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Text that Debug does not show.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Values of a header: one, or a list of them.
#[derive(Debug, Clone)]
pub(super) struct Secrets(pub(super) Vec<Secret>);

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Secrets;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or a list of such")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secrets, E> {
                Ok(Secrets(vec![Secret(text.to_owned())]))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Secrets, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element()? {
                    all.push(text);
                }
                Ok(Secrets(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Statuses, from `"200-299"`, `"204"`, `"200-299, 404"` or a list of such.
#[derive(Debug, Clone)]
pub(super) struct Statuses(pub(super) Vec<RangeInclusive<u16>>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Statuses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("statuses in quotes, for example \"200-299\" or [\"200-299\", \"404\"]")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Statuses, E> {
                text.split(',').map(statuses).collect::<Result<_, _>>().map(Statuses).map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = list.next_element::<String>()? {
                    all.push(statuses(&text).map_err(de::Error::custom)?);
                }
                match all.is_empty() {
                    true => Err(de::Error::custom("name at least one status, for example [\"200-299\"]")),
                    false => Ok(Statuses(all)),
                }
            }
        }
        deserializer.deserialize_any(Any)
    }
}

fn statuses(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
        _ => Err(format!("`{text}` is not a range of statuses, for example \"200-299\" or \"204\"")),
    }
}
