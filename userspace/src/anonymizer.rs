//! Kinds of anonymizer: what may stand between whoever sends a packet and its source address.

use std::ops::BitOr;

/// A kind of anonymizer, as databases tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Anonymizer {
    /// A VPN provider.
    Vpn,
    /// A Tor exit.
    Tor,
    /// A public proxy.
    Proxy,
    /// A proxy at a residential provider.
    ResidentialProxy,
    /// A hosting provider.
    Hosting,
    /// A database says that it is one, and names none of these kinds: a relay, for one. No rule can name it; `any` has it.
    Other,
}

impl Anonymizer {
    /// Every kind, in the order in which they are listed everywhere.
    pub const ALL: [Self; 6] =
        [Self::Vpn, Self::Tor, Self::Proxy, Self::ResidentialProxy, Self::Hosting, Self::Other];

    /// The word in rules, in CSV files and in `--json`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vpn => "vpn",
            Self::Tor => "tor",
            Self::Proxy => "proxy",
            Self::ResidentialProxy => "residential_proxy",
            Self::Hosting => "hosting",
            Self::Other => "other",
        }
    }

    /// The kind of that word, in either case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(word))
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Anonymizers(u8);

impl Anonymizers {
    /// No kind: no anonymizer, as far as is known.
    pub const NONE: Self = Self(0);
    /// Every kind: what a rule calls `any`.
    pub const ANY: Self = Self((1 << Anonymizer::ALL.len()) - 1);

    /// The set of that kind alone.
    #[must_use]
    pub const fn of(kind: Anonymizer) -> Self {
        Self(1 << kind as u8)
    }

    /// Every set that there is, in the order of their [`bits`](Self::bits).
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..=Self::ANY.0).map(Self)
    }

    /// The set as a number, from 0 for none to 63 for all.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of that number; bits that stand for no kind do not count.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ANY.0)
    }

    /// Whether there is no kind in it.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any kind is in both.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether that kind is in it.
    #[must_use]
    pub const fn contains(self, kind: Anonymizer) -> bool {
        self.intersects(Self::of(kind))
    }

    /// The set without that kind.
    #[must_use]
    pub const fn without(self, kind: Anonymizer) -> Self {
        Self(self.0 & !Self::of(kind).0)
    }

    /// The words of its kinds, in their order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        Anonymizer::ALL.into_iter().filter(move |&kind| self.contains(kind)).map(Anonymizer::as_str)
    }
}

impl BitOr for Anonymizers {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Self> for Anonymizers {
    fn from_iter<I: IntoIterator<Item = Self>>(sets: I) -> Self {
        sets.into_iter().fold(Self::NONE, Self::bitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_its_kind_and_any_has_them_all() {
        for kind in Anonymizer::ALL {
            assert_eq!(Anonymizer::parse(&kind.as_str().to_uppercase()), Some(kind));
            assert!(Anonymizers::ANY.contains(kind) && !Anonymizers::NONE.contains(kind));
            assert_eq!(Anonymizers::of(kind).words().collect::<Vec<_>>(), [kind.as_str()]);
            assert!(!Anonymizers::ANY.without(kind).contains(kind));
        }
        assert_eq!(Anonymizers::all().count(), 64);
        assert!(Anonymizers::all().all(|set| Anonymizers::from_bits(set.bits() | 0xc0) == set));
        let both = Anonymizers::of(Anonymizer::Hosting) | Anonymizers::of(Anonymizer::Vpn);
        assert_eq!(both.words().collect::<Vec<_>>(), ["vpn", "hosting"]);
        assert_eq!(Anonymizer::parse("any"), None);
    }
}
