//! Address space that no database decides: the IANA special-purpose address registries and multicast.
//!
//! Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 as amended by RFC 8190; state of
//! October 2025: <https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! <https://www.iana.org/assignments/iana-ipv6-special-registry>), multicast by RFC 5771 and RFC 4291.
//!
//! The rule: what CONTRACT names is local; every other entry is unknown unless its column "Globally Reachable" says
//! true. So entries where it says "N/A" are unknown as well: 6to4 (2002::/16, an alias of the IPv4 tree in many
//! databases, whose real source is an IPv4 address that we do not look for), its relay anycast (192.88.99.0/24,
//! deprecated), Teredo (2001::/32) and the first ORCHID (2001:10::/28, deprecated). Of IPv6, everything outside
//! 2000::/3, which is all that IANA has given out, is unknown too, the registry's 64:ff9b::/96 (NAT64) included.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::runs::Address;

/// What special space is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Special {
    /// Private, link-local, loopback, multicast and unspecified: `policy.local` decides.
    Local,
    /// Not globally reachable, reserved, or not given out: its country is `unknown`.
    Unknown,
}

use Special::{Local, Unknown};

/// IPv4: address, prefix length, and what it is; `None` for what is globally reachable inside a block that is not.
/// A longer prefix overrides the shorter one around it.
#[rustfmt::skip]
const V4: [([u8; 4], u8, Option<Special>); 21] = [
    ([0, 0, 0, 0],         8, Some(Local)),   // "this network"
    ([10, 0, 0, 0],        8, Some(Local)),   // private use
    ([100, 64, 0, 0],     10, Some(Local)),   // shared address space (carrier-grade NAT)
    ([127, 0, 0, 0],       8, Some(Local)),   // loopback
    ([169, 254, 0, 0],    16, Some(Local)),   // link-local
    ([172, 16, 0, 0],     12, Some(Local)),   // private use
    ([192, 0, 0, 0],      24, Some(Unknown)), // IETF protocol assignments
    ([192, 0, 0, 9],      32, None),          //   Port Control Protocol anycast
    ([192, 0, 0, 10],     32, None),          //   TURN anycast
    ([192, 0, 2, 0],      24, Some(Unknown)), // documentation (TEST-NET-1)
    ([192, 88, 99, 0],    24, Some(Unknown)), // 6to4 relay anycast, deprecated
    ([192, 168, 0, 0],    16, Some(Local)),   // private use
    ([198, 18, 0, 0],     15, Some(Unknown)), // benchmarking
    ([198, 51, 100, 0],   24, Some(Unknown)), // documentation (TEST-NET-2)
    ([203, 0, 113, 0],    24, Some(Unknown)), // documentation (TEST-NET-3)
    ([224, 0, 0, 0],       4, Some(Local)),   // multicast
    ([240, 0, 0, 0],       4, Some(Unknown)), // reserved
    ([255, 255, 255, 255], 32, Some(Local)),  //   limited broadcast
    // Globally reachable on their own; here so that the list has all of the registry.
    ([192, 31, 196, 0],   24, None),          // AS112
    ([192, 175, 48, 0],   24, None),          // AS112, direct delegation
    ([192, 52, 193, 0],   24, None),          // automatic multicast tunnelling
];

/// IPv6, in the same form.
#[rustfmt::skip]
const V6: [([u16; 8], u8, Option<Special>); 22] = [
    ([0; 8],                                0, Some(Unknown)), // everything outside …
    ([0x2000, 0, 0, 0, 0, 0, 0, 0],         3, None),          //   … global unicast
    ([0; 8],                              128, Some(Local)),   // unspecified
    ([0, 0, 0, 0, 0, 0, 0, 1],            128, Some(Local)),   // loopback
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0],         7, Some(Local)),   // unique local
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0],        10, Some(Local)),   // link-local
    ([0xff00, 0, 0, 0, 0, 0, 0, 0],         8, Some(Local)),   // multicast
    ([0x2001, 0, 0, 0, 0, 0, 0, 0],        23, Some(Unknown)), // IETF protocol assignments, Teredo among them
    ([0x2001, 1, 0, 0, 0, 0, 0, 1],       128, None),          //   Port Control Protocol anycast
    ([0x2001, 1, 0, 0, 0, 0, 0, 2],       128, None),          //   TURN anycast
    ([0x2001, 1, 0, 0, 0, 0, 0, 3],       128, None),          //   DNS-SD service registration anycast
    ([0x2001, 2, 0, 0, 0, 0, 0, 0],        48, Some(Unknown)), //   benchmarking
    ([0x2001, 3, 0, 0, 0, 0, 0, 0],        32, None),          //   automatic multicast tunnelling
    ([0x2001, 4, 0x112, 0, 0, 0, 0, 0],    48, None),          //   AS112
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0],     28, Some(Unknown)), //   ORCHID, deprecated
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0],     28, None),          //   ORCHIDv2
    ([0x2001, 0x30, 0, 0, 0, 0, 0, 0],     28, None),          //   drone remote identification
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],    32, Some(Unknown)), // documentation
    ([0x2002, 0, 0, 0, 0, 0, 0, 0],        16, Some(Unknown)), // 6to4
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, None),         // AS112
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0],        20, Some(Unknown)), // documentation
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0],        16, Some(Unknown)), // segment routing identifiers
];

