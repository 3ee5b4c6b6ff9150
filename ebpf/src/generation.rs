//! The generation that this program was loaded with: constants, tables and classes.
//!
//! Each is a static in a data section of its own, which the loader backs with a map of the right size. So a load from
//! a table is a load, without a look-up of a map before it. Every load is volatile: this program never writes what the
//! loader fills, so the compiler would take it for the zeros that are declared here.

use aya_ebpf::{helpers::generated::bpf_ktime_get_boot_ns, macros::map, maps::Array};
use octroi_abi::{Class, Constants, Leased, Limit, Notes, Step, TABLE_PAD, TABLE_PART};
use octroi_gate::{
    judge::{Outcome, UNDEFINED},
    lease, rules,
    service::Service,
    table::{self, Image, Place, RootsV6},
};

use crate::opaque;

const BPF_F_MMAPABLE: u32 = 1 << 10;

/// What an entry's 25 bits can address.
const TABLE_SPACE: usize = 4 << 25;

/// Declared as large as a table can ever be; the map behind it has the size that the policy needs.
#[unsafe(link_section = ".bss.table_v4")]
#[unsafe(no_mangle)]
static mut TABLE_V4: [u64; TABLE_SPACE / 8] = [0; TABLE_SPACE / 8];

#[unsafe(link_section = ".bss.table_v6")]
#[unsafe(no_mangle)]
static mut TABLE_V6: [u64; TABLE_SPACE / 8] = [0; TABLE_SPACE / 8];

/// A table image for kernels that have no map value as large: another map, of as many parts as it takes.
#[map]
static PARTS_V4: Array<Part> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
static PARTS_V6: Array<Part> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// A part of a table image.
#[repr(C)]
struct Part([u64; TABLE_PART as usize / 8]);

#[unsafe(link_section = ".bss.classes")]
#[unsafe(no_mangle)]
static mut CLASSES: [Class; 1 << 16] = [UNDEFINED_BYTES; 1 << 16];

const STEPS_SPACE: usize = octroi_abi::STEPS_SPACE as usize;

#[unsafe(link_section = ".bss.steps")]
#[unsafe(no_mangle)]
static mut STEPS: [[u64; size_of::<Step>() / 8]; STEPS_SPACE] = [[0; size_of::<Step>() / 8]; STEPS_SPACE];

#[unsafe(link_section = ".bss.services")]
#[unsafe(no_mangle)]
static mut SERVICES: [[u32; 2]; 1 << 16] = [[0; 2]; 1 << 16];

#[unsafe(link_section = ".bss.limits")]
#[unsafe(no_mangle)]
static mut LIMITS: [[u64; size_of::<Limit>() / 8]; 1 << 16] = [[0; size_of::<Limit>() / 8]; 1 << 16];

#[unsafe(link_section = ".bss.leased")]
#[unsafe(no_mangle)]
static mut LEASED: [[u32; 2]; 1 << 16] = [[0; 2]; 1 << 16];

#[unsafe(link_section = ".bss.notes")]
#[unsafe(no_mangle)]
static mut NOTES: Notes = Notes { metadata_refused: 0, last_slot: 0, last_verdict: 0, leases: 0, epoch: 0 };

/// Written by the loader before the map behind it is frozen, which makes every field a constant to the verifier.
#[unsafe(no_mangle)]
static CONSTANTS: Constants = Constants {
    root_v4: 0,
    root_v6: 0,
    other_v6: 0,
    divided_v6: 0,
    wide: 0,
    limit_v4: 0,
    limit_v6: 0,
    last_class: 0,
    steps: 0,
    services: 0,
    limits: 0,
    rejects: 0,
    parts: 0,
    malformed_pass: 0,
    marks: 0,
    no_metadata: 0,
    alone: 0,
    trace: 0,
};

/// A section that starts with zeros only is a .bss section.
const UNDEFINED_BYTES: Class = Class { slot: 0, detail: 0, verdict: 0, dscp: 0, _pad: [0; 2] };

/// The loaded generation.
#[derive(Clone, Copy)]
pub struct Loaded;

/// A field of the constants; each is read where it is used: a read of all would be a dozen loads for each packet.
macro_rules! constant {
    ($field:ident) => {
        // SAFETY: a static of that type; volatile, since the loader writes it after compilation.
        unsafe { core::ptr::read_volatile(&raw const CONSTANTS.$field) }
    };
}

impl Loaded {
    /// Some class has a mark.
    #[inline(always)]
    pub(crate) fn marks(&self) -> bool {
        constant!(marks) != 0
    }

    /// Metadata may be tried.
    #[inline(always)]
    pub(crate) fn may_use_metadata(&self) -> bool {
        constant!(no_metadata) == 0
    }

