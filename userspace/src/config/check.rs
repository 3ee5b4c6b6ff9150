//! From what was typed to what holds: everything but the rules.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::error::{Problems, quoted};
use super::interface::InterfacePattern;
use super::key::{nearest, one_of};
use super::raw::{RawConfig, RawControl, RawGeoIp, RawPolicy};
use super::read::{At, Field, Number};
use super::{Config, Control, DefaultVerdict, Defaults, GeoIp, Local, Malformed, Mode, OnStop, rule};

/// Reports what is wrong with `raw`. What is wrong has its default in the result, which counts only where
/// nothing was reported.
pub(super) fn check(raw: &RawConfig, path: &Path, problems: &mut Problems<'_>) -> Config {
    anonymizers(raw, problems);
    let folder = path.parent().unwrap_or(Path::new(""));
    let modes = [("auto", Mode::Auto), ("native", Mode::Native), ("generic", Mode::Generic)];
    Config {
        path: path.to_owned(),
        interfaces: interfaces(&raw.interfaces, problems),
        mode: choice(&raw.mode, "mode", &modes, problems).unwrap_or(Mode::Auto),
        geoip: geoip(&raw.geoip, folder, problems),
        policy: policy(&raw.policy, problems),
        metrics: metrics(&raw.listen, problems),
        control: control(&raw.control, problems),
        rules: rule::check(&raw.rules, folder, problems),
    }
}

/// The one of `choices` that was typed. `None` where nothing was typed, or where something was reported.
pub(super) fn choice<T: Copy>(
    field: &Field<String>,
    name: &str,
    choices: &[(&str, T)],
    problems: &mut Problems<'_>,
) -> Option<T> {
    let At { value: typed, span } = field.given()?;
    if let Some(&(_, value)) = choices.iter().find(|(choice, _)| choice == typed) {
        return Some(value);
    }
    let names: Vec<&str> = choices.iter().map(|&(choice, _)| choice).collect();
    let hint = nearest(typed, names.iter().copied()).map(|near| format!("; did you mean {near:?}?"));
    let hint = hint.unwrap_or_default();
    problems.report(span, format!("{name} {} is unknown; expected {}{hint}", quoted(typed), one_of(&names)));
    None
}

fn interfaces(field: &Field<Vec<At<String>>>, problems: &mut Problems<'_>) -> Vec<InterfacePattern> {
    if matches!(field, Field::Absent) {
        let message = "no interfaces to filter; add interfaces = [\"eth0\"] at the top of the file, with names that \
                       `ip -brief link` lists";
        problems.report(&(0..0), message);
    }
    let mut patterns = Vec::new();
    for At { value, span } in field.given().into_iter().flat_map(|list| &list.value) {
        match InterfacePattern::parse(value) {
            // Named twice is still one interface.
            Ok(pattern) if patterns.contains(&pattern) => {}
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.report(span, format!("interface {} {error}", quoted(value))),
        }
    }
    patterns
}

fn geoip(raw: &RawGeoIp, folder: &Path, problems: &mut Problems<'_>) -> GeoIp {
    const EMBEDDED: &str = "name a file, or leave the key out for the embedded table";
    let mut database = |field: &Field<String>, name: &str, instead: &str| {
        let At { value, span } = field.given()?;
        let file = file(value, &format!("geoip.{name}"), instead);
        file.map(|path| folder.join(path)).map_err(|message| problems.report(span, message)).ok()
    };
    GeoIp {
        country: database(&raw.country, "country", EMBEDDED),
        asn: database(&raw.asn, "asn", EMBEDDED),
        anonymous: database(&raw.anonymous, "anonymous", "name a file, or leave the key out"),
        follow: raw.follow.given().is_none_or(|follow| follow.value),
        max_change: max_change(&raw.max_change, problems),
    }
}

fn max_change(field: &Field<Number>, problems: &mut Problems<'_>) -> Option<u32> {
    const HIGHEST: u32 = 1000;
    let Some(At { value, span }) = field.given() else { return GeoIp::default().max_change };
    let (typed, hint) = match value {
        Number::Name(name) if name == "any" => return None,
        Number::Value(value) => match u32::try_from(*value) {
            Ok(percent @ 1..=HIGHEST) => return Some(percent),
            Ok(0) => (value.to_string(), "; to take whatever comes, write \"any\""),
            _ => (value.to_string(), ""),
        },
        Number::Name(name) => (quoted(name), ""),
    };
    let message = format!(
        "geoip.max_change {typed} is neither an integer from 1 to {HIGHEST}, in percent, nor \"any\"{hint}"
    );
    problems.report(span, message);
    None
}

