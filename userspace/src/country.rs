//! Countries and continents: ISO 3166-1 alpha-2 codes, and which continent each belongs to.

mod table;

use std::fmt;

use table::ROWS;

/// An ISO 3166-1 alpha-2 code (or `XK`, which every GeoIP database uses for Kosovo). Only codes that are assigned
/// exist as values; `EU`, `AP`, `A1`, `ZZ` and the like do not. Orders as its two letters do.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode(u8);

impl CountryCode {
    /// The country of a code of two letters in any case; `None` for everything that is not assigned.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        let &[first, second] = code.as_bytes() else { return None };
        let wanted = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
        let row = ROWS.binary_search_by(|(known, ..)| known.as_bytes().cmp(&wanted)).ok()?;
        u8::try_from(row).ok().map(Self)
    }

    /// The two letters, upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The English short name, as in "South Korea".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The continent, as GeoIP databases have it.
    #[must_use]
    pub fn continent(self) -> Continent {
        self.row().2
    }

    /// Every country, in the order of the codes: 249 of ISO 3166-1, and `XK`.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(ROWS.len()).map(Self)
    }

    fn row(self) -> table::Row {
        ROWS[usize::from(self.0)]
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A continent, in the two-letter codes that GeoIP databases use. Orders as its code does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Continent {
    /// `AF`
    Africa,
    /// `AN`
    Antarctica,
    /// `AS`
    Asia,
    /// `EU`
    Europe,
    /// `NA`
    NorthAmerica,
    /// `OC`
    Oceania,
    /// `SA`
    SouthAmerica,
}

impl Continent {
    /// Every continent, in the order of the codes.
    pub const ALL: [Self; 7] = [
        Self::Africa,
        Self::Antarctica,
        Self::Asia,
        Self::Europe,
        Self::NorthAmerica,
        Self::Oceania,
        Self::SouthAmerica,
    ];

    /// The continent of a code of two letters in any case.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|continent| continent.as_str().eq_ignore_ascii_case(code))
    }

    /// The two letters, upper case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// The English name, as in "North America".
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Africa => "Africa",
            Self::Antarctica => "Antarctica",
            Self::Asia => "Asia",
            Self::Europe => "Europe",
            Self::NorthAmerica => "North America",
            Self::Oceania => "Oceania",
            Self::SouthAmerica => "South America",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_unique_and_find_themselves_in_any_case() {
        assert!(ROWS.is_sorted_by(|a, b| a.0 < b.0));
        for country in CountryCode::all() {
            assert_eq!(CountryCode::parse(country.as_str()), Some(country));
            assert_eq!(CountryCode::parse(&country.as_str().to_lowercase()), Some(country));
        }
        assert_eq!(CountryCode::all().count(), 250);
    }

    #[test]
    fn what_is_not_assigned_is_no_country() {
        for code in
            ["", "C", "CNN", "EU", "AP", "A1", "A2", "O1", "ZZ", "XX", "--", "AN", "UK", "T1", "é", "c\0"]
        {
            assert_eq!(CountryCode::parse(code), None, "{code:?}");
        }
    }

    #[test]
    fn names_and_continents() {
        let of = |code: &str| CountryCode::parse(code).map(|c| (c.name(), c.continent()));
        assert_eq!(of("CN"), Some(("China", Continent::Asia)));
        assert_eq!(of("KP"), Some(("North Korea", Continent::Asia)));
        assert_eq!(of("XK"), Some(("Kosovo", Continent::Europe)));
        assert_eq!(of("NA"), Some(("Namibia", Continent::Africa)));
        assert_eq!(of("CI"), Some(("Côte d'Ivoire", Continent::Africa)));
    }

    #[test]
    fn continents_find_themselves() {
        for continent in Continent::ALL {
            assert_eq!(Continent::parse(&continent.as_str().to_lowercase()), Some(continent));
        }
        assert_eq!(Continent::parse("XX"), None);
    }
}
