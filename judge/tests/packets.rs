//! The section "Packets", sentence by sentence: what a frame is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use octroi_judge::{
    generate::{Carried, Claim, Fragment, Header, Network, Shape},
    packet::{Other, Packet, Piece, Protocol, read},
};

const V4: Ipv4Addr = Ipv4Addr::new(1, 0, 1, 1);
const V6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0, 0, 0, 0, 0, 0, 1);
const WHOLE: Fragment = Fragment { offset: 0, more: false };
const FIRST: Fragment = Fragment { offset: 0, more: true };
const LATER: Fragment = Fragment { offset: 3, more: true };

fn shape(network: Network, carried: Carried) -> Shape {
    Shape::sound(network, carried)
}

fn v4(carried: Carried) -> Shape {
    shape(Network::V4(0, WHOLE, Claim::Honest), carried)
}

fn v6(headers: &[Header], carried: Carried) -> Shape {
    shape(Network::V6(headers.to_vec(), Claim::Honest), carried)
}

fn packet(shape: &Shape) -> Packet {
    read(&shape.frame((V4, V6)))
}

/// Source, protocol and port.
fn found(shape: &Shape) -> (IpAddr, Protocol, Option<u16>) {
    match packet(shape) {
        Packet::Ip(ip) => (ip.source, ip.protocol, ip.port),
        other => panic!("{other:?}"),
    }
}

fn piece(shape: &Shape) -> Piece {
    match packet(shape) {
        Packet::Ip(ip) => ip.piece,
        other => panic!("{other:?}"),
    }
}

#[test]
fn packets_are_found_behind_up_to_two_vlan_tags() {
    for tags in [vec![], vec![0x8100], vec![0x88a8, 0x8100], vec![0x8100, 0x88a8]] {
        let header = 14 + 4 * tags.len();
        let tagged = Shape { tags, ..v4(Carried::Udp(53)) };
        let Packet::Ip(ip) = packet(&tagged) else { panic!("{tagged:?}") };
        assert_eq!((ip.source, ip.port, ip.header), (V4.into(), Some(53), header));
    }
    let tagged = |tags| packet(&Shape { tags, ..v4(Carried::Udp(53)) });
    assert_eq!(tagged(vec![0x8100; 3]), Packet::Malformed);
    assert_eq!(tagged(vec![0x9100]), Packet::Other(Other::NonIp));
}

#[test]
fn arp_neighbour_discovery_and_what_is_not_ip_is_told_apart() {
    let other = |ether_type| packet(&shape(Network::Other(ether_type), Carried::Other(0)));
    assert_eq!(other(0x0806), Packet::Other(Other::Arp));
    for ether_type in [0x88cc, 0x05dc, 0x86dc] {
        assert_eq!(other(ether_type), Packet::Other(Other::NonIp), "{ether_type:#x}");
    }
    for kind in 0..=255 {
        let discovers = (133..=137).contains(&kind);
        let expected = discovers.then_some(Packet::Other(Other::NeighbourDiscovery));
        let of_v6 = packet(&v6(&[], Carried::Icmpv6(kind)));
        assert_eq!(matches!(of_v6, Packet::Other(_)).then_some(of_v6), expected, "type {kind}");
        assert!(matches!(packet(&v4(Carried::Icmpv6(kind))), Packet::Ip(_)), "type {kind} in IPv4");
        for fragment in [WHOLE, FIRST, LATER] {
            let fragmented = packet(&v6(&[Header::Fragment(fragment)], Carried::Icmpv6(kind)));
            assert!(matches!(fragmented, Packet::Ip(_)), "type {kind} behind {fragment:?}");
        }
    }
}

#[test]
fn ports_are_found_behind_ipv4_options() {
    for words in 0..=10 {
        let with = shape(Network::V4(words, WHOLE, Claim::Honest), Carried::Tcp(443, 0x10));
        assert_eq!(found(&with), (V4.into(), Protocol::Known(6), Some(443)));
    }
}