/// Rules about anonymizers need a database: none is embedded.
fn anonymizers(raw: &RawConfig, problems: &mut Problems<'_>) {
    let sources = raw.rules.iter().filter_map(|rule| rule.value.source.given());
    for source in sources {
        if let (Field::Given(_, key), Field::Absent) = (&source.value.anonymous, &raw.geoip.anonymous) {
            let message = "\"anonymous\" asks a database of anonymizers, and none is embedded; name one in [geoip], such as \
                           anonymous = \"/usr/share/GeoIP/GeoIP2-Anonymous-IP.mmdb\"";
            problems.report(key, message);
        }
    }
}

fn policy(raw: &RawPolicy, problems: &mut Problems<'_>) -> Defaults {
    let verdicts = [("pass", DefaultVerdict::Pass), ("drop", DefaultVerdict::Drop)];
    let locals = [("pass", Local::Pass), ("rules", Local::Rules)];
    let malformed = [("drop", Malformed::Drop), ("pass", Malformed::Pass)];
    let standard = Defaults::default();
    Defaults {
        default: choice(&raw.default, "policy.default", &verdicts, problems).unwrap_or(standard.default),
        local: choice(&raw.local, "policy.local", &locals, problems).unwrap_or(standard.local),
        malformed: choice(&raw.malformed, "policy.malformed", &malformed, problems)
            .unwrap_or(standard.malformed),
    }
}

fn metrics(listen: &Field<String>, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let Some(At { value, span }) = listen.given() else { return Some(super::DEFAULT_LISTEN) };
    if value.is_empty() {
        return None;
    }
    let address = value.parse().ok();
    if address.is_none() {
        let message = format!(
            "metrics.listen {} is not ADDRESS:PORT, such as 127.0.0.1:9462 or [::1]:9462, nor \"\" for none",
            quoted(value)
        );
        problems.report(span, message);
    }
    address
}

/// What holds of `[control]`; reports what is wrong with it.
pub(super) fn control(raw: &RawControl, problems: &mut Problems<'_>) -> Control {
    // sun_path has 108 bytes, with the final zero.
    const LONGEST_SOCKET: usize = 107;
    let standard = Control::default();
    let on_stop = [("keep", OnStop::Keep), ("detach", OnStop::Detach)];
    if let Some(At { value, span }) = raw.socket.given()
        && value.len() > LONGEST_SOCKET
    {
        let length = value.len();
        let message =
            format!("control.socket has {length} bytes; a socket's path has at most {LONGEST_SOCKET}");
        problems.report(span, message);
    }
    Control {
        socket: absolute(&raw.socket, "control.socket", &standard.socket, problems),
        pins: absolute(&raw.pins, "control.pins", &standard.pins, problems),
        state: absolute(&raw.state, "control.state", &standard.state, problems),
        fallback: raw.fallback.given().map_or(standard.fallback, |given| given.value),
        on_stop: choice(&raw.on_stop, "control.on_stop", &on_stop, problems).unwrap_or(standard.on_stop),
        group: group(&raw.group, problems),
    }
}

fn group(field: &Field<String>, problems: &mut Problems<'_>) -> Option<String> {
    let At { value, span } = field.given()?;
    // What groupadd(8) takes, and a bit more.
    if value.is_empty() || !value.chars().all(|c| c.is_ascii_graphic() && !":/\\\"'".contains(c)) {
        let message = format!("control.group {} is no name of a group, such as \"adm\"", quoted(value));
        problems.report(span, message);
    }
    Some(value.clone())
}

fn absolute(field: &Field<String>, name: &str, standard: &Path, problems: &mut Problems<'_>) -> PathBuf {
    let Some(At { value, span }) = field.given() else { return standard.to_owned() };
    let path = PathBuf::from(value);
    if !path.is_absolute() {
        let example = standard.display();
        let message = format!("{name} {} is not an absolute path, such as {example}", quoted(value));
        problems.report(span, message);
    }
    if let Err(message) = no_zero(value, name) {
        problems.report(span, message);
    }
    path
}

/// The path of a file as it was typed; `instead` is what to do where none was.
pub(super) fn file<'v>(value: &'v str, name: &str, instead: &str) -> Result<&'v Path, String> {
    if value.is_empty() {
        return Err(format!("{name} is empty; {instead}"));
    }
    no_zero(value, name)?;
    Ok(Path::new(value))
}

/// The system takes no path with a zero byte, and says so only when the file is opened.
fn no_zero(value: &str, name: &str) -> Result<(), String> {
    if value.contains('\0') {
        return Err(format!("{name} {} contains a zero byte, which no path can", quoted(value)));
    }
    Ok(())
}
