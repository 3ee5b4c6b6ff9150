//! Policies over files that a test writes, up to what the host's engine does to packets.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
};

use octroi_abi::{Counter, Verdict};
use octroi_gate::corpus::build::udp;
use tempfile::TempDir;

use crate::{
    Failure,
    config::Config,
    policy::{
        Databases,
        compile::{Compilation, compile},
        explain::{Explainer, Explanation},
        slots::Slots,
        walk::Question,
    },
};

/// Databases and lists in a directory of their own, in which relative paths of a configuration start.
pub(super) struct Files {
    folder: TempDir,
}

/// What happens to a packet, and how it is counted: verdict, mark, DSCP, location, rule, observing rules.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) mark: u32,
    pub(super) dscp: u8,
    pub(super) location: String,
    pub(super) rule: Option<String>,
    pub(super) observed: Vec<String>,
}

impl Files {
    /// Files by name and contents.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        for (name, contents) in files {
            fs::write(folder.path().join(name), contents).expect("write into a directory of ours");
        }
        Self { folder }
    }

    /// The configuration, without the line that every one needs, and what it names.
    pub(super) fn read(&self, text: &str) -> Result<(Config, Databases), Failure> {
        let text = format!("interfaces = [\"none0\"]\n{text}");
        let config = Config::parse(&text, &self.folder.path().join("octroi.toml"))?;
        let databases = Databases::open(&config)?;
        Ok((config, databases))
    }

    /// A policy, compiled, with slots.
    pub(super) fn compiled(&self, text: &str) -> (Compilation, Slots) {
        let (config, databases) = self.read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut compilation = compile(&config, &databases).unwrap_or_else(|error| panic!("{error}"));
        let mut slots = Slots::new();
        compilation.assign(&mut slots, &[], |_| Counter::default()).unwrap_or_else(|error| panic!("{error}"));
        (compilation, slots)
    }

    /// Judges one packet of each source.
    pub(super) fn judged(&self, text: &str, sources: &[&str]) -> Vec<Judged> {
        let (compilation, slots) = self.compiled(text);
        let judge = |source: &&str| {
            let source: IpAddr = source.parse().expect("an address");
            let here =
                if source.is_ipv4() { IpAddr::from([9, 9, 9, 9]) } else { Ipv6Addr::from_bits(9).into() };
            let outcome = compilation.compiled.judge(&udp(source, here).frame());
            let counted = slots.outcome(outcome.slot).unwrap_or_else(|| panic!("{source} is not counted"));
            assert_eq!(counted.verdict, Some(outcome.verdict), "{source}");
            Judged {
                verdict: outcome.verdict,
                mark: outcome.mark,
                dscp: outcome.dscp,
                location: counted.location.to_string(),
                rule: counted.rule.clone(),
                observed: counted.observed.iter().map(|(name, _)| name.clone()).collect(),
            }
        };
        sources.iter().map(judge).collect()
    }

    /// Which of the sources a policy drops.
    pub(super) fn dropped<'a>(&self, text: &str, sources: &[&'a str]) -> Vec<&'a str> {
        let verdicts = self.judged(text, sources).into_iter().map(|judged| judged.verdict);
        let both = sources.iter().copied().zip(verdicts);
        both.filter(|(_, verdict)| *verdict == Verdict::Drop).map(|(source, _)| source).collect()
    }

    /// Why a source meets its verdict.
    pub(super) fn explain(&self, text: &str, source: &str) -> Explanation {
        let (config, databases) = self.read(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let explainer = Explainer::new(&config, &databases, Question::now()).expect("fits");
        explainer.explain(source.parse().expect("an address"))
    }
}
