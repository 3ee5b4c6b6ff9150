//! Space that no database decides: private, multicast, reserved and documentation addresses.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its successors), the IPv4 and IPv6
//! Multicast Address Space Registries, and the IPv6 Global Unicast Address Assignments (2000::/3 is all there is).
//! Entries that the registries call globally reachable (the anycast and AS112 prefixes) are left to the databases.

use crate::address::Key;

/// Why no database is asked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Special {
    /// Private, link-local, loopback, multicast or unspecified: `policy.local` decides.
    Local,
    /// Reserved, documentation, benchmarking, translation: the rules see `unknown`.
    Unknown,
}

use Special::{Local, Unknown};

/// Ascending and disjoint.
const V4: [(&str, Special); 18] = [
    ("0.0.0.0/8", Local),
    ("10.0.0.0/8", Local),
    ("100.64.0.0/10", Local),
    ("127.0.0.0/8", Local),
    ("169.254.0.0/16", Local),
    ("172.16.0.0/12", Local),
    // IETF protocol assignments, but for the PCP and TURN anycast addresses 192.0.0.9 and 192.0.0.10.
    ("192.0.0.0/29", Unknown),
    ("192.0.0.8/32", Unknown),
    ("192.0.0.11/32", Unknown),
    ("192.0.0.12/30", Unknown),
    ("192.0.0.16/28", Unknown),
    ("192.0.0.32/27", Unknown),
    ("192.0.0.64/26", Unknown),
    ("192.0.0.128/25", Unknown),
    ("192.0.2.0/24", Unknown),
    // 192.88.99.0/24, once 6to4 relay anycast, is deprecated; the registry gives no reachability (RFC 7526).
    ("192.88.99.0/24", Unknown),
    ("192.168.0.0/16", Local),
    ("198.18.0.0/15", Unknown),
];

/// The rest of [`V4`].
const V4_HIGH: [(&str, Special); 5] = [
    ("198.51.100.0/24", Unknown),
    ("203.0.113.0/24", Unknown),
    ("224.0.0.0/4", Local),
    ("240.0.0.0/4", Unknown),
    ("255.255.255.255/32", Local),
];

/// Outside 2000::/3, what is local; all else there is unknown.
const V6_LOCAL: [&str; 5] = ["::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8"];

/// Inside 2000::/3, what is not globally reachable.
const V6_UNKNOWN: [&str; 4] = [
    // IETF protocol assignments; its globally reachable parts are in V6_REACHABLE.
    "2001::/23",
    "2001:db8::/32",
    // 6to4: an alias of IPv4 space, which no database should place (RFC 7526 deprecates its relays).
    "2002::/16",
    "3fff::/20",
];

/// Inside 2001::/23, what the registry calls globally reachable.
const V6_REACHABLE: [&str; 7] = [
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
];

/// IPv4 ranges: first address, last address, why. Ascending, disjoint.
#[must_use]
pub fn v4() -> Vec<(u32, u32, Special)> {
    let marks = V4.iter().chain(&V4_HIGH).map(|&(prefix, kind)| (range(prefix), Some(kind)));
    paint(marks.collect())
}

/// IPv6 ranges.
#[must_use]
pub fn v6() -> Vec<(u128, u128, Special)> {
    let all = [(range("::/0"), Some(Unknown)), (range("2000::/3"), None)].into_iter();
    let local = V6_LOCAL.iter().map(|prefix| (range(prefix), Some(Local)));
    let unknown = V6_UNKNOWN.iter().map(|prefix| (range(prefix), Some(Unknown)));
    let reachable = V6_REACHABLE.iter().map(|prefix| (range(prefix), None));
    paint(all.chain(local).chain(unknown).chain(reachable).collect())
}

fn range<K: Key>(prefix: &str) -> (K, K) {
    let network = prefix.parse().expect("the tables have prefixes only");
    K::range(&network).expect("each table has one family")
}

/// Lays ranges over each other, later ones on top, and lists what is special in the end.
fn paint<K: Key>(layers: Vec<((K, K), Option<Special>)>) -> Vec<(K, K, Special)> {
    let mut starts: Vec<K> = vec![K::FIRST];
    for ((first, last), _) in &layers {
        starts.push(*first);
        starts.extend(last.next());
    }
    starts.sort_unstable();
    starts.dedup();
    let mut painted: Vec<(K, K, Special)> = Vec::new();
    for (index, &start) in starts.iter().enumerate() {
        let last = starts.get(index + 1).map_or(K::LAST, |next| next.before());
        let top = layers.iter().rev().find(|((first, end), _)| *first <= start && start <= *end);
        let Some(kind) = top.and_then(|(_, kind)| *kind) else { continue };
        match painted.last_mut() {
            Some(before) if before.2 == kind && before.1.next() == Some(start) => before.1 = last,
            _ => painted.push((start, last, kind)),
        }
    }
    painted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn special(text: &str) -> Option<Special> {
        fn find<K: Key>(ranges: &[(K, K, Special)], key: K) -> Option<Special> {
            ranges.iter().find(|(first, last, _)| *first <= key && key <= *last).map(|range| range.2)
        }
        match text.parse().expect("an address") {
            IpAddr::V4(address) => find(&v4(), address.into()),
            IpAddr::V6(address) => find(&v6(), address.into()),
        }
    }

    #[test]
    fn local_space_is_what_the_contract_lists() {
        for text in [
            "0.0.0.0", "0.255.255.255", "10.1.2.3", "100.64.0.0", "100.127.255.255", "127.0.0.1", "169.254.1.1",
            "172.16.0.0", "172.31.255.255", "192.168.255.255", "224.0.0.1", "239.255.255.255", "255.255.255.255", "::",
            "::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "ff00::", "ff02::1", "ffff::1",
        ] {
            assert_eq!(special(text), Some(Local), "{text}");
        }
    }

    #[test]
    fn other_space_that_is_not_globally_reachable_is_unknown() {
        for text in [
            "192.0.0.1", "192.0.0.8", "192.0.0.255", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255",
            "198.51.100.1", "203.0.113.255", "240.0.0.1", "255.255.255.254", "::2", "::ffff:1.2.3.4", "64:ff9b::1",
            "100::1", "1fff:ffff::", "4000::", "5f00::1", "fbff::1", "fec0::1", "2001::1", "2001:2::1", "2001:db8::1",
            "2002:102:304::1", "3fff:fff::1",
        ] {
            assert_eq!(special(text), Some(Unknown), "{text}");
        }
    }

    #[test]
    fn what_databases_decide_is_left_to_them() {
        for text in [
            "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.32.0.0", "192.0.0.9", "192.0.0.10", "192.0.1.0", "192.31.196.1",
            "192.52.193.1", "192.175.48.1", "223.255.255.255", "2000::", "2001:1::1", "2001:3::1", "2001:4:112::1",
            "2001:20::1", "2001:30::1", "2001:200::", "2620:4f:8000::1", "3fff:1000::", "3ffe:ffff::",
        ] {
            assert_eq!(special(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_ascending_and_disjoint() {
        assert!(v4().is_sorted_by(|a, b| a.1 < b.0));
        assert!(v6().is_sorted_by(|a, b| a.1 < b.0));
    }
}
