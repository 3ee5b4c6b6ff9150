//! octroi end to end: what the tests in `tests/` stand on.

pub mod policy;
