//! What is in the file of leases, entry by entry: one that is bad takes no other with it.

use serde_json::{Deserializer, Map, Value, error::Category};

use super::{Action, Lease, Leases, Prefix};
use crate::{config::quoted, time};

/// What a file says.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// The leases that can be read, whether they are over or not.
    pub leases: Leases,
    /// What cannot, a phrase each, in the file's order: which entry, and what about it.
    pub bad: Vec<String>,
}

impl Found {
    /// Reads the bytes of a file.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let mut found = Self::default();
        match serde_json::from_slice(bytes) {
            _ if bytes.trim_ascii().is_empty() => found.bad.push("it is empty".into()),
            Ok(Value::Object(file)) => found.file(&file),
            Ok(_) => found.bad.push("it is not an object with a list \"leases\"".into()),
            Err(error) => found.pieces(bytes, &error),
        }
        found
    }

    fn file(&mut self, file: &Map<String, Value>) {
        match file.get("leases") {
            Some(Value::Array(entries)) => {
                for (index, entry) in entries.iter().enumerate() {
                    self.add(index + 1, entry);
                }
            }
            Some(_) => self.bad.push("its \"leases\" is not a list".into()),
            None => self.bad.push("it has no list \"leases\"".into()),
        }
        let unknown = file.keys().filter(|key| *key != "leases");
        self.bad.extend(unknown.map(|key| format!("it has a key {}, which is unknown", quoted(key))));
    }

    /// What can be read where the file as a whole is not JSON: every entry that is.
    fn pieces(&mut self, bytes: &[u8], whole: &serde_json::Error) {
        let start = b"\"leases\"";
        let mut at = bytes.windows(start.len()).position(|window| window == start).unwrap_or(bytes.len());
        let mut number = 0;
        // No entry has an object in it: each brace behind another entry or the list's beginning opens one.
        while let Some(brace) = bytes[at..].iter().position(|&byte| byte == b'{') {
            at += brace;
            if !matches!(bytes[..at].trim_ascii_end().last(), Some(b'[' | b',' | b'}')) {
                at += 1;
                continue;
            }
            number += 1;
            let mut values = Deserializer::from_slice(&bytes[at..]).into_iter::<Value>();
            match values.next() {
                Some(Ok(entry)) => {
                    self.add(number, &entry);
                    at += values.byte_offset();
                }
                Some(Err(error)) => {
                    let before = bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
                    self.bad.push(format!("entry {number}: {}", not_json(&error, before)));
                    at += 1;
                }
                None => break,
            }
        }
        if self.bad.is_empty() {
            self.bad.push(not_json(whole, 0));
        }
    }

    fn add(&mut self, number: usize, entry: &Value) {
        match lease(entry) {
            Ok(lease) => _ = self.leases.insert(lease),
            Err(why) => {
                let prefix = entry.get("prefix").and_then(Value::as_str);
                let prefix = prefix.map(|prefix| format!(" ({})", quoted(prefix))).unwrap_or_default();
                self.bad.push(format!("entry {number}{prefix}: {why}"));
            }
        }
    }
}

/// What is wrong, and in which line, where that many lines come before what was read.
fn not_json(error: &serde_json::Error, before: usize) -> String {
    let line = before + error.line().max(1);
    match error.classify() {
        Category::Eof => format!("cut short in line {line}"),
        _ => {
            let message = error.to_string();
            let what = message.split(" at line ").next().unwrap_or_default();
            format!("not JSON in line {line}: {what}")
        }
    }
}

/// One entry.
fn lease(entry: &Value) -> Result<Lease, String> {
    let entry = entry.as_object().ok_or_else(|| "not an object".to_owned())?;
    let text = |key: &str| match entry.get(key) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(other) => Err(format!("{key} {} is not a text", quoted(&other.to_string()))),
        None => Err(format!("it has no {key:?}")),
    };
    let instant = |key: &str| {
        let typed = text(key)?;
        time::parse_ns(typed).map_err(|why| format!("{key} {}: {why}", quoted(typed)))
    };
    let prefix = text("prefix")?;
    let prefix: Prefix = prefix.parse().map_err(|why| format!("prefix {} {why}", quoted(prefix)))?;
    let action = match text("action")? {
        "pass" => Action::Pass,
        "drop" => Action::Drop,
        other => return Err(format!("action {} is neither pass nor drop", quoted(other))),
    };
    let reason = match entry.get("reason") {
        None | Some(Value::Null) => None,
        Some(_) => Some(text("reason")?.to_owned()),
    };
    Ok(Lease { prefix, action, since: instant("since")?, until: instant("until")?, reason })
}
