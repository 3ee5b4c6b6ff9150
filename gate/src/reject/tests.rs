//! Answers, read by another parser.

mod unanswered;

use std::{net::IpAddr, vec, vec::Vec};

use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice, icmpv4, icmpv6};
use proptest::prelude::*;

use super::*;
use crate::{
    corpus::{
        build::{
            self, AUTHENTICATION, Build, DESTINATION_OPTIONS, HOP_BY_HOP, ICMP, ICMPV6, ROUTING, TPID_8021AD,
            icmp, icmp_type, other, padded, tcp, udp,
        },
        corpus, truncations,
    },
    packet::{Parsed, parse},
    transport::transport,
};

const ADDRESSES: [[&str; 2]; 2] = [["1.0.1.1", "10.88.0.2"], ["2404:7940::1", "fd00:88::2"]];

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The same packet in both families.
fn both(packet: impl Fn(IpAddr, IpAddr) -> Build) -> [Build; 2] {
    ADDRESSES.map(|[source, destination]| packet(address(source), address(destination)))
}

/// A packet with these addresses.
fn between(packet: impl Fn(IpAddr, IpAddr) -> Build, source: &str, destination: &str) -> Build {
    packet(address(source), address(destination))
}

fn answer_to(packet: impl Into<Vec<u8>>) -> Option<Vec<u8>> {
    answer(&packet.into())
}

/// The TCP segment to which a packet is answered: sequence number, acknowledgement number, flags byte.
fn reset_to(packet: impl Into<Vec<u8>>) -> (u32, u32, u8) {
    let frame = answer_to(packet).expect("an answer");
    let read = SlicedPacket::from_ethernet(&frame).expect("well formed");
    let Some(TransportSlice::Tcp(tcp)) = read.transport else { panic!("not TCP: {frame:02x?}") };
    (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.slice()[13])
}

/// The bytes of the packet that an ICMP or ICMPv6 answer quotes.
fn quote_in(frame: &[u8]) -> Vec<u8> {
    let read = SlicedPacket::from_ethernet(frame).expect("well formed");
    match read.transport {
        Some(TransportSlice::Icmpv4(message)) => {
            let kind = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::FilterProhibited);
            assert_eq!(message.icmp_type(), kind);
            assert_eq!(message.slice()[4..8], [0; 4]);
            message.payload().to_vec()
        }
        Some(TransportSlice::Icmpv6(message)) => {
            let kind = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited);
            assert_eq!(message.icmp_type(), kind);
            assert_eq!(message.slice()[4..8], [0; 4]);
            message.payload().to_vec()
        }
        other => panic!("{other:?} in {frame:02x?}"),
    }
}

/// Everything that is true of every answer, whatever it answers.
fn is_sound(asked: &[u8], answer: &[u8]) {
    let Parsed::Ip(packet) = parse(asked) else { panic!("not to be judged") };
    let header = packet.header;
    assert_eq!((&answer[..6], &answer[6..12]), (&asked[6..12], &asked[..6]), "MAC addresses");
    assert_eq!(answer[12..header], asked[12..header], "tags");
    let read = SlicedPacket::from_ethernet(answer).expect("well formed");
    let (addresses, length) = match read.net.as_ref().expect("an IP packet") {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header();
            assert_eq!(ip.header_checksum(), ip.to_header().calc_header_checksum());
            assert_eq!((ip.ttl(), ip.ihl(), ip.dont_fragment()), (64, 5, true));
            assert_eq!((ip.source(), ip.destination()), (at(asked, header + 16), at(asked, header + 12)));
            assert!(ip.total_len() <= 576);
            ([ip.source().to_vec(), ip.destination().to_vec()].concat(), usize::from(ip.total_len()))
        }
        NetSlice::Ipv6(ip) => {
            let ip = ip.header();
            assert_eq!((ip.hop_limit(), ip.traffic_class()), (64, 0));
            assert_eq!((ip.source(), ip.destination()), (at(asked, header + 24), at(asked, header + 8)));
            assert!(ip.payload_length() <= 1240);
            ([ip.source(), ip.destination()].concat(), 40 + usize::from(ip.payload_length()))
        }
        NetSlice::Arp(arp) => panic!("{arp:?}"),
    };
    let padding = &answer[header + length..];
    assert!(padding.is_empty() || (answer.len() == 60 && padding.iter().all(|byte| *byte == 0)));
    let (content, protocol) = match read.transport.as_ref().expect("a known protocol") {
        TransportSlice::Tcp(tcp) => (tcp.slice(), build::TCP),
        TransportSlice::Icmpv4(message) => (message.slice(), ICMP),
        TransportSlice::Icmpv6(message) => (message.slice(), ICMPV6),
        other => panic!("{other:?}"),
    };
    let length = u32::try_from(content.len()).expect("short").to_be_bytes();
    let pseudo = [&addresses[..], &length, &[0, 0, 0, protocol]].concat();
    let pseudo = if protocol == ICMP { &[][..] } else { &pseudo };
    assert_eq!(build::checksum(&[pseudo, content]), 0, "checksum of {protocol}");
    assert_eq!(super::answer(answer), None, "an answer is not answered");
}

