//! The corpus through both engines: the same code on the host, and the loaded program by BPF_PROG_TEST_RUN.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use octroi_abi::{Verdict, slot};
use octroi_gate::corpus::{Expect, corpus, truncations};
use octroi_tests::policy::{Policy, host};

/// Policies under which every kind of outcome occurs for the corpus' sources.
const POLICIES: [&str; 5] = [
    "",
    "[policy]\ndefault = \"drop\"\nmalformed = \"pass\"\nlocal = \"rules\"\n",
    "[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"tag\"\nmark = 7\ndscp = \"EF\"\n",
    "[policy]\nlocal = \"rules\"\n[[rule]]\nname = \"see\"\nsource = { any = true }\naction = \"drop\"\nobserve = true\n\
     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\", \"unknown\"] }\naction = \"drop\"\n",
    "[[rule]]\nname = \"host\"\nsource = { cidr = [\"2404:7940::1\", \"1.0.1.1\"] }\naction = \"drop\"\n\
     [[rule]]\nname = \"rest\"\nsource = { not_country = [\"US\"] }\naction = \"tag\"\ndscp = 10\n",
];

#[test]
fn both_engines_judge_the_corpus_and_all_its_cuts_alike() {
    let (mut compared, mut verdicts) = (0u64, [0u64; 3]);
    for text in POLICIES {
        let policy = Policy::new(text);
        let mut kernel = policy.in_kernel();
        for case in corpus() {
            let cuts = truncations(&case.frame).chain([case.frame.as_slice()]);
            // The kernel takes no less than an Ethernet header, and no more than a page less its headroom.
            for frame in cuts.filter(|frame| (14..=3000).contains(&frame.len())) {
                let expected = host(&policy.compiled, frame);
                let (found, _) = kernel.judge(frame);
                assert_eq!(found, expected, "{} cut to {} bytes, under\n{text}", case.name, frame.len());
                compared += 1;
                verdicts[usize::from(found.verdict as u8)] += 1;
            }
        }
    }
    eprintln!("{} packets, {compared} frames judged alike (pass, drop, tag: {verdicts:?})", corpus().len());
    assert!(compared > 50_000 && verdicts.iter().all(|&count| count > 1000), "{compared}, {verdicts:?}");
}

#[test]
fn every_packet_of_the_corpus_is_counted_as_what_it_is() {
    let policy = Policy::new("[policy]\nlocal = \"rules\"\n");
    let mut kernel = policy.in_kernel();
    for case in corpus().into_iter().filter(|case| (14..=3000).contains(&case.frame.len())) {
        let (found, _) = kernel.judge(&case.frame);
        let kind = match case.expect {
            Expect::Arp => Some(slot::ARP),
            Expect::NonIp => Some(slot::NON_IP),
            Expect::NeighbourDiscovery => Some(slot::NEIGHBOUR_DISCOVERY),
            Expect::Malformed => Some(slot::MALFORMED),
            Expect::Ip { source, .. } => {
                let family = u32::from(source.is_ipv6());
                assert_eq!((found.slot - slot::FIRST_CLASS) % 2, family, "{}", case.name);
                None
            }
        };
        assert_eq!(kind.unwrap_or(found.slot), found.slot, "{}", case.name);
        let expected = if case.expect == Expect::Malformed { Verdict::Drop } else { Verdict::Pass };
        assert_eq!(found.verdict, expected, "{}", case.name);
    }
}

#[test]
fn a_dscp_is_written_with_the_checksum_right_and_nothing_else_changed() {
    let policy = Policy::new(
        "[[rule]]\nname = \"all\"\nsource = { any = true }\naction = \"tag\"\ndscp = \"AF41\"\n[policy]\nlocal = \"rules\"\n",
    );
    let mut kernel = policy.in_kernel();
    let mut written = 0;
    for case in corpus().into_iter().filter(|case| (14..=3000).contains(&case.frame.len())) {
        let (found, after) = kernel.judge(&case.frame);
        if found.verdict != Verdict::Tag {
            assert_eq!(after, case.frame, "{}", case.name);
            continue;
        }
        let header = policy.compiled.judge(&case.frame).header;
        let mut expected = case.frame.clone();
        match expected[header] >> 4 {
            4 => {
                expected[header + 1] = 34 << 2 | expected[header + 1] & 3;
                // What the sum was off by, it stays off by: a wrong checksum must not be made right.
                let sum = |frame: &[u8]| {
                    let length = usize::from(frame[header] & 15) * 4;
                    let words = frame[header..header + length].chunks(2);
                    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
                    while sum > 0xffff {
                        sum = (sum & 0xffff) + (sum >> 16);
                    }
                    sum
                };
                assert_eq!(sum(&after) % 0xffff, sum(&case.frame) % 0xffff, "{}", case.name);
                expected[header + 10..header + 12].copy_from_slice(&after[header + 10..header + 12]);
            }
            _ => {
                expected[header] = 0x60 | 34 >> 2;
                expected[header + 1] = (34 << 6 & 0xff) as u8 | expected[header + 1] & 0x3f;
            }
        }
        assert_eq!(after, expected, "{}", case.name);
        written += 1;
    }
    assert!(written > 200, "{written}");
}
