//! What packets say of services: the plain ones, and every trick to say it otherwise.

use std::{net::IpAddr, vec, vec::Vec};

use super::*;
use crate::{
    corpus::build::{
        AUTHENTICATION, Build, DESTINATION_OPTIONS, ESP, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, NO_NEXT_HEADER,
        ROUTING, TCP, UDP, icmp, icmp_type, other, padded, tcp, udp,
    },
    packet::{Parsed, parse},
    transport::transport,
};

use Fit::{No, Unknown, Yes};

/// What a frame says of a service; `None` where it is malformed and never asked.
fn ask(frame: &[u8], service: Service) -> Option<Fit> {
    match parse(frame) {
        Parsed::Ip(packet) => Some(service.fits(Carried::of(&transport(frame, &packet)))),
        Parsed::Malformed => None,
        other => panic!("{other:?}"),
    }
}

/// What a frame says of tcp/443, udp/443 and icmp.
fn says(frame: impl Into<Vec<u8>>) -> [Fit; 3] {
    let frame = frame.into();
    let of = |service| ask(&frame, service).expect("not malformed");
    let https = [TCP, UDP].map(|protocol| of(Service::ports(protocol, 443, 443)));
    [https[0], https[1], of(Service::whole(ICMP)).or(of(Service::whole(ICMPV6)))]
}

fn is_malformed(frame: impl Into<Vec<u8>>) -> bool {
    ask(&frame.into(), Service::whole(TCP)).is_none()
}

const ADDRESSES: [[&str; 2]; 2] = [["1.0.1.1", "10.88.0.2"], ["2404:7940::1", "fd00:88::2"]];

/// The same packet in both families.
fn both(packet: impl Fn(IpAddr, IpAddr) -> Build) -> Vec<Build> {
    let address = |text: &str| text.parse().expect("an address");
    ADDRESSES.iter().map(|[source, destination]| packet(address(source), address(destination))).collect()
}

fn v6(packet: impl Fn(IpAddr, IpAddr) -> Build) -> Build {
    both(packet).remove(1)
}

fn v4(packet: impl Fn(IpAddr, IpAddr) -> Build) -> Build {
    both(packet).remove(0)
}

const TCP_443: [Fit; 3] = [Yes, No, No];
const TCP_OTHER: [Fit; 3] = [No, No, No];
const SOME_TCP: [Fit; 3] = [Unknown, No, No];
const SOME_UDP: [Fit; 3] = [No, Unknown, No];
const ANYTHING: [Fit; 3] = [Unknown; 3];

#[test]
fn unknown_is_closed() {
    let matches = |passes| [No, Unknown, Yes].map(|fit| fit.matches(passes));
    assert_eq!(matches(true), [false, false, true]);
    assert_eq!(matches(false), [false, true, true]);
    for (a, b) in [(No, Unknown), (No, Yes), (Unknown, Yes)] {
        assert_eq!([a.or(b), b.or(a), a.or(a)], [b, b, a]);
    }
}

#[test]
fn plain_packets_say_what_they_are_for() {
    for packet in both(tcp) {
        assert_eq!(says(packet.clone()), TCP_443);
        assert_eq!(says(packet.ports(443, 80)), TCP_OTHER, "the source port is not asked for");
    }
    for packet in both(udp) {
        assert_eq!(says(packet), [No, Yes, No]);
    }
    for packet in both(icmp) {
        assert_eq!(says(packet), [No, No, Yes]);
    }
}

#[test]
fn ranges_have_both_their_ends() {
    let range = Service::ports(TCP, 8000, 8100);
    let answers = [7999, 8000, 8050, 8100, 8101].map(|port| ask(&v4(tcp).ports(1, port).frame(), range));
    assert_eq!(answers, [No, Yes, Yes, Yes, No].map(Some));
    for port in [0, 1, u16::MAX] {
        assert_eq!(ask(&v6(tcp).ports(1, port).frame(), Service::whole(TCP)), Some(Yes));
        assert_eq!(ask(&v6(tcp).ports(1, port).frame(), Service::ports(TCP, port, port)), Some(Yes));
    }
}

#[test]
fn protocols_by_number() {
    for number in [47, ESP, 89, 132, NO_NEXT_HEADER] {
        for packet in both(|source, destination| other(source, destination, number).payload(&[0xbb; 24])) {
            assert_eq!(ask(&packet.frame(), Service::whole(number)), Some(Yes), "{number}");
            assert_eq!(says(packet), TCP_OTHER, "{number}");
        }
    }
}

