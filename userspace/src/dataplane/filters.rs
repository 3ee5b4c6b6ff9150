//! The tc programs that set marks, one on each interface while a generation has marks.

use std::{collections::BTreeMap, fs, path::PathBuf};

use aya::{
    programs::{
        LinkOrder, ProgramError, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    },
    util::KernelVersion,
};
use octroi_abi::name;

use super::{DataplaneError, attach::pin_name, bpffs::Pins, error::with_sources, program::Program};

/// The tc programs that set marks.
#[derive(Debug, Default)]
pub(super) struct Filters {
    /// Links of kernels before 6.6 by interface: they cannot be pinned, and end with the daemon.
    legacy: BTreeMap<u32, SchedClassifierLink>,
}

impl Filters {
    /// Attaches the program for marks to an interface, or steps to it where an older one runs.
    pub(super) fn attach(
        &mut self,
        pins: &Pins,
        program: &mut Program,
        index: u32,
        name: &str,
    ) -> Result<(), DataplaneError> {
        self.try_attach(pins, program, index, name).map_err(|reason| DataplaneError::Attach {
            interface: name.into(),
            reason: format!("the tc program that sets marks: {reason}"),
        })
    }

    fn try_attach(
        &mut self,
        pins: &Pins,
        program: &mut Program,
        index: u32,
        name: &str,
    ) -> Result<(), String> {
        let text = |error: ProgramError| with_sources(&error);
        let tc = program.tc().map_err(|error| error.to_string())?;
        if KernelVersion::current().is_ok_and(|version| version < KernelVersion::new(6, 6, 0)) {
            let id = match self.legacy.remove(&index) {
                Some(link) => tc.attach_to_link(link).map_err(text)?,
                None => {
                    match tc::qdisc_add_clsact(name) {
                        Err(tc::TcError::AlreadyAttached) | Ok(()) => {}
                        Err(error) => return Err(with_sources(&error)),
                    }
                    // Left by a daemon that was killed.
                    let _ = tc::qdisc_detach_program(name, TcAttachType::Ingress, name::TC_PROGRAM);
                    let options = NlOptions { priority: 1, handle: TcHandle::new(0, 1), classid: None };
                    tc.attach_with_options(name, TcAttachType::Ingress, TcAttachOptions::Netlink(options))
                        .map_err(text)?
                }
            };
            self.legacy.insert(index, tc.take_link(id).map_err(text)?);
            return Ok(());
        }
        let path = pins.path(&pin_name("tc", index));
        for pin in left(pins, index) {
            if let Ok(link) = PinnedLink::from_pin(&pin)
                && let Ok(link) = SchedClassifierLink::try_from(FdLink::from(link))
                && let Ok(id) = tc.attach_to_link(link)
            {
                // Its pin alone keeps the link.
                tc.take_link(id).map(drop).map_err(text)?;
                if pin != path {
                    fs::rename(&pin, &path)
                        .map_err(|error| format!("take over {}: {error}", pin.display()))?;
                }
                return Ok(());
            }
            // That of an interface which is gone.
            let _ = fs::remove_file(&pin);
        }
        // Before all others there, which then see the mark.
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = tc.attach_with_options(name, TcAttachType::Ingress, first).map_err(text)?;
        let link = tc.take_link(id).map_err(text)?;
        let link = FdLink::try_from(link).map_err(|error| with_sources(&error))?;
        link.pin(&path).map(drop).map_err(|error| with_sources(&error))
    }

    /// Detaches the program for marks from an interface, where there is one.
    pub(super) fn detach(&mut self, pins: &Pins, index: u32) {
        for pin in left(pins, index) {
            let _ = fs::remove_file(pin);
        }
        self.legacy.remove(&index);
    }
}

/// The pins of links for marks on that interface: ours, and what other versions left.
fn left(pins: &Pins, index: u32) -> Vec<PathBuf> {
    let name = pin_name("tc", index);
    let others = pins.of_other_versions(&name);
    [pins.path(&name)].into_iter().filter(|pin| pin.exists()).chain(others).collect()
}
