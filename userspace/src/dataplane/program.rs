//! One generation in the kernel: programs, tables, classes, constants.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{
    Ebpf, include_bytes_aligned,
    programs::{SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp},
};
use ipnetwork::IpNetwork;
use octroi_abi::{Constants, Notes, Verdict, name};
use octroi_gate::host::Compiled;

use super::{DataplaneError, bpffs::Scratch, clock, object::Object, older, shared::Shared, sys::Mapped};

/// The eBPF object, built by `cargo xtask build`.
pub(super) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/octroi.bpf.o"));

/// What a load may ask for beyond the policy.
#[derive(Clone, Copy, Default, Debug)]
pub struct ProgramOptions {
    /// Never try metadata; the tc program decides again.
    pub no_metadata: bool,
    /// Load the tables in parts, as on kernels before 6.0 that have no map value as large.
    pub parts: bool,
    /// Without sockets and buckets, at a time that stands still: the packets are not this host's.
    pub alone: bool,
    /// Write buckets with plain stores, as on kernels before 5.12 that cannot compare and exchange.
    pub plain_stores: bool,
    /// Attach the program for marks by clsact, as before Linux 6.6, which has no tcx.
    pub clsact: bool,
    /// Note the slot of each packet, for test runs.
    pub trace: bool,
}

/// Where a load has the maps from that outlive generations.
#[derive(Clone, Copy, Debug)]
pub enum Sharing<'a> {
    /// It makes them.
    Nothing,
    /// The counters are those that are pinned at this path, or are made and pinned there; it makes the leases.
    Counters(&'a Path),
    /// Those of generations that run, which are pinned there meanwhile: [`Shared::pin`].
    All(&'a [(&'static str, PathBuf)]),
}

/// A loaded generation.
#[derive(Debug)]
pub struct Program {
    pub(super) ebpf: Ebpf,
    pub(super) marks: bool,
    /// See [`ProgramOptions::alone`].
    alone: bool,
    notes: Mapped,
}

/// What one test run of a frame gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestResult {
    /// The XDP action.
    pub action: u32,
    /// The slot it was counted in; only with [`ProgramOptions::trace`].
    pub slot: u32,
    /// What the program decided; only with [`ProgramOptions::trace`].
    pub verdict: Verdict,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// How a generation judges a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probed {
    /// Where it would be counted.
    pub slot: u32,
    /// What would happen to it.
    pub verdict: Verdict,
}

impl Program {
    /// Loads a compiled policy beside whatever runs. `scratch` is needed only until this returns. What `sharing` did
    /// not give comes back with the program.
    ///
    /// # Errors
    /// When the kernel refuses a map or a program; the error has the verifier's words.
    pub fn load(
        scratch: &Scratch,
        compiled: &Compiled,
        sharing: Sharing<'_>,
        options: ProgramOptions,
    ) -> Result<(Self, Option<Shared>), DataplaneError> {
        let pins = match sharing {
            Sharing::Nothing => Vec::new(),
            Sharing::Counters(path) => vec![(name::COUNTERS, path.to_owned())],
            Sharing::All(pins) => pins.to_vec(),
        };
        let constants = Constants {
            no_metadata: u32::from(options.no_metadata),
            parts: u32::from(options.parts),
            alone: u32::from(options.alone),
            trace: u32::from(options.trace),
            ..compiled.constants()
        };
        let plain = options.plain_stores || !older::compares_and_exchanges();
        let bytes = if plain { Cow::Owned(older::with_plain_stores(OBJECT)) } else { Cow::Borrowed(OBJECT) };
        let mut object = Object::load(&bytes, scratch, compiled, &constants, pins, &[])?;
        // The only section that anybody looks at again; the others are unmapped.
        let notes = object.take(name::NOTES)?;
        let mut ebpf = object.ebpf;
        let new = match sharing {
            Sharing::All(_) => None,
            _ => Some(Shared::take(&mut ebpf)?),
        };
        let mut program = Self { ebpf, marks: compiled.marks(), alone: options.alone, notes };
        let epoch = clock::epoch();
        program.set_epoch(if options.alone { epoch.wrapping_add(clock::since_boot()) } else { epoch });
        program.load_programs()?;
        Ok((program, new))
    }

    fn load_programs(&mut self) -> Result<(), DataplaneError> {
        self.gate(false)?;
        if self.marks {
            let name = name::TC_PROGRAM;
            self.tc()?.load().map_err(|error| DataplaneError::Verifier { name, error })?;
        }
        Ok(())
    }

