//! Criterion suites and side-by-side comparisons.
