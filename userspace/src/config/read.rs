//! Typed reading of TOML tables: unknown keys and wrong types are reported where they stand.

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};
use toml::value::Datetime;

use super::error::{Problems, Span, quoted};
use super::key::{self, Key, Unknown};
use super::time;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// What was typed for a key.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// The key is not there.
    Absent,
    /// The value has another type, or the key is misspelt. That was reported; nobody needs to report it again.
    Wrong,
    /// The value, and where the key stands.
    Given(At<T>, Span),
}

impl<T> Field<T> {
    pub(super) fn given(&self) -> Option<&At<T>> {
        match self {
            Field::Given(at, _) => Some(at),
            Field::Absent | Field::Wrong => None,
        }
    }
}

/// A number, or the name of one.
#[derive(Clone, Debug)]
pub(super) enum Number {
    Value(i128),
    Name(String),
}

/// A table of the file, whose keys are those of one table of the reference.
pub(super) struct Table<'t, 'i> {
    /// `None` for a table that is not in the file: all its keys are absent.
    entries: Option<&'t DeTable<'i>>,
    /// The table's path in the reference: `""`, `geoip`, `rule.source`.
    path: &'static str,
    /// Keys that unknown ones were taken for, and which therefore count as reported where they are absent.
    mistyped: Vec<&'static str>,
}

impl<'t, 'i> Table<'t, 'i> {
    /// Reports keys that this version does not know. `label` says which table it is: ` in [geoip]`, or nothing
    /// for the top level.
    pub(super) fn open(
        entries: &'t DeTable<'i>,
        path: &'static str,
        label: &str,
        problems: &mut Problems<'_>,
    ) -> Self {
        let mut mistyped = Vec::new();
        for (name, _) in entries.iter() {
            let (span, name) = (name.span(), name.get_ref());
            match key::find(path, name) {
                Some(_) => {}
                None => {
                    let Unknown { advice, meant } = key::unknown(path, name);
                    mistyped.extend(meant);
                    problems.report(&span, format!("unknown key {}{label}; {advice}", quoted(name)));
                }
            }
        }
        Self { entries: Some(entries), path, mistyped }
    }

    /// The table `name` at the top level of this one.
    pub(super) fn child(&self, name: &'static str, problems: &mut Problems<'_>) -> Self {
        match self.read(name, problems, DeValue::as_table) {
            Field::Given(At { value, .. }, _) => Self::open(value, name, &format!(" in [{name}]"), problems),
            Field::Absent | Field::Wrong => Self { entries: None, path: name, mistyped: Vec::new() },
        }
    }

    pub(super) fn table(&self, name: &str, problems: &mut Problems<'_>) -> Field<&'t DeTable<'i>> {
        self.read(name, problems, DeValue::as_table)
    }

    pub(super) fn tables(&self, name: &str, problems: &mut Problems<'_>) -> Vec<At<&'t DeTable<'i>>> {
        match self.read(name, problems, DeValue::as_array) {
            Field::Given(list, _) => self.elements(name, &list, problems, DeValue::as_table),
            Field::Absent | Field::Wrong => Vec::new(),
        }
    }

    pub(super) fn string(&self, name: &str, problems: &mut Problems<'_>) -> Field<String> {
        self.read(name, problems, string)
    }

    pub(super) fn boolean(&self, name: &str, problems: &mut Problems<'_>) -> Field<bool> {
        self.read(name, problems, DeValue::as_bool)
    }

    pub(super) fn integer(&self, name: &str, problems: &mut Problems<'_>) -> Field<i128> {
        self.read(name, problems, integer)
    }

    pub(super) fn number(&self, name: &str, problems: &mut Problems<'_>) -> Field<Number> {
        self.read(name, problems, number)
    }

    /// A date-time that says which instant it is.
    pub(super) fn date_time(&self, name: &str, problems: &mut Problems<'_>) -> Field<Datetime> {
        self.read(name, problems, |value| value.as_datetime().copied().filter(time::is_instant))
    }

    /// A list with at least one element.
    pub(super) fn strings(&self, name: &str, problems: &mut Problems<'_>) -> Field<Vec<At<String>>> {
        self.list(name, problems, string)
    }

    /// A list with at least one element.
    pub(super) fn integers(&self, name: &str, problems: &mut Problems<'_>) -> Field<Vec<At<i128>>> {
        self.list(name, problems, integer)
    }

    /// A list with at least one element.
    pub(super) fn numbers(&self, name: &str, problems: &mut Problems<'_>) -> Field<Vec<At<Number>>> {
        self.list(name, problems, number)
    }

