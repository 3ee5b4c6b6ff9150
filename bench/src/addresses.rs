//! A million addresses in four distributions: how well a table's memory is cached depends on nothing else.

use std::collections::HashSet;

use octroi_abi::bench::ADDRESSES;

/// How the addresses of a run are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Distribution {
    /// One address: what is left is the look-up's instructions.
    Hot,
    /// Every address of the family's routable space as likely as any other: large networks dominate.
    Addresses,
    /// Every interval of the table as likely as any other, then any address of it: the table's whole memory is used.
    Intervals,
    /// A pool of a million addresses drawn as in `Intervals`, the n-th of them as likely as 1/n (Zipf's law).
    Zipf,
}

impl Distribution {
    /// All, in the order of the report.
    pub(crate) const ALL: [Self; 4] = [Self::Hot, Self::Addresses, Self::Intervals, Self::Zipf];

    /// As the report calls it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "one hot address",
            Self::Addresses => "uniform over addresses",
            Self::Intervals => "uniform over intervals",
            Self::Zipf => "Zipf over a million",
        }
    }
}

/// The seed of every draw: two runs of the benchmark use the same addresses.
const SEED: u64 = 0x6f63_7472_6f69;

/// Draws [`ADDRESSES`] addresses from runs that cover `first..=last`: starts in ascending order, each run up to the
/// next one.
pub(crate) fn draw(distribution: Distribution, starts: &[u128], first: u128, last: u128) -> Vec<u128> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let from = starts.partition_point(|&start| start <= first).max(1) - 1;
    let to = starts.partition_point(|&start| start <= last);
    let starts = &starts[from..to];
    let interval = |random: &mut fastrand::Rng| {
        let n = random.usize(..starts.len());
        let end = starts.get(n + 1).map_or(last, |next| next - 1);
        random.u128(starts[n].max(first)..=end)
    };
    match distribution {
        Distribution::Hot => vec![interval(&mut random); ADDRESSES],
        Distribution::Addresses => (0..ADDRESSES).map(|_| random.u128(first..=last)).collect(),
        Distribution::Intervals => (0..ADDRESSES).map(|_| interval(&mut random)).collect(),
        Distribution::Zipf => {
            let mut pool = HashSet::with_capacity(ADDRESSES);
            while pool.len() < ADDRESSES {
                pool.insert(interval(&mut random));
            }
            let mut pool: Vec<u128> = pool.into_iter().collect();
            // A set's order is another one in every process.
            pool.sort_unstable();
            random.shuffle(&mut pool);
            let mut sum = 0.0;
            let cumulated: Vec<f64> = (1..=ADDRESSES)
                .map(|n| {
                    sum += 1.0 / n as f64;
                    sum
                })
                .collect();
            let draw = |_| {
                let at = random.f64() * sum;
                pool[cumulated.partition_point(|&upto| upto <= at).min(ADDRESSES - 1)]
            };
            (0..ADDRESSES).map(draw).collect()
        }
    }
}
