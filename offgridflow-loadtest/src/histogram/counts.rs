//! Counters that cost memory only where something is counted.

use std::array;

/// Counters in a page.
const PAGE: usize = 64;

/// Many counters, in pages that are made when they are first touched and grow wider as they fill: from one
/// byte a counter, or two, to eight. What is rare, such as a long tail, costs a page for 64 neighbours.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pages: Vec<Option<Page>>, // empty until something is counted
    most: usize,              // pages
    narrowest: Narrowest,
}

/// How wide the counters of a new page are: narrow ones suit many counters, wide ones those that fill anyway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Narrowest {
    Byte,
    Half,
}

#[derive(Debug, Clone)]
enum Page {
    Bytes(Box<[u8; PAGE]>),
    Halves(Box<[u16; PAGE]>),
    Words(Box<[u32; PAGE]>),
    Doubles(Box<[u64; PAGE]>),
}

impl Counts {
    /// At least so many counters, all zero; no page yet.
    pub(crate) fn new(counters: usize, narrowest: Narrowest) -> Self {
        Self { pages: Vec::new(), most: counters.div_ceil(PAGE), narrowest }
    }

    /// How many counters there may be.
    #[cfg(feature = "serde")]
    pub(crate) fn len(&self) -> usize {
        self.most * PAGE
    }

    /// Adds `n` to a counter. Allocates when a page is first touched or has to grow: a bounded number of times.
    pub(crate) fn add(&mut self, index: usize, n: u64) {
        if self.pages.is_empty() {
            self.pages.resize(self.most, None);
        }
        let page = self.pages[index / PAGE].get_or_insert_with(|| Page::empty(self.narrowest));
        while !page.add(index % PAGE, n) {
            page.widen();
        }
    }

    /// Adds all of `other`.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(index, n)| self.add(index, n));
    }

    /// Sets all to zero. Pages are kept for the next use, but for those that were not used since the last time.
    pub(crate) fn clear(&mut self) {
        for slot in &mut self.pages {
            match slot {
                Some(page) if page.is_empty() => *slot = None,
                Some(page) => page.clear(),
                None => {}
            }
        }
    }

    /// The counters that are not zero, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let pages = self.pages.iter().enumerate().filter_map(|(at, page)| Some((at, page.as_ref()?)));
        pages
            .flat_map(|(at, page)| (0..PAGE).map(move |slot| (at * PAGE + slot, page.get(slot))))
            .filter(|&(_, n)| n > 0)
    }
}

impl Page {
    fn empty(narrowest: Narrowest) -> Self {
        match narrowest {
            Narrowest::Byte => Self::Bytes(Box::new([0; PAGE])),
            Narrowest::Half => Self::Halves(Box::new([0; PAGE])),
        }
    }

    /// `false` if the counter is too narrow.
    fn add(&mut self, slot: usize, n: u64) -> bool {
        match self {
            Self::Bytes(counters) => grow(&mut counters[slot], n),
            Self::Halves(counters) => grow(&mut counters[slot], n),
            Self::Words(counters) => grow(&mut counters[slot], n),
            Self::Doubles(counters) => {
                counters[slot] = counters[slot].saturating_add(n);
                true
            }
        }
    }

    fn get(&self, slot: usize) -> u64 {
        match self {
            Self::Bytes(counters) => counters[slot].into(),
            Self::Halves(counters) => counters[slot].into(),
            Self::Words(counters) => counters[slot].into(),
            Self::Doubles(counters) => counters[slot],
        }
    }

    fn widen(&mut self) {
        *self = match self {
            Self::Bytes(counters) => Self::Halves(Box::new(array::from_fn(|slot| counters[slot].into()))),
            Self::Halves(counters) => Self::Words(Box::new(array::from_fn(|slot| counters[slot].into()))),
            Self::Words(counters) => Self::Doubles(Box::new(array::from_fn(|slot| counters[slot].into()))),
            Self::Doubles(_) => return,
        };
    }

    fn is_empty(&self) -> bool {
        (0..PAGE).all(|slot| self.get(slot) == 0)
    }

    fn clear(&mut self) {
        match self {
            Self::Bytes(counters) => counters.fill(0),
            Self::Halves(counters) => counters.fill(0),
            Self::Words(counters) => counters.fill(0),
            Self::Doubles(counters) => counters.fill(0),
        }
    }
}

/// Adds `n` if the sum fits.
fn grow<T: Copy + Into<u64> + TryFrom<u64>>(counter: &mut T, n: u64) -> bool {
    let sum = (*counter).into().checked_add(n).and_then(|sum| T::try_from(sum).ok());
    sum.map(|sum| *counter = sum).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_widen_and_never_lose_a_count() {
        let mut counts = Counts::new(100, Narrowest::Byte);
        let steps = [1, 254, 1, 65_279, 1, (1 << 32) - 65_537, 1, u64::from(u32::MAX)];
        let mut sum = 0;
        for n in steps {
            counts.add(70, n);
            sum += n;
            assert_eq!(counts.iter().collect::<Vec<_>>(), [(70, sum)]);
        }
        assert!(sum > 1 << 32);
        counts.add(70, u64::MAX);
        counts.add(69, 3);
        assert_eq!(counts.iter().collect::<Vec<_>>(), [(69, 3), (70, u64::MAX)]);
        counts.clear();
        assert_eq!(counts.iter().count(), 0);
    }

    #[test]
    fn what_is_not_touched_has_no_page() {
        let mut counts = Counts::new(10_000, Narrowest::Half);
        counts.add(9_999, 1);
        assert_eq!(counts.pages.iter().flatten().count(), 1);
    }
}
