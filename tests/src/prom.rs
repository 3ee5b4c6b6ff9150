//! Metrics as Prometheus would get them: fetched over HTTP, read from the text format.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use crate::netns::Namespace;

/// How long a connection may stay silent.
const LIMIT: Duration = Duration::from_secs(10);

/// Labels with their values, in alphabetical order.
pub type Labels = BTreeMap<String, String>;

/// Samples by name and labels.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Metrics {
    samples: BTreeMap<(String, Labels), f64>,
}

/// The body of `http://127.0.0.1:port/path` in a namespace, and its status code.
///
/// # Errors
/// What the connection says, where nobody listens or the answer is not HTTP.
pub fn get(namespace: &Namespace, port: u16, path: &str) -> Result<(u16, String), String> {
    let wrong = |error: std::io::Error| format!("GET http://127.0.0.1:{port}{path}: {error}");
    let answer = namespace.run(|| {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        // HTTP/1.0: the answer comes in one piece, and its end is the connection's.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    let answer = answer.map_err(wrong)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("not HTTP: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or_else(|| format!("no status in {head:?}"))?, body.to_owned()))
}

/// `/metrics` of a port in a namespace.
///
/// # Panics
/// Where nobody listens, or the answer is not 200 with well-formed metrics.
#[track_caller]
pub fn scrape(namespace: &Namespace, port: u16) -> Metrics {
    let (status, body) = get(namespace, port, "/metrics").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(status, 200, "/metrics says {status}:\n{body}");
    Metrics::parse(&body).unwrap_or_else(|error| panic!("{error}"))
}

impl Metrics {
    /// Reads the text format, version 0.0.4; comments and time stamps are passed over.
    ///
    /// # Errors
    /// The line that is not well-formed, or that is there twice.
    pub fn parse(text: &str) -> Result<Metrics, String> {
        let mut metrics = Metrics::default();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what: &str| format!("line {} of the metrics: {what}: {line}", index + 1);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = sample(line).map_err(wrong)?;
            if metrics.samples.insert(key, value).is_some() {
                return Err(wrong("the same sample once more"));
            }
        }
        Ok(metrics)
    }

    /// The sample with exactly these labels; `None` where there is none.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The sum over all samples that have these labels, among others; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &Labels| {
            labels.iter().all(|(key, value)| sample.get(*key).is_some_and(|found| found == value))
        };
        self.series(name).filter(|(sample, _)| has(sample)).map(|(_, value)| value).sum()
    }

    /// All samples of a name.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.samples
            .iter()
            .filter(move |((found, _), _)| found == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    /// All samples: name, labels, value.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Labels, f64)> {
        self.samples.iter().map(|((name, labels), value)| (name.as_str(), labels, *value))
    }
}

/// One line: `name value`, `name{label="text",…} value`, with a time stamp behind it or without.
fn sample(line: &str) -> Result<((String, Labels), f64), &'static str> {
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("no name");
    }
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            rest = rest.trim_start_matches([',', ' ']);
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (key, behind) = rest.split_once("=\"").ok_or("no label")?;
            let (value, behind) = quoted(behind).ok_or("a label's value does not end")?;
            if labels.insert(key.trim().to_owned(), value).is_some() {
                return Err("the same label once more");
            }
            rest = behind;
        }
    }
    let value = rest.split_whitespace().next().ok_or("no value")?;
    Ok(((name.to_owned(), labels), value.parse().map_err(|_| "no number")?))
}

/// What stands before the closing quote, without its escapes, and what follows the quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    loop {
        match characters.next()?.1 {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

    use super::*;

    const TEXT: &str = "\
# HELP octroi_packets_total Packets.
# TYPE octroi_packets_total counter
octroi_packets_total{country=\"CN\",family=\"ipv4\",verdict=\"drop\"} 12
octroi_packets_total{verdict=\"pass\",family=\"ipv6\",country=\"CN\"} 30 1700000000000
octroi_packets_total{country=\"DE\",family=\"ipv4\",verdict=\"pass\"} 1e3

octroi_generation 7
octroi_rule_packets_total{rule=\"a \\\"b\\\" \\\\ {c},\\nd=\\\"\"} +Inf
";

    #[test]
    fn a_sample_is_found_by_its_labels_in_any_order() {
        let metrics = Metrics::parse(TEXT).unwrap();
        let labels = [("family", "ipv6"), ("country", "CN"), ("verdict", "pass")];
        assert_eq!(metrics.get("octroi_packets_total", &labels), Some(30.0));
        assert_eq!(metrics.get("octroi_packets_total", &labels[..2]), None);
        assert_eq!(metrics.get("octroi_generation", &[]), Some(7.0));
    }

    #[test]
    fn a_sum_needs_only_some_labels() {
        let metrics = Metrics::parse(TEXT).unwrap();
        assert_eq!(metrics.sum("octroi_packets_total", &[("country", "CN")]), 42.0);
        assert_eq!(metrics.sum("octroi_packets_total", &[]), 1042.0);
        assert_eq!(metrics.sum("octroi_packets_total", &[("country", "FR")]), 0.0);
    }

    #[test]
    fn escapes_in_label_values_are_undone() {
        let metrics = Metrics::parse(TEXT).unwrap();
        let value = metrics.get("octroi_rule_packets_total", &[("rule", "a \"b\" \\ {c},\nd=\"")]);
        assert_eq!(value, Some(f64::INFINITY));
    }

    #[test]
    fn what_is_not_a_sample_is_an_error_that_names_the_line() {
        for wrong in ["a", "a{b=\"c\"}", "a{b=\"c} 1", "a{b} 1", "a one", "{b=\"c\"} 1", "1a 1", "a 1\na 2"] {
            let error = Metrics::parse(&format!("octroi_generation 7\n{wrong}\n")).unwrap_err();
            let line = wrong.lines().last().unwrap();
            assert!(error.starts_with("line ") && error.ends_with(line), "{error}");
        }
    }
}
