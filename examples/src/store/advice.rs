//! Advice on the statements that became slower: tried for whoever asks, within limits, one round for all.

use std::future::Future;
use std::time::Duration;

use offgridflow_query::{Advisor, Fingerprint, IndexAdvice};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::Gates;

/// Statements of a round: those that were found last.
const STATEMENTS: usize = 5;
/// What a round may take. What was not tried by then is left out.
const ROUND: Duration = Duration::from_secs(20);
/// Until then the answer of a round is told to whoever asks of the same statements.
const KEPT: Duration = Duration::from_secs(10);

/// A statement, and what was tried for it.
pub(super) type Tried = (String, Vec<IndexAdvice>);

/// The latest round.
#[derive(Debug, Default)]
pub(super) struct Advice {
    latest: Mutex<Option<Round>>,
}

#[derive(Debug)]
struct Round {
    of: Vec<Fingerprint>,
    ended: Instant,
    tried: Vec<Tried>,
}

/// The statements of a round, each once.
pub(super) fn chosen(slower: impl IntoIterator<Item = Fingerprint>) -> Vec<Fingerprint> {
    let mut chosen = Vec::new();
    for one in slower {
        if chosen.len() < STATEMENTS && !chosen.contains(&one) {
            chosen.push(one);
        }
    }
    chosen
}

impl Advice {
    /// What `round` says of these statements, or has said lately. Whoever asks meanwhile waits for that round and makes none.
    pub(super) async fn of<F>(
        &self,
        statements: Vec<Fingerprint>,
        round: impl FnOnce(Instant) -> F,
    ) -> Vec<Tried>
    where
        F: Future<Output = Vec<Tried>>,
    {
        let mut latest = self.latest.lock().await;
        let known = latest.as_ref().filter(|known| known.of == statements && known.ended.elapsed() < KEPT);
        if let Some(known) = known {
            return known.tried.clone();
        }
        let tried = round(Instant::now() + ROUND).await;
        *latest = Some(Round { of: statements, ended: Instant::now(), tried: tried.clone() });
        tried
    }
}

/// Tries what might help each of `texts`, until `end`. What one is refused for is no reason to say nothing of the others.
pub(super) async fn tried(gates: &Gates, texts: Vec<String>, end: Instant) -> Vec<Tried> {
    let mut all = Vec::new();
    for sql in texts {
        let trying = async {
            match gates {
                Gates::Sqlite(gate) => Advisor::new(gate.clone()).advise(&sql, None).await,
                Gates::Postgres(gate) => Advisor::new(gate.clone()).advise(&sql, None).await,
            }
        };
        match timeout_at(end, trying).await {
            Ok(Ok(advice)) => all.push((sql, advice)),
            Ok(Err(refusal)) => {
                tracing::warn!(class = refusal.class().as_str(), "no advice for a slower statement");
            }
            Err(_) => break,
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn statements(count: usize) -> Vec<Fingerprint> {
        (0..count).map(|n| Fingerprint::of(&format!("SELECT c{n} FROM t"))).collect()
    }

    #[tokio::test]
    async fn many_who_ask_at_once_are_told_of_one_round() {
        let (advice, rounds) = (Advice::default(), AtomicUsize::new(0));
        let ask = |of: Vec<Fingerprint>| {
            advice.of(of, async |_| {
                rounds.fetch_add(1, Relaxed);
                tokio::time::sleep(Duration::from_millis(50)).await;
                vec![("SELECT 1".to_owned(), Vec::new())]
            })
        };
        let told = tokio::join!(ask(statements(2)), ask(statements(2)), ask(statements(2)));
        assert_eq!((told.0.len(), told.1.len(), told.2.len(), rounds.load(Relaxed)), (1, 1, 1, 1));
        ask(statements(3)).await;
        assert_eq!(rounds.load(Relaxed), 2, "of other statements");
    }

    #[tokio::test]
    async fn a_round_that_is_given_up_is_made_by_the_next() {
        let advice = Advice::default();
        let never = advice.of(statements(1), |_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_millis(5), never).await.is_err());
        assert_eq!(advice.of(statements(1), async |_| Vec::new()).await, []);
    }

    #[test]
    fn a_round_is_of_few_statements_each_once() {
        let many = statements(20);
        let twice = many.iter().flat_map(|one| [*one, *one]);
        assert_eq!(chosen(twice), many[..STATEMENTS]);
    }

    #[tokio::test]
    async fn a_statement_whose_table_is_gone_is_left_out_and_the_round_ends_in_time() {
        let gates = Gates::open("sqlite::memory:").unwrap();
        let texts = || vec!["SELECT a FROM gone WHERE b = 1".to_owned(), "SELECT 1".to_owned()];
        let all = tried(&gates, texts(), Instant::now() + ROUND).await;
        assert_eq!(all.iter().map(|(sql, _)| sql.as_str()).collect::<Vec<_>>(), ["SELECT 1"]);
        assert_eq!(tried(&gates, texts(), Instant::now() - Duration::from_secs(1)).await, []);
    }
}
