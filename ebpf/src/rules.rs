//! Rules that ask the packet, the clock or this host's sockets: `octroi_gate::rules` in the kernel.
//!
//! Each function here is one that the verifier looks at once, and that no packet comes to whose class says all. Each reads the
//! packet again from its context: it is in the cache, and a pointer into it cannot be handed to such a function.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock, bpf_sock_tuple, xdp_md},
    helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use octroi_abi::{Class, Leased, MAX_SERVICES, Step, Verdict};
use octroi_gate::{
    connection::{Tuple, tuple},
    judge::Generation,
    packet::{self, Frame, Source},
    ramp::position,
    rules::{Asked, Choice, World, choose, some},
    service::{Carried, Fit},
    transport::transport,
};

use crate::{answer::answer, count, frame::Packet, generation::Loaded, leases, limit};

/// The loaded generation, as one packet at XDP meets it.
#[derive(Clone, Copy)]
pub struct AtXdp {
    /// Its context.
    pub ctx: *mut xdp_md,
    /// The frame's length in bytes; 0 where it is only probed: nothing is counted then, nothing taken, nothing answered.
    pub length: u64,
}

/// Where a packet's IP header is, and which: its offset in the lower 16 bits, above them 0 for IPv4 and 1 for IPv6. One number,
/// since a function takes five at most.
#[derive(Clone, Copy)]
pub(crate) struct Header(pub(crate) u32);

impl Header {
    #[inline(always)]
    const fn of(packet: &packet::Packet) -> Self {
        Self(
            (packet.header as u64 & 0xffff) as u32
                | (matches!(packet.source, Source::V6 { .. }) as u32) << 16,
        )
    }

    #[inline(always)]
    const fn family(self) -> u32 {
        self.0 >> 16
    }

    /// The packet again, without what its transport has to say.
    #[inline(always)]
    pub(crate) fn packet(self, frame: &Packet) -> Option<packet::Packet> {
        let header = (self.0 & 0xffff) as usize;
        let source = if self.family() == 0 {
            Source::V4(frame.be32(header + 12)?)
        } else {
            let (high, low) = frame.be128(header + 8)?;
            Source::V6 { high, low }
        };
        Some(packet::Packet { source, header, protocol: None, destination_port: None })
    }
}

/// The same at tc, for a packet that XDP let through.
#[derive(Clone, Copy)]
pub(crate) struct AtTc {
    pub(crate) ctx: *mut __sk_buff,
}

/// What both have in common.
macro_rules! generation {
    ($place:ty) => {
        impl Generation for $place {
            #[inline(always)]
            fn class_v4(&self, address: u32) -> u32 {
                Loaded.class_v4(address)
            }

            #[inline(always)]
            fn class_v6(&self, high: u64, low: u64) -> u32 {
                Loaded.class_v6(high, low)
            }

            #[inline(always)]
            fn class(&self, number: u32) -> Class {
                Loaded.class(number)
            }

            #[inline(always)]
            fn step(&self, number: u32) -> Step {
                Loaded.step(number)
            }

            #[inline(always)]
            fn choose(&self, packet: &packet::Packet, class: &Class) -> Choice {
                let walk = Walk { place: *self, header: Header::of(packet) };
                choose(&walk, class.slot, class.detail, class.dscp)
            }

            #[inline(always)]
            fn connected(&self, packet: &packet::Packet) -> bool {
                self.belongs(Header::of(packet))
            }

            #[inline(always)]
            fn has_leases(&self) -> bool {
                Loaded.has_leases()
            }

            #[inline(always)]
            fn lease(&self, packet: &packet::Packet) -> Option<Verdict> {
                leases::verdict(self.lease_number(Header::of(packet)))
            }

            #[inline(always)]
            fn leased(&self, number: u32) -> Leased {
                Loaded.leased(number)
            }

            #[inline(always)]
            fn malformed_passes(&self) -> bool {
                Loaded.malformed_passes()
            }
        }
    };
}

generation!(AtXdp);
generation!(AtTc);

