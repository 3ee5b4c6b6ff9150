//! octroi developer commands.

fn main() {}