#[test]
fn ports_are_found_behind_each_extension_header_and_behind_eight() {
    let headers = [
        Header::Options(0, 0),
        Header::Options(43, 2),
        Header::Options(60, 1),
        Header::Fragment(WHOLE),
        Header::Authentication(2),
    ];
    for header in headers {
        assert_eq!(found(&v6(&[header], Carried::Udp(53))), (V6.into(), Protocol::Known(17), Some(53)));
    }
    let eight = [&headers[..], &headers[..3]].concat();
    assert_eq!(found(&v6(&eight, Carried::Udp(53))), (V6.into(), Protocol::Known(17), Some(53)));
    let nine = [&headers[..], &headers[..4]].concat();
    assert_eq!(found(&v6(&nine, Carried::Udp(53))), (V6.into(), Protocol::Unknown, None));
}

#[test]
fn a_later_fragment_has_a_protocol_and_no_ports() {
    let later = shape(Network::V4(0, LATER, Claim::Honest), Carried::Tcp(443, 0x02));
    assert_eq!(found(&later), (V4.into(), Protocol::Known(6), None));
    let later = v6(&[Header::Options(0, 0), Header::Fragment(LATER)], Carried::Udp(53));
    assert_eq!(found(&later), (V6.into(), Protocol::Known(17), None));
    // Behind options that its packet's first fragment has, anything may be.
    let later = v6(&[Header::Fragment(LATER), Header::Options(60, 0)], Carried::Udp(53));
    assert_eq!(found(&later), (V6.into(), Protocol::Unknown, None));
    let shortest = Shape { bytes: Some(0), ..v6(&[Header::Fragment(LATER)], Carried::Tcp(443, 2)) };
    assert_eq!(found(&shortest), (V6.into(), Protocol::Known(6), None));
}

#[test]
fn a_first_fragment_has_ports_unless_it_is_too_short_for_them() {
    for carried in [Carried::Tcp(443, 0x02), Carried::Udp(443)] {
        let protocol = Protocol::Known(carried.number());
        let first = shape(Network::V4(0, FIRST, Claim::Honest), carried.clone());
        assert_eq!(found(&first), (V4.into(), protocol, Some(443)));
        let short = Shape { bytes: Some(3), ..first };
        assert_eq!(found(&short), (V4.into(), protocol, None));
        let first = v6(&[Header::Fragment(FIRST)], carried);
        assert_eq!(found(&first), (V6.into(), protocol, Some(443)));
        assert_eq!(found(&Shape { bytes: Some(3), ..first }), (V6.into(), protocol, None));
    }
    // Its headers may go on in the next.
    let mut frame = v6(&[Header::Fragment(FIRST), Header::Options(60, 4)], Carried::Udp(53)).frame((V4, V6));
    frame.truncate(14 + 40 + 8 + 8);
    frame[14 + 5] = 16; // payload
    let Packet::Ip(ip) = read(&frame) else { panic!("{:?}", read(&frame)) };
    assert_eq!((ip.protocol, ip.port, ip.piece), (Protocol::Unknown, None, Piece::First));
}

#[test]
fn a_fragment_header_that_says_so_has_the_whole_packet_behind_it() {
    let atomic = v6(&[Header::Fragment(WHOLE)], Carried::Tcp(443, 0x10));
    assert_eq!((piece(&atomic), found(&atomic).2), (Piece::Atomic, Some(443)));
    // Too short, it is no more malformed than a first fragment would be.
    assert_eq!(found(&Shape { bytes: Some(3), ..atomic }), (V6.into(), Protocol::Known(6), None));
    assert_eq!(piece(&v6(&[Header::Fragment(WHOLE); 2], Carried::Udp(1))), Piece::Atomic);
    assert_eq!(piece(&v6(&[Header::Fragment(FIRST)], Carried::Udp(1))), Piece::First);
    assert_eq!(
        piece(&v6(&[Header::Fragment(FIRST), Header::Fragment(WHOLE)], Carried::Udp(1))),
        Piece::First
    );
    assert_eq!(piece(&v6(&[Header::Fragment(LATER)], Carried::Udp(1))), Piece::Later);
}

#[test]
fn protocols_without_ports_are_known_by_number_in_every_fragment() {
    for fragment in [WHOLE, FIRST, LATER] {
        for carried in [Carried::Other(47), Carried::Other(50), Carried::Icmp(8)] {
            let number = Protocol::Known(carried.number());
            assert_eq!(
                found(&shape(Network::V4(0, fragment, Claim::Honest), carried.clone())),
                (V4.into(), number, None)
            );
            assert_eq!(found(&v6(&[Header::Fragment(fragment)], carried)), (V6.into(), number, None));
        }
    }
}

