//! Interface names and globs: `eth0`, `veth*`, `eth[0-3]`, `wan?`.

use std::fmt;

/// An interface's name, or a glob over names: `*` any characters, `?` one, `[a-z0]` one of these, `[!a-z]` or
/// `[^a-z]` one of the others. `lo` is never meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfacePattern {
    text: String,
    tokens: Vec<Token>,
}

/// Why a text is no interface pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The loopback device, named literally.
    #[error(
        "is refused: the loopback device has no native XDP, and a rule on it would cut services that talk to \
         each other on this host; name the interfaces that packets arrive on"
    )]
    Loopback,
    /// A glob that begins with the loopback device's name, and matches it.
    #[error(
        "is refused: it matches lo, the loopback device, where a rule would cut services that talk to each other on this host; \
         for other interfaces whose names begin so, write \"lo?*\""
    )]
    LoopbackToo,
    /// A character that no interface name has.
    #[error("contains {0:?}, which no interface name has")]
    Character(char),
    /// `.` and `..`, which Linux refuses.
    #[error("is not a name that Linux gives to an interface")]
    Dots,
    /// A name, or the shortest name that a glob matches, of more than 15 bytes.
    #[error("is longer than the 15 bytes of an interface name")]
    TooLong,
    /// A `[` without its `]`, or with nothing in between.
    #[error("has a [ without characters and a ] after it")]
    Unclosed,
    /// A range such as `[9-0]`.
    #[error("has a range that ends before it starts: {0}-{1}")]
    Backwards(char, char),
}

impl InterfacePattern {
    /// Reads a name of at most 15 bytes without `/`, `:` and white space, or a glob that matches such names.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        match text {
            "" => return Err(PatternError::Empty),
            "lo" => return Err(PatternError::Loopback),
            "." | ".." => return Err(PatternError::Dots),
            _ => {}
        }
        let unusual = |&c: &char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if let Some(character) = text.chars().find(unusual) {
            return Err(PatternError::Character(character));
        }
        let tokens = tokens(text)?;
        // `*` means all that packets arrive on; this one means the loopback device, or names it besides others.
        if text.starts_with("lo") && matches(&tokens, "lo") {
            return Err(PatternError::LoopbackToo);
        }
        if tokens.iter().map(Token::least_bytes).sum::<usize>() > LONGEST_NAME {
            return Err(PatternError::TooLong);
        }
        Ok(Self { text: text.to_owned(), tokens })
    }

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it can match more than one name.
    pub fn is_glob(&self) -> bool {
        self.tokens.iter().any(|token| !matches!(token, Token::Literal(_)))
    }

    /// Whether the interface called `name` is meant; never so for `lo`.
    pub fn matches(&self, name: &str) -> bool {
        name != "lo" && matches(&self.tokens, name)
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Linux's IFNAMSIZ is 16, with the final zero.
const LONGEST_NAME: usize = 15;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    One,
    Any,
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    fn least_bytes(&self) -> usize {
        match self {
            Token::Literal(character) => character.len_utf8(),
            Token::One | Token::Class { .. } => 1,
            Token::Any => 0,
        }
    }

    /// Whether it stands for this one character.
    fn accepts(&self, character: char) -> bool {
        match self {
            Token::Literal(literal) => *literal == character,
            Token::One => true,
            Token::Any => false,
            Token::Class { negated, ranges } => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&character)) != *negated
            }
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                // A `]` that comes first is one of the characters, as in every shell.
                let body = rest.as_str();
                let negated = body.starts_with(['!', '^']);
                let body = &body[usize::from(negated)..];
                let first = body.chars().next().map_or(0, char::len_utf8);
                let end = body[first..].find(']').ok_or(PatternError::Unclosed)? + first;
                rest = body[end + 1..].chars();
                Token::Class { negated, ranges: ranges(&body[..end])? }
            }
            literal => Token::Literal(literal),
        });
    }
    Ok(tokens)
}

/// The characters between brackets. A `-` first or last stands for itself.
fn ranges(body: &str) -> Result<Vec<(char, char)>, PatternError> {
    let characters: Vec<char> = body.chars().collect();
    let mut ranges = Vec::new();
    let mut rest = characters.as_slice();
    while let Some((&low, after)) = rest.split_first() {
        match after {
            [dash, high, after @ ..] if *dash == '-' => {
                if *high < low {
                    return Err(PatternError::Backwards(low, *high));
                }
                ranges.push((low, *high));
                rest = after;
            }
            _ => {
                ranges.push((low, low));
                rest = after;
            }
        }
    }
    Ok(ranges)
}

