//! What the kernel says of programs on a device, where no tool of the system asks it.

use aya::programs::{SchedClassifier, TcAttachType};

use crate::netns::Namespace;

/// How many tc programs run on what comes in by a device, by tcx links.
///
/// # Panics
/// Where there is no such device, and before Linux 6.6.
#[must_use]
pub fn by_tcx(namespace: &Namespace, device: &str) -> usize {
    let programs = namespace.run(|| SchedClassifier::query_tcx(device, TcAttachType::Ingress));
    programs.unwrap_or_else(|error| panic!("tcx links of {device}: {error}")).1.len()
}
