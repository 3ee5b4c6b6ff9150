//! stub
/// Runs.
/// # Errors
/// never
pub fn run(_: &super::cli::ReplayArgs) -> Result<(), crate::Failure> { Ok(()) }
