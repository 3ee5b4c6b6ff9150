//! Addresses of one family as numbers, and ranges of them.

/// An address as a number: `u32` for IPv4, `u128` for IPv6, most significant bit first.
pub trait Key: Copy + Ord + std::hash::Hash + std::fmt::Debug {
    /// The first address.
    const FIRST: Self;
    /// The last address.
    const LAST: Self;
    /// The address after this one; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before this one, which is not the first.
    fn before(self) -> Self;
    /// First and last address of a network; `None` for a network of the other family.
    fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)>;
}

macro_rules! key {
    ($key:ty, $family:ident, $other:ident) => {
        impl Key for $key {
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn before(self) -> Self {
                self - 1
            }

            fn range(network: &ipnetwork::IpNetwork) -> Option<(Self, Self)> {
                match network {
                    ipnetwork::IpNetwork::$family(network) => {
                        Some((network.network().into(), network.broadcast().into()))
                    }
                    ipnetwork::IpNetwork::$other(_) => None,
                }
            }
        }
    };
}

key!(u32, V4, V6);
key!(u128, V6, V4);

/// Sorts ranges (first and last address), and joins those that overlap or touch, in their own memory.
pub fn join<K: Key>(ranges: &mut Vec<(K, K)>) {
    // Most lists are sorted already, which costs next to nothing.
    ranges.sort_unstable_by_key(|range| range.0);
    ranges.dedup_by(|next, before| {
        let joined = before.1.next().is_none_or(|after| next.0 <= after);
        if joined {
            before.1 = before.1.max(next.1);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_overlap_touch_or_repeat_each_other_are_one() {
        let mut ranges: Vec<(u32, u32)> =
            vec![(40, 49), (10, 19), (20, 29), (12, 13), (40, 49), (45, 60), (31, 35), (u32::MAX, u32::MAX)];
        join(&mut ranges);
        assert_eq!(ranges, [(10, 29), (31, 35), (40, 60), (u32::MAX, u32::MAX)]);
        let mut all = vec![(5, 6), (0, u128::MAX), (u128::MAX, u128::MAX), (0, 3)];
        join(&mut all);
        assert_eq!(all, [(0, u128::MAX)]);
        join::<u32>(&mut Vec::new());
    }
}