impl AtXdp {
    #[inline(always)]
    fn length(&self) -> u64 {
        self.length
    }

    #[inline(always)]
    fn counts(&self) -> bool {
        self.length != 0
    }

    /// A packet that is only probed is over every limit, as `octroi explain` has it.
    #[inline(always)]
    fn admits(&self, limit: u32, header: Header) -> bool {
        self.counts() && (Loaded.alone() || admits(self.ctx, limit, header.0) != 0)
    }

    /// A packet that is only probed would be answered.
    #[inline(always)]
    fn answers(&self, header: Header) -> bool {
        !self.counts() || Loaded.rejects() && answer(self.ctx, header.0, self.length) != 0
    }

    #[inline(always)]
    fn observed(&self, slot: u32) {
        if self.counts() {
            count_in(slot, self.length);
        }
    }

    #[inline(always)]
    fn lease_number(&self, header: Header) -> u32 {
        lease_at_xdp(self.ctx, header.0)
    }

    #[inline(always)]
    fn belongs(&self, header: Header) -> bool {
        connected(self.ctx, header.0) != 0
    }

    #[inline(always)]
    pub(crate) fn packet(&self) -> Packet {
        // SAFETY: the context that the kernel gave us.
        unsafe { Packet::new((*self.ctx).data as usize, (*self.ctx).data_end as usize) }
    }
}

impl AtTc {
    /// Not asked for here.
    #[inline(always)]
    fn length(&self) -> u64 {
        0
    }

    /// XDP let it through, so it was within its rate.
    #[inline(always)]
    fn admits(&self, _limit: u32, _: Header) -> bool {
        true
    }

    /// XDP let it through, so it was not rejected.
    #[inline(always)]
    fn answers(&self, _: Header) -> bool {
        false
    }

    /// XDP has counted it.
    #[inline(always)]
    fn observed(&self, _slot: u32) {}

    #[inline(always)]
    fn lease_number(&self, header: Header) -> u32 {
        lease_at_tc(self.ctx, header.0)
    }

    /// XDP let the packet through, so it did wherever that was asked.
    #[inline(always)]
    fn belongs(&self, _: Header) -> bool {
        true
    }

    #[inline(always)]
    pub(crate) fn packet(&self) -> Packet {
        // SAFETY: the context that the kernel gave us.
        unsafe { Packet::new((*self.ctx).data as usize, (*self.ctx).data_end as usize) }
    }
}

/// One packet's way through the steps of its class.
struct Walk<P> {
    place: P,
    header: Header,
}

/// What both places have in common, and what they have not.
macro_rules! world {
    ($place:ty, $carried:ident, $source_place:ident, $some:ident) => {
        impl World for Walk<$place> {
            #[inline(always)]
            fn step(&self, number: u32) -> Step {
                Loaded.step(number)
            }

            #[inline(always)]
            fn carried(&self) -> Carried {
                Carried($carried(self.place.ctx, self.header.0))
            }

            #[inline(always)]
            fn place(&self) -> u32 {
                $source_place(self.place.ctx, self.header.0)
            }

            #[inline(always)]
            fn fits(&self, first: u32, count: u32, carried: Carried) -> Fit {
                match services_fit(first, count, carried.0) {
                    0 => Fit::No,
                    1 => Fit::Unknown,
                    _ => Fit::Yes,
                }
            }

            #[inline(always)]
            fn now(&self) -> u64 {
                Loaded.now()
            }

            #[inline(always)]
            fn connected(&self) -> bool {
                self.place.belongs(self.header)
            }

            #[inline(always)]
            fn observe(&self, slot: u32) {
                self.place.observed(slot + self.header.family());
            }

            #[inline(always)]
            fn admits(&self, limit: u32) -> bool {
                self.place.admits(limit, self.header)
            }

            #[inline(always)]
            fn some(&self, first: u32, count: u32, asked: Asked) -> Option<Choice> {
                let carried = asked.carried.0 as u64 | (asked.place as u64) << 32;
                let packed = $some(
                    self.place.ctx,
                    first as u64 | (count as u64) << 32,
                    carried,
                    asked.now,
                    self.place.length() | (self.header.0 as u64) << 32,
                );
                if packed == NONE { None } else { Some(Choice::unpack(packed)) }
            }

            #[inline(always)]
            fn answers(&self) -> bool {
                self.place.answers(self.header)
            }
        }
    };
}

