//! One interface: attaching programs to it, updating them, and naming whatever stands in the way.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Instant,
};

use aya::programs::{
    XdpMode,
    links::{FdLink, PinnedLink},
    loaded_programs,
    xdp::XdpLink,
};

use super::{
    DataplaneError,
    bpffs::Pins,
    error::with_sources,
    interfaces::{self, Attached, Mode},
    program::Program,
};
use crate::config;

/// The name of a pin: the interface's index, and the network namespace, since one BPF file system may serve several.
pub(super) fn pin_name(kind: &str, index: u32) -> String {
    format!("{kind}-{index}{}", netns())
}

/// Whether a pin of that name is a link.
pub(super) fn is_link(name: &str) -> bool {
    name.starts_with("xdp-") || name.starts_with("tc-")
}

/// How the names of this network namespace's pins end.
pub(super) fn netns() -> String {
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |info| info.ino());
    format!("-netns-{namespace}")
}

/// The interface's index in the name of a pin for XDP in this network namespace.
pub(super) fn pin_index(name: &str) -> Option<u32> {
    let index = name.strip_prefix("xdp-")?.split('-').next()?.parse().ok()?;
    (name == pin_name("xdp", index)).then_some(index)
}

/// The place for an XDP program on one interface.
#[derive(Clone, Copy)]
pub(super) struct Slot<'a> {
    pub(super) pins: &'a Pins,
    pub(super) index: u32,
    pub(super) name: &'a str,
}