/// The special parts of IPv4 as (first, last, what), sorted, disjoint, merged; addresses as numbers. What lies
/// between them is left to the databases.
#[must_use]
pub fn v4() -> Vec<(u32, u32, Special)> {
    let blocks = V4.map(|(address, length, special)| {
        (u128::from(Ipv4Addr::from(address).to_bits()) << 96, length, special)
    });
    let narrow = |address: u128| u32::try_from(address >> 96).expect("the upper 32 bits of 128");
    flatten(&blocks)
        .into_iter()
        .map(|(first, last, special)| (narrow(first), narrow(last), special))
        .collect()
}

/// The same for IPv6.
#[must_use]
pub fn v6() -> Vec<(u128, u128, Special)> {
    flatten(&V6.map(|(address, length, special)| (Ipv6Addr::from(address).to_bits(), length, special)))
}

/// Nested blocks, left-aligned in 128 bits, to disjoint ranges: of the blocks around an address the longest decides.
fn flatten(blocks: &[(u128, u8, Option<Special>)]) -> Vec<(u128, u128, Special)> {
    let last = |first: u128, length: u8| first | u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    let mut edges = vec![0];
    for &(first, length, _) in blocks {
        edges.push(first);
        edges.extend(last(first, length).checked_add(1));
    }
    edges.sort_unstable();
    edges.dedup();

    let mut ranges: Vec<(u128, u128, Special)> = Vec::new();
    for (index, &edge) in edges.iter().enumerate() {
        let end = edges.get(index + 1).map_or(u128::MAX, |next| next - 1);
        let around =
            blocks.iter().filter(|&&(first, length, _)| (first..=last(first, length)).contains(&edge));
        let Some(&(_, _, Some(special))) = around.max_by_key(|&&(_, length, _)| length) else { continue };
        match ranges.last_mut() {
            Some((_, before, same)) if *same == special && *before + 1 == edge => *before = end,
            _ => ranges.push((edge, end, special)),
        }
    }
    ranges
}

/// Counts networks that a database has in special space, as they come by in ascending order.
pub(super) struct Spaces {
    v4: Spans<u32>,
    v6: Spans<u128>,
    count: u64,
    first: Option<String>,
}

impl Spaces {
    pub(super) fn new() -> Self {
        Self { v4: Spans::new(v4()), v6: Spans::new(v6()), count: 0, first: None }
    }

    /// Counts `first..=last` if all of it is special.
    pub(super) fn note_v4(&mut self, first: u32, last: u32) {
        if self.v4.hold(first, last) {
            self.count += 1;
            self.first.get_or_insert_with(|| Ipv4Addr::from_bits(first).to_string());
        }
    }

    /// The same for IPv6.
    pub(super) fn note_v6(&mut self, first: u128, last: u128) {
        if self.v6.hold(first, last) {
            self.count += 1;
            self.first.get_or_insert_with(|| Ipv6Addr::from_bits(first).to_string());
        }
    }

    /// A note for `Database::notes` if there was any; `what` is what was counted, in the singular.
    pub(super) fn note(&self, what: &str) -> Option<String> {
        let first = self.first.as_ref()?;
        Some(match self.count {
            1 => format!("1 {what} in special-purpose space ignored ({first})"),
            count => format!("{count} {what}s in special-purpose space ignored (the first at {first})"),
        })
    }
}

/// Special ranges of one family, of whatever kind, and where among them the last network was.
struct Spans<A> {
    ranges: Vec<(A, A)>,
    at: usize,
}

impl<A: Address> Spans<A> {
    fn new(special: Vec<(A, A, Special)>) -> Self {
        let mut ranges: Vec<(A, A)> = Vec::new();
        for (first, last, _) in special {
            match ranges.last_mut() {
                // A network may span two kinds that touch (240.0.0.0/4 has the broadcast address in it).
                Some((_, before)) if before.successor() == Some(first) => *before = last,
                _ => ranges.push((first, last)),
            }
        }
        Self { ranges, at: 0 }
    }

