//! Small databases whose ranges touch.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::address;
use crate::{Anonymizer, COUNTRIES, Row, World};

/// The ways of anonymizers.
pub(super) const ANONYMIZERS: [Anonymizer; 5] =
    [Anonymizer::Vpn, Anonymizer::Tor, Anonymizer::Proxy, Anonymizer::ResidentialProxy, Anonymizer::Hosting];

/// The autonomous systems that there are.
pub(super) const ASNS: [u32; 4] = [1, 58593, 65_536, u32::MAX];

/// Three databases.
pub(super) fn world() -> impl Strategy<Value = World> {
    let code = prop_oneof![
        12 => select(&COUNTRIES).prop_map(|country| country.0),
        1 => select(&["-", "ZZ"]),
    ];
    let kinds = proptest::sample::subsequence(ANONYMIZERS.to_vec(), 0..=3);
    (rows(code), rows(select(&ASNS)), rows(kinds)).prop_map(|(countries, asns, anonymous)| World {
        countries,
        asns,
        anonymous,
    })
}

/// Rows that do not overlap: an address begins what holds until the next one does.
fn rows<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Vec<Row<T>>> {
    let start = prop_oneof![
        address::v4().prop_map(IpAddr::from),
        address::v6().prop_map(IpAddr::from),
        address::network().prop_map(|network| network.network()),
        address::network().prop_map(|network| step(network.broadcast(), 1)),
    ];
    let starts = vec((start, option::weighted(0.8, value.clone())), 0..24);
    (starts, value).prop_map(|(mut starts, first)| {
        // Ranges of IPv4-mapped addresses are another way to write IPv4: of that there shall be one only.
        starts.retain(|start| !matches!(start.0, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()));
        // A database without rows is none. This one stays where another begins at the same address.
        starts.insert(0, (Ipv4Addr::new(1, 0, 0, 0).into(), Some(first)));
        starts.sort_by_key(|start| start.0);
        starts.dedup_by_key(|start| start.0);
        let mut rows = Vec::new();
        for (index, (first, value)) in starts.iter().enumerate() {
            let next = starts.get(index + 1).filter(|next| next.0.is_ipv4() == first.is_ipv4());
            let last = match (next, first) {
                (Some(next), _) => step(next.0, -1),
                (None, IpAddr::V4(_)) => Ipv4Addr::BROADCAST.into(),
                (None, IpAddr::V6(_)) => Ipv6Addr::from_bits(u128::MAX).into(),
            };
            rows.extend(value.clone().map(|value| Row { first: *first, last, value }));
        }
        rows
    })
}

/// The address so many further on, round the end.
fn step(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits().wrapping_add_signed(by.into())).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits().wrapping_add_signed(by.into())).into(),
    }
}
