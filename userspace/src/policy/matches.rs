//! Which rules' sources match, whatever else a rule asks for: what lints ask about a policy.

use std::collections::{BTreeSet, HashSet};

use super::{
    decide::{mismatch, skips_rules},
    explain::Explainer,
    layers::Facts,
};

/// Rules whose sources match some address, all of them: indices, ascending.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Together {
    pub(crate) rules: Vec<usize>,
    /// Whether no rule is asked there: the source is local, and local sources pass.
    pub(crate) skipped: bool,
}

impl Explainer<'_> {
    /// The rules whose sources match an address: what tests compare with.
    #[cfg(test)]
    pub(crate) fn matching(&self, address: std::net::IpAddr) -> Together {
        self.together_at(&self.facts(address).0)
    }

    /// Each set of rules whose sources match some address together, over all addresses of both families. An address that
    /// no rule matches is in none of them.
    pub(crate) fn together(&self) -> BTreeSet<Together> {
        let named: HashSet<u32> = self
            .config
            .rules
            .iter()
            .flat_map(|rule| [&rule.source.asn, &rule.source.not_asn])
            .flatten()
            .flatten()
            .copied()
            .collect();
        let (mut seen, mut all) = (HashSet::new(), BTreeSet::new());
        let mut look = |facts: Facts| {
            // Nearly all autonomous systems are alike to the rules.
            let asn = self.subject(&facts).asn().filter(|asn| named.contains(asn));
            if seen.insert((facts.special, facts.country, asn, facts.anonymous, facts.membership)) {
                let together = self.together_at(&facts);
                if !together.rules.is_empty() {
                    all.insert(together);
                }
            }
        };
        self.v4.merged(&mut look);
        self.v6.merged(&mut look);
        all
    }

    fn together_at(&self, facts: &Facts) -> Together {
        let subject = self.subject(facts);
        let rules = self.config.rules.iter().enumerate();
        let matching = rules.filter(|&(index, rule)| mismatch(index, rule, &subject).is_none());
        Together {
            rules: matching.map(|(index, _)| index).collect(),
            skipped: skips_rules(self.config, &subject),
        }
    }
}