impl Slot<'_> {
    fn pin(&self) -> PathBuf {
        self.pins.path(&pin_name("xdp", self.index))
    }

    fn failed(&self, reason: impl Into<String>) -> DataplaneError {
        DataplaneError::Attach { interface: self.name.into(), reason: reason.into() }
    }

    /// Steps to another program, atomically.
    pub(super) fn update(&self, program: &mut Program, frags: bool) -> Result<(), DataplaneError> {
        let failed = |reason: String| DataplaneError::Replace { interface: self.name.into(), reason };
        let link = PinnedLink::from_pin(self.pin()).map_err(|error| failed(with_sources(&error)))?;
        let link: XdpLink = FdLink::from(link).try_into().map_err(|error| failed(with_sources(&error)))?;
        let xdp = program.gate(frags)?;
        let started = Instant::now();
        let id = xdp.attach_to_link(link).map_err(|error| failed(with_sources(&error)))?;
        let microseconds = started.elapsed().as_micros();
        tracing::info!(interface = self.name, microseconds, "stepped to the new program");
        // Its pin alone keeps the link: a descriptor that the program kept would hold it after the pin is removed.
        xdp.take_link(id).map(drop).map_err(|error| failed(with_sources(&error)))
    }

    /// Whether what is attached there is what our own pinned link holds.
    pub(super) fn is_ours(&self, attached: Attached) -> bool {
        runs(&self.pin(), attached)
    }

    /// The pin whose link holds what is attached there: ours, or another version's.
    fn holder(&self, attached: Attached) -> Option<PathBuf> {
        let others = || self.pins.of_other_versions(&pin_name("xdp", self.index));
        [self.pin()].into_iter().chain(others()).find(|pin| runs(pin, attached))
    }

    /// Whether an earlier daemon left what is attached there.
    pub(super) fn is_left(&self, attached: Attached) -> bool {
        self.holder(attached).is_some()
    }

    /// Takes over what an earlier daemon left; whether it is the program for fragments.
    pub(super) fn take_over(
        &self,
        program: &mut Program,
        attached: Attached,
    ) -> Result<bool, DataplaneError> {
        let Some(pin) = self.holder(attached) else {
            return Err(self.failed(foreign(self.name, attached)));
        };
        if pin != self.pin() {
            tracing::info!(interface = self.name, pin = %pin.display(), "the pin is another version's");
            self.adopt(&pin).map_err(|reason| self.failed(reason))?;
        }
        tracing::info!(interface = self.name, "taking over the program that an earlier daemon left");
        match self.update(program, false) {
            Ok(()) => Ok(false),
            Err(_) => self.update(program, true).map(|()| true),
        }
    }

    /// Makes the link that another version pinned ours. It goes on filtering meanwhile.
    fn adopt(&self, pin: &PathBuf) -> Result<(), String> {
        let text =
            |error: &dyn std::error::Error| format!("take over {}: {}", pin.display(), with_sources(error));
        let link = PinnedLink::from_pin(pin).map_err(|error| text(&error))?;
        // What is in the way belongs to an interface that is gone.
        let _ = fs::remove_file(self.pin());
        FdLink::from(link).pin(self.pin()).map_err(|error| text(&error))?;
        fs::remove_file(pin).map_err(|error| text(&error))
    }

    /// Attaches the program; whether it took the one for fragments.
    pub(super) fn attach(
        &self,
        program: &mut Program,
        wanted: config::Mode,
        mtu: u32,
    ) -> Result<bool, DataplaneError> {
        self.pins.restore()?;
        // The pin of an interface that is gone, whose index is in use again.
        let _ = fs::remove_file(self.pin());
        let native = [(XdpMode::Driver, false), (XdpMode::Driver, true)];
        let generic = [(XdpMode::Skb, false)];
        let attempts = match wanted {
            config::Mode::Native => native.to_vec(),
            config::Mode::Generic => generic.to_vec(),
            config::Mode::Auto => [&native[..], &generic[..]].concat(),
        };
        let mut reasons: Vec<String> = Vec::new();
        for (mode, frags) in attempts {
            match self.attach_as(program, mode, frags) {
                Ok(()) => {
                    if wanted == config::Mode::Auto && mode == XdpMode::Skb {
                        tracing::warn!(
                            interface = self.name,
                            reason = reasons.join("; "),
                            "no native XDP here: attached in generic mode, which costs more for each packet"
                        );
                    }
                    return Ok(frags);
                }
                Err(reason) => {
                    let kind = match (mode, frags) {
                        (XdpMode::Skb, _) => "generic",
                        (_, true) => "native with fragments",
                        (_, false) => "native",
                    };
                    reasons.push(format!("{kind}: {reason}"));
                }
            }
        }
        Err(self.failed(format!("{} (its MTU is {mtu})", reasons.join("; "))))
    }

    fn attach_as(&self, program: &mut Program, mode: XdpMode, frags: bool) -> Result<(), String> {
        let xdp = program.gate(frags).map_err(|error| error.to_string())?;
        let id = xdp.attach_to_if_index(self.index, mode).map_err(|error| with_sources(&error))?;
        let link = xdp.take_link(id).map_err(|error| with_sources(&error))?;
        // aya falls back to netlink where it gets no link; that could neither be pinned nor replaced.
        let link =
            FdLink::try_from(link).map_err(|_| "this kernel gives no link for XDP; Linux 5.10 does")?;
        link.pin(self.pin()).map(drop).map_err(|error| format!("pin its link: {}", with_sources(&error)))
    }

    /// The mode that the kernel reports.
    pub(super) fn mode(&self, wanted: config::Mode) -> Result<Mode, DataplaneError> {
        let now = interfaces::list().map_err(DataplaneError::Interfaces)?;
        let attached = now.into_iter().find(|now| now.index == self.index).and_then(|now| now.xdp);
        let Some(attached) = attached else {
            return Err(
                self.failed("the kernel took the program, but reports none: the interface may be gone")
            );
        };
        if wanted == config::Mode::Native && attached.mode != Mode::Native {
            let mode = attached.mode;
            return Err(
                self.failed(format!("mode = \"native\" was asked for, and the kernel reports {mode}"))
            );
        }
        Ok(attached.mode)
    }
}

/// Whether the link of that pin holds what is attached.
fn runs(pin: &Path, attached: Attached) -> bool {
    let link = PinnedLink::from_pin(pin).ok().and_then(|link| FdLink::from(link).info().ok());
    link.is_some_and(|link| link.program_id() == attached.program)
}

/// What is told of somebody else's program.
fn foreign(interface: &str, attached: Attached) -> String {
    let Attached { mode, program } = attached;
    // Only CAP_SYS_ADMIN may look for a program by its id.
    let name = loaded_programs()
        .filter_map(Result::ok)
        .find(|info| info.id() == program)
        .and_then(|info| info.name_as_str().map(|name| format!(" \"{name}\"")))
        .unwrap_or_default();
    format!(
        "another XDP program{name} (id {program}, {mode}) is attached there, which octroi never replaces; as root, look at \
         it with `bpftool prog show id {program}`, and detach it from {interface} with the tool that attached it"
    )
}
