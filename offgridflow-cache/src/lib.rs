//! A tiered, typed cache whose stale fills are refused: a fill needs a lease.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
