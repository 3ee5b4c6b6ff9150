//! What the kernel side and the daemon agree on: layouts, names, version. No logic.
//!
//! Every structure is shared through a BPF map, so it is `repr(C)`, in the host's byte order, without implicit
//! padding, and its size is asserted. Whoever changes one raises [`ABI_VERSION`].
#![no_std]

pub mod bench;

/// Version of everything in this crate. It is part of the directory that holds octroi's pins, so that programs and
/// maps of different versions never meet.
pub const ABI_VERSION: u32 = 4;

/// Names of programs, maps and constants inside the eBPF object. The kernel shows the first 15 characters.
pub mod name {
    /// The XDP program.
    pub const XDP_PROGRAM: &str = "octroi";
    /// The XDP program for drivers that need fragments support because of a large MTU.
    pub const XDP_FRAGS_PROGRAM: &str = "octroi_frags";
    /// The XDP program that notes how a frame would be judged: for test runs, attached to nothing.
    pub const XDP_PROBE_PROGRAM: &str = "octroi_probe";
    /// The tc program that turns the mark carried in metadata into the skb's mark.
    pub const TC_PROGRAM: &str = "octroi_mark";
    /// Per-CPU array of [`Counter`](super::Counter), indexed by slot; outlives generations.
    pub const COUNTERS: &str = "COUNTERS";
    /// The table image of IPv4 (format: `octroi_gate::table`); one of each generation.
    pub const TABLE_V4: &str = ".bss.table_v4";
    /// The table image of IPv6.
    pub const TABLE_V6: &str = ".bss.table_v6";
    /// The table image of IPv4 in parts of [`TABLE_PART`](super::TABLE_PART) bytes, for kernels that have no map value as
    /// large as the image.
    pub const PARTS_V4: &str = "PARTS_V4";
    /// The same for IPv6.
    pub const PARTS_V6: &str = "PARTS_V6";
    /// Array of [`Class`](super::Class), indexed by class number; one of each generation.
    pub const CLASSES: &str = ".bss.classes";
    /// Array of [`Step`](super::Step); one of each generation.
    pub const STEPS: &str = ".bss.steps";
    /// Array of `octroi_gate::service::Service`; one of each generation.
    pub const SERVICES: &str = ".bss.services";
    /// Array of [`Limit`](super::Limit); one of each generation.
    pub const LIMITS: &str = ".bss.limits";
    /// LRU hash of [`Bucket`](super::Bucket) to the bucket's word; one of each generation.
    pub const BUCKETS: &str = "BUCKETS";
    /// Array of [`Leased`](super::Leased), indexed by class number; one of each generation.
    pub const LEASED: &str = ".bss.leased";
    /// LPM trie of [`Lease`](super::Lease) by IPv4 prefix, at most [`MAX_LEASES`](super::MAX_LEASES); outlives generations.
    pub const LEASES_V4: &str = "LEASES_V4";
    /// The same by IPv6 prefix.
    pub const LEASES_V6: &str = "LEASES_V6";
    /// One [`Notes`](super::Notes); one of each generation.
    pub const NOTES: &str = ".bss.notes";
    /// The frozen constants of a generation: one [`Constants`](super::Constants).
    pub const CONSTANTS: &str = "CONSTANTS";
}

/// What a packet met. The numbers are those of [`Class::verdict`].
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Verdict {
    /// The packet goes on unchanged.
    Pass = 0,
    /// The packet ends here.
    Drop = 1,
    /// The packet goes on with a mark, a DSCP, or both.
    Tag = 2,
    /// The packet ends here, and its sender is told.
    Reject = 3,
    /// The packet was over its rate, and ends here.
    Limit = 4,
}

impl Verdict {
    /// All verdicts, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Pass, Self::Drop, Self::Tag, Self::Reject, Self::Limit];

    /// The word that metrics, events and `--json` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
            Self::Tag => "tag",
            Self::Reject => "reject",
            Self::Limit => "limit",
        }
    }
}

/// [`Class::dscp`] of a class whose packets keep their DSCP.
pub const DSCP_KEEP: u8 = 0xff;

/// [`Class::verdict`] of a class whose packets are judged one by one, by its steps.
pub const STEPS: u8 = 0xfe;

/// What happens to the packets of one class.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Class {
    /// Where IPv4 packets of this class are counted; IPv6 packets are counted in the slot after it. With [`STEPS`]: the
    /// number of its first step.
    pub slot: u32,
    /// For [`Verdict::Tag`]: the skb mark; 0: leave the mark alone. For [`Verdict::Drop`]: the slot of packets that go on
    /// because they belong to a connection of this host; 0: nobody asks whether they do. With [`STEPS`]: how many it has.
    pub detail: u32,
    /// [`Verdict::Pass`], [`Verdict::Drop`] or [`Verdict::Tag`] as its number, or [`STEPS`]; the kernel side takes any other
    /// number for a drop.
    pub verdict: u8,
    /// DSCP (0..=63) for [`Verdict::Tag`], or [`DSCP_KEEP`]. With [`STEPS`]: what they ask for, see [`asks`].
    pub dscp: u8,
    /// Always 0.
    pub _pad: [u8; 2],
}

