//! Which values are NULL.

/// One bit a value: set where it is NULL.
#[derive(Debug, Clone, Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    len: usize,
}

impl Bitmap {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, set: bool) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.len / 64] |= u64::from(set) << (self.len % 64);
        self.len += 1;
    }

    pub(super) fn get(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    pub(super) fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        self.words.truncate(len.div_ceil(64));
        if !len.is_multiple_of(64) {
            self.words[len / 64] &= (1 << (len % 64)) - 1;
        }
        self.len = len;
    }
}