    /// There are no sockets and no buckets.
    #[inline(always)]
    pub(crate) fn alone(&self) -> bool {
        constant!(alone) != 0
    }

    /// The slot of each packet is noted.
    #[inline(always)]
    pub(crate) fn traces(&self) -> bool {
        constant!(trace) != 0
    }
}

impl Loaded {
    /// The number of the class that an IPv4 address belongs to.
    #[inline(always)]
    pub fn class_v4(&self, address: u32) -> u32 {
        if constant!(parts) != 0 {
            return in_parts_v4(address);
        }
        table::class_v4(&Table::v4(None), constant!(root_v4), address)
    }

    /// The same for an IPv6 address, given as its halves.
    #[inline(always)]
    pub fn class_v6(&self, high: u64, low: u64) -> u32 {
        if constant!(parts) != 0 {
            return in_parts_v6(high, low);
        }
        table::class_v6(&Table::v6(None), &roots_v6(), high, low)
    }

    /// The class with that number; where there is none, one that drops.
    #[inline(always)]
    pub fn class(&self, number: u32) -> Class {
        if number > constant!(last_class) {
            return UNDEFINED;
        }
        // SAFETY: `number` is at most the last class, and the map behind CLASSES holds it.
        let class = unsafe { (&raw const CLASSES).cast::<Class>().add(number as usize) };
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(class) }
    }

    /// Whether there is any lease.
    #[inline(always)]
    pub fn has_leases(&self) -> bool {
        // SAFETY: a static of that type, backed by a map that the daemon writes.
        unsafe { core::ptr::read_volatile(&raw const NOTES.leases) != 0 }
    }

    /// Where packets of the class with that number are counted that a lease decides about.
    #[inline(always)]
    pub fn leased(&self, number: u32) -> Leased {
        if number > constant!(last_class) {
            return lease::UNDEFINED;
        }
        // SAFETY: `number` is at most the last class, and the map behind LEASED has one for each.
        let leased = unsafe { (&raw const LEASED).cast::<Leased>().add(number as usize) };
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(leased) }
    }

    /// The step with that number; where there is none, one that drops.
    #[inline(always)]
    pub(crate) fn step(&self, number: u32) -> Step {
        let number = opaque(number as usize);
        if number >= constant!(steps) as usize {
            return rules::UNDEFINED;
        }
        // SAFETY: below the number of steps, and the map behind STEPS holds as many.
        let step = unsafe { (&raw const STEPS).cast::<Step>().add(number) };
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(step) }
    }

    /// The service with that number.
    #[inline(always)]
    pub(crate) fn service(&self, number: u32) -> Option<Service> {
        let number = opaque(number as usize);
        if number >= constant!(services) as usize {
            return None;
        }
        // SAFETY: below the number of services, and the map behind SERVICES holds as many.
        let service = unsafe { (&raw const SERVICES).cast::<Service>().add(number) };
        // SAFETY: as above.
        Some(unsafe { core::ptr::read_volatile(service) })
    }

    /// The limit with that number.
    #[inline(always)]
    pub(crate) fn limit(&self, number: u32) -> Option<*mut Limit> {
        let number = opaque(number as usize);
        if number >= constant!(limits) as usize {
            return None;
        }
        // SAFETY: below the number of limits, and the map behind LIMITS holds as many.
        Some(unsafe { (&raw mut LIMITS).cast::<Limit>().add(number) })
    }

    /// Some rule rejects.
    #[inline(always)]
    pub(crate) fn rejects(&self) -> bool {
        constant!(rejects) != 0
    }

    /// What has to be added to the time since boot to have the time since the Unix epoch, in ns.
    #[inline(always)]
    fn epoch(&self) -> u64 {
        // SAFETY: a static of that type, backed by a map that the daemon writes.
        unsafe { core::ptr::read_volatile(&raw const NOTES.epoch) }
    }

    /// Now, in nanoseconds since the Unix epoch; alone, it stands still.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        if self.alone() {
            return self.epoch();
        }
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() }.wrapping_add(self.epoch())
    }

    /// Malformed packets pass.
    #[inline(always)]
    pub fn malformed_passes(&self) -> bool {
        constant!(malformed_pass) != 0
    }
}

/// Notes that a driver gave no room for metadata.
#[inline(always)]
pub(crate) fn note_refused_metadata() {
    if !metadata_was_refused() {
        // SAFETY: a static of that type, backed by a map; a race writes the same value.
        unsafe { core::ptr::write_volatile(&raw mut NOTES.metadata_refused, 1) };
    }
}