    /// The kernel's ids of the gate's programs that are loaded.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub(super) fn ids(&self) -> Result<Vec<u32>, DataplaneError> {
        let mut ids = Vec::new();
        for name in [name::XDP_PROGRAM, name::XDP_FRAGS_PROGRAM] {
            let program = self.ebpf.program(name).ok_or(DataplaneError::Missing { name })?;
            let program: &Xdp = program.try_into().map_err(|_| DataplaneError::Missing { name })?;
            // The one for fragments is loaded where it is needed.
            if program.fd().is_ok() {
                let info = program.info().map_err(|error| DataplaneError::Id { name, error })?;
                ids.push(info.id());
            }
        }
        Ok(ids)
    }

    /// Whether a driver refused metadata, as far as this generation knows.
    pub(super) fn metadata_refused(&self) -> bool {
        self.notes.read_u32(std::mem::offset_of!(Notes, metadata_refused)) != 0
    }

    /// Tells this generation what the one before has learnt.
    pub(super) fn set_metadata_refused(&mut self, refused: bool) {
        let at = std::mem::offset_of!(Notes, metadata_refused);
        self.notes.write_at(at, &u32::from(refused).to_ne_bytes());
    }

    /// Tells this generation what time it is: see [`clock::epoch`].
    pub fn set_epoch(&mut self, epoch: u64) {
        self.notes.write_u64(std::mem::offset_of!(Notes, epoch), epoch);
    }

    /// Tells this generation how many leases there are; with none, it looks for none.
    pub(super) fn set_leases(&mut self, count: u32) {
        self.notes.write_u32(std::mem::offset_of!(Notes, leases), count);
    }

    /// Gives the sources of a prefix a verdict until that time, in nanoseconds since the Unix epoch: for generations that are
    /// attached to nothing, with what their own load made.
    ///
    /// # Errors
    /// See [`Leases`](super::leases::Leases).
    pub fn lease(
        &mut self,
        shared: &mut Shared,
        prefix: IpNetwork,
        verdict: Verdict,
        until: u64,
    ) -> Result<(), DataplaneError> {
        shared.leases.set(prefix, verdict, until)?;
        self.set_leases(shared.leases.count());
        Ok(())
    }

    /// Makes it believe that it is `now`, in nanoseconds since the Unix epoch; from then on its clock goes on, but for one
    /// that was loaded alone.
    pub fn set_now(&mut self, now: u64) {
        self.set_epoch(if self.alone { now } else { now.wrapping_sub(clock::since_boot()) });
    }

    /// The gate, loaded: for frames in one buffer or, because of a large MTU, for fragments.
    pub(super) fn gate(&mut self, frags: bool) -> Result<&mut Xdp, DataplaneError> {
        self.loaded(if frags { name::XDP_FRAGS_PROGRAM } else { name::XDP_PROGRAM })
    }

    /// The XDP program of that name, loaded by now: not every generation needs each.
    fn loaded(&mut self, name: &'static str) -> Result<&mut Xdp, DataplaneError> {
        let program = self.ebpf.program_mut(name).ok_or(DataplaneError::Missing { name })?;
        let program: &mut Xdp = program.try_into().map_err(|_| DataplaneError::Missing { name })?;
        if program.fd().is_err() {
            program.load().map_err(|error| DataplaneError::Verifier { name, error })?;
        }
        Ok(program)
    }

    pub(super) fn tc(&mut self) -> Result<&mut SchedClassifier, DataplaneError> {
        let name = name::TC_PROGRAM;
        let program = self.ebpf.program_mut(name).ok_or(DataplaneError::Missing { name })?;
        program.try_into().map_err(|_| DataplaneError::Missing { name })
    }

    /// Runs the XDP program on one frame, which the kernel wants to be 14 bytes long at least.
    ///
    /// # Errors
    /// When the kernel refuses the run.
    pub fn test_run(&mut self, frame: &[u8]) -> Result<TestResult, DataplaneError> {
        let mut out = vec![0; frame.len() + 64];
        let result = test_run(self.gate(false)?, frame, Some(&mut out), 1)?;
        out.truncate(result.data_size_out as usize);
        let Probed { slot, verdict } = self.noted();
        Ok(TestResult { action: result.return_value, slot, verdict, frame: out })
    }

    /// Runs the XDP program `repeat` times on one frame; the kernel's figure for the time of one run.
    ///
    /// # Errors
    /// When the kernel refuses the run.
    pub fn time(&mut self, frame: &[u8], repeat: u32) -> Result<Duration, DataplaneError> {
        Ok(test_run(self.gate(false)?, frame, None, repeat)?.duration)
    }

    /// How many instructions the kernel looked at before it took the gate's program; where it tells (from 5.16 on).
    ///
    /// # Errors
    /// When the kernel refuses the program.
    pub fn verified_instructions(&mut self) -> Result<Option<u32>, DataplaneError> {
        let info = self.gate(false)?.info();
        Ok(info.ok().and_then(|info| info.verified_instruction_count()))
    }

    /// How this generation judges a frame of at least 14 bytes. Nothing is counted.
    ///
    /// # Errors
    /// When the kernel refuses the program for it, or the run.
    pub fn probe(&mut self, frame: &[u8]) -> Result<Probed, DataplaneError> {
        test_run(self.loaded(name::XDP_PROBE_PROGRAM)?, frame, None, 1)?;
        Ok(self.noted())
    }

    /// What the last test run noted.
    fn noted(&self) -> Probed {
        let slot = self.notes.read_u32(std::mem::offset_of!(Notes, last_slot));
        let number = self.notes.read_u32(std::mem::offset_of!(Notes, last_verdict));
        let verdict = Verdict::ALL.into_iter().find(|&verdict| u32::from(verdict as u8) == number);
        // As the kernel side does: any other number is a drop.
        Probed { slot, verdict: verdict.unwrap_or(Verdict::Drop) }
    }
}

/// One call of BPF_PROG_TEST_RUN.
fn test_run(
    program: &Xdp,
    frame: &[u8],
    out: Option<&mut [u8]>,
    repeat: u32,
) -> Result<TestRunResult, DataplaneError> {
    let options = TestRunOptions { data_in: Some(frame), data_out: out, repeat, ..TestRunOptions::new() };
    program.test_run(options).map_err(|error| DataplaneError::TestRun { bytes: frame.len(), error })
}
