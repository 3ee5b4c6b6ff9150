//! Countries and continents: ISO 3166-1 alpha-2 codes, and which continent each belongs to.

/// An ISO 3166-1 alpha-2 code (or `XK`, which every GeoIP database uses for Kosovo), upper case ASCII.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CountryCode([u8; 2]);

/// A continent, in the two-letter codes that GeoIP databases use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Continent([u8; 2]);
