//! Reading without scripts, for users whose rights exclude them: no leases, no fills, no removals; what others write and remove is
//! seen all the same.

use bytes::Bytes;
use fred::clients::Client;
use fred::error::Error;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value};

use super::wire::{Header, change, header as header_of, own, slot, tags};
use crate::{Entry, Key, Lease, Lookup, News, Position};

/// One clock, and what it says of the namespace.
struct Clock {
    epoch: Bytes,
    sequence: u64,
    floor: u64,
    forgotten: u64,
    /// Tags were removed, and which is no longer known.
    tags_lost: bool,
}

impl Clock {
    fn position(self) -> Position {
        Position { epoch: self.epoch, sequence: self.sequence }
    }
}

/// Where nothing was ever stored or removed.
const fn nowhere() -> Position {
    Position { epoch: Bytes::new(), sequence: 0 }
}

/// A value, if nothing that is known without its tags speaks against it.
struct Candidate {
    entry: Entry,
    hashes: Vec<String>,
    born: u64,
}

fn command(name: &'static str) -> CustomCommand {
    CustomCommand::new_static(name, ClusterHash::FirstKey, false)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

/// Answers as the script does, in one trip, or two where values carry tags. A lease that comes with a miss fills nothing.
/// Where the clock stands comes with it.
pub(super) async fn look_up(client: &Client, keys: &[Key]) -> Result<(Position, Vec<Lookup>), Error> {
    let Some(namespace) = keys.first().map(Key::namespace) else { return Ok((nowhere(), Vec::new())) };
    let pipeline = client.pipeline();
    clock_and_tags(&pipeline, namespace).await?;
    let time = CustomCommand::new_static("TIME", own(namespace, "clock").as_bytes(), false);
    pipeline.custom::<Value, Value>(time, Vec::new()).await?;
    for key in keys {
        let field = |field| Value::String(format!("{field}{}", key.schema()).into());
        let fields = ["v", "h"].map(field);
        let arguments = [Value::from(slot(key))].into_iter().chain(fields).collect();
        pipeline.custom::<Value, Value>(command("HMGET"), arguments).await?;
    }
    let mut answers = pipeline.try_all::<Value>().await.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(nothing()));
    let clock = read_clock(next()?, next()?);
    let now = read_time(&next()?);
    let found: Vec<_> =
        keys.iter().map(|_| next().map(|fields| candidate(&fields, clock.as_ref(), now))).collect();
    let removed = removed_since(client, namespace, &found).await?;
    let position = clock.map_or_else(nowhere, Clock::position);
    let born = position.sequence;
    let miss = || Lookup::Miss(Lease::new(Bytes::new(), born));
    let lookups = found
        .into_iter()
        .zip(removed)
        .map(|(found, removed)| match found {
            Ok(Some(candidate)) if !removed => Lookup::Fresh(candidate.entry),
            Ok(_) => miss(),
            Err(_) => Lookup::Failed,
        })
        .collect();
    Ok((position, lookups))
}

/// For each candidate whether one of its tags was removed after it was born; one question for all.
async fn removed_since(
    client: &Client,
    namespace: &str,
    found: &[Result<Option<Candidate>, Error>],
) -> Result<Vec<bool>, Error> {
    let candidate = |found: &Result<Option<Candidate>, Error>| {
        found.as_ref().ok().and_then(Option::as_ref).map(|one| (one.hashes.clone(), one.born))
    };
    let candidates: Vec<(Vec<String>, u64)> =
        found.iter().map(|one| candidate(one).unwrap_or_default()).collect();
    let asked: Vec<&String> = candidates.iter().flat_map(|(hashes, _)| hashes).collect();
    if asked.is_empty() {
        return Ok(vec![false; found.len()]);
    }
    let names = asked.iter().map(|hash| Value::String(hash.as_str().into()));
    let arguments: Vec<Value> = [Value::from(own(namespace, "tags"))].into_iter().chain(names).collect();
    let scores: Value = client.custom(command("ZMSCORE"), arguments).await?;
    let Value::Array(scores) = scores else { return Err(nothing()) };
    let mut scores = scores.into_iter();
    let removed = |(hashes, born): (Vec<String>, u64)| {
        // Every score is taken from the answer, so that the next candidate finds its own.
        let later = scores
            .by_ref()
            .take(hashes.len())
            .filter(|score| score.as_f64().is_some_and(|at| at > as_f64(born)));
        later.count() > 0
    };
    Ok(candidates.into_iter().map(removed).collect())
}