    fn list<T>(
        &self,
        name: &str,
        problems: &mut Problems<'_>,
        convert: impl Fn(&'t DeValue<'i>) -> Option<T>,
    ) -> Field<Vec<At<T>>> {
        match self.read(name, problems, DeValue::as_array) {
            Field::Absent => Field::Absent,
            Field::Wrong => Field::Wrong,
            Field::Given(list, _) if list.value.is_empty() => {
                let expected = self.key(name).kind;
                problems.report(&list.span, format!("{name:?} is an empty list; expected {expected}"));
                Field::Wrong
            }
            Field::Given(list, key) => {
                let elements = self.elements(name, &list, problems, convert);
                Field::Given(At { value: elements, span: list.span }, key)
            }
        }
    }

    fn elements<T>(
        &self,
        name: &str,
        list: &At<&'t DeArray<'i>>,
        problems: &mut Problems<'_>,
        convert: impl Fn(&'t DeValue<'i>) -> Option<T>,
    ) -> Vec<At<T>> {
        let mut elements = Vec::with_capacity(list.value.len());
        for element in list.value.iter() {
            match convert(element.get_ref()) {
                Some(value) => elements.push(At { value, span: element.span() }),
                None => {
                    let (found, expected) = (describe(element.get_ref()), self.key(name).kind);
                    let message = format!("{name:?} contains {found}; expected {expected}");
                    problems.report(&element.span(), message + &without_quotes(element.get_ref()));
                }
            }
        }
        elements
    }

    fn read<T>(
        &self,
        name: &str,
        problems: &mut Problems<'_>,
        convert: impl Fn(&'t DeValue<'i>) -> Option<T>,
    ) -> Field<T> {
        let expected = self.key(name).kind;
        let Some((key, value)) = self.entries.and_then(|entries| entries.get_key_value(name)) else {
            return if self.mistyped.contains(&name) { Field::Wrong } else { Field::Absent };
        };
        match convert(value.get_ref()) {
            Some(converted) => Field::Given(At { value: converted, span: value.span() }, key.span()),
            None => {
                let message = format!("{name:?} is {}; expected {expected}", describe(value.get_ref()));
                let hint = if expected.starts_with("a list") {
                    as_list(value.get_ref(), expected)
                } else if expected.starts_with("a date-time") {
                    time::as_instant(value.get_ref())
                } else {
                    without_quotes(value.get_ref())
                };
                problems.report(&position(key, value), message + &hint);
                Field::Wrong
            }
        }
    }

    fn key(&self, name: &str) -> &'static Key {
        key::find(self.path, name).expect("every key that is read is in the reference")
    }
}

/// Where a value of the wrong type is shown: a table with a header has the header's span, not its key's.
fn position(key: &Spanned<toml::de::DeString<'_>>, value: &Spanned<DeValue<'_>>) -> Span {
    if value.get_ref().is_table() { key.span() } else { value.span() }
}

fn string(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// `None` also for numbers of more than 127 bits, which no key can take.
fn integer(value: &DeValue<'_>) -> Option<i128> {
    let integer: &DeInteger<'_> = value.as_integer()?;
    i128::from_str_radix(integer.as_str(), integer.radix()).ok()
}

fn number(value: &DeValue<'_>) -> Option<Number> {
    integer(value).map(Number::Value).or_else(|| string(value).map(Number::Name))
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string {}", quoted(text)),
        DeValue::Integer(integer) => format!("the integer {integer}"),
        DeValue::Float(float) => format!("the floating-point number {float}"),
        DeValue::Boolean(boolean) => format!("the boolean {boolean}"),
        DeValue::Datetime(datetime) => format!("the date-time {datetime}"),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The next step where one value stands for a list of one.
fn as_list(value: &DeValue<'_>, expected: &str) -> String {
    match value {
        DeValue::String(text) if expected.starts_with("a list of strings") => {
            format!("; write [{}]", quoted(text))
        }
        DeValue::Integer(integer)
            if expected.starts_with("a list of integers") || expected.contains("numbers") =>
        {
            format!("; write [{integer}]")
        }
        _ => String::new(),
    }
}

/// The next step where a number or boolean stands in quotes, or a number is written `"AS123"`.
fn without_quotes(value: &DeValue<'_>) -> String {
    let Some(text) = value.as_str() else { return String::new() };
    let bare = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    if matches!(bare, "true" | "false") || bare.parse::<u64>().is_ok() {
        format!("; write {bare} without quotes")
    } else {
        String::new()
    }
}
