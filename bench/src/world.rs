//! A policy with all that is measured on it: its runs, its tables, and the same as prefixes and as two levels.

use std::path::Path;

use octroi::{
    config::Config,
    policy::{
        Databases,
        compile::{Classified, classify},
        slots::Slots,
    },
};
use octroi_abi::Counter;
use octroi_gate::host::Compiled;

/// Countries that an operator might block at once: large, and of all continents.
pub(crate) const TWENTY: [&str; 20] = [
    "BD", "BR", "CN", "EG", "HK", "ID", "IN", "IR", "KP", "KR", "MX", "NG", "PH", "PK", "RU", "TH", "TR",
    "TW", "UA", "VN",
];

/// A policy, compiled, and the runs that its tables were made of.
pub(crate) struct World {
    /// What octroi loads.
    pub(crate) compiled: Compiled,
    /// First address and class of each IPv4 run.
    pub(crate) v4: Vec<(u32, u16)>,
    /// The same for IPv6.
    pub(crate) v6: Vec<(u128, u16)>,
}

impl World {
    /// Compiles a policy over the embedded tables.
    pub(crate) fn new(policy: &str) -> anyhow::Result<Self> {
        let text = format!("interfaces = [\"none0\"]\n{policy}");
        let config = Config::parse(&text, Path::new("/bench.toml"))?;
        let databases = Databases::open(&config)?;
        let classified: Classified = classify(&config, &databases, None)?;
        let (v4, v6) = (classified.v4.clone(), classified.v6.clone());
        let mut compilation = classified.build(&config)?;
        compilation.assign(&mut Slots::new(), &[], |_| Counter::default())?;
        Ok(Self { compiled: compilation.compiled, v4, v6 })
    }

    /// The class of most addresses that no database places: what a look-up that finds nothing stands for.
    pub(crate) fn unknown(&self) -> u16 {
        // 240.0.0.0/4 is reserved, and 4000::/3 not given out.
        let at = self.v4.partition_point(|run| run.0 <= 0xf000_0001);
        self.v4[at - 1].1
    }
}

/// First and last address of 2000::/3: all that IPv6 databases speak about.
pub(crate) const GLOBAL_V6: (u128, u128) = (0x2000 << 112, (0x4000 << 112) - 1);

/// A run's addresses as prefixes: base, length, class.
pub(crate) type Prefix = (u128, u32, u16);

/// Runs of a family of `width` bits as prefixes; what has the class `left_out` is left out.
pub(crate) fn prefixes(runs: &[(u128, u16)], width: u32, left_out: u16) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    let top = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    for (n, &(start, class)) in runs.iter().enumerate().filter(|(_, run)| run.1 != left_out) {
        let last = runs.get(n + 1).map_or(top, |next| next.0 - 1);
        let mut at = start;
        loop {
            // The largest block that starts here and ends at or before the run's end.
            let aligned = at.trailing_zeros().min(width);
            let left = last - at;
            let fits = if left == u128::MAX { 128 } else { 127 - (left + 1).leading_zeros() };
            let host = aligned.min(fits);
            prefixes.push((at, width - host, class));
            let Some(next) = 1u128.checked_shl(host).and_then(|size| at.checked_add(size)) else { break };
            if next > last {
                break;
            }
            at = next;
        }
    }
    prefixes
}

/// Both levels of DIR-24-8 as bytes.
///
/// # Errors
/// When there are more split /24s or classes than 15 bits can number.
pub(crate) fn dir_24_8(runs: &[(u32, u16)]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let mut first = vec![0u16; 1 << 24];
    let mut second: Vec<u16> = Vec::new();
    let mut at = 0;
    for (block, entry) in first.iter_mut().enumerate() {
        let start = u32::try_from(block << 8)?;
        while runs.get(at + 1).is_some_and(|run| run.0 <= start) {
            at += 1;
        }
        if runs.get(at + 1).is_none_or(|run| run.0 > start + 0xff) {
            *entry = runs[at].1;
            continue;
        }
        let group = u16::try_from(second.len() >> 8)?;
        *entry = group | 0x8000;
        anyhow::ensure!(group < 0x8000, "more than 32768 split /24s");
        let mut inner = at;
        for host in 0..=0xff {
            while runs.get(inner + 1).is_some_and(|run| run.0 <= start + host) {
                inner += 1;
            }
            second.push(runs[inner].1);
        }
    }
    anyhow::ensure!(runs.iter().all(|run| run.1 < 0x8000), "more than 32768 classes");
    let bytes = |words: &[u16]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    Ok((bytes(&first), bytes(&second)))
}

/// Runs with starts of 128 bits, whichever the family.
pub(crate) fn wide<K: Copy + Into<u128>>(runs: &[(K, u16)]) -> Vec<(u128, u16)> {
    runs.iter().map(|&(start, class)| (start.into(), class)).collect()
}

/// Only the starts.
pub(crate) fn starts(runs: &[(u128, u16)]) -> Vec<u128> {
    runs.iter().map(|run| run.0).collect()
}
