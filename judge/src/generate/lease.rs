//! Leases around the sources of frames, which end around the times of policies.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    address::network,
    moment::{SECOND, START},
};
use crate::{Lease, PassOrDrop};

/// None, or a few, of which no two have the same prefix.
pub(super) fn leases() -> impl Strategy<Value = Vec<Lease>> {
    prop_oneof![1 => Just(Vec::new()), 1 => vec(lease(), 1..=4), 1 => vec(lease(), 5..=16)].prop_map(
        |mut leases| {
            leases.sort_by_key(|lease| lease.prefix);
            leases.dedup_by_key(|lease| lease.prefix);
            leases
        },
    )
}

fn lease() -> impl Strategy<Value = Lease> {
    let action = select(&[PassOrDrop::Pass, PassOrDrop::Drop]);
    let until = prop_oneof![6 => 0u64..=40, 1 => Just(300_000_000)];
    (network(), action, until).prop_map(|(prefix, action, until)| Lease {
        prefix,
        action,
        until: START + until * SECOND,
    })
}