world!(AtXdp, carried_at_xdp, place_at_xdp, some_at_xdp);
world!(AtTc, carried_at_tc, place_at_tc, some_at_tc);

/// A function of each place, which differ in the type of their context only.
macro_rules! at {
    ($place:expr, $ctx:ty, $carried:ident, $source_place:ident, $some:ident, $lease:ident) => {
        /// Which step of a class decides, of those that are gone through at once: [`Choice::pack`], or [`NONE`]. Two numbers in
        /// each argument, the first in the lower 32 bits: number of the first step and how many there are; what the packet
        /// carries and its source's place; the time alone; the frame's length and [`Header`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $some(ctx: *mut $ctx, steps: u64, packet: u64, now: u64, frame: u64) -> u64 {
            keep(ctx as u64);
            keep(frame);
            let (first, count) = halves(steps);
            let (carried, place) = halves(packet);
            let (length, header) = halves(frame);
            let walk = Walk { place: $place(ctx, length as u64), header: Header(header) };
            match some(&walk, first, count, Asked { now, place, carried: Carried(carried) }) {
                Some(choice) => choice.pack(),
                None => NONE,
            }
        }

        /// What a packet carries, as a number.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $carried(ctx: *mut $ctx, header: u32) -> u32 {
            let frame = $place(ctx, 0).packet();
            match Header(header).packet(&frame) {
                Some(packet) => Carried::of(&transport(&frame, &packet)).0,
                None => 0,
            }
        }

        /// The place of its source in all ramps.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $source_place(ctx: *mut $ctx, header: u32) -> u32 {
            match Header(header).packet(&$place(ctx, 0).packet()) {
                Some(packet) => position(packet.source),
                None => 0,
            }
        }

        /// What the leases say of its source, as a number.
        #[unsafe(no_mangle)]
        #[inline(never)]
        extern "C" fn $lease(ctx: *mut $ctx, header: u32) -> u32 {
            match Header(header).packet(&$place(ctx, 0).packet()) {
                Some(packet) => leases::number(packet.source),
                None => leases::NONE,
            }
        }
    };
}

at!(|ctx, length| AtXdp { ctx, length }, xdp_md, carried_at_xdp, place_at_xdp, some_at_xdp, lease_at_xdp);
at!(|ctx, _| AtTc { ctx }, __sk_buff, carried_at_tc, place_at_tc, some_at_tc, lease_at_tc);

/// No step decided.
const NONE: u64 = u64::MAX;

/// Keeps the compiler from leaving out an argument that a function does not use: the verifier knows what it was declared with.
#[inline(always)]
fn keep(argument: u64) {
    // SAFETY: moves a register to itself.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) argument => _, options(nomem, nostack)) };
}

/// Lower and upper half.
#[inline(always)]
const fn halves(both: u64) -> (u32, u32) {
    ((both & 0xffff_ffff) as u32, (both >> 32) as u32)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn count_in(slot: u32, length: u64) -> u32 {
    count(slot, length);
    0
}

/// 1 where a packet is within the limit of that number; else 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn admits(ctx: *mut xdp_md, limit: u32, header: u32) -> u32 {
    let header = Header(header);
    let source = match header.packet(&AtXdp { ctx, length: 0 }.packet()).map(|packet| packet.source) {
        Some(Source::V4(address)) => address as u64,
        Some(Source::V6 { high, .. }) => high,
        None => return 0,
    };
    limit::admits(limit, source, header.family()) as u32
}

/// What a packet says of services, as a number: 0 no, 1 unknown, 2 yes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn services_fit(first: u32, count: u32, carried: u32) -> u32 {
    let mut found = 0;
    for offset in 0..MAX_SERVICES {
        if offset >= count {
            break;
        }
        let Some(service) = Loaded.service(first.wrapping_add(offset)) else { break };
        let fit = service.fits(Carried(carried)) as u32;
        if fit > found {
            found = fit;
        }
    }
    found
}

