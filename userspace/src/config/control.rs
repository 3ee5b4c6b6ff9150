//! `[control]`: where the running daemon is, which commands have to know past a configuration that is broken by now.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{
    Config, check,
    error::{ConfigErrors, Problems},
    key::{find, unknown},
    raw::RawControl,
    read::{Field, Table},
};

/// `[control]`; all paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The socket that commands talk to the daemon through; at most 107 bytes.
    pub socket: PathBuf,
    /// The directory on a bpffs for what outlives the daemon.
    pub pins: PathBuf,
    /// The directory for what outlives a restart of the machine: leases, the last good policy, one that waits for its
    /// confirmation.
    pub state: PathBuf,
    /// Whether a start whose policy cannot be loaded uses the last good one.
    pub fallback: bool,
    /// What becomes of the gate when the daemon is told to end.
    pub on_stop: OnStop,
    /// The group whose members may ask the daemon what changes nothing.
    pub group: Option<String>,
}

/// What becomes of the gate when the daemon is told to end, by SIGTERM or SIGINT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// It goes on filtering until `octroi detach`, or until another daemon takes it over.
    Keep,
    /// It is detached from every interface.
    Detach,
}

impl Control {
    /// What the file says of the running daemon's places, whatever else may be wrong with it, and what is: for commands that
    /// have to reach a running daemon past a configuration that is broken by now.
    ///
    /// # Errors
    /// What is wrong with the file, where nobody can know by it which daemon is meant.
    pub fn despite_errors(path: &Path) -> Result<(Self, Option<ConfigErrors>), ConfigErrors> {
        let errors = match Config::load(path) {
            Ok(config) => return Ok((config.control, None)),
            Err(errors) => errors,
        };
        let Ok(bytes) = std::fs::read(path) else { return Err(errors) };
        // Text in another encoding is likely to be in a comment or a note.
        match Self::known(&String::from_utf8_lossy(&bytes)) {
            Some(control) => Ok((control, Some(errors))),
            None => Err(errors),
        }
    }

    /// What of it can be made out in the file, and the usual places for all else: for a start, which uses what it finds there
    /// only where that is of this file.
    pub(crate) fn in_pieces(path: &Path) -> Self {
        let mut control = Self::default();
        let bytes = std::fs::read(path).unwrap_or_default();
        let mut inside = false;
        // Line by line, since the file as a whole may be no TOML.
        for line in String::from_utf8_lossy(&bytes).lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line.split('#').next().is_some_and(|header| header.trim() == "[control]");
            }
            let entry: toml::Table =
                if inside { line.parse().unwrap_or_default() } else { toml::Table::new() };
            let place = |key: &str| {
                let place = PathBuf::from(entry.get(key)?.as_str()?);
                place.is_absolute().then_some(place)
            };
            if let Some(socket) = place("socket") {
                control.socket = socket;
            }
            if let Some(pins) = place("pins") {
                control.pins = pins;
            }
            if let Some(state) = place("state") {
                control.state = state;
            }
            if let Some(fallback) = entry.get("fallback").and_then(toml::Value::as_bool) {
                control.fallback = fallback;
            }
        }
        control
    }

    /// What a text says of it; `None` where it says something that cannot be understood.
    fn known(text: &str) -> Option<Self> {
        match DeTable::parse(text) {
            Ok(document) => Self::of(document.get_ref(), text),
            // No TOML as a whole, but its own section may be.
            Err(_) => {
                let section = section(text)?;
                Self::of(DeTable::parse(section).ok()?.get_ref(), section)
            }
        }
    }

    fn of(document: &DeTable<'_>, text: &str) -> Option<Self> {
        // What is typed there is meant for [control].
        if document.iter().any(|(key, _)| find("control", key.get_ref()).is_some()) {
            return None;
        }
        let mut problems = Problems::new(text);
        // Whatever else is at the top is no matter.
        let top = Table::open(document, "", "", &mut Problems::new(text));
        if matches!(top.table("control", &mut problems), Field::Wrong) {
            return None;
        }
        let raw = RawControl::read(&top.child("control", &mut problems), &mut problems);
        let control = check::control(&raw, &mut problems);
        let lost = [&control.socket, &control.pins, &control.state]
            .iter()
            .any(|path| path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER));
        (!lost && problems.finish(Path::new("")).is_ok()).then_some(control)
    }
}

/// The section `[control]` of a text that is no TOML as a whole; nothing where there is none. `None` where it is not that
/// simple.
fn section(text: &str) -> Option<&str> {
    let mut start = None;
    let mut end = text.len();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let word = line.trim_start().trim_start_matches(['[', ' ', '\t', '"', '\'']);
        let word = word.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
        let is_header = line.trim_start().starts_with('[');
        if is_header && start.is_some() {
            end = end.min(at);
        }
        if word == "control" || is_header && unknown("", word).meant == Some("control") {
            let header: String = line.split('#').next()?.split_whitespace().collect();
            if header != "[control]" || start.replace(at).is_some() {
                return None;
            }
        }
        at += line.len();
    }
    Some(start.map_or("", |start| &text[start..end]))
}

impl Default for Control {
    fn default() -> Self {
        Self {
            socket: "/run/octroi/octroi.sock".into(),
            pins: "/sys/fs/bpf/octroi".into(),
            state: "/var/lib/octroi".into(),
            fallback: true,
            on_stop: OnStop::Keep,
            group: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The socket that a configuration names for sure.
    fn socket(text: &str) -> Option<String> {
        Control::known(text).map(|control| control.socket.display().to_string())
    }

    #[test]
    fn what_control_says_is_known_past_errors_elsewhere() {
        for text in [
            "[control]\nsocket = \"/x\"\n[[rule]]\nname = 7\n",
            "nonsense = 1\n[ control ] # where it is\nsocket = \"/x\"\n[[rule]]\nname = \"a\nb\n",
            "interfaces = [\"a\"\n[control]\nsocket = '/x'\n[geoip]\nasn = 7\n",
            "control.socket = \"/x\"\nnonsense = 1\n",
            "control = { socket = \"/x\" }\nnonsense = 1\n",
            "note = \"f\u{fffd}r\"\n[control]\nsocket = \"/x\"\n",
        ] {
            assert_eq!(socket(text).as_deref(), Some("/x"), "{text}");
        }
        for text in
            ["", "nonsense = 1\n", "[[rule]\nname = \"control\"\n", "[control]\n# socket = \"/x\"\nno\u{0}"]
        {
            let standard = Control::default().socket.display().to_string();
            assert_eq!(socket(text), (!text.contains('\0')).then_some(standard), "{text}");
        }
    }

    #[test]
    fn what_control_may_mean_is_not_guessed() {
        for text in [
            "[control]\nsocket = /x\n",
            "[control]\nsokcet = \"/x\"\n",
            "[control]\nsocket = 7\n",
            "[control]\nsocket = \"x\"\n",
            "[control]\nsocket = \"/f\u{fffd}r\"\n",
            "[contrl]\nsocket = \"/x\"\n",
            "[contrl]\nsocket = \"/x\"\n[[rule\n",
            "socket = \"/x\"\n",
            "control = 7\n",
            "control.socket = \"/x\"\n[[rule\n",
            "[control]\nsocket = \"/x\"\n[control]\nsocket = \"/y\"\n",
            "[control\nsocket = \"/x\"\n",
        ] {
            assert_eq!(socket(text), None, "{text}");
        }
    }
}
