//! Calls of the scripts.

use std::sync::atomic::Ordering;

use fred::interfaces::LuaInterface;
use fred::types::scripts::Script;
use fred::types::{Key as RedisKey, Value};

use super::seen::{Behind, farther};
use super::wire::{integer, own_keys, position, raw, text};
use super::{NAME, RedisBackend, protocol};
use crate::{BackendError, Position};

/// Where a script's arguments say whether the run id is asked for in any case, or in none.
const CHECK: usize = 3;

/// What a script is called with.
pub(super) struct Call<'c> {
    pub(super) namespace: &'c str,
    /// What the caller has seen, beside this backend.
    pub(super) seen: Option<&'c Position>,
    /// Whether the run id is asked for in any case.
    pub(super) check: bool,
    /// After those of the namespace.
    pub(super) keys: Vec<RedisKey>,
    /// After those of every script.
    pub(super) arguments: Vec<Value>,
}

impl<'c> Call<'c> {
    pub(super) const fn of(namespace: &'c str) -> Self {
        Self { namespace, seen: None, check: false, keys: Vec::new(), arguments: Vec::new() }
    }
}

impl RedisBackend {
    /// Runs a script. Its answer begins with the clock, which is taken in; a server that is behind what was seen of it when this was
    /// called is an error.
    pub(super) async fn call(
        &self,
        script: &Script,
        call: Call<'_>,
    ) -> Result<(Position, Vec<Value>), BackendError> {
        let seen = farther(self.seen.of(call.namespace), call.seen);
        let mut keys = own_keys(call.namespace, ["clock", "tags", "log"]);
        keys.extend(call.keys);
        let (epoch, sequence) =
            seen.as_ref().map_or((&[][..], -1), |seen| (&*seen.epoch, integer(seen.sequence)));
        let check = Value::Integer(if self.trusts_restarts { 2 } else { i64::from(call.check) });
        let mut arguments = vec![text(self.tokens.next()), raw(epoch), Value::Integer(sequence), check];
        arguments.extend(call.arguments);
        let mut answer = self.run(script, keys, arguments).await?.into_iter();
        let (told, rolled_back) = answer.next().and_then(position).ok_or_else(|| protocol("no clock"))?;
        self.counts.rolled_back.fetch_add(u64::from(rolled_back), Ordering::Relaxed);
        self.takes_in(call.namespace, seen.as_ref(), &told)?;
        Ok((told, answer.collect()))
    }

    /// Who sends a script again asks for the run id: a server does not know it where it was started again, or took over from another.
    async fn run(
        &self,
        script: &Script,
        keys: Vec<RedisKey>,
        mut arguments: Vec<Value>,
    ) -> Result<Vec<Value>, BackendError> {
        self.revive();
        self.counts.commands.fetch_add(1, Ordering::Relaxed);
        let call = script.evalsha(&self.client, keys.clone(), arguments.clone());
        let mut answer: Result<Value, _> = self.door.pass(&self.client, call).await;
        if answer.as_ref().is_err_and(|error| error.details().starts_with("NOSCRIPT"))
            && let Some(source) = script.lua()
        {
            self.counts.commands.fetch_add(1, Ordering::Relaxed);
            if !self.trusts_restarts {
                arguments[CHECK] = Value::Integer(1);
            }
            answer = self.client.eval(source.clone(), keys, arguments).await; // which loads it as well
        }
        match answer {
            Ok(Value::Array(answer)) => {
                self.denied.store(false, Ordering::Release);
                Ok(answer)
            }
            Ok(_) => Err(protocol("no array")),
            Err(error) => {
                if error.details().starts_with("NOPERM") {
                    self.denied.store(true, Ordering::Release);
                }
                Err(self.failed(error))
            }
        }
    }

    /// Takes in how far an answer shows the server to be, to what was asked when `asked` had been seen.
    pub(super) fn takes_in(
        &self,
        namespace: &str,
        asked: Option<&Position>,
        told: &Position,
    ) -> Result<(), BackendError> {
        self.seen.told(namespace, asked, told).map_err(|Behind| {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
            self.counts.rolled_back.fetch_add(1, Ordering::Relaxed);
            BackendError::RolledBack { backend: NAME }
        })
    }
}