/// 1 where the packet belongs to a connection that exists on this host, in the namespace of its interface; else 0.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn connected(ctx: *mut xdp_md, header: u32) -> u32 {
    if Loaded.alone() {
        return 0;
    }
    let frame = AtXdp { ctx, length: 0 }.packet();
    let Some(packet) = Header(header).packet(&frame) else { return 0 };
    let Some(tuple) = tuple(&frame, &packet, &transport(&frame, &packet)) else { return 0 };
    let mut words = [0u32; 9];
    // SAFETY: the helpers take as many bytes of it as they are told, which are 12 or 36.
    let state = unsafe { state(ctx, &tuple, &mut words) };
    is_connection(tuple.tcp, state) as u32
}

/// The state of the socket for that tuple; 0 where there is none.
#[inline(always)]
unsafe fn state(ctx: *mut xdp_md, tuple: &Tuple, words: &mut [u32; 9]) -> u32 {
    /// The namespace of the packet's interface.
    const CURRENT: u64 = u64::MAX;
    let ports = (tuple.ports.source.to_be() as u32) | (tuple.ports.destination.to_be() as u32) << 16;
    let size = match (tuple.source, tuple.destination) {
        (Source::V4(source), Source::V4(destination)) => {
            (words[0], words[1], words[2]) = (source.to_be(), destination.to_be(), ports);
            12
        }
        (Source::V6 { high, low }, Source::V6 { high: to_high, low: to_low }) => {
            let halves = [high, low, to_high, to_low];
            for (at, half) in halves.into_iter().enumerate() {
                words[2 * at] = ((half >> 32) as u32).to_be();
                words[2 * at + 1] = ((half & 0xffff_ffff) as u32).to_be();
            }
            words[8] = ports;
            36
        }
        _ => return 0,
    };
    let address = words.as_mut_ptr().cast::<bpf_sock_tuple>();
    let ctx = ctx.cast();
    if tuple.tcp {
        // SAFETY: the context that the kernel gave us, and `size` bytes of the tuple.
        let socket = unsafe { bpf_skc_lookup_tcp(ctx, address, size, CURRENT, 0) };
        // SAFETY: the socket that it gave, or none.
        return unsafe { released(socket) };
    }
    // SAFETY: as above.
    let socket = unsafe { bpf_sk_lookup_udp(ctx, address, size, CURRENT, 0) };
    // SAFETY: as above.
    let state = unsafe { released(socket) };
    // To the verifier these sockets are another type, and no instruction may read from either.
    keep(state as u64);
    state
}

/// The state of a socket, which is given back; 0 where it is none.
#[inline(always)]
unsafe fn released(socket: *mut bpf_sock) -> u32 {
    if socket.is_null() {
        return 0;
    }
    // SAFETY: not null, compared above; it is ours until it is released.
    let state = unsafe { core::ptr::read_volatile(&raw const (*socket).state) };
    // SAFETY: as above.
    unsafe { bpf_sk_release(socket.cast()) };
    state
}

/// Whether a socket in that state (include/net/tcp_states.h) is a connection. A listener is not, nor what a SYN alone has made
/// of one. One that this host has closed is (TIME_WAIT, which also stands for one whose other side has not closed yet), so that
/// the other side's end gets its answer. A UDP socket is one where it is connected, which is then its state as well.
#[inline(always)]
const fn is_connection(tcp: bool, state: u32) -> bool {
    const ESTABLISHED: u32 = 1;
    const SYN_RECV: u32 = 3;
    const CLOSE: u32 = 7;
    const LISTEN: u32 = 10;
    const NEW_SYN_RECV: u32 = 12;
    if !tcp {
        return state == ESTABLISHED;
    }
    !matches!(state, 0 | SYN_RECV | CLOSE | LISTEN | NEW_SYN_RECV)
}
