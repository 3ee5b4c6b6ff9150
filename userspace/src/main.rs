//! The `octroi` command.

fn main() {}
