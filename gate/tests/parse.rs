//! The parser against the corpus, whole and cut.

use octroi_gate::{
    corpus::{Expect, corpus, truncations},
    packet::{Frame, Parsed, parse},
};
use proptest::prelude::*;

#[test]
fn every_packet_of_the_corpus_is_what_it_is_named() {
    let wrong: Vec<_> = corpus()
        .into_iter()
        .map(|case| (case.name, Expect::from(parse(case.frame.as_slice())), case.expect))
        .filter(|(_, found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "(name, found, expected): {wrong:#?}");
}

#[test]
fn a_cut_packet_is_malformed_or_says_less_and_never_something_else() {
    let (mut cuts, mut less) = (0, 0);
    for case in corpus() {
        for cut in truncations(&case.frame) {
            cuts += 1;
            let found = Expect::from(parse(cut));
            let length = cut.len();
            match (found, case.expect) {
                (Expect::Malformed, _) => {}
                (
                    Expect::Ip { source, protocol, port },
                    Expect::Ip { source: whole_source, protocol: whole_protocol, port: whole_port },
                ) => {
                    assert_eq!(source, whole_source, "{} cut to {length}", case.name);
                    // Unknown fails closed; another protocol or port would be a way round a rule, or a way in.
                    assert!(
                        protocol.is_none() || protocol == whole_protocol,
                        "{} cut to {length}: {protocol:?}, not {whole_protocol:?}",
                        case.name
                    );
                    assert!(
                        port.is_none() || port == whole_port,
                        "{} cut to {length}: {port:?}, not {whole_port:?}",
                        case.name
                    );
                    less += u64::from((protocol, port) != (whole_protocol, whole_port));
                }
                // Claims more than it holds: a cut of it can only claim the same.
                (Expect::Ip { .. }, Expect::Malformed) | (Expect::Arp, Expect::Arp) => {}
                (Expect::NonIp, Expect::NonIp) | (Expect::NeighbourDiscovery, Expect::NeighbourDiscovery) => {
                }
                (found, expected) => panic!("{} cut to {length}: {found:?}, not {expected:?}", case.name),
            }
        }
    }
    assert!(cuts > 20_000, "only {cuts} cuts");
    assert!(less > 0, "no cut says less");
}

proptest! {
    #[test]
    fn any_bytes_have_an_answer_within_the_frame(frame in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Parsed::Ip(packet) = parse(frame.as_slice()) {
            prop_assert!(packet.header + 20 <= frame.as_slice().length());
        }
    }

    #[test]
    fn any_headers_behind_an_ip_ethertype_have_an_answer(
        ethertype in prop::sample::select(vec![[0x08u8, 0x00], [0x86, 0xdd], [0x81, 0x00]]),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0u8, 43, 44, 51, 60, 0x45, 0x60])], 0..300),
    ) {
        let frame = [&[0; 12], &ethertype[..], &rest].concat();
        let _ = parse(frame.as_slice());
    }
}
