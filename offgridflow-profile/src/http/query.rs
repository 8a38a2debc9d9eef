//! The parameters of a request.

use std::str::FromStr;
use std::time::Duration;

use super::answer::Refusal;

pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// The parameters, which must be among those that are known: a misspelt one must not mean its default.
    pub(super) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs: Vec<(String, String)> =
            pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
        match pairs.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            Some((key, _)) => {
                Err(Refusal::bad(format!("unknown parameter {key:?}; known are {}", known.join(", "))))
            }
            None => Ok(Self { pairs }),
        }
    }

    /// The first value of a parameter; an empty one is none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let value = self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn number<N: FromStr>(&self, key: &str) -> Result<Option<N>, Refusal> {
        let read = |value: &str| {
            value
                .parse()
                .map_err(|_| Refusal::bad(format!("{key}={value}: a whole number is wanted, 0 or more")))
        };
        self.get(key).map(read).transpose()
    }

    /// Whole seconds, from 1 to `most`.
    pub(super) fn seconds(&self, key: &str, most: Duration) -> Result<Option<Duration>, Refusal> {
        let Some(seconds) = self.number::<u64>(key)? else { return Ok(None) };
        if seconds == 0 || seconds > most.as_secs() {
            let most = most.as_secs();
            return Err(Refusal::bad(format!("{key}={seconds}: a whole number from 1 to {most} is wanted")));
        }
        Ok(Some(Duration::from_secs(seconds)))
    }

    /// The same, with 0 as none: Go's `profile` takes its default for that.
    pub(super) fn seconds_or_default(&self, key: &str, most: Duration) -> Result<Option<Duration>, Refusal> {
        if self.get(key) == Some("0") { Ok(None) } else { self.seconds(key, most) }
    }
}