/// What the steps of a class ask for, as bits: it is found out once for all of them.
pub mod asks {
    /// The time.
    pub const TIME: u8 = 1;
    /// The source's place in ramps.
    pub const PLACE: u8 = 2;
    /// What the packet carries.
    pub const SERVICE: u8 = 4;
}

/// One rule, as far as the packets of one class are concerned: looked at one after the other until one decides.
///
/// Slots are those of IPv4 packets; IPv6 packets are counted in the slot after each. 0 stands for none.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Step {
    /// Nanoseconds since the Unix epoch before which the rule only observes; 0: it has always decided.
    pub from: u64,
    /// From `from` on, nanoseconds for each hundredth of a percent of sources that the rule grows by; 0: all at once.
    pub ramp: u64,
    /// Nanoseconds since the Unix epoch from which on the rule is gone; 0: never.
    pub until: u64,
    /// Where packets are counted that the rule decided about.
    pub slot: u32,
    /// Where packets are counted that it only observed.
    pub observed: u32,
    /// Where packets are counted that go on because they belong to a connection of this host; 0: nobody asks.
    pub connected: u32,
    /// [`Verdict::Reject`]: where packets are counted that are dropped without an answer. [`Verdict::Limit`]: those within
    /// the rate, which go on.
    pub otherwise: u32,
    /// Number of the first of its services.
    pub service: u32,
    /// How many services it has; 0: it is about every packet.
    pub services: u32,
    /// [`Verdict::Tag`]: the skb mark, 0 for none. [`Verdict::Limit`]: the limit's number.
    pub detail: u32,
    /// A [`Verdict`] as its number; the kernel side takes any other number for a drop.
    pub verdict: u8,
    /// DSCP (0..=63) for [`Verdict::Tag`], or [`DSCP_KEEP`].
    pub dscp: u8,
    /// 1: it never decides.
    pub observes: u8,
    /// Always 0.
    pub _pad: [u8; 9],
}

/// A rate, and where it is for all together its bucket. Number 0 is that of answers to rejected packets.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Limit {
    /// Packets a second.
    pub rate: u32,
    /// Packets at once.
    pub burst: u32,
    /// 1: each source has a bucket of its own; 0: all share one.
    pub per_source: u32,
    /// Always 0.
    pub _pad: u32,
    /// The shared bucket's word (`octroi_gate::bucket`), which begins as 0 and which the kernel side writes.
    pub word: u64,
}

/// Whose bucket it is.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// The IPv4 address, or the upper 64 bits of the IPv6 address: who has a /64 has all addresses in it.
    pub source: u64,
    /// The limit's number.
    pub limit: u32,
    /// 0 for IPv4, 1 for IPv6.
    pub family: u32,
}

/// How many sources have a bucket at a time, over all limits: the kernel forgets those that came longest ago. 8 MiB or so.
pub const BUCKETS: u32 = 1 << 16;

/// How many steps a class can have.
pub const MAX_STEPS: u32 = 1024;
/// How many there can be over all classes, 64 MiB of them. A process that loads the object has address space for as many,
/// whatever the policy: with 16 times that, no machine of 1 GiB could.
pub const STEPS_SPACE: u32 = 1 << 20;
/// How many of them the kernel side goes through in one function: the verifier goes through each by itself.
pub const STEPS_AT_ONCE: u32 = 32;
/// How many services a rule can name.
pub const MAX_SERVICES: u32 = 64;

/// What holds for the sources of one prefix for a while, before any rule.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lease {
    /// Nanoseconds since the Unix epoch from which on it is over.
    pub until: u64,
    /// [`Verdict::Pass`] or [`Verdict::Drop`] as its number; the kernel side takes any other number for a drop.
    pub verdict: u32,
    /// The prefix's length in bits: a lease that is over hides none with a shorter one.
    pub length: u32,
}

/// Where packets of one class are counted that a lease decides about: the slots of IPv4; IPv6 packets are counted in the slot
/// after each.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Leased {
    /// Those that pass.
    pub pass: u32,
    /// Those that are dropped.
    pub drop: u32,
}

/// How many leases each family can have.
pub const MAX_LEASES: u32 = 65_536;

/// One counter of one CPU.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Bytes of frames as XDP sees them: Ethernet header included, preamble and FCS not.
    pub bytes: u64,
}

