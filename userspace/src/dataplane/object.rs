//! An eBPF object in the kernel: its data sections are maps made here, in the size that a policy needs, and filled.

use std::{
    io, iter,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use aya::{Btf, Ebpf, EbpfLoader, maps::MapData};
use octroi_abi::{BUCKETS, Class, Constants, Leased, Limit, Notes, Step, TABLE_PAD, TABLE_PART, name};
use octroi_gate::{host::Compiled, lease, service::Service};

use super::{
    DataplaneError,
    bpffs::Scratch,
    sys::{self, Mapped},
};

/// A loaded object. Its programs are not verified yet.
#[derive(Debug)]
pub struct Object {
    /// Its programs and the maps that are no data sections.
    pub ebpf: Ebpf,
    /// Data sections by name, mapped into this process.
    sections: Vec<(&'static str, Mapped)>,
}

impl Object {
    /// Loads the object in `bytes` with the tables, classes and constants of a policy. `scratch` is needed only until
    /// this returns. `pins` are maps that it uses, by name, where there is a pin, and else makes and pins. `more` are data
    /// sections that the object has beyond those, with what they begin as.
    ///
    /// Where this kernel has no map value as large as an image, or `constants` say so, images are loaded in parts.
    ///
    /// # Errors
    /// When the kernel refuses a map, or the object is another version's.
    pub fn load(
        bytes: &[u8],
        scratch: &Scratch,
        compiled: &Compiled,
        constants: &Constants,
        pins: Vec<(&'static str, PathBuf)>,
        more: &[(&'static str, &[u8])],
    ) -> Result<Self, DataplaneError> {
        let classes = bytes_of_classes(&compiled.classes);
        let images = [
            (name::TABLE_V4, name::PARTS_V4, &compiled.tables.v4),
            (name::TABLE_V6, name::PARTS_V6, &compiled.tables.v6),
        ];
        let too_large = |image: &[u8]| match Data::new(name::TABLE_V4, image, image.len()) {
            Err(DataplaneError::Map { error, .. }) => error.raw_os_error() == Some(libc::E2BIG),
            _ => false,
        };
        let in_parts = constants.parts != 0 || images.iter().any(|image| too_large(image.2));
        let constants = Constants { parts: u32::from(in_parts), ..*constants };
        // A map that is not used is there nevertheless, and short.
        const UNUSED: &[u8] = &[0; 2 * TABLE_PAD as usize];
        let mut data = Vec::new();
        for (whole, parts, image) in images {
            if in_parts {
                data.push(Data::new(whole, UNUSED, UNUSED.len())?);
                data.push(Data::new(parts, image, TABLE_PART as usize)?);
            } else {
                data.push(Data::new(whole, image, image.len())?);
                data.push(Data::new(parts, UNUSED, UNUSED.len())?);
            }
        }
        let (steps, services) = (bytes_of_steps(&compiled.steps), bytes_of_services(&compiled.services));
        let (limits, leased) = (bytes_of_limits(&compiled.limits), bytes_of_leased(compiled));
        let own: [(&str, &[u8]); 6] = [
            (name::CLASSES, &classes),
            (name::STEPS, &steps),
            (name::SERVICES, &services),
            (name::LIMITS, &limits),
            (name::LEASED, &leased),
            (name::NOTES, &[0; size_of::<Notes>()]),
        ];
        for &(section, bytes) in own.iter().chain(more) {
            data.push(Data::new(section, bytes, bytes.len())?);
        }
        let mut paths = pins;
        for one in &data {
            paths.push((one.name, one.pin(scratch)?));
        }
        let constants = bytes_of_constants(&constants);
        let mut loader: EbpfLoader<'_> = SPARE.take().unwrap_or_else(new_loader);
        loader.override_global(name::CONSTANTS, constants.as_slice(), true);
        let per_source = compiled.limits.iter().any(|limit| limit.per_source != 0);
        loader.map_max_entries(name::BUCKETS, if per_source { BUCKETS } else { 1 });
        for (section, path) in paths {
            loader.map_pin_path(section, path);
        }
        let ebpf = loader.load(bytes).map_err(DataplaneError::Object)?;
        // Only now: the loader writes the object's zeros into every data section.
        let sections = data.into_iter().map(|mut one| {
            one.mapped.write(one.bytes);
            (one.name, one.mapped)
        });
        Ok(Self { ebpf, sections: sections.collect() })
    }

    /// A data section.
    ///
    /// # Errors
    /// When the object was loaded without it.
    pub fn section(&mut self, name: &'static str) -> Result<&mut Mapped, DataplaneError> {
        let section = self.sections.iter_mut().find(|section| section.0 == name);
        section.map(|section| &mut section.1).ok_or(DataplaneError::Missing { name })
    }

    /// A data section, which then outlives this value.
    ///
    /// # Errors
    /// When the object was loaded without it.
    pub fn take(&mut self, name: &'static str) -> Result<Mapped, DataplaneError> {
        let at = self.sections.iter().position(|section| section.0 == name);
        at.map(|at| self.sections.swap_remove(at).1).ok_or(DataplaneError::Missing { name })
    }
}

/// Makes a part of the next load beforehand, in a thread of its own: what takes time and has nothing to do with the policy.
pub fn prepare() {
    // Where no thread is to be had, the load does it.
    let _ = std::thread::Builder::new().name("loader".into()).spawn(|| SPARE.fill());
}

/// A loader that nobody has used yet, if somebody called [`prepare`].
static SPARE: Spare = Spare(Mutex::new(None));

struct Spare(Mutex<Option<EbpfLoader<'static>>>);

impl Spare {
    fn fill(&self) {
        // Locked while it is made: whoever takes it meanwhile waits. Who came first makes one of its own, and this one is the
        // next load's.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(new_loader);
    }

    fn take(&self) -> Option<EbpfLoader<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A loader without the kernel's own types, which these programs do not need. aya reads all of them nevertheless (13 ms of
/// a load of 60), and before the first load it tries what this kernel can do (9 ms).
fn new_loader() -> EbpfLoader<'static> {
    let _ = aya::features();
    let no_types: Option<&Btf> = None;
    let mut loader = EbpfLoader::new();
    loader.btf(no_types);
    loader
}

/// A map that stands for a data section, or for an image in parts, and what it will hold.
struct Data<'a> {
    name: &'static str,
    bytes: &'a [u8],
    map: OwnedFd,
    mapped: Mapped,
}

impl<'a> Data<'a> {
    /// Makes the map, of as many elements of `size` bytes as `bytes` take.
    fn new(name: &'static str, bytes: &'a [u8], size: usize) -> Result<Self, DataplaneError> {
        let error = |error: io::Error| DataplaneError::Map { name, bytes: bytes.len(), error };
        let count = u32::try_from(bytes.len().div_ceil(size)).unwrap_or(u32::MAX);
        let map = sys::create_mappable(name.trim_start_matches(".bss."), size, count).map_err(error)?;
        let mapped = Mapped::new(&map, bytes.len()).map_err(error)?;
        Ok(Self { name, bytes, map, mapped })
    }

    /// Pins the map, to hand it to the loader; the pin's path.
    fn pin(&self, scratch: &Scratch) -> Result<PathBuf, DataplaneError> {
        let error =
            |error: io::Error| DataplaneError::Map { name: self.name, bytes: self.bytes.len(), error };
        let path = scratch.path(&self.name.trim_start_matches('.').replace('.', "_"));
        let map = self.map.try_clone().map_err(error)?;
        let map = MapData::from_fd(map).map_err(|reason| error(io::Error::other(reason)))?;
        map.pin(&path).map_err(|reason| error(io::Error::other(reason)))?;
        Ok(path)
    }
}

fn bytes_of_classes(classes: &[Class]) -> Vec<u8> {
    let one = |class: &Class| {
        let mut bytes = [0; size_of::<Class>()];
        bytes[0..4].copy_from_slice(&class.slot.to_ne_bytes());
        bytes[4..8].copy_from_slice(&class.detail.to_ne_bytes());
        bytes[8] = class.verdict;
        bytes[9] = class.dscp;
        bytes
    };
    classes.iter().flat_map(one).collect()
}

/// At least one, since no map is empty.
fn bytes_of_steps(steps: &[Step]) -> Vec<u8> {
    let one = |step: &Step| {
        let Step {
            from, ramp, until, slot, observed, connected, otherwise, service, services, detail, ..
        } = *step;
        let mut bytes = [0; size_of::<Step>()];
        for (place, long) in bytes[..24].chunks_exact_mut(8).zip([from, ramp, until]) {
            place.copy_from_slice(&long.to_ne_bytes());
        }
        let words = [slot, observed, connected, otherwise, service, services, detail];
        for (place, word) in bytes[24..52].chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[52..55].copy_from_slice(&[step.verdict, step.dscp, step.observes]);
        bytes
    };
    let mut bytes: Vec<u8> = steps.iter().flat_map(one).collect();
    bytes.resize(bytes.len().max(size_of::<Step>()), 0);
    bytes
}

/// At least one, as well.
fn bytes_of_limits(limits: &[Limit]) -> Vec<u8> {
    let one = |limit: &Limit| {
        let mut bytes = [0; size_of::<Limit>()];
        for (place, word) in bytes.chunks_exact_mut(4).zip([limit.rate, limit.burst, limit.per_source]) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    };
    let mut bytes: Vec<u8> = limits.iter().flat_map(one).collect();
    bytes.resize(bytes.len().max(size_of::<Limit>()), 0);
    bytes
}

/// At least one, as well.
fn bytes_of_services(services: &[Service]) -> Vec<u8> {
    let one = |service: &Service| {
        let [low, high] = [service.low, service.high].map(u16::to_ne_bytes);
        [low[0], low[1], high[0], high[1], service.protocol, 0, 0, 0]
    };
    let mut bytes: Vec<u8> = services.iter().flat_map(one).collect();
    bytes.resize(bytes.len().max(size_of::<Service>()), 0);
    bytes
}

/// One for each class.
fn bytes_of_leased(compiled: &Compiled) -> Vec<u8> {
    let leased = compiled.leased.iter().chain(iter::repeat(&lease::UNDEFINED));
    let one = |leased: &Leased| [leased.pass.to_ne_bytes(), leased.drop.to_ne_bytes()].concat();
    leased.take(compiled.classes.len()).flat_map(one).collect()
}

fn bytes_of_constants(constants: &Constants) -> Vec<u8> {
    let Constants {
        root_v4,
        root_v6,
        other_v6,
        divided_v6,
        wide,
        limit_v4,
        limit_v6,
        last_class,
        steps,
        services,
        limits,
        rejects,
        parts,
        malformed_pass,
        marks,
        no_metadata,
        alone,
        trace,
    } = *constants;
    [
        root_v4,
        root_v6,
        other_v6,
        divided_v6,
        wide,
        limit_v4,
        limit_v6,
        last_class,
        steps,
        services,
        limits,
        rejects,
        parts,
        malformed_pass,
        marks,
        no_metadata,
        alone,
        trace,
    ]
    .iter()
    .flat_map(|field: &u32| field.to_ne_bytes())
    .collect()
}