/// Whether some driver gave no room for metadata.
#[inline(always)]
pub(crate) fn metadata_was_refused() -> bool {
    // SAFETY: a static of that type, backed by a map.
    unsafe { core::ptr::read_volatile(&raw const NOTES.metadata_refused) != 0 }
}

/// Notes what became of this packet, for the test run that sent it.
#[inline(always)]
pub(crate) fn note(outcome: &Outcome) {
    // SAFETY: a static of that type, backed by a map.
    unsafe { core::ptr::write_volatile(&raw mut NOTES.last_slot, outcome.slot) };
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(&raw mut NOTES.last_verdict, outcome.verdict as u32) };
}

#[inline(always)]
fn roots_v6() -> RootsV6 {
    RootsV6 { global: constant!(root_v6), other: constant!(other_v6), divided: constant!(divided_v6) }
}

/// Look-ups in tables in parts, in functions of their own: each read of theirs is a call, for which the compiler would keep
/// registers free on the way that all others take. Kernels before 6.8 verify them also where nothing calls them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn in_parts_v4(address: u32) -> u32 {
    if constant!(parts) == 0 {
        return 0;
    }
    table::class_v4(&Table::v4(Some(&PARTS_V4)), constant!(root_v4), address)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn in_parts_v6(high: u64, low: u64) -> u32 {
    if constant!(parts) == 0 {
        return 0;
    }
    table::class_v6(&Table::v6(Some(&PARTS_V6)), &roots_v6(), high, low)
}

/// What few addresses need, in functions of their own: the verifier looks at each once, however many ways lead there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn explore_v4(entry: u32, key: u64) -> u32 {
    if constant!(parts) != 0 {
        return table::explore::<_, 4>(&Table::v4(Some(&PARTS_V4)), entry, key, 0);
    }
    table::explore::<_, 4>(&Table::v4(None), entry, key, 0)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn explore_v6(entry: u32, high: u64, low: u64) -> u32 {
    if constant!(parts) != 0 {
        return table::explore::<_, 8>(&Table::v6(Some(&PARTS_V6)), entry, high, low);
    }
    table::explore::<_, 8>(&Table::v6(None), entry, high, low)
}

/// A table image: behind a static, or in parts.
struct Table {
    /// The static. Where the image is in parts, a short map stands behind it, which is as good as the image's beginning.
    start: *const u8,
    /// The parts; known where this is made, so that nothing asks for them in a whole image's way.
    parts: Option<&'static Array<Part>>,
    /// The last byte offset at which a read may start.
    limit: u32,
}

impl Table {
    #[inline(always)]
    fn v4(parts: Option<&'static Array<Part>>) -> Self {
        Self { start: (&raw const TABLE_V4).cast(), parts, limit: constant!(limit_v4) }
    }

    #[inline(always)]
    fn v6(parts: Option<&'static Array<Part>>) -> Self {
        Self { start: (&raw const TABLE_V6).cast(), parts, limit: constant!(limit_v6) }
    }
}

impl Image for Table {
    type Place = At;

    #[inline(always)]
    fn at(&self, at: u32) -> At {
        let at = if at > self.limit { 0 } else { at };
        let Some(parts) = self.parts else {
            // SAFETY: at most the limit, after which the image goes on for longer than any list is.
            return At(unsafe { self.start.add(at as usize) });
        };
        let Some(part) = parts.get_ptr(at / TABLE_PART) else { return At(self.start) };
        let within = at % TABLE_PART;
        let within = if within > TABLE_PART - TABLE_PAD { 0 } else { within };
        // SAFETY: at least the padding's length before the part's end.
        At(unsafe { part.cast::<u8>().add(within as usize) })
    }

    #[inline(always)]
    fn wide(&self) -> bool {
        constant!(wide) != 0
    }

    #[inline(always)]
    fn explore_v4(&self, entry: u32, key: u64) -> u32 {
        explore_v4(entry, key)
    }

    #[inline(always)]
    fn explore_v6(&self, entry: u32, high: u64, low: u64) -> u32 {
        explore_v6(entry, high, low)
    }
}

/// A place in an image.
struct At(*const u8);

impl At {
    #[inline(always)]
    fn load<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: offsets stay within the image's padding, see `Table::at`.
        let address = unsafe { self.0.add(offset as usize) };
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(address.cast::<T>()) }
    }
}

impl Place for At {
    #[inline(always)]
    fn u8(&self, offset: u32) -> u8 {
        self.load(offset)
    }

    #[inline(always)]
    fn u32(&self, offset: u32) -> u32 {
        self.load(offset)
    }

    #[inline(always)]
    fn u64(&self, offset: u32) -> u64 {
        self.load(offset)
    }
}
