//! Differences against looking at every edge; the small cases by hand.

use std::net::{IpAddr, Ipv4Addr};

use proptest::{collection, prelude::*, sample};

use super::*;
use crate::{
    country::CountryCode,
    geoip::{Lists, Origin},
    policy::{explain::Explainer, tests::config},
};

const CODES: [&str; 4] = ["", "CN", "DE", "US"];

/// A database of these countries, by their place among [`CODES`].
fn database(v4: &[(u32, u32)], v6: &[(u128, u32)]) -> Database {
    let country = |code: &str| Record { country: CountryCode::parse(code), ..Record::default() };
    Database {
        kind: Kind::Country,
        origin: Origin::File("/test".into()),
        database_type: "test".into(),
        built: 0,
        networks: PerFamily::default(),
        records: CODES.map(country).into(),
        v4: v4.to_vec(),
        v6: v6.to_vec(),
        notes: Vec::new(),
    }
}

fn databases(country: Database) -> Databases {
    let nothing =
        |kind| Database { kind, records: vec![Record::default()], ..database(&[(0, 0)], &[(0, 0)]) };
    Databases { country, asn: nothing(Kind::Asn), anonymous: None, lists: Lists::new() }
}

fn counted() -> Counted {
    Counted::new(&database(&[(0, 0)], &[(0, 0)]))
}

fn country(code: &str) -> Part {
    Part::Country(CountryCode::parse(code).expect("a code"))
}

const RULES: &str = "[[rule]]\nname = \"partner\"\nsource = { cidr = [\"1.0.0.0/25\"] }\naction = \"pass\"\n\
                     [[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n\
                     [[rule]]\nname = \"web\"\nsource = { country = [\"DE\"] }\nservice = [\"tcp/80\"]\naction = \"reject\"\n";

#[test]
fn addresses_and_verdicts_that_change_are_told_with_the_largest_prefixes() {
    let old = database(&[(0, 0), (0x0100_0000, 1), (0x0100_0400, 3)], &[(0, 0)]);
    // Of 1.0.0.0/22: the first /24 to nobody, the last to Germany. China gets 2400::/32, multicast does not count.
    let new = database(
        &[(0, 0), (0x0100_0100, 1), (0x0100_0300, 2), (0x0100_0400, 3)],
        &[(0, 0), (0x2400 << 112, 1), (0x2400_0001 << 96, 0), (0xff00 << 112, 1)],
    );
    let found = difference(&old, &new, &counted());
    let china = found.parts[&country("CN")];
    assert_eq!(china.v4, Change { before: 1024, after: 512, gained: 0, lost: 512 });
    assert_eq!(china.v6, Change { before: 0, after: 1 << 32, gained: 1 << 32, lost: 0 });
    assert_eq!(found.parts[&country("DE")].v4, Change { before: 0, after: 256, gained: 256, lost: 0 });
    assert_eq!(found.changed, PerFamily { v4: 512, v6: 1 << 32 });
    assert_eq!((found.all.v4.gained, found.all.v4.lost, found.all.v6.gained), (0, 256, 1 << 32));

    let turns = turns(&config(RULES), databases(old), new, &counted(), 0).expect("it fits");
    let spelt: Vec<String> = turns
        .iter()
        .map(|Turn { from, to, count, examples }| {
            let by = |one: &Decided| format!("{} {}", one.verdict, one.rule.as_deref().unwrap_or("-"));
            let examples: Vec<String> = examples.iter().map(ToString::to_string).collect();
            format!("{} > {}: {} {} {}", by(from), by(to), count.v4, count.v6, examples.join(" "))
        })
        .collect();
    assert_eq!(
        spelt,
        [
            "drop cn > reject web: 256 0 1.0.3.0/24",
            // The other half of the first /24 is the partner's, before and after.
            "drop cn > pass -: 128 0 1.0.0.128/25",
            "pass - > drop cn: 0 4294967296 2400::/32",
        ]
    );
}