/// Goes back to the last `*` only, so that the work is at most tokens × characters.
fn matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while at < name.len() {
        if tokens.get(token) == Some(&Token::Any) {
            retry = Some((token, at));
            token += 1;
        } else if tokens.get(token).is_some_and(|token| token.accepts(name[at])) {
            token += 1;
            at += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            token = star + 1;
            at = from + 1;
        } else {
            return false;
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> InterfacePattern {
        InterfacePattern::parse(text).expect("a valid pattern")
    }

    #[test]
    fn a_name_matches_itself_only() {
        let eth0 = pattern("eth0");
        assert!(!eth0.is_glob());
        assert_eq!(eth0.as_str(), "eth0");
        assert!(eth0.matches("eth0"));
        for other in ["eth", "eth01", "Eth0", ""] {
            assert!(!eth0.matches(other), "{other}");
        }
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, yes, no) in [
            ("*", &["eth0", "x"][..], &[][..]),
            ("veth*", &["veth", "veth1a"], &["eth0", "avet"]),
            ("*0", &["eth0", "0", "e00"], &["eth1", ""]),
            ("e*h*0", &["eth0", "enp0h10"], &["eth1", "eh1", "e0h"]),
            ("eth?", &["eth0", "ethé"], &["eth", "eth10"]),
            ("eth[0-2]", &["eth0", "eth2"], &["eth3", "eth-"]),
            ("eth[!0-2]", &["eth3", "etha"], &["eth1", "eth"]),
            ("eth[^5]", &["eth3"], &["eth5"]),
            ("x[]a]", &["x]", "xa"], &["xb"]),
            ("x[!]]", &["xa"], &["x]"]),
            ("x[a-]", &["xa", "x-"], &["xb"]),
            ("[*]x", &["*x"], &["ax"]),
            ("**", &["a"], &[]),
        ] {
            let pattern = pattern(glob);
            assert!(pattern.is_glob(), "{glob}");
            for name in yes {
                assert!(pattern.matches(name), "{glob} should match {name}");
            }
            for name in no {
                assert!(!pattern.matches(name), "{glob} should not match {name}");
            }
        }
    }

    #[test]
    fn loopback_is_never_meant() {
        assert_eq!(InterfacePattern::parse("lo"), Err(PatternError::Loopback));
        for glob in ["*", "l*", "l?", "[l]o"] {
            assert!(!pattern(glob).matches("lo"), "{glob}");
        }
        for glob in ["lo*", "lo**", "lo[^a-z]*"] {
            let refused = InterfacePattern::parse(glob);
            assert_eq!(refused.is_err(), !glob.contains('['), "{glob}: {refused:?}");
        }
        assert_eq!(InterfacePattern::parse("lo*"), Err(PatternError::LoopbackToo));
        assert!(pattern("lo?*").matches("lo1") && !pattern("lo?*").matches("lo"));
    }

    #[test]
    fn what_can_be_no_interface_name_is_refused() {
        for (text, error) in [
            ("", PatternError::Empty),
            ("a/b", PatternError::Character('/')),
            ("eth0:1", PatternError::Character(':')),
            ("eth 0", PatternError::Character(' ')),
            ("eth0\0", PatternError::Character('\0')),
            ("..", PatternError::Dots),
            ("a234567890123456", PatternError::TooLong),
            ("éééééééé", PatternError::TooLong),
            ("????????????????", PatternError::TooLong),
            ("eth[0", PatternError::Unclosed),
            ("eth[]", PatternError::Unclosed),
            ("eth[!]", PatternError::Unclosed),
            ("eth[", PatternError::Unclosed),
            ("eth[9-0]", PatternError::Backwards('9', '0')),
        ] {
            assert_eq!(InterfacePattern::parse(text), Err(error), "{text:?}");
        }
        pattern("a23456789012345");
        pattern("[a-z][a-z][a-z]*");
    }

    #[test]
    fn many_stars_do_not_take_long() {
        let pattern = pattern(&format!("{}b", "*a".repeat(14)));
        assert!(!pattern.matches(&"a".repeat(1000)));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_pattern_reader_or_the_matcher_panic(text in "[a-c\\[\\]*?!^-é]{0,12}", name in ".{0,15}") {
            if let Ok(pattern) = InterfacePattern::parse(&text) {
                pattern.matches(&name);
            }
        }
    }
}
