//! Interfaces that a configuration names and this host does not have.

use crate::config::{Config, InterfacePattern, nearest};

/// A name or glob that no interface here has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Absent<'a> {
    pub(crate) pattern: &'a InterfacePattern,
    /// The interface that may have been meant: one that nothing else in the configuration names.
    pub(crate) near: Option<&'a str>,
}

impl Absent<'_> {
    /// How a sentence about it ends; nothing where no name is near.
    pub(crate) fn question(&self) -> String {
        self.near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
    }
}

/// Those of a configuration's names and globs that none of the interfaces `here` has.
pub(crate) fn absent<'a>(config: &'a Config, here: &'a [String]) -> Vec<Absent<'a>> {
    let missing = |pattern: &&InterfacePattern| !here.iter().any(|name| pattern.matches(name));
    let free = || here.iter().map(String::as_str).filter(|name| *name != "lo" && !config.wants(name));
    let near = |pattern: &InterfacePattern| {
        let typed = (!pattern.is_glob()).then_some(pattern.as_str());
        typed.and_then(|typed| nearest(typed, free()))
    };
    let missing = config.interfaces.iter().filter(missing);
    missing.map(|pattern| Absent { pattern, near: near(pattern) }).collect()
}

/// Warnings about names of interfaces that are not here. A glob says itself that there may be none.
#[must_use]
pub fn interfaces(config: &Config, here: &[String]) -> Vec<String> {
    let named = absent(config, here).into_iter().filter(|absent| !absent.pattern.is_glob());
    let warning = |absent: Absent<'_>| {
        let (name, question) = (absent.pattern.as_str(), absent.question());
        format!(
            "interfaces names {name:?}, and there is no such interface here: nothing is filtered there until it appears{question}"
        )
    };
    named.map(warning).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warned(interfaces: &str, here: &[&str]) -> Vec<String> {
        let config = Config::parse(&format!("interfaces = [{interfaces}]\n"), Path::new("/test.toml"))
            .unwrap_or_else(|errors| panic!("{errors}"));
        let here: Vec<String> = here.iter().map(|&name| name.to_owned()).collect();
        super::interfaces(&config, &here)
    }

    #[test]
    fn a_name_that_is_not_here_is_told_with_the_nearest_that_is() {
        let told = |name: &str, question: &str| {
            format!(
                "interfaces names {name:?}, and there is no such interface here: nothing is filtered there until it \
                 appears{question}"
            )
        };
        let meant = "; did you mean \"eth0\"?";
        assert_eq!(warned(r#""eht0""#, &["lo", "eth0", "wlan0"]), [told("eht0", meant)]);
        assert_eq!(warned(r#""eth1""#, &["lo", "eth0"]), [told("eth1", meant)]);
        // One that is named already is not what was meant.
        assert_eq!(warned(r#""eth0", "eth1""#, &["lo", "eth0"]), [told("eth1", "")]);
        assert_eq!(warned(r#""ppp0""#, &["lo", "eth0"]), [told("ppp0", "")]);
        assert_eq!(warned(r#""l0""#, &["lo"]), [told("l0", "")]);
    }

    #[test]
    fn names_that_are_here_and_globs_are_not_warned_of() {
        assert_eq!(warned(r#""eth0", "ppp*", "eth?""#, &["lo", "eth0"]), [""; 0]);
    }
}