    fn hold(&mut self, first: A, last: A) -> bool {
        while self.ranges.get(self.at).is_some_and(|&(_, end)| end < first) {
            self.at += 1;
        }
        self.ranges.get(self.at).is_some_and(|&(start, end)| start <= first && last <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Option<Special> {
        fn find<A: Copy + Ord>(ranges: &[(A, A, Special)], address: A) -> Option<Special> {
            ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&address)).map(|range| range.2)
        }
        match address.parse().expect("an address") {
            std::net::IpAddr::V4(address) => find(&v4(), address.to_bits()),
            std::net::IpAddr::V6(address) => find(&v6(), address.to_bits()),
        }
    }

    /// First and last address of each block, and its neighbours.
    #[test]
    fn what_the_contract_calls_local_is_local_to_the_address() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("224.0.0.0", "239.255.255.255"),
            ("255.255.255.255", "255.255.255.255"),
            ("::", "::1"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ] {
            assert_eq!((of(first), of(last)), (Some(Local), Some(Local)), "{first}");
        }
        let local: u64 =
            v4().iter().filter(|range| range.2 == Local).map(|r| u64::from(r.1) - u64::from(r.0) + 1).sum();
        let blocks = [8, 8, 10, 8, 16, 12, 16, 4, 32].map(|length| 1u64 << (32 - length));
        assert_eq!(local, blocks.iter().sum::<u64>());
        assert_eq!(
            v6().iter().filter(|range| range.2 == Local).count(),
            4,
            "::/127, fc00::/7, fe80::/10, ff00::/8"
        );
    }

    #[test]
    fn what_is_not_globally_reachable_is_unknown() {
        for address in [
            "192.0.0.0",
            "192.0.0.8",
            "192.0.0.11",
            "192.0.0.170",
            "192.0.0.255",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.255",
            "240.0.0.0",
            "255.255.255.254",
            "::2",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "100:0:0:1::1",
            "1fff:ffff::1",
            "2001::1",
            "2001:1::",
            "2001:1::4",
            "2001:2::1",
            "2001:4:113::1",
            "2001:10::1",
            "2001:40::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::",
            "5f00::1",
            "fbff::1",
            "fec0::1",
            "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe00::1",
        ] {
            assert_eq!(of(address), Some(Unknown), "{address}");
        }
    }

    #[test]
    fn what_is_globally_reachable_is_left_to_the_databases() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.0.9",
            "192.0.0.10",
            "192.0.1.0",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.98.255",
            "192.88.100.0",
            "192.175.48.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::",
            "2001:1::1",
            "2001:1::2",
            "2001:1::3",
            "2001:3::1",
            "2001:4:112::1",
            "2001:20::1",
            "2001:3f:ffff::1",
            "2001:200::",
            "2001:db7:ffff::1",
            "2001:db9::1",
            "2003::",
            "2620:4f:8000::1",
            "3ffe::1",
            "3fff:1000::",
        ] {
            assert_eq!(of(address), None, "{address}");
        }
    }

    #[test]
    fn ranges_are_sorted_disjoint_and_merged() {
        fn check<A: Address>(ranges: &[(A, A, Special)]) {
            assert!(ranges.iter().all(|range| range.0 <= range.1));
            for pair in ranges.windows(2) {
                assert!(pair[0].1 < pair[1].0);
                assert!(pair[0].2 != pair[1].2 || pair[0].1.successor() != Some(pair[1].0));
            }
        }
        check(&v4());
        check(&v6());
    }

    #[test]
    fn networks_in_special_space_are_counted_once_and_the_first_is_named() {
        let mut spaces = Spaces::new();
        assert_eq!(spaces.note("network"), None);
        spaces.note_v4(0x0900_0000, 0x0aff_ffff); // 9.0.0.0 to 10.255.255.255: not all of it
        spaces.note_v4(0x0a01_0000, 0x0a01_ffff);
        assert_eq!(
            spaces.note("network").as_deref(),
            Some("1 network in special-purpose space ignored (10.1.0.0)")
        );
        spaces.note_v4(0xf000_0000, u32::MAX);
        spaces.note_v6(0xff << 120, u128::MAX);
        assert_eq!(
            spaces.note("network").as_deref(),
            Some("3 networks in special-purpose space ignored (the first at 10.1.0.0)")
        );
    }
}
