//! Batched writes, a connection gate and query insight over sqlx: acknowledged means committed.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
