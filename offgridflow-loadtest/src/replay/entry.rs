//! What an entry of a log asked for, each distinct request held once.

use std::collections::HashMap;

/// The request of an entry, as far as the log tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    method: Option<Box<str>>,
    path: Option<Box<str>>,
    host: Option<Box<str>>,
}

impl Entry {
    /// The method, for example `GET`, as it is in the log.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The path with its query, as it is in the log.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// The host that was asked, where [`Fields::host`](crate::Fields::host) says where the log has it.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }
}

/// Distinct entries by number.
#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: HashMap<Box<str>, u32>,
    entries: Vec<Entry>,
    bytes: usize,
    key: String, // used again for every look-up
}

impl Interner {
    /// The number of an entry; `None` if its text does not fit `max_bytes` any more.
    pub(super) fn id(
        &mut self,
        method: Option<&str>,
        path: Option<&str>,
        host: Option<&str>,
        max_bytes: usize,
    ) -> Option<u32> {
        self.write_key([method, path, host]);
        if let Some(&id) = self.ids.get(&*self.key) {
            return Some(id);
        }
        self.bytes += self.key.len();
        let id = u32::try_from(self.entries.len()).ok().filter(|_| self.bytes <= max_bytes)?;
        self.ids.insert(self.key.as_str().into(), id);
        let [method, path, host] = [method, path, host].map(|part| part.map(Into::into));
        self.entries.push(Entry { method, path, host });
        Some(id)
    }

    /// Text that no other entry has, whatever the parts hold.
    fn write_key(&mut self, parts: [Option<&str>; 3]) {
        self.key.clear();
        for part in parts {
            let length = part.map_or("-".into(), |part| part.len().to_string());
            self.key.extend([&length, ":", part.unwrap_or_default()]);
        }
    }

    pub(super) fn into_entries(self) -> Box<[Entry]> {
        self.entries.into()
    }
}
