//! What came and was not used yet.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, ReadBuf};

/// Memory of a connection at first, and at most.
const ROOM: (usize, usize) = (8 * 1024, 256 * 1024);

/// Bytes that were read, in memory that is used again. It grows while what comes fills it.
#[derive(Debug)]
pub(in crate::target::http) struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Buffer {
    pub(in crate::target::http) fn new() -> Self {
        Self { bytes: vec![0; ROOM.0], begin: 0, end: 0 }
    }

    pub(in crate::target::http) fn unused(&self) -> &[u8] {
        &self.bytes[self.begin..self.end]
    }

    /// Whether no more fits in.
    pub(in crate::target::http) fn is_full(&self) -> bool {
        self.unused().len() == ROOM.1
    }

    pub(in crate::target::http) fn consume(&mut self, used: usize) {
        self.begin += used;
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        }
    }

    /// Reads once; zero bytes if nothing comes any more, or nothing fits in.
    pub(in crate::target::http) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.end == self.bytes.len() {
            self.make_room();
        }
        let mut room = ReadBuf::new(&mut self.bytes[self.end..]);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        let came = room.filled().len();
        self.end += came;
        Poll::Ready(Ok(came))
    }

    fn make_room(&mut self) {
        if self.begin > 0 {
            self.bytes.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        if self.bytes.len() < ROOM.1 {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }
}