#[test]
fn ipv4_options_hide_no_port() {
    for words in 6..=15 {
        assert_eq!(says(v4(tcp).ihl(words)), TCP_443);
        assert_eq!(says(v4(tcp).ihl(words).ports(443, 80)), TCP_OTHER);
    }
}

#[test]
fn later_fragments_do_not_tell_a_port_whatever_stands_there() {
    let decoy = [0x9c, 0x40, 1, 0xbb, 0, 24, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0];
    for offset in [1, 2, 185, 8191] {
        for more in [false, true] {
            for packet in both(tcp) {
                assert_eq!(says(packet.payload(&decoy).fragment(offset, more)), SOME_TCP);
            }
            for packet in both(udp) {
                assert_eq!(says(packet.payload(&decoy).fragment(offset, more)), SOME_UDP);
            }
            for packet in both(icmp) {
                assert_eq!(says(packet.payload(&decoy).fragment(offset, more)), [No, No, Yes]);
            }
        }
    }
    // Not even where all ports are meant: never a way in.
    for packet in both(tcp) {
        let frame = packet.payload(&decoy).fragment(1, true).frame();
        assert_eq!(ask(&frame, Service::whole(TCP)), Some(Unknown));
    }
}

/// RFC 1858: a first fragment with so little of the header that what is asked for is in the second one.
#[test]
fn tiny_first_fragments_tell_a_port_only_where_it_is_in_them() {
    for kept in 0..20 {
        for packet in both(tcp) {
            let expected = if kept < 4 { SOME_TCP } else { TCP_443 };
            assert_eq!(says(packet.clone().keep(kept).fragment(0, true)), expected, "{kept} bytes");
            let padding = packet.keep(kept).fragment(0, true);
            assert_eq!(says(padded(padding, 120)), expected, "{kept} bytes, padded");
        }
    }
    for kept in 0..8 {
        for packet in both(udp) {
            let expected = if kept < 4 { SOME_UDP } else { [No, Yes, No] };
            assert_eq!(says(packet.keep(kept).fragment(0, true)), expected, "{kept} bytes");
        }
    }
}

/// RFC 1858, 3128: the fragment at offset 1 (8 bytes) writes over the header's second half, one at offset 0 over all.
#[test]
fn overlapping_fragments_are_each_asked_on_their_own() {
    for packet in both(tcp) {
        let innocent = packet.clone().ports(1, 80).payload(&[0; 44]).fragment(0, true);
        let overlapping = packet.clone().payload(&[0; 64]).fragment(1, false);
        let again = packet.payload(&[0; 44]).fragment(0, true);
        assert_eq!([says(innocent), says(overlapping), says(again)], [TCP_OTHER, SOME_TCP, TCP_443]);
    }
}

/// RFC 6946: offset 0 and no more fragments.
#[test]
fn atomic_fragments_are_whole_packets() {
    assert_eq!(says(v6(tcp).fragment(0, false)), TCP_443);
    assert_eq!(says(v6(tcp).ports(1, 80).fragment(0, false)), TCP_OTHER);
    assert_eq!(says(v6(tcp).fragment(0, false).fragment(0, false)), TCP_443);
    assert_eq!(says(v6(tcp).keep(3).fragment(0, false)), SOME_TCP);
    assert_eq!(says(v4(tcp).fragment(0, false)), TCP_443, "IPv4 has no header for it");
}

#[test]
fn extension_headers_are_walked_up_to_eight_and_then_unknown() {
    for kind in [HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, AUTHENTICATION, FRAGMENT] {
        let header = |build: Build| match kind {
            FRAGMENT => build.fragment(0, false),
            AUTHENTICATION => build.extension_of(AUTHENTICATION, 24),
            kind => build.extension_of(kind, 16),
        };
        let chain = |count: usize, build| (0..count).fold(build, |build, _| header(build));
        for count in 1..=8 {
            assert_eq!(says(chain(count, v6(tcp))), TCP_443, "{count} of {kind}");
            assert_eq!(says(chain(count, v6(udp).ports(1, 53))), [No; 3], "{count} of {kind}");
        }
        for count in [9, 10, 20] {
            assert_eq!(says(chain(count, v6(tcp))), ANYTHING, "{count} of {kind}");
            // Whatever the rule asks for, and whatever the packet is.
            let frame = chain(count, v6(|a, b| other(a, b, 47))).frame();
            assert_eq!(ask(&frame, Service::whole(47)), Some(Unknown), "{count} of {kind}");
        }
    }
}

