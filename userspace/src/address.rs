//! Addresses of one family as numbers, and ranges of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

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

/// The largest prefix that lies within `first..=last`, both of one family; of several, the first.
#[must_use]
pub fn largest_within(first: IpAddr, last: IpAddr) -> IpNetwork {
    let (width, [first, last]) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (32, [first.to_bits().into(), last.to_bits().into()]),
        _ => {
            let bits = |address| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
                IpAddr::V6(address) => address.to_bits(),
            };
            (128, [bits(first), bits(last)])
        }
    };
    // By the bits that stand for hosts: the next start of a network of that size, as far as there is one.
    let fits = |host: u32| -> Option<u128> {
        let hosts = 1u128.checked_shl(host).map_or(u128::MAX, |size| size - 1);
        let start = first
            .checked_add(hosts)
            .map_or(if first == 0 { Some(0) } else { None }, |end| Some(end & !hosts))?;
        (start >= first && start.checked_add(hosts)? <= last).then_some(start)
    };
    let (start, host) = (0..=width).rev().find_map(|host| Some((fits(host)?, host))).unwrap_or((first, 0));
    let address: IpAddr = if width == 32 {
        Ipv4Addr::from(u32::try_from(start).unwrap_or(u32::MAX)).into()
    } else {
        Ipv6Addr::from(start).into()
    };
    let length = u8::try_from(width - host).unwrap_or_default();
    IpNetwork::new(address, length).expect("a length of the family")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_prefix_within_a_range_is_the_first_of_its_size() {
        for (first, last, expected) in [
            ("0.0.0.0", "255.255.255.255", "0.0.0.0/0"),
            ("1.0.0.1", "1.0.0.1", "1.0.0.1/32"),
            ("1.0.0.1", "1.0.0.254", "1.0.0.64/26"),
            ("1.0.0.0", "1.0.2.255", "1.0.0.0/23"),
            ("255.255.255.254", "255.255.255.255", "255.255.255.254/31"),
            ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0"),
            ("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "8000::/1"),
            ("2a00::", "2a02:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2a00::/15"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::1/128"),
        ] {
            let address = |text: &str| text.parse().expect("an address");
            assert_eq!(largest_within(address(first), address(last)).to_string(), expected, "{first} {last}");
        }
    }

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
