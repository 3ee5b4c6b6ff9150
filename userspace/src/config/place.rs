//! Where a source may be located: countries and `"unknown"`; and what people type instead of a code.

use std::collections::BTreeSet;

use super::error::quoted;
use super::key::nearest;
use crate::country::{Continent, CountryCode};

/// Where an address is located, as far as the databases know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In this country.
    Country(CountryCode),
    /// No database places it.
    Unknown,
}

/// The places of a `country` or `not_country`; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSet(BTreeSet<Place>);

impl PlaceSet {
    /// `None` for no places at all.
    pub(super) fn new(places: impl IntoIterator<Item = Place>) -> Option<Self> {
        let places: BTreeSet<Place> = places.into_iter().collect();
        if places.is_empty() { None } else { Some(Self(places)) }
    }

    /// Whether `place` is one of these.
    pub fn contains(&self, place: Place) -> bool {
        self.0.contains(&place)
    }

    /// Countries in the order of their codes, then unknown; each once.
    pub fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.iter().copied()
    }
}

/// Reads a country code in either case, or `unknown`; the error says what is typed instead.
pub(super) fn place(text: &str) -> Result<Place, String> {
    if text.eq_ignore_ascii_case("unknown") {
        return Ok(Place::Unknown);
    }
    CountryCode::parse(text).map(Place::Country).ok_or_else(|| {
        format!("country {} is not an ISO 3166-1 alpha-2 code; {}", quoted(text), country_advice(text))
    })
}

/// Reads a continent's code in either case; the error says what is typed instead.
pub(super) fn continent(text: &str) -> Result<Continent, String> {
    Continent::parse(text).ok_or_else(|| {
        let advice = match CONTINENT_NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((name, code)) => format!("{name} is {code:?}"),
            None => "expected AF, AN, AS, EU, NA, OC or SA".to_owned(),
        };
        format!("continent {} is unknown; {advice}", quoted(text))
    })
}

fn country_advice(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    if let Some((_, advice)) = MISTAKEN.iter().find(|(code, _)| *code == upper) {
        return (*advice).to_owned();
    }
    if let Some(continent) = Continent::parse(text) {
        return format!("for the continent, write continent = [{:?}]", continent.as_str());
    }
    let named = |name: &str, alpha3: &str| {
        alpha3 == upper || name.strip_prefix("the ").unwrap_or(name).eq_ignore_ascii_case(text)
    };
    if let Some((name, _, code)) = NAMES.iter().find(|(name, alpha3, _)| named(name, alpha3)) {
        return format!("the code of {name} is {code:?}");
    }
    if nearest(text, std::iter::once("unknown")).is_some() {
        return "did you mean \"unknown\"?".to_owned();
    }
    let near = codes_near(&upper);
    if !near.is_empty() {
        return format!("codes near it: {}", near.join(", "));
    }
    "a code is two letters, such as \"CN\", or \"unknown\"".to_owned()
}

/// Up to six assigned codes that differ from `typed` by swapped letters or by one letter; none for other lengths.
fn codes_near(typed: &str) -> Vec<String> {
    let &[first, second] = typed.as_bytes() else { return Vec::new() };
    if !(first.is_ascii_uppercase() && second.is_ascii_uppercase()) {
        return Vec::new();
    }
    let swapped = std::iter::once((second, first));
    let same_first = (b'A'..=b'Z').map(|letter| (first, letter));
    let same_second = (b'A'..=b'Z').map(|letter| (letter, second));
    swapped
        .chain(same_first)
        .chain(same_second)
        .map(|(first, second)| String::from_iter([char::from(first), char::from(second)]))
        .filter(|code| CountryCode::parse(code).is_some())
        .take(6)
        .collect()
}

/// Codes that are typed for a country, or found in other lists, and are not ISO 3166-1's.
const MISTAKEN: &[(&str, &str)] = &[
    ("UK", "the United Kingdom is \"GB\""),
    ("EL", "Greece is \"GR\""),
    ("EN", "England is part of \"GB\""),
    ("AP", "for Asia and the Pacific, write continent = [\"AS\", \"OC\"]"),
    ("A1", "it marked anonymous proxies in old databases, and is no place"),
    ("A2", "it marked satellite providers in old databases, and is no place"),
    ("T1", "it marks Tor exits in some products, and is no place"),
    ("XX", "addresses that no database places are \"unknown\""),
    ("ZZ", "addresses that no database places are \"unknown\""),
    ("", "addresses that no database places are \"unknown\""),
    ("LOCAL", "private and other local sources are decided by policy.local, or named by cidr"),
    ("AN", "the Netherlands Antilles are now \"BQ\", \"CW\" and \"SX\""),
    ("CS", "Serbia is \"RS\" and Montenegro \"ME\""),
    ("YU", "Serbia is \"RS\" and Montenegro \"ME\""),
    ("SU", "the Soviet Union is gone; Russia is \"RU\""),
    ("DD", "Germany is \"DE\""),
    ("TP", "Timor-Leste is \"TL\""),
    ("ZR", "the Democratic Republic of the Congo is \"CD\""),
    ("BU", "Myanmar is \"MM\""),
];

const CONTINENT_NAMES: &[(&str, &str)] = &[
    ("Africa", "AF"),
    ("Antarctica", "AN"),
    ("Asia", "AS"),
    ("Europe", "EU"),
    ("North America", "NA"),
    ("Oceania", "OC"),
    ("Australia", "OC"),
    ("South America", "SA"),
];

