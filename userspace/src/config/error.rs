//! What is wrong with a configuration: collected while it is read, printed with the lines it is in.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything that is wrong with one file, in the file's order; never empty.
///
/// `Display` prints each problem as `FILE:LINE:COLUMN: MESSAGE` and the source line with carets under the
/// part that is meant, with a blank line between problems and no line end after the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    path: PathBuf,
    problems: Vec<Problem>,
}

/// One problem of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    message: String,
    excerpt: Option<Excerpt>,
}

impl ConfigErrors {
    /// A file that could not be read at all, so that no line of it can be shown.
    pub(super) fn unreadable(path: &Path, message: String) -> Self {
        Self { path: path.to_owned(), problems: vec![Problem { message, excerpt: None }] }
    }

    /// The file, as it was named when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The problems, ordered by line and column; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    /// The line, from 1; `None` where the file could not be read.
    pub fn line(&self) -> Option<usize> {
        self.excerpt.as_ref().map(|excerpt| excerpt.line)
    }

    /// The column in characters, from 1; `None` where the file could not be read.
    pub fn column(&self) -> Option<usize> {
        self.excerpt.as_ref().map(|excerpt| excerpt.column)
    }

    /// What is wrong and what would be right, without the position.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        for (index, Problem { message, excerpt }) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            match excerpt {
                None => write!(f, "{path}: {message}")?,
                Some(excerpt) => {
                    write!(f, "{path}:{}:{}: {message}\n{excerpt}", excerpt.line, excerpt.column)?
                }
            }
        }
        Ok(())
    }
}

/// A range of byte offsets in the file's text.
pub(super) type Span = Range<usize>;

/// Collects problems while a text is read.
pub(super) struct Problems<'t> {
    text: &'t str,
    /// Byte offset of each line's first character; the first is 0.
    line_starts: Vec<usize>,
    found: Vec<(Span, String)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        let after_line_ends = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(0).chain(after_line_ends).collect(), found: Vec::new() }
    }

    /// Adds a problem with the part of the text at `span`.
    pub(super) fn report(&mut self, span: &Span, message: impl Into<String>) {
        self.found.push((span.clone(), message.into()));
    }

    /// The line, from 1, in which `span` starts.
    pub(super) fn line(&self, span: &Span) -> usize {
        // The first start is 0, so at least one start is not after any offset.
        self.line_starts.partition_point(|&start| start <= span.start)
    }

    /// All that was reported; `Ok` where nothing was.
    pub(super) fn finish(mut self, path: &Path) -> Result<(), ConfigErrors> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort_by_key(|(span, _)| span.start);
        let problems = self
            .found
            .iter()
            .map(|(span, message)| Problem { message: message.clone(), excerpt: Some(self.excerpt(span)) })
            .collect();
        Err(ConfigErrors { path: path.to_owned(), problems })
    }

    fn excerpt(&self, span: &Span) -> Excerpt {
        let line = self.line(span);
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next - 1);
        let shown = self.text[start..end].trim_end_matches('\r');
        // Spans come from the TOML parser; where one ends past the line or inside a character, it is cut back.
        let offset = |at: usize| shown.floor_char_boundary(at.saturating_sub(start).min(shown.len()));
        let before = shown[..offset(span.start)].chars().count();
        let marked = shown[offset(span.start)..offset(span.end)].chars().count();
        Excerpt::new(line, before, marked.max(1), shown)
    }
}

/// A user's text in quotes, for a message: control characters escaped, long text cut short.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 64;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST - 1).collect();
    format!("{:?}", start + "…")
}

/// The part of the file that a problem is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: usize,
    column: usize,
    /// The source line, or as much of a long one as is worth showing.
    text: String,
    /// Characters of `text` before the carets.
    indent: usize,
    /// Carets; at least 1.
    carets: usize,
}

impl Excerpt {
    /// Cuts `source`, line number `line`, to what fits a terminal around the `marked` characters after `before`.
    fn new(line: usize, before: usize, marked: usize, source: &str) -> Self {
        const WIDEST: usize = 160;
        const LEAD: usize = 60;
        let length = source.chars().count();
        let first = if length > WIDEST { before.saturating_sub(LEAD) } else { 0 };
        let mut text: String = source.chars().skip(first).take(WIDEST).map(printable).collect();
        let mut indent = before - first;
        if first > 0 {
            text.insert(0, '…');
            indent += 1;
        }
        if length > first + WIDEST {
            text.push('…');
        }
        let carets = marked.min(text.chars().count().saturating_sub(indent)).max(1);
        Self { line, column: before + 1, text, indent, carets }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{}", format!("{number} | {}", self.text).trim_end())?;
        write!(f, "{gutter} | {}{}", " ".repeat(self.indent), "^".repeat(self.carets))
    }
}

/// Tabs would shift the carets, and other control characters could rewrite the terminal.
fn printable(character: char) -> char {
    match character {
        '\t' => ' ',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, span: Span) -> String {
        let mut problems = Problems::new(text);
        problems.report(&span, "message");
        problems.finish(Path::new("f.toml")).expect_err("one problem was reported").to_string()
    }

    #[test]
    fn columns_count_characters_and_tabs_keep_the_carets_in_place() {
        assert_eq!(
            printed("a = 1\n\té = \"ü\" # x\r\n", 12..16),
            "f.toml:2:6: message\n  |\n2 |  é = \"ü\" # x\n  |      ^^^"
        );
    }

    #[test]
    fn a_span_over_several_lines_is_marked_to_the_end_of_its_first() {
        assert_eq!(printed("a = [\n1,\n]\n", 4..10), "f.toml:1:5: message\n  |\n1 | a = [\n  |     ^");
    }

    #[test]
    fn the_end_of_a_text_and_an_empty_text_can_be_pointed_at() {
        assert_eq!(printed("", 0..0), "f.toml:1:1: message\n  |\n1 |\n  | ^");
        assert_eq!(printed("ab", 2..2), "f.toml:1:3: message\n  |\n1 | ab\n  |   ^");
        assert_eq!(printed("ab\n", 3..9), "f.toml:2:1: message\n  |\n2 |\n  | ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_carets() {
        let text = format!("{}X{}", "a".repeat(1000), "b".repeat(1000));
        let shown = printed(&text, 1000..1001);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "f.toml:1:1001: message");
        assert_eq!(lines[2], format!("1 | …{}X{}…", "a".repeat(60), "b".repeat(99)));
        assert_eq!(lines[3], format!("  | {}^", " ".repeat(61)));
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        assert!(!printed("a = \u{1b}[2J", 4..5).contains('\u{1b}'));
        assert_eq!(quoted("a\u{1b}b"), r#""a\u{1b}b""#);
    }

    #[test]
    fn long_values_are_cut_short_in_messages() {
        assert_eq!(quoted(&"x".repeat(64)), format!("\"{}\"", "x".repeat(64)));
        assert_eq!(quoted(&"x".repeat(65)), format!("\"{}…\"", "x".repeat(63)));
    }
}
