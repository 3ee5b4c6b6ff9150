//! Texts of somebody else's, for people.

/// What somebody else wrote, safe for a terminal and a log: control characters escaped, and not longer than a line.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let cut: String = text.chars().take(LONGEST).collect();
    let end = if cut.len() < text.len() { "…" } else { "" };
    let escaped = cut.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() });
    escaped.collect::<String>() + end
}

/// Some of many complaints, joined, and how many more there are.
pub(crate) fn some(complaints: &[String], most: usize) -> String {
    let more = complaints.len().saturating_sub(most);
    let told = complaints[..complaints.len() - more].join("; ");
    if more == 0 { told } else { format!("{told}; and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_reaches_a_terminal_as_a_command() {
        assert_eq!(shown("a\u{1b}[2J\nb"), "a\\u{1b}[2J\\nb");
        assert_eq!(shown(&"é".repeat(120)), "é".repeat(120));
        assert_eq!(shown(&"é".repeat(121)), "é".repeat(120) + "…");
    }

    #[test]
    fn of_many_complaints_some_are_told() {
        let complaints: Vec<String> = ["a", "b", "c"].map(String::from).into();
        assert_eq!([some(&complaints, 3), some(&complaints, 2)], ["a; b; c", "a; b; and 1 more"]);
    }
}
