//! What C's library and the system alone know: the one place that differs between systems. Only Linux with glibc is tested; elsewhere
//! nothing is known, and that is said.

#[cfg(any(feature = "memory", feature = "cpu-pprof"))]
pub(crate) mod glibc;
#[cfg(feature = "cpu-pprof")]
pub(crate) mod loader;
#[cfg(feature = "cpu-pprof")]
pub(crate) mod signal;
