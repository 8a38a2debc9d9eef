use super::{Factor, Ratio, Scope};

const CDIAC: &str = "CDIAC at AppState (Hefner & Marland 2023); CO2 = C x 44/12";
const IPCC: &str = "IPCC 2006 Guidelines, volume 2, table 2.2 (CO2, default)";
const DESNZ: &str = "UK DESNZ greenhouse gas conversion factors 2024, UK electricity";

/// Name, unit, kilograms a unit, scope, whether in totals, source.
const DEFAULTS: [(&str, &str, &str, i16, bool, &str); 11] = [
    // A kiloton of carbon is 44/12 kilotons of CO2: 11 000 000/3 kg.
    ("solid-fuel", "kt C", "11000000/3", 1, true, CDIAC),
    ("liquid-fuel", "kt C", "11000000/3", 1, true, CDIAC),
    ("gas-fuel", "kt C", "11000000/3", 1, true, CDIAC),
    ("cement", "kt C", "11000000/3", 1, true, CDIAC),
    ("gas-flaring", "kt C", "11000000/3", 1, true, CDIAC),
    ("bunker-fuels", "kt C", "11000000/3", 3, false, CDIAC),
    ("natural-gas", "GJ", "56.1", 1, true, IPCC),
    ("diesel", "GJ", "74.1", 1, true, IPCC),
    ("petrol", "GJ", "69.3", 1, true, IPCC),
    ("coal", "GJ", "94.6", 1, true, IPCC),
    ("electricity", "kWh", "0.20705", 2, true, DESNZ),
];

/// The factors every tenant begins with, each with its published source.
///
/// # Panics
/// Never: the table is constant, and a test reads it.
#[must_use]
pub fn default_factors() -> Vec<Factor> {
    DEFAULTS
        .iter()
        .map(|&(category, unit, ratio, scope, in_totals, source)| Factor {
            category: category.to_owned(),
            unit: unit.to_owned(),
            kg_co2e_per_unit: ratio.parse::<Ratio>().expect("the table is constant"),
            scope: Scope::try_from(scope).expect("the table is constant"),
            in_totals,
            source: source.to_owned(),
            version: 1,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_default_is_well_formed_and_named_once() {
        let mut names: Vec<_> = super::default_factors().into_iter().map(|factor| factor.category).collect();
        names.dedup();
        assert_eq!(names.len(), super::DEFAULTS.len());
    }
}