/// Slots for frames that have no class. Slots from [`slot::FIRST_CLASS`] on come in pairs: IPv4, IPv6.
pub mod slot {
    /// ARP.
    pub const ARP: u32 = 0;
    /// Not IP, not ARP.
    pub const NON_IP: u32 = 1;
    /// IPv6 neighbour discovery, ICMPv6 133 to 137.
    pub const NEIGHBOUR_DISCOVERY: u32 = 2;
    /// Too short for its own headers, or behind more than two VLAN tags.
    pub const MALFORMED: u32 = 3;
    /// The first slot that a class may have.
    pub const FIRST_CLASS: u32 = 4;
    /// How many slots there are: 1 MiB a CPU.
    pub const COUNT: u32 = 65_536;
    /// How many slots there are in one element of the map, 4 KiB: the kernel allocates each element for each CPU by itself,
    /// which takes 40 ms for as many elements as slots.
    pub const BLOCK: u32 = 256;
}

/// A generation's constants, frozen before the program is verified, so that the verifier removes what they rule out.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Constants {
    /// Byte offset of the root's entries in the IPv4 image.
    pub root_v4: u32,
    /// The same in the IPv6 image, for 2000::/3.
    pub root_v6: u32,
    /// Entry where a look-up of any other IPv6 address starts.
    pub other_v6: u32,
    /// Entry where a look-up goes on in a /64 that is divided further.
    pub divided_v6: u32,
    /// 1: there are leaves whose classes have two bytes; 0: there are none.
    pub wide: u32,
    /// Last byte offset at which a read from the IPv4 image may start; the image goes on for [`TABLE_PAD`] bytes.
    pub limit_v4: u32,
    /// The same for the IPv6 image.
    pub limit_v6: u32,
    /// The highest class number.
    pub last_class: u32,
    /// How many steps there are.
    pub steps: u32,
    /// How many services there are.
    pub services: u32,
    /// How many limits there are.
    pub limits: u32,
    /// 1: some rule rejects.
    pub rejects: u32,
    /// 1: the images are in parts of [`TABLE_PART`] bytes; 0: each is one value.
    pub parts: u32,
    /// 1: malformed packets pass; 0: they are dropped.
    pub malformed_pass: u32,
    /// 1: some class has a mark, so that metadata is needed.
    pub marks: u32,
    /// 1: never try metadata; the tc program decides again (for drivers without metadata, and for tests).
    pub no_metadata: u32,
    /// 1: there are no sockets and no buckets, and the time stands still: no packet belongs to a connection, all are within
    /// their rates, and all come when [`Notes::epoch`] says (for `octroi replay`, whose packets are not this host's, and for
    /// tests).
    pub alone: u32,
    /// 1: note slot and verdict of the last packet in [`Notes`] (test runs only).
    pub trace: u32,
}

/// Bytes that follow the last offset at which a read may start: the longest list that one entry can name.
pub const TABLE_PAD: u32 = 32 * 8;

/// What a part of a table image has in bytes. Nothing that is read as one lies across its end or in its last
/// [`TABLE_PAD`] bytes. Kernels before 6.0 have no map value above 4 MiB.
pub const TABLE_PART: u32 = 2 << 20;

/// What the kernel side tells the daemon or its own tc program, other than counters, and what the daemon tells it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Notes {
    /// Not 0: a driver refused metadata, so that the tc program has to decide again.
    pub metadata_refused: u32,
    /// Slot of the last packet, where [`Constants::trace`] is set, and of the last one that was probed.
    pub last_slot: u32,
    /// Its verdict, as a [`Verdict`]'s number.
    pub last_verdict: u32,
    /// Written by the daemon: how many leases there are; while it is 0, nobody looks for one.
    pub leases: u32,
    /// Written by the daemon: what has to be added to the time since boot (ns, CLOCK_BOOTTIME) to have the time since the Unix
    /// epoch; wraps. With [`Constants::alone`]: the time since the Unix epoch.
    pub epoch: u64,
}

/// What XDP leaves in front of a tagged packet for the tc program.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// [`METADATA_MAGIC`].
    pub magic: u32,
    /// The skb mark.
    pub mark: u32,
}

/// Tells octroi's metadata from a driver's.
pub const METADATA_MAGIC: u32 = 0x6f63_7472;

const _: () = assert!(size_of::<Class>() == 12);
const _: () = assert!(size_of::<Counter>() == 16);
const _: () = assert!(size_of::<Step>() == 64);
const _: () = assert!(size_of::<Limit>() == 24);
const _: () = assert!(size_of::<Bucket>() == 16);
const _: () = assert!(size_of::<Lease>() == 16);
const _: () = assert!(size_of::<Leased>() == 8);
const _: () = assert!(size_of::<Constants>() == 72);
const _: () = assert!(size_of::<Notes>() == 24);
const _: () = assert!(size_of::<Metadata>() == 8);
