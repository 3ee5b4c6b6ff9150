//! What others load: countries as prefixes, as scripts for nft and ipset.

use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

use octroi::{country::CountryCode, geoip::Database};

use crate::world::{Prefix, prefixes};

/// The prefixes of some countries.
pub(crate) struct Countries {
    v4: Vec<Prefix>,
    v6: Vec<Prefix>,
}

impl Countries {
    /// All prefixes that a database has for these countries.
    pub(crate) fn of(database: &Database, codes: &[&str]) -> Self {
        let wanted: Vec<bool> = database
            .records
            .iter()
            .map(|record| record.country.map(CountryCode::as_str).is_some_and(|code| codes.contains(&code)))
            .collect();
        Self {
            v4: prefixes(&merged(&database.v4, &wanted), 32, 0),
            v6: prefixes(&merged(&database.v6, &wanted), 128, 0),
        }
    }

    /// How many there are, of both families.
    pub(crate) fn entries(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// A file for `nft -f`.
    pub(crate) fn nft(&self) -> String {
        let mut text = String::from("table inet countries {\n");
        for (name, kind, prefixes) in
            [("v4", "ipv4_addr", written_v4(&self.v4)), ("v6", "ipv6_addr", written_v6(&self.v6))]
        {
            let prefixes: Vec<String> = prefixes.collect();
            let elements = prefixes.join(",\n");
            let _ =
                write!(text, "set {name} {{\ntype {kind}\nflags interval\nelements = {{ {elements} }}\n}}\n");
        }
        text + "}\n"
    }

    /// A file for `ipset restore`, its tables as large from the beginning as they will have to be.
    pub(crate) fn ipset(&self) -> String {
        let mut text = String::new();
        for (name, family, count, prefixes) in [
            ("v4", "inet", self.v4.len(), written_v4(&self.v4)),
            ("v6", "inet6", self.v6.len(), written_v6(&self.v6)),
        ] {
            let size = count.next_power_of_two().max(1024);
            let _ = writeln!(text, "create {name} hash:net family {family} hashsize {size} maxelem {size}");
            for prefix in prefixes {
                let _ = writeln!(text, "add {name} {prefix}");
            }
        }
        text
    }
}

/// Runs of 1, wanted, and 0.
fn merged<K: Copy + Into<u128>>(runs: &[(K, u32)], wanted: &[bool]) -> Vec<(u128, u16)> {
    let mut merged: Vec<(u128, u16)> = Vec::new();
    for &(start, record) in runs {
        let class = u16::from(wanted[record as usize]);
        if merged.last().is_none_or(|last| last.1 != class) {
            merged.push((start.into(), class));
        }
    }
    merged
}

fn written_v4(prefixes: &[Prefix]) -> Box<dyn Iterator<Item = String> + '_> {
    let address = |base| Ipv4Addr::from_bits(u32::try_from(base).expect("an IPv4 address"));
    Box::new(prefixes.iter().map(move |&(base, length, _)| format!("{}/{length}", address(base))))
}

fn written_v6(prefixes: &[Prefix]) -> Box<dyn Iterator<Item = String> + '_> {
    Box::new(prefixes.iter().map(|&(base, length, _)| format!("{}/{length}", Ipv6Addr::from_bits(base))))
}

#[cfg(test)]
mod tests {
    use super::Countries;

    #[test]
    fn prefixes_are_written_as_each_tool_reads_them() {
        let countries = Countries { v4: vec![(0x0100_0100, 24, 1)], v6: vec![(0x2001_0db8 << 96, 32, 1)] };
        assert!(countries.nft().contains("elements = { 1.0.1.0/24 }"), "{}", countries.nft());
        assert!(countries.ipset().contains("add v6 2001:db8::/32\n"), "{}", countries.ipset());
        assert_eq!(countries.entries(), 2);
    }
}
