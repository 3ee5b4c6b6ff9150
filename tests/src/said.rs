//! What commands, logs and files say: all the words that they have to.

use crate::command::Finished;

/// All of the words are in the text.
///
/// # Panics
/// With the first that is missing, and the text.
#[track_caller]
pub fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
}

/// A command was refused: it ended with that exit code, and all of the words are on its standard error.
///
/// # Panics
/// With all of the command, where it is not so.
#[track_caller]
pub fn refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.status.code(), Some(code), "{finished}");
    for word in words {
        assert!(finished.stderr.contains(word), "no {word:?} in\n{finished}");
    }
}
