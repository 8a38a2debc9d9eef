//! What is asked of a database.

use serde::Deserialize;

use super::value::Value;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "read, so that a build without SQL can say so"))]
pub(super) struct Statement {
    name: String,
    sql: String,
    weight: Option<u64>,
    #[serde(default)]
    values: Vec<Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(feature = "sql"), expect(dead_code, reason = "read, so that a build without SQL can say so"))]
pub(super) struct Transaction {
    name: String,
    weight: Option<u64>,
    #[serde(default)]
    statement: Vec<Statement>,
}

#[cfg(feature = "sql")]
mod build {
    use super::{Statement, Transaction, Value};
    use crate::{
        error::ConfigError,
        op::Op,
        scenario::{
            File, Scenario,
            route::Around,
            value::{Made, text_of},
            within,
        },
        target::{
            any::AnyTarget,
            sql::{SqlStatement, SqlTarget, SqlTransaction, SqlValue},
        },
    };

    impl Scenario {
        /// Statements and transactions, by their weights.
        pub(in crate::scenario) fn sql_target(
            &self,
            url: &str,
            around: &Around<'_>,
        ) -> Result<AnyTarget, ConfigError> {
            let File { target: said, statement, transaction, .. } = &self.file;
            let mut target = SqlTarget::new(url)?;
            if let Some(pool) = said.pool {
                if pool == 0 {
                    return Err(ConfigError::new("target.pool", "at least one connection is needed"));
                }
                target = target.pool(pool);
            }
            target = said.prepare.iter().fold(target, SqlTarget::prepare_with);
            let mut needs_row = false;
            for (index, one) in statement.iter().enumerate() {
                let built =
                    one.build(around, &mut needs_row).map_err(within(&format!("statement.{index}")))?;
                target = target.statement(built);
            }
            for (index, one) in transaction.iter().enumerate() {
                let built =
                    one.build(around, &mut needs_row).map_err(within(&format!("transaction.{index}")))?;
                target = target.transaction(built);
            }
            if statement.is_empty() && transaction.is_empty() {
                return Err(ConfigError::new(
                    "target",
                    "say what to ask: add a [[statement]] or a [[transaction]]",
                ));
            }
            self.refuse_one_name_for_two()?;
            Ok(AnyTarget::from(target).needing_row(needs_row))
        }

        fn refuse_one_name_for_two(&self) -> Result<(), ConfigError> {
            let statements =
                self.file.statement.iter().enumerate().map(|(at, one)| ("statement", at, &one.name));
            let all =
                self.file.transaction.iter().enumerate().map(|(at, one)| ("transaction", at, &one.name));
            let mut seen = std::collections::BTreeSet::new();
            for (table, at, name) in statements.chain(all) {
                if name.is_empty() || !seen.insert(name) {
                    let hint = "each needs a name of its own, which reports give it";
                    return Err(ConfigError::new(format!("{table}.{at}.name"), hint));
                }
            }
            Ok(())
        }
    }

    impl Statement {
        fn build(&self, around: &Around<'_>, needs_row: &mut bool) -> Result<SqlStatement, ConfigError> {
            let mut built = SqlStatement::new(&self.name, &self.sql).weight(weight(self.weight)?);
            for (index, value) in self.values.iter().enumerate() {
                let made = value.make(around, needs_row);
                let made = made.map_err(|hint| ConfigError::new(format!("values.{index}"), hint))?;
                built = built.bind(made);
            }
            Ok(built)
        }
    }

    impl Transaction {
        fn build(&self, around: &Around<'_>, needs_row: &mut bool) -> Result<SqlTransaction, ConfigError> {
            if self.statement.is_empty() {
                return Err(ConfigError::new("statement", "a transaction needs at least one statement"));
            }
            let mut built = SqlTransaction::new(&self.name).weight(weight(self.weight)?);
            for (index, one) in self.statement.iter().enumerate() {
                let inner = within(&format!("statement.{index}"));
                if one.weight.is_some() {
                    let hint = "is the transaction's: each of its statements is run as often";
                    return Err(inner(ConfigError::new("weight", hint)));
                }
                built = built.statement(one.build(around, needs_row).map_err(inner)?);
            }
            Ok(built)
        }
    }

    fn weight(said: Option<u64>) -> Result<u64, ConfigError> {
        match said {
            Some(0) => Err(ConfigError::new("weight", "must be at least 1; leave it out instead")),
            said => Ok(said.unwrap_or(1)),
        }
    }

    type Bind = Box<dyn Fn(&Op) -> SqlValue + Send + Sync>;

    impl Value {
        /// The value of an operation, of one type in all of them.
        fn make(&self, around: &Around<'_>, needs_row: &mut bool) -> Result<Bind, String> {
            let fixed = |value: SqlValue| -> Bind { Box::new(move |_| value.clone()) };
            Ok(match self {
                Self::Int(value) => fixed((*value).into()),
                Self::Real(value) => fixed((*value).into()),
                Self::Bool(value) => fixed((*value).into()),
                Self::Text(text) => {
                    let template = text_of(text, around)?;
                    *needs_row |= template.needs_row();
                    match template.constant() {
                        Some(text) => fixed(text.into()),
                        None => Box::new(move |op| template.fill(op).into()),
                    }
                }
                Self::Made(made) => {
                    let template = made.template(around)?;
                    *needs_row |= template.needs_row();
                    match made {
                        Made::Int(_) => Box::new(move |op| {
                            template.fill(op).parse().map_or(SqlValue::Null, SqlValue::Int)
                        }),
                        Made::Real(_) => Box::new(move |op| {
                            template.fill(op).parse().map_or(SqlValue::Null, SqlValue::Real)
                        }),
                    }
                }
            })
        }
    }
}
