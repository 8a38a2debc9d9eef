use serde::Serialize;

use super::{Factor, Grams, Period, Quantity, Scope, shown};
use crate::intake::Draft;

/// Longest id and category, in bytes.
const NAME_LIMIT: usize = 128;

/// One thing somebody did, with what it emitted: a row of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// Whose it is.
    #[serde(skip)]
    pub tenant: String,
    /// Unique within the tenant; a second activity of the same id is a duplicate and not stored.
    pub id: String,
    /// Category, which has the factor.
    pub category: String,
    /// How much, in the factor's unit.
    pub quantity: Quantity,
    /// The factor's unit.
    pub unit: String,
    /// Year or month.
    pub period: Period,
    /// Whether it corrects others, and so may be negative.
    pub adjustment: bool,
    /// The factor's scope.
    pub scope: Scope,
    /// Whether it counts in totals.
    pub in_totals: bool,
    /// Emissions, rounded once, in kilograms of CO₂ equivalent.
    #[serde(rename = "co2e_kg")]
    pub co2e: Grams,
    /// The factor's version that `co2e` was computed with.
    pub factor_version: i64,
}

/// Why a draft is no activity: the field and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field at fault.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Turns a draft into an activity of `tenant`, at `factor` (`None`: the category is unknown).
///
/// # Errors
/// The first field that is wrong.
pub fn assess(tenant: &str, draft: &Draft, factor: Option<&Factor>) -> Result<Activity, Refusal> {
    let refuse = |field| move |reason: String| Refusal { field, reason };
    let id = match &draft.id {
        Some(id) => named(id).map_err(refuse("id"))?.to_owned(),
        None => uuid::Uuid::now_v7().to_string(),
    };
    let factor = factor.ok_or_else(|| format!("unknown category `{}`", shown(&draft.category)));
    let factor = factor.map_err(refuse("category"))?;
    let quantity: Quantity =
        draft.quantity.parse().map_err(|e: super::ParseError| refuse("quantity")(e.0))?;
    if quantity.millionths() < 0 && !draft.adjustment {
        return Err(refuse("quantity")(format!(
            "{quantity} is negative; mark it `adjustment` if it corrects others"
        )));
    }
    unit_fits(draft, factor).map_err(refuse("unit"))?;
    let period = draft.period.parse().map_err(|e: super::ParseError| refuse("period")(e.0))?;
    let co2e = quantity.emissions(factor.kg_co2e_per_unit);
    let co2e =
        co2e.ok_or_else(|| refuse("quantity")("its emissions are beyond what can be held".to_owned()))?;
    Ok(Activity {
        tenant: tenant.to_owned(),
        id,
        category: factor.category.clone(),
        quantity,
        unit: factor.unit.clone(),
        period,
        adjustment: draft.adjustment,
        scope: factor.scope,
        in_totals: factor.in_totals,
        co2e,
        factor_version: factor.version,
    })
}

fn unit_fits(draft: &Draft, factor: &Factor) -> Result<(), String> {
    match &draft.unit {
        Some(unit) if *unit != factor.unit => Err(format!(
            "`{}` is not the unit of `{}`, which is `{}`",
            shown(unit),
            factor.category,
            factor.unit
        )),
        _ => Ok(()),
    }
}

fn named(name: &str) -> Result<&str, String> {
    match name {
        "" => Err("is empty".to_owned()),
        name if name.len() > NAME_LIMIT => Err(format!("is longer than {NAME_LIMIT} bytes")),
        name if name.chars().any(char::is_control) => Err("has a control character".to_owned()),
        name => Ok(name),
    }
}
