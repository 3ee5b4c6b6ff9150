//! What slots mean, as bytes: for the daemon that comes after this one, which may be another version.

use std::collections::HashMap;

use octroi_abi::{Counter, Verdict};
use serde::{Deserialize, Serialize};

use super::{Outcome, PAIRS, Pair, Slots};
use crate::{country::CountryCode, policy::decide::Location};

/// The layout below; another one is not read.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Kept {
    format: u32,
    pairs: Vec<KeptPair>,
    retired: Vec<(KeptOutcome, Counts)>,
}

/// Packets and bytes of IPv4, then of IPv6.
type Counts = [u64; 4];

#[derive(Serialize, Deserialize)]
struct KeptPair {
    outcome: KeptOutcome,
    base: Counts,
    /// It has not been given away.
    owned: bool,
    /// Packets may be counted in it now.
    in_use: bool,
}

#[derive(Serialize, Deserialize)]
struct KeptOutcome {
    location: String,
    verdict: Option<String>,
    rule: Option<String>,
    observed: Vec<(String, String)>,
    lease: bool,
}

impl Slots {
    /// As bytes, which [`Slots::read`] understands. `in_use` are the outcomes of all generations that packets may be judged by.
    #[must_use]
    pub fn keep<'a>(&self, in_use: impl IntoIterator<Item = &'a Outcome>) -> Vec<u8> {
        let in_use: std::collections::HashSet<&Outcome> = in_use.into_iter().collect();
        let pairs = (0..).zip(&self.pairs).map(|(index, pair)| KeptPair {
            outcome: (&pair.outcome).into(),
            base: counts(pair.base),
            owned: self.numbers.get(&pair.outcome) == Some(&super::first_of(index)),
            in_use: in_use.contains(&pair.outcome),
        });
        let retired = self.retired.iter().map(|(outcome, totals)| (outcome.into(), counts(*totals)));
        let kept = Kept { format: FORMAT, pairs: pairs.collect(), retired: retired.collect() };
        serde_json::to_vec(&kept).expect("strings and numbers")
    }

    /// The slots that [`Slots::keep`] made bytes of, and the outcomes that were in use; `None` where the bytes are something
    /// else, or say what this version does not know.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, Vec<Outcome>)> {
        let kept: Kept = serde_json::from_slice(bytes).ok()?;
        if kept.format != FORMAT || kept.pairs.len() > PAIRS {
            return None;
        }
        let (mut slots, mut in_use) = (Self::new(), Vec::new());
        for (index, pair) in (0..).zip(kept.pairs) {
            let outcome = Outcome::try_from(pair.outcome).ok()?;
            if pair.owned && slots.numbers.insert(outcome.clone(), super::first_of(index)).is_some() {
                return None;
            }
            if pair.in_use {
                in_use.push(outcome.clone());
            }
            slots.pairs.push(Pair { outcome, base: counters(pair.base) });
        }
        let retired = kept.retired.into_iter();
        let retired = retired.map(|(outcome, totals)| Some((outcome.try_into().ok()?, counters(totals))));
        slots.retired = retired.collect::<Option<HashMap<_, _>>>()?;
        Some((slots, in_use))
    }
}

fn counts([v4, v6]: [Counter; 2]) -> Counts {
    [v4.packets, v4.bytes, v6.packets, v6.bytes]
}

const fn counters([packets_v4, bytes_v4, packets_v6, bytes_v6]: Counts) -> [Counter; 2] {
    [Counter { packets: packets_v4, bytes: bytes_v4 }, Counter { packets: packets_v6, bytes: bytes_v6 }]
}

impl From<&Outcome> for KeptOutcome {
    fn from(outcome: &Outcome) -> Self {
        let observed = outcome.observed.iter();
        Self {
            location: outcome.location.as_str().to_owned(),
            verdict: outcome.verdict.map(|verdict| verdict.as_str().to_owned()),
            rule: outcome.rule.clone(),
            observed: observed.map(|(rule, verdict)| (rule.clone(), verdict.as_str().to_owned())).collect(),
            lease: outcome.lease,
        }
    }
}

