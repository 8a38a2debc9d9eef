//! Who asks.

use serde::Deserialize;

use super::{
    route::{Around, for_header},
    values::Secret,
};
use crate::{
    error::ConfigError,
    target::http::{HttpTarget, credentials},
};

/// Credentials; each value is a template, as those of headers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    bearer: Option<Secret>,
    basic: Option<Basic>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Basic {
    user: Secret,
    password: Secret,
}

impl Auth {
    pub(super) fn give(&self, target: HttpTarget, around: &Around<'_>) -> Result<HttpTarget, ConfigError> {
        target.unauthorized()?;
        match (&self.bearer, &self.basic) {
            (Some(token), None) => bearer(target, token, around),
            (None, Some(basic)) => basic.give(target, around),
            _ => Err(ConfigError::new(
                "auth",
                "write either bearer = \"…\" or basic = { user = \"…\", password = \"…\" }",
            )),
        }
    }
}

fn bearer(
    target: HttpTarget,
    Secret(token): &Secret,
    around: &Around<'_>,
) -> Result<HttpTarget, ConfigError> {
    let token = for_header(token, around).map_err(|hint| ConfigError::new("auth.bearer", hint))?;
    if let Some(token) = token.constant() {
        return target.bearer(&token);
    }
    let needs_row = token.needs_row();
    with_made(target, needs_row, move |op| credentials::bearer(&token.fill(op)))
}

impl Basic {
    fn give(&self, target: HttpTarget, around: &Around<'_>) -> Result<HttpTarget, ConfigError> {
        let read = |Secret(text): &Secret, field: &str| {
            for_header(text, around).map_err(|hint| ConfigError::new(format!("auth.basic.{field}"), hint))
        };
        let (user, password) = (read(&self.user, "user")?, read(&self.password, "password")?);
        if let (Some(user), Some(password)) = (user.constant(), password.constant()) {
            return target.basic(&user, &password);
        }
        let needs_row = user.needs_row() || password.needs_row();
        with_made(target, needs_row, move |op| credentials::basic(&user.fill(op), &password.fill(op)))
    }
}

fn with_made(
    target: HttpTarget,
    needs_row: bool,
    value: impl Fn(&crate::op::Op) -> String + Send + Sync + 'static,
) -> Result<HttpTarget, ConfigError> {
    let target = target.header_with("authorization", value)?;
    Ok(if needs_row { target.needing_row() } else { target })
}
