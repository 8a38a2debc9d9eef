use std::fmt;

/// What works here: in this build, on this system, with these settings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Caps {
    /// A row a thing.
    pub rows: Vec<Capability>,
}

/// Whether one thing works here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Capability {
    /// What.
    pub what: &'static str,
    /// Whether.
    pub support: Support,
    /// How, or what would make it work.
    pub how: String,
}

/// Whether something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
pub enum Support {
    /// It does.
    On,
    /// It could, and is not asked for.
    Off,
    /// It cannot: not in this build, or not on this system.
    No,
}

impl Caps {
    /// Whether a thing works.
    #[must_use]
    pub fn has(&self, what: &str) -> bool {
        self.rows.iter().any(|row| row.what == what && row.support == Support::On)
    }

    pub(super) fn row(&mut self, what: &'static str, support: Support, how: impl Into<String>) {
        self.rows.push(Capability { what, support, how: how.into() });
    }
}

impl fmt::Display for Caps {
    /// A line a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.rows.iter().enumerate() {
            let support = match row.support {
                Support::On => "on",
                Support::Off => "off",
                Support::No => "no",
            };
            let end = if index + 1 < self.rows.len() { "\n" } else { "" };
            write!(f, "{:<9} {support:<4} {}{end}", row.what, row.how)?;
        }
        Ok(())
    }
}
