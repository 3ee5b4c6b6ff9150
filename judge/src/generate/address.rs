//! Addresses that meet: few beginnings and few ends, at and beside the edges of special-purpose space and of prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use proptest::{prelude::*, sample::select};

/// The first 16 bits of IPv4 addresses that databases decide about, or that others surround.
const HEADS_V4: [[u8; 2]; 8] = [[1, 0], [1, 1], [1, 255], [2, 0], [11, 0], [100, 63], [192, 0], [223, 255]];

/// Those of special-purpose space, and beside it.
const SPECIAL_V4: [[u8; 2]; 18] = [
    [0, 0],
    [10, 0],
    [10, 255],
    [100, 64],
    [100, 128],
    [127, 0],
    [169, 254],
    [172, 16],
    [172, 32],
    [192, 88],
    [192, 168],
    [198, 18],
    [198, 20],
    [198, 51],
    [203, 0],
    [224, 0],
    [240, 0],
    [255, 255],
];

/// IPv4 addresses.
pub(super) fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let head = prop_oneof![5 => select(&HEADS_V4), 2 => select(&SPECIAL_V4), 1 => any::<[u8; 2]>()];
    let third = select(&[0u8, 1, 2, 64, 100, 113, 127, 128, 255]);
    let fourth = prop_oneof![4 => select(&[0u8, 1, 2, 8, 63, 64, 127, 128, 254, 255]), 1 => any::<u8>()];
    (head, third, fourth).prop_map(|([a, b], c, d)| Ipv4Addr::new(a, b, c, d))
}

/// The first 32 bits of IPv6 addresses that databases decide about.
const HEADS_V6: [u32; 8] =
    [0x2001_0200, 0x2001_0201, 0x2002_0102, 0x2a00_0000, 0x2a00_0001, 0x2fff_ffff, 0x2000_0000, 0x3fff_ffff];

/// Those of special-purpose space, and beside it.
const SPECIAL_V6: [u32; 25] = [
    0,
    0x0064_ff9b,
    0x0100_0000,
    0x1fff_ffff,
    0x2001_0000,
    0x2001_0001,
    0x2001_0002,
    0x2001_0003,
    0x2001_0004,
    0x2001_0010,
    0x2001_0020,
    0x2001_0030,
    0x2001_01ff,
    0x2001_0db8,
    0x2620_004f,
    0x3fff_0000,
    0x3fff_0fff,
    0x3fff_1000,
    0x4000_0000,
    0x5f00_0000,
    0xfc00_0000,
    0xfdff_ffff,
    0xfe80_0000,
    0xfec0_0000,
    0xff02_0000,
];

/// IPv6 addresses.
pub(super) fn v6() -> impl Strategy<Value = Ipv6Addr> {
    let head = prop_oneof![5 => select(&HEADS_V6), 2 => select(&SPECIAL_V6), 1 => any::<u32>()];
    let network = select(&[0u32, 1, 0x0001_0000, 0x0112_0000, 0x8000_0000, 0xffff_0000, 0xffff_ffff]);
    let host = prop_oneof![
        6 => select(&[0u64, 1, 2, 3, 0xffff_0102_0304, 1 << 63, (1 << 63) - 1, u64::MAX - 1, u64::MAX]),
        1 => any::<u64>(),
    ];
    (head, network, host).prop_map(|(head, network, host)| {
        Ipv6Addr::from_bits(u128::from(head) << 96 | u128::from(network) << 64 | u128::from(host))
    })
}

/// A host that frames are for.
pub(super) const HOST_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

/// Another one.
pub(super) const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);

/// Whom frames are for: mostly that host, or what is no host, or just is one.
pub(super) fn to_v4() -> impl Strategy<Value = Ipv4Addr> {
    let heads = select(&[0u8, 1, 10, 126, 127, 128, 223, 224, 239, 240, 255]);
    let others = (heads, select(&[0u8, 255])).prop_map(|(head, rest)| Ipv4Addr::new(head, rest, rest, rest));
    prop_oneof![6 => Just(HOST_V4), 1 => others, 1 => v4()]
}

/// The same for IPv6.
pub(super) fn to_v6() -> impl Strategy<Value = Ipv6Addr> {
    // Mapped and compatible addresses end before 1 << 48.
    let others =
        select(&[0u128, 1, 0xffff << 32, (1 << 48) - 1, 1 << 48, 1 << 49, 0xfeff << 112, 0xff02 << 112 | 1]);
    prop_oneof![6 => Just(HOST_V6), 1 => others.prop_map(Ipv6Addr::from_bits), 1 => v6()]
}

/// Networks of either family, from one address to all.
pub(super) fn network() -> impl Strategy<Value = IpNetwork> {
    let bits_v4 = prop_oneof![
        4 => select(&[8u8, 9, 15, 16, 17, 23, 24, 25, 31, 32]),
        1 => 0u8..=32,
    ];
    let bits_v6 = prop_oneof![
        4 => select(&[16u8, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 127, 128]),
        1 => 0u8..=128,
    ];
    prop_oneof![
        (v4(), bits_v4).prop_map(|(address, bits)| network_of(address.into(), bits)),
        (v6(), bits_v6).prop_map(|(address, bits)| {
            // Whoever means an IPv4-mapped network has to write it as IPv4.
            let mapped = address.to_ipv4_mapped().is_some();
            network_of(address.into(), if mapped { bits.min(95) } else { bits })
        }),
    ]
}

/// The network of so many bits that an address is in.
fn network_of(address: IpAddr, bits: u8) -> IpNetwork {
    let within = IpNetwork::new(address, bits).expect("no more bits than the family has");
    IpNetwork::new(within.network(), bits).expect("no more bits than the family has")
}
