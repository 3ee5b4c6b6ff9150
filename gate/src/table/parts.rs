//! The IPv6 space, taken apart for the tries of its image.

use std::{vec, vec::Vec};

use super::cell::{Run, push};

/// IPv6 runs for each of the three tries.
pub(super) struct Parts {
    /// 2000::/3 as far as /64, keys shifted by its three bits. A /64 that is divided further has the escape as its class.
    pub(super) global: Vec<Run<u64>>,
    /// All that is not 2000::/3.
    pub(super) other: Vec<Run<u128>>,
    /// The divided /64s of 2000::/3; what lies between them is never looked up, and has class 0.
    pub(super) divided: Vec<Run<u128>>,
}

const FIRST_GLOBAL: u128 = 1 << 125;
const FIRST_BEYOND: u128 = 2 << 125;

impl Parts {
    pub(super) fn of(v6: &[(u128, u16)], escape: u16) -> Self {
        let mut parts = Self { global: Vec::with_capacity(v6.len()), other: vec![], divided: vec![] };
        let from = v6.partition_point(|run| run.0 < FIRST_GLOBAL);
        let to = v6.partition_point(|run| run.0 < FIRST_BEYOND);
        let class_at = |index: usize| v6[index - 1].1;
        for &(start, class) in &v6[..from] {
            push(&mut parts.other, start, class);
        }
        let beyond = v6.get(to).is_some_and(|run| run.0 == FIRST_BEYOND);
        if !beyond {
            push(&mut parts.other, FIRST_BEYOND, class_at(to));
        }
        for &(start, class) in &v6[to..] {
            push(&mut parts.other, start, class);
        }

        push(&mut parts.divided, 0, 0);
        let mut before = class_at(from);
        push(&mut parts.global, 0, before);
        for block in v6[from..to].chunk_by(|a, b| a.0 >> 64 == b.0 >> 64) {
            let start = block[0].0 >> 64 << 64;
            let key = |start: u128| ((start - FIRST_GLOBAL) >> 61) as u64;
            let after = block[block.len() - 1].1;
            if block.len() == 1 && block[0].0 == start {
                push(&mut parts.global, key(start), after);
            } else {
                push(&mut parts.global, key(start), escape);
                push(&mut parts.divided, start, before);
                for &(start, class) in block {
                    push(&mut parts.divided, start, class);
                }
                // The last /64 of all has none after it.
                if start + (1 << 64) < FIRST_BEYOND {
                    push(&mut parts.global, key(start + (1 << 64)), after);
                }
                push(&mut parts.divided, start + (1 << 64), 0);
            }
            before = after;
        }
        parts
    }
}
