//! A profiler that states how sure it is: memory verdicts with an error rate, CPU profiles on demand.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
