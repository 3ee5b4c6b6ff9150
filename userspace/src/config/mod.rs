//! Configuration: what was typed (`raw`), and what holds (`Config`).
