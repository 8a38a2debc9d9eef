//! Names of routes, few and fixed, never one per identifier.

use std::sync::{Arc, OnceLock};

/// How many routes a run tells apart; further names are counted together as `other`.
pub const MAX_ROUTES: usize = 64;

/// How many steps of flows a run tells apart.
pub const MAX_STEPS: usize = 64;

/// A route of the run's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteId(u32);

impl RouteId {
    /// Operations that named no route.
    pub const UNNAMED: Self = Self(0);

    pub(crate) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    pub(crate) fn to_bits(self) -> u32 {
        self.0
    }

    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// The names, shared by all shards: reading takes no lock, and a name once given keeps its id.
#[derive(Debug)]
pub(crate) struct RouteTable {
    names: [OnceLock<Arc<str>>; MAX_ROUTES],
    known: Box<[RouteId]>, // of the names that the workload knows beforehand, in its order
    steps: Box<[Arc<str>]>, // at most MAX_STEPS; their ids follow those of routes
}

const UNNAMED: usize = 0;
const OTHER: usize = MAX_ROUTES - 1;

impl RouteTable {
    pub(crate) fn new() -> Self {
        Self::knowing(&[])
    }

    /// With the names of routes that are known before the run; those beyond the table's size share `other`.
    pub(crate) fn knowing(known: &[String]) -> Self {
        let names = [const { OnceLock::new() }; MAX_ROUTES];
        for (index, name) in [(UNNAMED, "unnamed"), (OTHER, "other")] {
            let _ = names[index].set(name.into());
        }
        let mut table = Self { names, known: Box::default(), steps: Box::default() };
        table.known = known.iter().map(|name| table.id(name)).collect();
        table
    }

    /// With the names of what operations may consist of.
    pub(crate) fn with_steps(mut self, steps: &[String]) -> Self {
        self.steps = steps.iter().take(MAX_STEPS).map(|name| name.as_str().into()).collect();
        self
    }

    /// What operations may consist of, by their place.
    pub(crate) fn steps(&self) -> &[Arc<str>] {
        &self.steps
    }

    /// What a failure in a step is counted under.
    pub(crate) fn step(place: usize) -> RouteId {
        id(MAX_ROUTES + place)
    }

    /// The routes known before the run, in the workload's order.
    pub(crate) fn known(&self) -> &[RouteId] {
        &self.known
    }

    /// The id of `name`, giving it the next free one at first sight. O(routes).
    pub(crate) fn id(&self, name: &str) -> RouteId {
        for (index, slot) in self.names.iter().enumerate().take(OTHER).skip(1) {
            if &**slot.get_or_init(|| name.into()) == name {
                return id(index);
            }
        }
        id(OTHER)
    }

    /// The place of a name that another process gave: what it counted together stays together.
    #[cfg(feature = "serde")]
    pub(crate) fn place_of(&self, name: &str) -> RouteId {
        match name {
            "unnamed" => RouteId::UNNAMED,
            "other" => id(OTHER),
            name => self.id(name),
        }
    }

    /// Of a route, or of a step.
    pub(crate) fn name(&self, index: usize) -> Arc<str> {
        if let Some(step) = index.checked_sub(MAX_ROUTES).and_then(|place| self.steps.get(place)) {
            return Arc::clone(step);
        }
        self.names.get(index).and_then(OnceLock::get).cloned().unwrap_or_else(|| "other".into())
    }
}

fn id(index: usize) -> RouteId {
    RouteId(u32::try_from(index).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_of_their_own_beside_those_of_routes() {
        let table = RouteTable::knowing(&["shop".into()]).with_steps(&["shop: log in".into()]);
        assert_eq!(&*table.name(RouteTable::step(0).index()), "shop: log in");
        assert_eq!(&*table.name(RouteTable::step(1).index()), "other");
        assert_eq!(&*table.name(table.known()[0].index()), "shop");
    }

    #[test]
    fn names_keep_their_id_and_the_table_never_grows() {
        let table = RouteTable::new();
        let first = table.id("GET /a");
        assert_eq!(table.id("GET /a"), first);
        for n in 0..10_000 {
            table.id(&format!("GET /{n}"));
        }
        assert_eq!(table.id("GET /a"), first);
        assert_eq!(&*table.name(table.id("GET /9999").index()), "other");
        assert_eq!(&*table.name(RouteId::UNNAMED.index()), "unnamed");
    }
}
