//! What databases say about addresses: rows, looked through one after the other.

use std::{fmt::Write as _, net::IpAddr};

use crate::{
    Anonymizer,
    space::{self, Space},
};

/// The countries that a world may have, each with its continent. Any other text in a row is no country.
pub const COUNTRIES: [(&str, &str); 10] = [
    ("AU", "OC"),
    ("BR", "SA"),
    ("CA", "NA"),
    ("CN", "AS"),
    ("DE", "EU"),
    ("FR", "EU"),
    ("JP", "AS"),
    ("KP", "AS"),
    ("US", "NA"),
    ("ZA", "AF"),
];

/// Three databases.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct World {
    /// Country codes.
    pub countries: Vec<Row<&'static str>>,
    /// Numbers of autonomous systems, from 1.
    pub asns: Vec<Row<u32>>,
    /// What anonymizers are there.
    pub anonymous: Vec<Row<Vec<Anonymizer>>>,
}

/// What a database says about a range of addresses of one family. Those of one database do not overlap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row<T> {
    /// The first address.
    pub first: IpAddr,
    /// The last one, included.
    pub last: IpAddr,
    /// What is said.
    pub value: T,
}

/// Where a source is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Location {
    /// `country="local"`
    Local,
    /// No database places it.
    Unknown,
    /// In this country.
    Country(&'static str),
}

/// All that rules can ask about a source, except its address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Where it is.
    pub location: Location,
    /// On which continent.
    pub continent: Option<&'static str>,
    /// Who announces it.
    pub asn: Option<u32>,
    /// What anonymizers are there.
    pub anonymous: Vec<Anonymizer>,
}

impl World {
    /// What is known about an address.
    #[must_use]
    pub fn facts(&self, address: IpAddr) -> Facts {
        let nothing = |location| Facts { location, continent: None, asn: None, anonymous: Vec::new() };
        match space::of(address) {
            Some(Space::Local) => return nothing(Location::Local),
            Some(Space::Unknown) => return nothing(Location::Unknown),
            None => {}
        }
        let code = find(&self.countries, address);
        let country = code.and_then(|code| COUNTRIES.into_iter().find(|country| country.0 == *code));
        Facts {
            location: country.map_or(Location::Unknown, |country| Location::Country(country.0)),
            continent: country.map(|country| country.1),
            asn: find(&self.asns, address).copied(),
            anonymous: find(&self.anonymous, address).cloned().unwrap_or_default(),
        }
    }

    /// `start,end,country`
    #[must_use]
    pub fn countries_csv(&self) -> String {
        csv("start,end,country", &self.countries, |code| (*code).to_owned())
    }

    /// `start,end,asn,name`
    #[must_use]
    pub fn asns_csv(&self) -> String {
        csv("start,end,asn,name", &self.asns, |asn| format!("{asn},Network {asn}"))
    }

    /// `start,end,anonymous`, where the last is a list of words with `|` between them.
    #[must_use]
    pub fn anonymous_csv(&self) -> String {
        csv("start,end,anonymous", &self.anonymous, |kinds| {
            kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join("|")
        })
    }
}

impl Anonymizer {
    /// The word in a rule and in a row.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vpn => "vpn",
            Self::Tor => "tor",
            Self::Proxy => "proxy",
            Self::ResidentialProxy => "residential_proxy",
            Self::Hosting => "hosting",
        }
    }
}

/// The value of the row that an address is in. Rows of the other family do not compare.
fn find<T>(rows: &[Row<T>], address: IpAddr) -> Option<&T> {
    let within = |row: &&Row<T>| {
        row.first.is_ipv4() == address.is_ipv4() && row.first <= address && address <= row.last
    };
    rows.iter().find(within).map(|row| &row.value)
}

fn csv<T>(header: &str, rows: &[Row<T>], value: impl Fn(&T) -> String) -> String {
    let mut text = format!("{header}\n");
    for row in rows {
        writeln!(text, "{},{},{}", row.first, row.last, value(&row.value)).expect("a string takes all");
    }
    text
}

/// A row about a country.
///
/// # Panics
/// When `first` or `last` is no address.
#[must_use]
pub fn country(first: &str, last: &str, code: &'static str) -> Row<&'static str> {
    row(first, last, code)
}

/// A row about an autonomous system.
///
/// # Panics
/// When `first` or `last` is no address.
#[must_use]
pub fn asn(first: &str, last: &str, number: u32) -> Row<u32> {
    row(first, last, number)
}

/// A row about anonymizers.
///
/// # Panics
/// When `first` or `last` is no address.
#[must_use]
pub fn anonymous(first: &str, last: &str, kinds: &[Anonymizer]) -> Row<Vec<Anonymizer>> {
    row(first, last, kinds.to_vec())
}

fn row<T>(first: &str, last: &str, value: T) -> Row<T> {
    let address = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?} is no address"));
    Row { first: address(first), last: address(last), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> World {
        World {
            countries: vec![
                country("0.0.0.0", "9.255.255.255", "CN"),
                country("11.0.0.0", "11.0.0.255", "-"),
                country("2000::", "2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "DE"),
            ],
            asns: vec![asn("1.0.0.0", "1.0.0.0", 58593)],
            anonymous: vec![anonymous("1.0.0.0", "1.0.0.1", &[Anonymizer::Vpn, Anonymizer::Hosting])],
        }
    }

    #[test]
    fn each_database_is_asked_for_its_own_fact() {
        let facts = world().facts("1.0.0.0".parse().expect("an address"));
        assert_eq!((facts.location, facts.continent), (Location::Country("CN"), Some("AS")));
        assert_eq!((facts.asn, facts.anonymous), (Some(58593), vec![Anonymizer::Vpn, Anonymizer::Hosting]));
        let facts = world().facts("1.0.0.1".parse().expect("an address"));
        assert_eq!((facts.asn, facts.anonymous.len()), (None, 2));
    }

    #[test]
    fn a_source_is_unknown_outside_all_rows_and_in_a_row_without_a_country() {
        for text in ["10.0.0.1", "11.0.0.1", "12.0.0.1", "2001:db8::1", "3000::1"] {
            let facts = world().facts(text.parse().expect("an address"));
            let expected = if text == "10.0.0.1" { Location::Local } else { Location::Unknown };
            assert_eq!((facts.location, facts.continent), (expected, None), "{text}");
        }
    }

    #[test]
    fn rows_are_written_as_csv() {
        assert_eq!(
            world().countries_csv(),
            "start,end,country\n0.0.0.0,9.255.255.255,CN\n11.0.0.0,11.0.0.255,-\n\
             2000::,2fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,DE\n"
        );
        assert_eq!(world().asns_csv(), "start,end,asn,name\n1.0.0.0,1.0.0.0,58593,Network 58593\n");
        assert_eq!(world().anonymous_csv(), "start,end,anonymous\n1.0.0.0,1.0.0.1,vpn|hosting\n");
    }
}