#[test]
fn ipv6_headers_that_are_not_walked_are_named() {
    for number in [135, 139, 140, 148, 200, 253, 254, 255] {
        let with = v6(&[Header::Options(60, 0)], Carried::Other(number));
        assert_eq!(found(&with), (V6.into(), Protocol::NotWalked(number), None));
        assert_eq!(found(&v4(Carried::Other(number))), (V4.into(), Protocol::Known(number), None));
    }
    for number in [47, 59, 134, 138, 147] {
        assert_eq!(found(&v6(&[], Carried::Other(number))), (V6.into(), Protocol::Known(number), None));
    }
}

#[test]
fn a_frame_too_short_for_its_own_headers_is_malformed() {
    let sound = [
        v4(Carried::Tcp(443, 0x10)),
        shape(Network::V4(10, WHOLE, Claim::Honest), Carried::Udp(53)),
        v4(Carried::Icmp(8)),
        v6(&[], Carried::Tcp(443, 0x10)),
        v6(&[Header::Options(0, 2), Header::Authentication(3)], Carried::Udp(53)),
        v6(&[], Carried::Icmpv6(128)),
        Shape { tags: vec![0x88a8, 0x8100], ..v6(&[], Carried::Udp(53)) },
    ];
    for shape in sound {
        let frame = shape.frame((V4, V6));
        // What is cut off behind the headers, as captures do, changes nothing.
        let longer = Shape { bytes: Some(60), ..shape.clone() }.frame((V4, V6));
        assert!(
            (frame.len()..longer.len()).all(|length| read(&longer[..length]) == read(&frame)),
            "{shape:?}"
        );
        assert!(matches!(read(&frame), Packet::Ip(_)), "{shape:?}");
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length]), Packet::Malformed, "{length} bytes of {shape:?}");
        }
    }
}

#[test]
fn a_packet_too_short_for_what_it_carries_is_malformed() {
    let needs = [(Carried::Tcp(443, 0x10), 20), (Carried::Udp(53), 8)];
    for (carried, least) in needs.into_iter().chain([(Carried::Icmp(8), 8), (Carried::Icmpv6(128), 8)]) {
        for sound in [v4(carried.clone()), v6(&[], carried.clone()), v6(&[Header::Options(60, 0)], carried)] {
            // Padding of the frame is not the packet's.
            let short = Shape { bytes: Some(least - 1), padding: 30, ..sound.clone() };
            assert_eq!(packet(&short), Packet::Malformed, "{short:?}");
            assert!(matches!(packet(&Shape { bytes: Some(least), ..sound }), Packet::Ip(_)));
        }
    }
    assert!(matches!(packet(&Shape { bytes: Some(0), ..v4(Carried::Other(47)) }), Packet::Ip(_)));
}

#[test]
fn an_ip_header_that_contradicts_itself_is_malformed() {
    let mut frame = v4(Carried::Udp(53)).frame((V4, V6));
    for (byte, value) in [(14, 0x44), (14, 0x65), (17, 19)] {
        let sound = std::mem::replace(&mut frame[byte], value);
        assert_eq!(read(&frame), Packet::Malformed, "byte {byte} is {value:#x}");
        frame[byte] = sound;
    }
    let mut frame = v6(&[], Carried::Udp(53)).frame((V4, V6));
    frame[14] = 0x40;
    assert_eq!(read(&frame), Packet::Malformed);
}

#[test]
fn an_ip_length_of_0_goes_to_the_end_of_the_frame() {
    let open = shape(Network::V4(0, WHOLE, Claim::Length(0)), Carried::Tcp(443, 0x10));
    assert_eq!(found(&open), (V4.into(), Protocol::Known(6), Some(443)));
    let open = shape(Network::V6(vec![], Claim::Length(0)), Carried::Tcp(443, 0x10));
    assert_eq!(found(&open), (V6.into(), Protocol::Known(6), Some(443)));
}

#[test]
fn only_a_syn_without_ack_opens_a_connection() {
    for (flags, opens) in
        [(0x02, true), (0xc2, true), (0x12, false), (0x10, false), (0x04, false), (0, false)]
    {
        let Packet::Ip(ip) = packet(&v4(Carried::Tcp(443, flags))) else { panic!("it is TCP") };
        assert_eq!(ip.opens, opens, "{flags:#x}");
    }
}
