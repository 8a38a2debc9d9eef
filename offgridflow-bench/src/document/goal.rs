use serde::Deserialize;
use toml::Spanned;

use super::Figure;
use super::figure::with_unit;

/// What `bench.toml` asks of figures: targets, and triggers at which more should run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Goals<'a> {
    pub(crate) targets: &'a [Target],
    pub(crate) triggers: &'a [Trigger],
}

/// What a figure should be: at most, or at least, so much.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Target {
    pub(crate) name: Spanned<String>,
    pub(crate) figure: String,
    #[serde(default)]
    pub(crate) unit: String,
    pub(crate) at_most: Option<f64>,
    pub(crate) at_least: Option<f64>,
}

/// Above what a figure calls for more: an autoscaler's rule, held against what was measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Trigger {
    pub(crate) name: String,
    pub(crate) figure: String,
    #[serde(default)]
    pub(crate) unit: String,
    pub(crate) above: f64,
}

impl Target {
    /// What is wrong with it, in words.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match (self.at_most, self.at_least) {
            (Some(limit), None) | (None, Some(limit)) if limit.is_finite() => None,
            (Some(_), None) | (None, Some(_)) => Some("a target is a finite number"),
            _ => Some("a target has `at-most` or `at-least`, and not both"),
        }
    }

    pub(super) fn words(&self) -> String {
        let at = |word: &str, limit: f64| format!("{word} {}", with_unit(limit, &self.unit));
        let most = self.at_most.map(|limit| at("at most", limit));
        most.or_else(|| self.at_least.map(|limit| at("at least", limit))).unwrap_or_default()
    }

    /// Met or missed where the whole interval says so; a value without one is taken as it is, and said to be.
    pub(super) fn status(&self, figure: Option<&Figure>) -> String {
        let Some(figure) = figure else { return "not measured".to_owned() };
        if figure.unit != self.unit {
            return format!("measured in `{}`: not comparable", figure.unit);
        }
        let (limit, sign) =
            self.at_most.map_or((self.at_least.unwrap_or(f64::NAN), -1.0), |limit| (limit, 1.0));
        let within = |value: f64| sign * value <= sign * limit;
        match figure.low.zip(figure.high) {
            Some((low, high)) => match (within(low), within(high)) {
                (true, true) => "met",
                (false, false) => "missed",
                _ => "not decided",
            },
            None if within(figure.value) => "met, without an interval",
            None => "missed, without an interval",
        }
        .to_owned()
    }
}

impl Trigger {
    pub(super) fn words(&self) -> String {
        format!("above {}", with_unit(self.above, &self.unit))
    }

    pub(super) fn status(&self, figure: Option<&Figure>) -> String {
        match figure {
            None => "not measured".to_owned(),
            Some(figure) if figure.unit != self.unit => {
                format!("measured in `{}`: not comparable", figure.unit)
            }
            Some(figure) if figure.value > self.above => "fires".to_owned(),
            Some(_) => "rests".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Settings;

    fn figure(value: f64, interval: Option<(f64, f64)>) -> Figure {
        Figure::new("f", value, "ms").between(interval)
    }

    #[test]
    fn a_target_is_met_where_the_whole_interval_says_so() {
        let text = "[[target]]\nname = 't'\nfigure = 'f'\nunit = 'ms'\nat-most = 10.0\n[[target]]\nname = 'u'\nfigure = 'f'\nunit = 'ms'\nat-least = 10.0";
        let settings = Settings::parse("b.toml", text).unwrap();
        let goals = settings.goals();
        let status = |figure: &Figure| [0, 1].map(|nth| goals.targets[nth].status(Some(figure)));
        assert_eq!(status(&figure(8.0, Some((7.0, 9.0)))), ["met", "missed"]);
        assert_eq!(status(&figure(9.0, Some((8.0, 11.0)))), ["not decided", "not decided"]);
        assert_eq!(status(&figure(10.0, None)), ["met, without an interval", "met, without an interval"]);
        assert_eq!(goals.targets[0].status(None), "not measured");
        let other = Figure::new("f", 1.0, "s");
        assert_eq!(goals.targets[0].status(Some(&other)), "measured in `s`: not comparable");
    }

    #[test]
    fn a_target_that_makes_no_sense_is_named() {
        let said = |text: &str| Settings::parse("b.toml", text).unwrap_err().to_string();
        let both = said("[[target]]\nname = 't'\nfigure = 'f'\nat-most = 1.0\nat-least = 1.0");
        assert!(both.contains("b.toml, line 2: target `t`: a target has `at-most` or `at-least`"), "{both}");
        assert!(said("[[target]]\nname = 't'\nfigure = 'f'").contains("`at-most`"));
        assert!(said("[[target]]\nname = 't'\nfigure = 'f'\nat-most = nan").contains("finite"));
    }
}
