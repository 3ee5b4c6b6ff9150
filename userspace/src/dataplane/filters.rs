//! The tc programs that set marks, one on each interface while a generation has marks.

use std::{fs, path::PathBuf};

use aya::{
    programs::{
        LinkOrder, ProgramError, SchedClassifier, TcAttachType,
        links::{FdLink, PinnedLink},
        tc::{self, NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle},
    },
    util::KernelVersion,
};

use super::{
    DataplaneError,
    attach::pin_name,
    bpffs::Pins,
    clsact::{self, Place},
    error::with_sources,
    program::{Program, ProgramOptions},
};

/// The tc programs that set marks.
#[derive(Debug)]
pub(super) struct Filters {
    /// Attached by clsact: see [`ProgramOptions::clsact`].
    clsact: bool,
}

impl Filters {
    pub(super) fn new(options: ProgramOptions) -> Self {
        let before = |version| version < KernelVersion::new(6, 6, 0);
        Self { clsact: options.clsact || KernelVersion::current().is_ok_and(before) }
    }

    /// Attaches the program for marks to an interface, or steps to it where an older one runs.
    pub(super) fn attach(
        &self,
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

    fn try_attach(&self, pins: &Pins, program: &mut Program, index: u32, name: &str) -> Result<(), String> {
        let text = |error: ProgramError| with_sources(&error);
        let tc = program.tc().map_err(|error| error.to_string())?;
        if self.clsact {
            return by_clsact(tc, index, name);
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
    pub(super) fn detach(&self, pins: &Pins, index: u32) {
        for pin in left(pins, index) {
            let _ = fs::remove_file(pin);
        }
        if self.clsact
            && let Err(error) = clsact::remove(index)
            // The interface is gone, and took it along.
            && error.raw_os_error() != Some(libc::ENODEV)
        {
            tracing::error!(%error, index, "remove the tc filter that sets marks");
        }
    }
}

/// Attaches the program by clsact, or steps to it where an older one runs there: the kernel exchanges a filter's program at once.
fn by_clsact(tc: &mut SchedClassifier, index: u32, name: &str) -> Result<(), String> {
    let text = |error: ProgramError| with_sources(&error);
    let left = clsact::find(index).map_err(|error| format!("look for tc filters: {error}"))?;
    let id = match left.first() {
        Some(&Place { priority, handle }) => {
            let ingress = TcAttachType::Ingress;
            let link = SchedClassifierLink::attached(name, ingress, priority, handle, None);
            tc.attach_to_link(link.map_err(|error| error.to_string())?).map_err(text)?
        }
        None => {
            match tc::qdisc_add_clsact(name) {
                Ok(()) => {}
                Err(tc::TcError::NetlinkError(error)) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) => return Err(with_sources(&error)),
            }
            let options = NlOptions { priority: 1, handle: TcHandle::new(0, 1), classid: None };
            let options = TcAttachOptions::Netlink(options);
            tc.attach_with_options(name, TcAttachType::Ingress, options).map_err(text)?
        }
    };
    // Dropped, it would remove the filter, which has to outlive this daemon. It holds no resources.
    tc.take_link(id).map(std::mem::forget).map_err(text)
}

/// The pins of links for marks on that interface: ours, and what other versions left.
fn left(pins: &Pins, index: u32) -> Vec<PathBuf> {
    let name = pin_name("tc", index);
    let others = pins.of_other_versions(&name);
    [pins.path(&name)].into_iter().filter(|pin| pin.exists()).chain(others).collect()
}