/// What was removed since `seen`, by the log. A server that came back from a file is noticed by who may run scripts.
pub(super) async fn news(client: &Client, namespace: &str, seen: Option<&Position>) -> Result<News, Error> {
    let pipeline = client.pipeline();
    clock_and_tags(&pipeline, namespace).await?;
    let since = seen.map_or_else(|| "+inf".to_owned(), |seen| format!("({}", seen.sequence));
    let range = vec![Value::from(own(namespace, "log")), Value::from(since), Value::from_static_str("+inf")];
    pipeline.custom::<Value, Value>(command("ZRANGEBYSCORE"), range).await?;
    pipeline.custom::<Value, Value>(command("EXISTS"), vec![Value::from(own(namespace, "log"))]).await?;
    let mut answers = pipeline.try_all::<Value>().await.into_iter();
    let mut next = || answers.next().unwrap_or_else(|| Err(nothing()));
    let clock = read_clock(next()?, next()?);
    let (log, exists) = (next()?, number(&next()?) == 1);
    let Some(clock) = clock else {
        let position = nowhere();
        let same = seen.is_some_and(|seen| *seen == position);
        return Ok(News { position, changes: same.then(Vec::new) });
    };
    let forgotten = if exists { clock.forgotten } else { clock.sequence };
    let followed = seen.is_some_and(|seen| {
        seen.epoch == clock.epoch && seen.sequence >= forgotten && seen.sequence <= clock.sequence
    });
    let changes =
        if let Value::Array(log) = &log { log.iter().map(change).collect() } else { Some(Vec::new()) };
    Ok(News { position: clock.position(), changes: changes.filter(|_| followed) })
}

/// The clock's fields, and whether removed tags are known.
async fn clock_and_tags(pipeline: &fred::clients::Pipeline<Client>, namespace: &str) -> Result<(), Error> {
    let fields = ["e", "s", "f", "g", "t"].map(Value::from_static_str);
    let arguments = [Value::from(own(namespace, "clock"))].into_iter().chain(fields).collect();
    pipeline.custom::<Value, Value>(command("HMGET"), arguments).await?;
    pipeline
        .custom::<Value, Value>(command("EXISTS"), vec![Value::from(own(namespace, "tags"))])
        .await
        .map(drop)
}

fn read_clock(fields: Value, tags_exist: Value) -> Option<Clock> {
    let Value::Array(fields) = fields else { return None };
    let [epoch, sequence, floor, forgotten, tags_removed] = fields.as_slice() else { return None };
    Some(Clock {
        epoch: Bytes::copy_from_slice(epoch.as_bytes()?),
        sequence: number(sequence),
        floor: number(floor),
        forgotten: number(forgotten),
        tags_lost: !tags_removed.is_null() && number(&tags_exist) == 0,
    })
}

/// Milliseconds of the server's clock.
fn read_time(answer: &Value) -> u64 {
    match answer {
        Value::Array(parts) => match parts.as_slice() {
            [seconds, micros] => number(seconds) * 1_000 + number(micros) / 1_000,
            _ => u64::MAX,
        },
        _ => u64::MAX, // nothing is valid at the end of time
    }
}

fn candidate(fields: &Value, clock: Option<&Clock>, now: u64) -> Option<Candidate> {
    let (Value::Array(fields), Some(clock)) = (fields, clock) else { return None };
    let [frame, header] = fields.as_slice() else { return None };
    let Header { born, fresh, epoch, hashes, names } = header_of(header.as_bytes()?)?;
    let left = fresh.checked_sub(now).filter(|left| *left > 0)?;
    if epoch != clock.epoch || born < clock.floor || clock.tags_lost && born < clock.sequence {
        return None;
    }
    let hashes =
        (0..hashes.len() / 16).filter_map(|n| hashes.get(n * 16..n * 16 + 16)).map(str::to_owned).collect();
    let frame = Bytes::copy_from_slice(frame.as_bytes()?);
    let entry = Entry::new(frame, std::time::Duration::from_millis(left), tags(names)?);
    Some(Candidate { entry, hashes, born })
}

#[expect(clippy::cast_precision_loss, reason = "a score is a double in Redis as well")]
const fn as_f64(number: u64) -> f64 {
    number as f64
}

fn nothing() -> Error {
    Error::new(fred::error::ErrorKind::Protocol, "an answer is missing")
}
