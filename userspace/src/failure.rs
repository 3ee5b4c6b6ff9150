//! Why a command could not do what was asked, and which exit code says so.

use std::process::ExitCode;

use crate::{
    config::ConfigErrors, dataplane::DataplaneError, dataplane::bpffs::BpffsError, geoip::DatabaseError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The configuration or a database is invalid: exit code 78 (`EX_CONFIG` in sysexits.h).
    #[error("{0}")]
    Config(String),
    /// A database is whole, and differs too much from the one that runs: exit code 1.
    #[error("{0}")]
    Held(String),
    /// Anything else: exit code 1.
    #[error("{0:#}")]
    Other(anyhow::Error),
}

impl Failure {
    /// An invalid configuration.
    pub fn config(error: impl ToString) -> Self {
        Self::Config(error.to_string())
    }

    /// The same, and what else whoever asked has to know.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        match self {
            Self::Config(error) => Self::Config(format!("{error}\n{more}")),
            Self::Held(error) => Self::Held(format!("{error}\n{more}")),
            Self::Other(error) => Self::Other(anyhow::anyhow!("{error:#}\n{more}")),
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::from(78),
            Self::Held(_) | Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::config(errors)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::config(error)
    }
}

impl From<DataplaneError> for Failure {
    fn from(error: DataplaneError) -> Self {
        Self::Other(anyhow::anyhow!(error.to_string()))
    }
}

impl From<BpffsError> for Failure {
    fn from(error: BpffsError) -> Self {
        Self::from(DataplaneError::from(error))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}