impl TryFrom<KeptOutcome> for Outcome {
    /// A word that this version does not know.
    type Error = ();

    fn try_from(kept: KeptOutcome) -> Result<Self, ()> {
        let location = match kept.location.as_str() {
            "local" => Location::Local,
            "unknown" => Location::Unknown,
            code => Location::Country(CountryCode::parse(code).ok_or(())?),
        };
        let observed = kept.observed.into_iter().map(|(rule, word)| Ok((rule, verdict(&word)?)));
        Ok(Self {
            location,
            verdict: kept.verdict.as_deref().map(verdict).transpose()?,
            rule: kept.rule,
            observed: observed.collect::<Result<_, ()>>()?,
            lease: kept.lease,
        })
    }
}

fn verdict(word: &str) -> Result<Verdict, ()> {
    Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == word).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: &str, rule: Option<&str>) -> Outcome {
        let location = CountryCode::parse(code).map_or(Location::Local, Location::Country);
        Outcome {
            location,
            verdict: rule.map(|_| Verdict::Reject),
            rule: rule.map(str::to_owned),
            observed: vec![("a \"name\"".into(), Verdict::Limit)],
            lease: rule.is_none(),
        }
    }

    fn sorted(slots: &Slots, read: impl Fn(u32) -> Counter) -> Vec<String> {
        let mut totals: Vec<_> = slots.totals(read).map(|one| format!("{one:?}")).collect();
        totals.sort_unstable();
        totals
    }

    #[test]
    fn what_is_kept_counts_on_where_it_was() {
        let mut kernel = vec![Counter::default(); 1 << 16];
        let mut slots = Slots::new();
        let (first, second) = ([outcome("CN", Some("a")), outcome("", None)], [outcome("KP", Some("a"))]);
        for generation in [&first[..], &second[..]] {
            for slot in slots.assign(generation, &[], |_| Counter::default()).expect("fits") {
                kernel[slot as usize + 1] = Counter { packets: u64::from(slot), bytes: u64::MAX };
            }
        }
        let read = |slot: u32| kernel[slot as usize];
        let (again, in_use) = Slots::read(&slots.keep(&second)).expect("its own bytes");
        assert_eq!(in_use, second);
        assert_eq!(sorted(&again, read), sorted(&slots, read));
        assert_eq!(again.end(), slots.end());
        assert_eq!(again.outcome(6), slots.outcome(6));
    }

    #[test]
    fn slots_that_were_given_away_stay_so() {
        let many = |from: usize| (from..from + PAIRS).map(|rule| outcome("CN", Some(&format!("{rule}"))));
        let mut slots = Slots::new();
        let read = |slot: u32| Counter { packets: u64::from(slot), bytes: 1 };
        slots.assign(&many(0).collect::<Vec<_>>(), &[], read).expect("fits");
        slots
            .assign(&many(7).take(9).chain(many(PAIRS).take(5)).collect::<Vec<_>>(), &[], read)
            .expect("fits");
        let (again, _) = Slots::read(&slots.keep([])).expect("its own bytes");
        assert_eq!(sorted(&again, read), sorted(&slots, read));
        let (mut slots, mut again) = (slots, again);
        let wanted: Vec<_> = many(2 * PAIRS).take(300).collect();
        assert_eq!(again.assign(&wanted, &[], read), slots.assign(&wanted, &[], read));
    }

    #[test]
    fn other_bytes_are_no_slots() {
        let mut slots = Slots::new();
        slots.assign(&[outcome("CN", Some("a"))], &[], |_| Counter::default()).expect("fits");
        let text = String::from_utf8(slots.keep([])).expect("JSON");
        assert!(Slots::read(text.as_bytes()).is_some());
        for (what, instead) in [("\"format\":1", "\"format\":2"), ("CN", "EU"), ("reject", "refuse")] {
            assert!(text.contains(what), "{text}");
            assert!(Slots::read(text.replace(what, instead).as_bytes()).is_none(), "{instead}");
        }
        assert!(Slots::read(b"").is_none());
        assert!(Slots::read(b"{\"format\":1}").is_none());
    }
}