fn at<const N: usize>(frame: &[u8], offset: usize) -> [u8; N] {
    *frame[offset..].first_chunk().expect("in the frame")
}

#[test]
fn a_segment_without_ack_is_reset_and_acknowledged() {
    const RST_ACK: u8 = 0x14;
    for packet in both(tcp) {
        // The builder's sequence number is 1.
        assert_eq!(reset_to(packet.clone()), (0, 2, RST_ACK), "SYN");
        assert_eq!(reset_to(packet.clone().payload(b"hello")), (0, 7, RST_ACK), "SYN with data");
        assert_eq!(reset_to(packet.clone().tcp_options(10).payload(b"hello")), (0, 7, RST_ACK), "options");
        assert_eq!(reset_to(packet.clone().flags(3)), (0, 3, RST_ACK), "SYN and FIN");
        assert_eq!(reset_to(packet.clone().flags(1).payload(b"a")), (0, 3, RST_ACK), "FIN");
        assert_eq!(reset_to(packet.clone().flags(0)), (0, 1, RST_ACK), "nothing");
        assert_eq!(reset_to(padded(packet, 90)), (0, 2, RST_ACK), "padding is not data");
    }
}

#[test]
fn a_segment_with_ack_is_reset_at_what_it_acknowledges() {
    for packet in both(tcp) {
        for flags in [0x10, 0x12, 0x18, 0x11] {
            let mut frame = packet.clone().flags(flags).payload(b"hello").frame();
            let place = frame.len() - 5 - 20 + 8;
            frame[place..place + 4].copy_from_slice(&0xfedc_ba98u32.to_be_bytes());
            assert_eq!(reset_to(frame), (0xfedc_ba98, 0, 4), "flags {flags:#x}");
        }
    }
}

