//! One operation: a request and its answer, or several in order.

use std::time::SystemTime;

use tokio::time::timeout;

use super::{
    HttpFlow, HttpRoute, HttpSession, HttpStep, HttpTarget,
    connection::{Answer, Lost, Request, Wanted},
    extract::Extract,
    jar::Jar,
    replayed::Replayed,
    subject::Reading,
};
use crate::{
    guard::timed_out,
    op::Op,
    outcome::{FailKind, Outcome, TargetError},
};

impl HttpTarget {
    /// Asks once, and judges the answer. The answer is how many bytes came.
    pub(super) async fn ask(
        &self,
        route: &HttpRoute,
        looks: Wanted,
        extracts: &[Extract],
        session: &mut HttpSession,
        op: &mut Op,
    ) -> Result<u64, TargetError> {
        let request = self.request(route, op, session)?;
        let wanted = Wanted { headers: looks.headers || session.jar.is_some(), ..looks };
        let answer = self.exchange(session, &request, op, wanted).await?;
        if let Some(jar) = session.jar.as_mut() {
            jar.take(&answer.headers, &self.origin, request.uri().path(), SystemTime::now());
        }
        let judged = judge(route, extracts, &answer, op);
        session.spare = request.into_parts().0.headers;
        session.spare.clear();
        judged.map(|()| answer.bytes)
    }

    /// Goes through a flow until a step fails.
    pub(super) async fn follow(&self, flow: &HttpFlow, session: &mut HttpSession, op: &mut Op) -> Outcome {
        let mut bytes = 0;
        for (at, step) in flow.steps.iter().enumerate() {
            if !step.pause.is_zero() {
                op.rest(step.pause).await;
            }
            op.begin_step(flow.first + at);
            let outcome = Outcome::from(self.take(step, session, op).await);
            op.end_step(&outcome);
            match outcome {
                Outcome::Ok { bytes: more } => bytes += more,
                Outcome::Failed(_) => return outcome,
            }
        }
        Outcome::Ok { bytes }
    }

    /// Goes through what a client of the log asked, whatever is answered: who was refused goes on elsewhere. What is not answered ends the visit, as it takes the connection with it.
    pub(super) async fn visit(&self, log: &Replayed, session: &mut HttpSession, op: &mut Op) -> Outcome {
        session.jar = session.jar.as_ref().map(|_| Jar::default()); // somebody else
        let mut whole = Outcome::Ok { bytes: 0 };
        for (pause, entry) in log.visit(op.index()) {
            if !pause.is_zero() {
                op.rest(pause).await;
            }
            let place = log.place(entry);
            session.entry = Some(entry);
            op.begin_step(place);
            let outcome = Outcome::from(self.ask_in_time(&log.steps[place], session, op).await);
            op.end_step(&outcome);
            match (&mut whole, outcome) {
                (_, outcome @ Outcome::Failed(TargetError { answered: false, .. })) => return outcome,
                (Outcome::Ok { bytes }, Outcome::Ok { bytes: more }) => *bytes += more,
                (Outcome::Ok { .. }, failed) => whole = failed,
                (Outcome::Failed(_), _) => {}
            }
        }
        whole
    }

    /// Asks, and gives up after the time-out of one request, where there is one.
    async fn ask_in_time(
        &self,
        route: &HttpRoute,
        session: &mut HttpSession,
        op: &mut Op,
    ) -> Result<u64, TargetError> {
        let asked = self.ask(route, route.looks(), &[], session, op);
        match self.request_timeout {
            Some(length) => timeout(length, asked).await.unwrap_or_else(|_| Err(timed_out())),
            None => asked.await,
        }
    }

    /// Asks for a step; again, if it says so, until the answer is as it should be.
    async fn take(
        &self,
        step: &HttpStep,
        session: &mut HttpSession,
        op: &mut Op,
    ) -> Result<u64, TargetError> {
        loop {
            let asked = self.ask(&step.route, step.looks(), &step.extracts, session, op).await;
            match (&asked, step.retry_every) {
                (Err(TargetError { answered: true, .. }), Some(wait)) => {
                    op.hold_step();
                    tokio::time::sleep(wait).await;
                }
                _ => return asked,
            }
        }
    }

    /// Sends on the session's connection, opening it where needed. A connection that the server closed while
    /// it was idle, before it took the request, is replaced once; so is one of HTTP/2 that it leaves without having looked at the stream.
    async fn exchange(
        &self,
        session: &mut HttpSession,
        request: &Request,
        op: &Op,
        wanted: Wanted,
    ) -> Result<Answer, TargetError> {
        for last in [false, true] {
            let mut channel = match session.channel.take() {
                Some(channel) => channel,
                None => self.channel(&session.ctx).await?,
            };
            if !channel.is_ready().await {
                channel = self.channel(&session.ctx).await?;
            }
            match channel.send(request, op, wanted).await {
                Ok(answer) => {
                    session.channel = answer.keep.then_some(channel);
                    return Ok(answer);
                }
                Err(Lost::Untouched(_)) if !last => {}
                Err(Lost::Untouched(error) | Lost::Sent(error)) => return Err(error),
            }
        }
        Err(TargetError::unanswered(
            FailKind::Reset,
            "the connection was closed twice before the request was sent",
        ))
    }
}

/// Whether an answer is as it should be; keeps what later steps need of it.
fn judge(route: &HttpRoute, extracts: &[Extract], answer: &Answer, op: &mut Op) -> Result<(), TargetError> {
    let reading = Reading::of(answer);
    if let Some(unmet) = route.unmet(&reading) {
        return Err(unmet);
    }
    for extract in extracts {
        op.keep(extract.name.clone(), extract.take(&reading)?);
    }
    Ok(())
}

impl From<Result<u64, TargetError>> for Outcome {
    fn from(asked: Result<u64, TargetError>) -> Self {
        asked.map_or_else(Self::Failed, |bytes| Self::Ok { bytes })
    }
}
