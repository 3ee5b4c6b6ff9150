//! Countries and continents: ISO 3166-1 alpha-2 codes, and which continent each belongs to.

mod table;

use self::table::COUNTRIES;

/// An ISO 3166-1 alpha-2 code, or `XK`, which every GeoIP database uses for Kosovo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CountryCode(u8);

impl CountryCode {
    /// Reads a code, whatever its case; `None` for anything that is no country's.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code = text.to_ascii_uppercase();
        let index = COUNTRIES.binary_search_by_key(&code.as_str(), |row| row.0).ok()?;
        u8::try_from(index).ok().map(Self)
    }

    /// The code, upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        COUNTRIES[usize::from(self.0)].0
    }

    /// The English short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        COUNTRIES[usize::from(self.0)].2
    }

    /// The continent.
    #[must_use]
    pub fn continent(self) -> Continent {
        Continent::parse(COUNTRIES[usize::from(self.0)].1).expect("the table names continents only")
    }

    /// All codes, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(COUNTRIES.len()).map(Self)
    }
}

/// A continent, in the two-letter codes that GeoIP databases use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Continent(u8);

const CONTINENTS: [(&str, &str); 7] = [
    ("AF", "Africa"),
    ("AN", "Antarctica"),
    ("AS", "Asia"),
    ("EU", "Europe"),
    ("NA", "North America"),
    ("OC", "Oceania"),
    ("SA", "South America"),
];

impl Continent {
    /// Reads a code, whatever its case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let code = text.to_ascii_uppercase();
        let index = CONTINENTS.iter().position(|row| row.0 == code)?;
        u8::try_from(index).ok().map(Self)
    }

    /// The code, upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        CONTINENTS[usize::from(self.0)].0
    }

    /// The English name.
    #[must_use]
    pub fn name(self) -> &'static str {
        CONTINENTS[usize::from(self.0)].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_and_has_a_continent() {
        assert_eq!(CountryCode::all().count(), 250);
        for code in CountryCode::all() {
            assert_eq!(CountryCode::parse(&code.as_str().to_lowercase()), Some(code));
            assert!(!code.continent().name().is_empty() && !code.name().is_empty());
        }
    }

    #[test]
    fn pseudo_codes_are_no_countries() {
        for code in ["EU", "AP", "A1", "A2", "ZZ", "UK", "", "-", "None", "C", "CHN", "\u{e9}t"] {
            assert_eq!(CountryCode::parse(code), None, "{code}");
        }
    }
}
