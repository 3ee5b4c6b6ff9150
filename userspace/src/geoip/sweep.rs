//! Two families of runs over the same addresses, gone through side by side.

use std::iter::Peekable;

use crate::address::Key;

/// A part of the addresses about which neither of two runs changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Piece<K, A, B> {
    /// Its first address.
    pub(crate) first: K,
    /// Its last.
    pub(crate) last: K,
    /// What the one says of it.
    pub(crate) one: A,
    /// What the other says.
    pub(crate) other: B,
}

/// All addresses in ascending order, in pieces. Runs are starts with a value; the first of each is at the first address,
/// and they ascend.
pub(crate) fn side_by_side<K: Key, A: Copy, B: Copy>(
    one: impl IntoIterator<Item = (K, A)>,
    other: impl IntoIterator<Item = (K, B)>,
) -> impl Iterator<Item = Piece<K, A, B>> {
    let (mut one, mut other) = (one.into_iter().peekable(), other.into_iter().peekable());
    let mut current = one.next().zip(other.next());
    std::iter::from_fn(move || {
        let ((start_one, value_one), (start_other, value_other)) = current?;
        let first = start_one.max(start_other);
        let next = [start(&mut one), start(&mut other)].into_iter().flatten().min();
        let Some(next) = next else {
            current = None;
            return Some(Piece { first, last: K::LAST, one: value_one, other: value_other });
        };
        let one = one.next_if(|run| run.0 == next).unwrap_or((start_one, value_one));
        let other = other.next_if(|run| run.0 == next).unwrap_or((start_other, value_other));
        current = Some((one, other));
        Some(Piece { first, last: next.before(), one: value_one, other: value_other })
    })
}

fn start<K: Copy, V>(runs: &mut Peekable<impl Iterator<Item = (K, V)>>) -> Option<K> {
    runs.peek().map(|run| run.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection, prelude::*};

    use super::*;

    /// Runs at both ends of a family.
    fn runs() -> impl Strategy<Value = Vec<(u32, u8)>> {
        let starts = collection::btree_map(0u8..20, any::<u8>(), 0..12);
        (any::<u8>(), starts).prop_map(|(first, rest)| {
            let place = |place: u8| {
                if place < 10 { u32::from(place) } else { u32::MAX - 19 + u32::from(place) }
            };
            let mut runs: BTreeMap<u32, u8> =
                rest.into_iter().map(|(at, value)| (place(at), value)).collect();
            runs.insert(0, first);
            runs.into_iter().collect()
        })
    }

    fn at(runs: &[(u32, u8)], address: u32) -> u8 {
        runs[runs.partition_point(|run| run.0 <= address) - 1].1
    }

    proptest! {
        #[test]
        fn pieces_cover_every_address_once_and_say_what_both_say(one in runs(), other in runs()) {
            let pieces: Vec<_> = side_by_side(one.iter().copied(), other.iter().copied()).collect();
            prop_assert_eq!(pieces[0].first, 0);
            prop_assert_eq!(pieces.last().map(|piece| piece.last), Some(u32::MAX));
            for pair in pieces.windows(2) {
                prop_assert_eq!(pair[0].last + 1, pair[1].first);
            }
            for piece in &pieces {
                prop_assert!(piece.first <= piece.last);
                for address in [piece.first, piece.last] {
                    prop_assert_eq!((at(&one, address), at(&other, address)), (piece.one, piece.other));
                }
            }
            // No more pieces than starts.
            let starts: std::collections::BTreeSet<u32> = one.iter().chain(&other).map(|run| run.0).collect();
            prop_assert_eq!(pieces.len(), starts.len());
        }
    }
}
