//! What IP carries.

use proptest::{prelude::*, sample::select};

/// Ports that services and packets have in common, and others close to them.
pub(super) const PORTS: [u16; 10] = [443, 53, 80, 0, 442, 444, 8000, 8080, 8101, 65_535];

/// Types of ICMP and ICMPv6: questions, answers, errors, discovery, and others close to them.
const KINDS: [u8; 26] = [
    8, 0, 3, 5, 11, 12, 13, 14, 16, 17, 18, 19, 42, 127, 128, 129, 130, 132, 133, 135, 136, 137, 138, 140,
    160, 161,
];

/// The packet behind the IP headers.
#[derive(Clone, Debug)]
pub enum Carried {
    /// TCP to a port, with these flags.
    Tcp(u16, u8),
    /// The same with a header that says that it has so many 32-bit words, 0..=15, and has 15.
    Words(u16, u8, u8),
    /// UDP to a port.
    Udp(u16),
    /// ICMP of a type.
    Icmp(u8),
    /// ICMPv6 of a type.
    Icmpv6(u8),
    /// Another protocol, by its number.
    Other(u8),
}

impl Carried {
    /// Its number in the IP header.
    #[must_use]
    pub fn number(&self) -> u8 {
        match self {
            Self::Icmp(_) => 1,
            Self::Tcp(..) | Self::Words(..) => 6,
            Self::Udp(_) => 17,
            Self::Icmpv6(_) => 58,
            Self::Other(number) => *number,
        }
    }

    /// Its header. Checksums are wrong: nobody who filters looks at them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let ports = |port: u16| [[0xc0, 0x01], port.to_be_bytes()].concat();
        let tcp = |port, words, flags| {
            [&ports(port)[..], &[0, 0, 0, 1, 0, 0, 0, 2, words << 4, flags, 0xff, 0xff, 0, 0, 0, 0]].concat()
        };
        match self {
            Self::Tcp(port, flags) => tcp(*port, 5, *flags),
            Self::Words(port, flags, words) => {
                let mut header = tcp(*port, *words, *flags);
                header.resize(60, 1); // no operation
                header
            }
            Self::Udp(port) => [&ports(*port)[..], &[0, 8, 0, 0]].concat(),
            Self::Icmp(kind) | Self::Icmpv6(kind) => vec![*kind, 0, 0, 0, 0, 1, 0, 1],
            Self::Other(_) => vec![0x20, 0, 0x08, 0, 0x45, 0, 0, 20],
        }
    }
}

/// Any of them.
pub(super) fn carried() -> impl Strategy<Value = Carried> {
    let port = || prop_oneof![6 => select(&PORTS), 1 => any::<u16>()];
    let flags = prop_oneof![4 => select(&[0x02u8, 0x10, 0x12, 0x18, 0x11, 0x14, 0xc2, 0]), 1 => any::<u8>()];
    let kind = || prop_oneof![4 => select(&KINDS), 1 => any::<u8>()];
    // GRE, ESP, AH, none; SCTP; what IPv6 has as headers; IP in IP.
    let known = select(&[47u8, 50, 51, 59, 132, 135, 139, 140, 148, 253, 255, 4, 41, 0, 43, 44, 60, 147]);
    let number = prop_oneof![4 => known, 1 => any::<u8>()];
    prop_oneof![
        6 => (port(), flags.clone()).prop_map(|(port, flags)| Carried::Tcp(port, flags)),
        1 => (port(), flags, 0u8..16).prop_map(|(port, flags, words)| Carried::Words(port, flags, words)),
        6 => port().prop_map(Carried::Udp),
        2 => kind().prop_map(Carried::Icmp),
        3 => kind().prop_map(Carried::Icmpv6),
        3 => number.prop_map(Carried::Other),
    ]
}