#[test]
fn a_rule_in_its_ramp_is_taken_as_applying_to_every_source() {
    let (old, new) = (database(&[(0, 0)], &[(0, 0)]), database(&[(0, 1)], &[(0, 0)]));
    let now = 1_783_600_000_000_000_000; // 2026-07-09T12:26:40Z
    let verdicts = |from: &str| {
        let text = format!(
            "[[rule]]\nname = \"cn\"\nsource = {{ country = [\"CN\"] }}\naction = \"drop\"\nfrom = {from}\nramp = \"14d\"\n"
        );
        turns(&config(&text), databases(old.clone()), new.clone(), &counted(), now).expect("it fits")
    };
    assert_eq!(verdicts("2026-07-09T00:00:00Z")[0].to.verdict, "drop");
    assert_eq!(verdicts("2026-07-10T00:00:00Z"), [], "it only observes until then");
}

/// Runs from few places, at both ends of IPv4 and on special-purpose space.
fn runs() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let starts: Vec<u32> =
        [0u32, 0x0100_0000, 0x0900_0000, 0x0a00_0000, 0x0b00_0000, 0xc000_0200, 0xe000_0000, 0xffff_fff0]
            .into_iter()
            .flat_map(|base| [base, base + 1, base + 6])
            .skip(1)
            .collect();
    let rest = collection::btree_map(sample::select(starts), 0u32..4, 0..14);
    (0u32..4, rest).prop_map(|(first, rest)| std::iter::once((0, first)).chain(rest).collect())
}

proptest! {
    #[test]
    fn turns_are_what_explaining_each_piece_by_both_says(old in runs(), new in runs()) {
        let config = config(RULES);
        let [old, new] = [old, new].map(|runs| database(&runs, &[(0, 0)]));
        let mut edges: Vec<u32> = old.v4.iter().chain(&new.v4).map(|run| run.0).collect();
        edges.extend([0x0100_0000, 0x0100_0080]);
        edges.extend(counted().v4.iter().flat_map(|&(first, last)| [Some(first), last.checked_add(1)]).flatten());
        edges.sort_unstable();
        edges.dedup();
        let mut naive: BTreeMap<(String, String), u64> = BTreeMap::new();
        let (mut changed, mut lost) = (0, 0);
        {
            let (before, after) = (databases(old.clone()), databases(new.clone()));
            let question = Question { service: None, at: 0 };
            let [one, other] = [&before, &after]
                .map(|databases| Explainer::new(&config, databases, question).expect("it fits"));
            for (index, &first) in edges.iter().enumerate() {
                if !counted().v4.iter().any(|&(from, to)| (from..=to).contains(&first)) {
                    continue;
                }
                let size = edges.get(index + 1).map_or(1 << 32, |&next| u64::from(next)) - u64::from(first);
                let address = IpAddr::V4(Ipv4Addr::from(first));
                let [from, to] = [&one, &other].map(|explainer| {
                    let brief = explainer.brief(address);
                    format!("{} {:?}", brief.verdict, brief.rule)
                });
                if from != to {
                    *naive.entry((from, to)).or_default() += size;
                }
                let [from, to] = [&before, &after].map(|databases| databases.country.lookup(address).country);
                changed += if from == to { 0 } else { size };
                lost += if from.is_some() && to.is_none() { size } else { 0 };
            }
        }
        let found = difference(&old, &new, &counted());
        prop_assert_eq!((found.changed.v4, found.all.v4.lost), (changed, lost));
        for change in found.parts.values() {
            prop_assert_eq!(change.v4.before + change.v4.gained, change.v4.after + change.v4.lost);
        }
        let turns = turns(&config, databases(old), new, &counted(), 0).expect("it fits");
        let spelt = |one: &Decided| format!("{} {:?}", one.verdict, one.rule);
        let counts: BTreeMap<_, _> =
            turns.iter().map(|turn| ((spelt(&turn.from), spelt(&turn.to)), turn.count.v4)).collect();
        prop_assert_eq!(counts, naive);
    }
}