/// Names and alpha-3 codes of the countries that policies name most.
const NAMES: &[(&str, &str, &str)] = &[
    ("Afghanistan", "AFG", "AF"),
    ("Australia", "AUS", "AU"),
    ("Austria", "AUT", "AT"),
    ("Belarus", "BLR", "BY"),
    ("Belgium", "BEL", "BE"),
    ("Brazil", "BRA", "BR"),
    ("Bulgaria", "BGR", "BG"),
    ("Canada", "CAN", "CA"),
    ("China", "CHN", "CN"),
    ("Cuba", "CUB", "CU"),
    ("France", "FRA", "FR"),
    ("Germany", "DEU", "DE"),
    ("Greece", "GRC", "GR"),
    ("Hong Kong", "HKG", "HK"),
    ("India", "IND", "IN"),
    ("Indonesia", "IDN", "ID"),
    ("Iran", "IRN", "IR"),
    ("Iraq", "IRQ", "IQ"),
    ("Ireland", "IRL", "IE"),
    ("Israel", "ISR", "IL"),
    ("Italy", "ITA", "IT"),
    ("Japan", "JPN", "JP"),
    ("Kosovo", "XKX", "XK"),
    ("Macao", "MAC", "MO"),
    ("Mexico", "MEX", "MX"),
    ("Myanmar", "MMR", "MM"),
    ("the Netherlands", "NLD", "NL"),
    ("Nigeria", "NGA", "NG"),
    ("North Korea", "PRK", "KP"),
    ("Pakistan", "PAK", "PK"),
    ("Poland", "POL", "PL"),
    ("Romania", "ROU", "RO"),
    ("Russia", "RUS", "RU"),
    ("Saudi Arabia", "SAU", "SA"),
    ("Singapore", "SGP", "SG"),
    ("South Africa", "ZAF", "ZA"),
    ("South Korea", "KOR", "KR"),
    ("Spain", "ESP", "ES"),
    ("Sweden", "SWE", "SE"),
    ("Switzerland", "CHE", "CH"),
    ("Syria", "SYR", "SY"),
    ("Taiwan", "TWN", "TW"),
    ("Thailand", "THA", "TH"),
    ("Turkey", "TUR", "TR"),
    ("Ukraine", "UKR", "UA"),
    ("the United Kingdom", "GBR", "GB"),
    ("the United States", "USA", "US"),
    ("Venezuela", "VEN", "VE"),
    ("Vietnam", "VNM", "VN"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_either_case() {
        let cn = CountryCode::parse("CN").expect("a code");
        assert_eq!(place("cn"), Ok(Place::Country(cn)));
        assert_eq!(place("unknown"), Ok(Place::Unknown));
        assert_eq!(continent("eu").map(|continent| continent.as_str().to_owned()), Ok("EU".to_owned()));
    }

    #[test]
    fn what_is_no_country_is_refused_with_what_was_meant() {
        for (text, advice) in [
            ("UK", "the United Kingdom is \"GB\""),
            ("eu", "for the continent, write continent = [\"EU\"]"),
            ("OC", "for the continent, write continent = [\"OC\"]"),
            ("ZZ", "addresses that no database places are \"unknown\""),
            ("china", "the code of China is \"CN\""),
            ("USA", "the code of the United States is \"US\""),
            ("unkown", "did you mean \"unknown\"?"),
            ("QX", "codes near it: QA, AX, CX, MX, SX"),
            ("NC1", "a code is two letters, such as \"CN\", or \"unknown\""),
            ("é", "a code is two letters, such as \"CN\", or \"unknown\""),
        ] {
            let message = format!("country {text:?} is not an ISO 3166-1 alpha-2 code; {advice}");
            assert_eq!(place(text), Err(message), "{text}");
        }
    }

    #[test]
    fn what_is_no_continent_is_refused_with_the_codes() {
        assert_eq!(continent("europe"), Err("continent \"europe\" is unknown; Europe is \"EU\"".to_owned()));
        let message = "continent \"XX\" is unknown; expected AF, AN, AS, EU, NA, OC or SA";
        assert_eq!(continent("XX"), Err(message.to_owned()));
    }

    #[test]
    fn every_code_that_is_recommended_is_assigned() {
        for (_, _, code) in NAMES {
            assert!(CountryCode::parse(code).is_some(), "{code}");
        }
        for (code, _) in MISTAKEN {
            assert!(CountryCode::parse(code).is_none(), "{code}");
        }
        for (_, code) in CONTINENT_NAMES {
            assert!(Continent::parse(code).is_some(), "{code}");
        }
    }

    #[test]
    fn a_set_lists_each_place_once_and_in_order() {
        let places = ["KP", "CN", "unknown", "cn"].map(|text| place(text).expect("a place"));
        let set = PlaceSet::new(places).expect("four places");
        let names: Vec<String> = set
            .iter()
            .map(|place| match place {
                Place::Country(code) => code.as_str().to_owned(),
                Place::Unknown => "unknown".to_owned(),
            })
            .collect();
        assert_eq!(names, ["CN", "KP", "unknown"]);
        assert!(set.contains(Place::Unknown));
        assert_eq!(PlaceSet::new([]), None);
    }
}
