//! A benchmark gate with a stated false-alarm rate, and probes that watch a live service.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
