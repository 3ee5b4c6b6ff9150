//! "Space that no database decides."

use std::{net::IpAddr, sync::LazyLock};

use ipnetwork::IpNetwork;

/// Space that is set apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    /// `country="local"`: `policy.local` decides.
    Local,
    /// Unknown, whatever a database says.
    Unknown,
}

/// "*local* is […]", in the documentation's order.
const LOCAL: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// "every other entry of the IANA special-purpose registries that is not globally reachable": that the registry does not
/// call so, be it "False" or "N/A". Entries within IPv6 outside 2000::/3 are left out: all of that is unknown.
const NOT_REACHABLE: [&str; 12] = [
    "192.0.0.0/24",    // IETF protocol assignments, with what is not excepted below
    "192.0.2.0/24",    // documentation
    "192.88.99.0/24",  // 6to4 relay anycast, deprecated: "N/A"
    "198.18.0.0/15",   // benchmarking
    "198.51.100.0/24", // documentation
    "203.0.113.0/24",  // documentation
    "240.0.0.0/4",     // reserved
    "2001::/23",       // IETF protocol assignments, with what is not excepted below
    "2001:2::/48",     // benchmarking
    "2001:db8::/32",   // documentation
    "2002::/16",       // 6to4: "N/A"
    "3fff::/20",       // documentation
];

/// Entries within those that are globally reachable.
const REACHABLE: [&str; 9] = [
    "192.0.0.9/32",    // Port Control Protocol anycast
    "192.0.0.10/32",   // TURN anycast
    "2001:1::1/128",   // Port Control Protocol anycast
    "2001:1::2/128",   // TURN anycast
    "2001:1::3/128",   // DNS-SD service registration anycast
    "2001:3::/32",     // AMT
    "2001:4:112::/48", // AS112
    "2001:20::/28",    // ORCHIDv2
    "2001:30::/28",    // drone remote identification
];

/// Which space an address is in that no database decides, if any.
pub(crate) fn of(address: IpAddr) -> Option<Space> {
    let within = |networks: &[IpNetwork]| networks.iter().any(|network| network.contains(address));
    let [local, global, not_reachable, reachable] = &*LISTS;
    if within(local) {
        Some(Space::Local)
    } else if address.is_ipv6() && !within(global) || within(not_reachable) && !within(reachable) {
        Some(Space::Unknown)
    } else {
        None
    }
}

/// The lists above, read once.
static LISTS: LazyLock<[Vec<IpNetwork>; 4]> = LazyLock::new(|| {
    let lists: [&[&str]; 4] = [&LOCAL, &["2000::/3"], &NOT_REACHABLE, &REACHABLE];
    lists.map(|list| list.iter().map(|text| text.parse().expect("a network")).collect())
});

#[cfg(test)]
mod tests {
    use super::*;

    fn all(expected: Option<Space>, addresses: &[&str]) {
        for text in addresses {
            assert_eq!(of(text.parse().expect("an address")), expected, "{text}");
        }
    }

    #[test]
    fn what_is_private_linked_looped_multicast_or_unspecified_is_local() {
        all(
            Some(Space::Local),
            &[
                "0.0.0.0",
                "10.1.2.3",
                "100.127.255.255",
                "172.31.0.1",
                "239.0.0.1",
                "255.255.255.255",
                "::",
                "::1",
                "fdff::1",
                "febf::1",
                "ff02::1",
            ],
        );
    }

    #[test]
    fn documentation_benchmarks_and_reserved_space_is_unknown() {
        all(
            Some(Space::Unknown),
            &[
                "192.0.0.8",
                "192.0.0.170",
                "192.0.2.1",
                "192.88.99.1",
                "198.19.255.255",
                "240.0.0.1",
                "255.255.255.254",
                "2001::1",
                "2001:2::1",
                "2001:10::1",
                "2001:db8::1",
                "2002:102:304::1",
                "3fff:fff::1",
            ],
        );
    }

    #[test]
    fn ipv6_outside_the_global_eighth_is_unknown_where_it_is_not_local() {
        all(
            Some(Space::Unknown),
            &["::2", "::ffff:1.2.3.4", "64:ff9b::1", "100::1", "1fff::", "4000::1", "5f00::1", "fec0::1"],
        );
    }

    #[test]
    fn databases_decide_about_the_rest() {
        all(
            None,
            &[
                "1.0.0.1",
                "100.63.0.1",
                "100.128.0.1",
                "192.0.0.9",
                "192.0.1.0",
                "192.88.98.1",
                "172.32.0.1",
                "2000::1",
                "2001:20::1",
                "2001:200::1",
                "2003::1",
                "2620:4f:8000::1",
                "3ffe::1",
            ],
        );
    }
}
