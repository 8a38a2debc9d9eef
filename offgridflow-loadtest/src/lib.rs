//! A load tester that proves its own numbers: exact schedules, latency from the intended start, and a verdict on the run itself.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