#[test]
fn sequence_numbers_wrap_around() {
    for packet in both(tcp) {
        let mut frame = packet.payload(b"hello").frame();
        let place = frame.len() - 5 - 20 + 4;
        frame[place..place + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(reset_to(frame), (0, 5, 0x14));
    }
}

#[test]
fn a_reset_has_the_ports_changed_round_and_nothing_else() {
    for packet in both(tcp) {
        let asked = packet.ports(40_000, 443).tcp_options(5).payload(b"hello").frame();
        let frame = answer_to(asked.clone()).expect("an answer");
        is_sound(&asked, &frame);
        let read = SlicedPacket::from_ethernet(&frame).expect("well formed");
        let Some(TransportSlice::Tcp(tcp)) = read.transport else { panic!("not TCP") };
        assert_eq!((tcp.source_port(), tcp.destination_port()), (443, 40_000));
        assert_eq!((tcp.slice().len(), tcp.window_size(), tcp.urgent_pointer()), (20, 0, 0));
        assert!(tcp.payload().is_empty());
    }
}

#[test]
fn a_reset_needs_no_room_and_is_padded_where_the_segment_was() {
    let length = |packet: Vec<u8>| answer_to(packet).expect("an answer").len();
    let [v4, v6] = both(tcp);
    assert_eq!(length(v4.frame()), 54);
    assert_eq!(length(padded(v4.clone(), 60)), 60);
    assert_eq!(length(padded(v4.clone().vlan(7), 64)), 60);
    assert_eq!(length(v4.ihl(15).payload(&[0; 1000]).frame()), 60);
    assert_eq!(length(v6.clone().frame()), 74);
    assert_eq!(length(v6.extension_of(HOP_BY_HOP, 2048).frame()), 74);
}

#[test]
fn everything_else_is_prohibited_with_the_packet_quoted() {
    let others = |number: u8| move |source, destination| other(source, destination, number).payload(&[7; 21]);
    for packet in [both(|a, b| udp(a, b).payload(b"hello")), both(icmp), both(others(47)), both(others(50))]
        .into_iter()
        .flatten()
    {
        let asked = packet.clone().frame();
        let frame = answer_to(asked.clone()).expect("an answer");
        is_sound(&asked, &frame);
        assert_eq!(quote_in(&frame), asked[14..]);
        let padding = answer_to(padded(packet, 200)).expect("an answer");
        assert_eq!(padding, frame, "padding is not quoted");
    }
}

#[test]
fn as_much_is_quoted_as_fits() {
    for size in (0..1400).chain([9000, 60_000]) {
        let payload = vec![0xa5; size];
        for (packet, most) in both(|a, b| udp(a, b).payload(&payload)).into_iter().zip([576 - 28, 1280 - 48])
        {
            let asked = packet.frame();
            let frame = answer_to(asked.clone()).expect("an answer");
            is_sound(&asked, &frame);
            let quote = quote_in(&frame);
            assert_eq!(quote.len(), most.min(asked.len() - 14), "{size}");
            assert_eq!(quote, asked[14..14 + quote.len()]);
        }
    }
}

#[test]
fn options_and_extension_headers_are_quoted_and_not_repeated() {
    let [v4, v6] = both(|a, b| udp(a, b).payload(b"hello"));
    let chain =
        v6.extension(HOP_BY_HOP).extension(ROUTING).extension_of(AUTHENTICATION, 24).fragment(0, false);
    for packet in [v4.ihl(15), chain.extension(DESTINATION_OPTIONS)] {
        let asked = packet.frame();
        let frame = answer_to(asked.clone()).expect("an answer");
        is_sound(&asked, &frame);
        assert_eq!(quote_in(&frame), asked[14..]);
    }
}

#[test]
fn tags_are_kept() {
    for packet in [both(tcp), both(udp)].into_iter().flatten() {
        for packet in [packet.clone().tagged(0x8100, 0xe007), packet.tagged(TPID_8021AD, 0x6123).vlan(9)] {
            let asked = packet.macs([2, 1, 2, 3, 4, 5], [2, 6, 7, 8, 9, 10]).frame();
            is_sound(&asked, &answer_to(asked.clone()).expect("an answer"));
        }
    }
}

#[test]
fn what_the_frame_lacks_counts_in_the_acknowledgement() {
    // As in a frame whose rest is in other buffers.
    let whole = both(tcp).map(|packet| packet.payload(&[0; 3000]));
    for packet in whole {
        assert_eq!(reset_to(build::cut(packet, 200)), (0, 3002, 0x14));
    }
}

#[test]
fn a_frame_of_another_size_is_not_written() {
    let asked = both(udp)[0].clone().frame();
    let Parsed::Ip(packet) = parse(asked.as_slice()) else { panic!("an IP packet") };
    let plan = plan(asked.as_slice(), &packet, &transport(asked.as_slice(), &packet)).expect("an answer");
    for length in [plan.length - 1, plan.length + 1] {
        let mut frame = vec![0; length];
        assert_eq!(write(frame.as_mut_slice(), &plan), None);
        assert!(frame.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn answers_to_the_corpus_are_sound_whole_and_cut() {
    let mut answers = 0;
    for case in corpus() {
        for asked in truncations(&case.frame).chain([case.frame.as_slice()]) {
            if let Some(frame) = answer(asked) {
                is_sound(asked, &frame);
                answers += 1;
            }
        }
    }
    assert!(answers > 1_000, "{answers}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered_soundly_or_not_at_all(
        v6: bool, tags in 0usize..3, rest in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(vec![0u8, 6, 17, 43, 44, 51, 58, 60, 0x45, 0x60])], 20..1500,
        ),
    ) {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for _ in 0..tags {
            frame.extend([0x81, 0, 0, 5]);
        }
        frame.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
        let start = frame.len();
        frame.extend(rest);
        frame[start] = if v6 { 0x60 } else { 0x45 | frame[start] & 7 };
        if let Some(answer) = answer(&frame) {
            is_sound(&frame, &answer);
        }
    }
}