/// RFC 7112: the header chain belongs into the first fragment.
#[test]
fn chains_that_go_on_in_another_fragment_are_unknown() {
    for next in [HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION_OPTIONS] {
        let headers = |build: Build| build.payload(&[6, 0, 1, 0xbb, 0, 0, 0, 0]);
        assert_eq!(says(headers(v6(|a, b| other(a, b, next))).fragment(1, true)), ANYTHING, "{next}");
        assert_eq!(says(v6(|a, b| other(a, b, next)).fragment(0, true)), ANYTHING, "{next}");
        let cut = v6(|a, b| other(a, b, next).payload(&[6, 0, 0, 0, 0, 0, 0]).fragment(0, true));
        assert_eq!(says(cut), ANYTHING, "{next}");
    }
    let long = v6(tcp).fragment(0, true).extension_claiming(DESTINATION_OPTIONS, 8, 200);
    assert_eq!(says(long), ANYTHING, "longer than its fragment");
}

#[test]
fn headers_that_nobody_walks_hide_anything() {
    for number in [135, 139, 140, 253, 254, 255, 148, 200, 252] {
        let content = [6, 0, 0, 0, 0, 0, 0, 0, 0x9c, 0x40, 0, 80, 0, 0, 0, 0];
        let packet = || v6(|a, b| other(a, b, number).payload(&content));
        let wrapped = [
            packet(),
            packet().extension(DESTINATION_OPTIONS),
            packet().fragment(0, false),
            packet().fragment(0, true),
            packet().fragment(3, false),
        ];
        for packet in wrapped {
            assert_eq!(says(packet.clone()), ANYTHING, "{number}");
            assert_eq!(ask(&packet.frame(), Service::whole(number)), Some(Yes), "{number} by its number");
        }
        // In IPv4 they are protocols, and no stack looks behind them.
        let v4 = v4(|a, b| other(a, b, number).payload(&content));
        assert_eq!(says(v4), TCP_OTHER, "{number}");
    }
}

#[test]
fn behind_esp_and_nothing_there_is_nothing_to_ask() {
    for number in [ESP, NO_NEXT_HEADER] {
        let packet = v6(|a, b| other(a, b, number).payload(&[0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0]));
        assert_eq!(says(packet.clone()), TCP_OTHER);
        assert_eq!(says(packet.clone().extension(AUTHENTICATION)), TCP_OTHER);
        assert_eq!(ask(&packet.frame(), Service::whole(number)), Some(Yes));
    }
}

#[test]
fn icmp_of_the_other_family_is_icmp() {
    for (protocol, family) in [(ICMPV6, 0), (ICMP, 1)] {
        let packet = both(|a, b| icmp_type(a, b, protocol, 8)).remove(family);
        assert_eq!(says(packet), [No, No, Yes]);
    }
}

#[test]
fn lengths_that_lie_hide_no_port() {
    // Too short for the headers: malformed, before anybody asks.
    for packet in both(tcp) {
        assert!(is_malformed(packet.claim_length(19)));
    }
    assert!(is_malformed(v4(tcp).claim_length(20)));
    assert!(is_malformed(v4(tcp).claim_length(39)));
    assert!(is_malformed(v4(tcp).claim_ihl(15)));
    assert!(is_malformed(v6(tcp).extension_claiming(HOP_BY_HOP, 8, 255)));
    // Longer than the frame, or the 0 of what is longer than 64 KiB: the ports are where they are.
    for packet in both(tcp) {
        assert_eq!(says(packet.clone().claim_length(u16::MAX)), TCP_443);
        assert_eq!(says(packet.claim_length(0)), TCP_443);
    }
    // A first fragment that ends before its ports, though the frame does not.
    assert_eq!(says(v4(tcp).fragment(0, true).claim_length(23)), SOME_TCP);
    assert_eq!(says(v6(tcp).fragment(0, true).claim_length(11)), SOME_TCP);
    // A TCP header's own length changes nothing about where its ports are.
    for words in [0, 4, 15] {
        assert_eq!(says(v4(tcp).claim_data_offset(words)), TCP_443);
    }
    // The walk goes where the header's length says, as every stack does.
    let inner = vec![0x9c, 0x40, 1, 0xbb, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let moved = v6(tcp).ports(1, 80).payload(&inner).extension_claiming(ROUTING, 8, 2).claim_length(72);
    assert_eq!(says(moved)[0], No);
}

#[test]
fn tags_hide_no_port() {
    for packet in both(tcp) {
        assert_eq!(says(packet.clone().vlan(1)), TCP_443);
        assert_eq!(says(packet.vlan(1).vlan(2)), TCP_443);
    }
}
