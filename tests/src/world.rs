//! The table of the world as a file that a publisher might hand out.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use octroi::geoip::{Database, Kind};

/// The embedded country table as CSV, without the country of that code.
#[must_use]
pub fn whole(without: &str) -> String {
    fn lines<A: Copy + Into<u128>>(
        text: &mut String,
        database: &Database,
        runs: &[(A, u32)],
        end: u128,
        without: &str,
        spell: fn(u128) -> IpAddr,
    ) {
        let ends = runs.iter().skip(1).map(|run| run.0.into() - 1).chain([end]);
        for (&(first, record), last) in runs.iter().zip(ends) {
            if let Some(code) = database.records[record as usize].country
                && code.as_str() != without
            {
                let (first, last) = (spell(first.into()), spell(last));
                writeln!(text, "{first},{last},{}", code.as_str()).expect("a string takes all");
            }
        }
    }
    let database = Database::embedded(Kind::Country);
    let mut text = String::new();
    lines(&mut text, &database, &database.v4, u32::MAX.into(), without, |bits| {
        Ipv4Addr::from(u32::try_from(bits).expect("an IPv4 address")).into()
    });
    lines(&mut text, &database, &database.v6, u128::MAX, without, |bits| Ipv6Addr::from(bits).into());
    text
}
