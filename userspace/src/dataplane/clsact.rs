//! Filters of the qdisc clsact, by which programs for marks are attached before Linux 6.6.
//!
//! A filter has no link that could be pinned. It stays until somebody removes it, so whoever comes next finds it by its name.

use std::io;

use aya::programs::tc::TcHandle;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NlasIterator,
};
use netlink_packet_route::{RouteNetlinkMessage, tc::TcMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use octroi_abi::name;

/// The parent of what sees packets that come in: TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS) in include/uapi/linux/pkt_sched.h.
const INGRESS: u32 = 0xffff_fff2;
/// Filters that see every packet, as aya attaches them.
const ETH_P_ALL: u16 = 3;
/// struct tcmsg.
const HEADER: usize = 20;

/// Where a filter is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) priority: u16,
    pub(super) handle: TcHandle,
}

/// Where octroi's filters are on that interface: one, or none.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn find(index: u32) -> io::Result<Vec<Place>> {
    let message = RouteNetlinkMessage::GetTrafficFilter(message(index, None)?);
    let mut found = Vec::new();
    exchange(message, NLM_F_DUMP, |kind, content| {
        if kind == libc::RTM_NEWTFILTER {
            found.extend(ours(content));
        }
    })?;
    Ok(found)
}

/// Removes octroi's filters from that interface.
///
/// # Errors
/// When the kernel does not tell which there are, or keeps one.
pub(super) fn remove(index: u32) -> io::Result<()> {
    for place in find(index)? {
        let message = RouteNetlinkMessage::DelTrafficFilter(message(index, Some(place))?);
        exchange(message, NLM_F_ACK, |_, _| {})?;
    }
    Ok(())
}

fn message(index: u32, place: Option<Place>) -> io::Result<TcMessage> {
    let mut message = TcMessage::with_index(i32::try_from(index).map_err(io::Error::other)?);
    message.header.parent = INGRESS.into();
    if let Some(Place { priority, handle }) = place {
        message.header.handle = u32::from(handle).into();
        message.header.info = u32::from(priority) << 16 | u32::from(ETH_P_ALL.to_be());
    }
    Ok(message)
}

/// Where a filter is that the kernel describes, if it is octroi's. Others may have anything in them.
fn ours(content: &[u8]) -> Option<Place> {
    // include/uapi/linux/rtnetlink.h, include/uapi/linux/pkt_cls.h.
    const TCA_KIND: u16 = 1;
    const TCA_OPTIONS: u16 = 2;
    const TCA_BPF_NAME: u16 = 7;
    let (header, attributes) = content.split_at_checked(HEADER)?;
    let number = |at: usize| Some(u32::from_ne_bytes(header.get(at..at + 4)?.try_into().ok()?));
    let options = attribute(attributes, TCA_OPTIONS)?;
    let named = |wanted: &str, bytes: &[u8]| bytes.strip_suffix(&[0]) == Some(wanted.as_bytes());
    let ours = named("bpf", attribute(attributes, TCA_KIND)?)
        && named(name::TC_PROGRAM, attribute(options, TCA_BPF_NAME)?);
    let priority = u16::try_from(number(16)? >> 16).ok()?;
    ours.then_some(Place { priority, handle: number(8)?.into() })
}

/// The value of the first attribute of that kind.
fn attribute(attributes: &[u8], kind: u16) -> Option<&[u8]> {
    let mut all = NlasIterator::new(attributes).map_while(Result::ok);
    let found = all.find(|attribute| attribute.kind() == kind)?;
    // Its own header is before it, what follows behind.
    let end = usize::from(found.length());
    found.into_inner().get(4..end)
}

/// Asks the kernel, and reads all that it answers: types of messages and what is in them.
fn exchange(message: RouteNetlinkMessage, flags: u16, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    loop {
        let (reply, _) = socket.recv_from_full()?;
        let mut rest = reply.as_slice();
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?;
            let content = message.payload();
            match message.message_type() {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let number =
                        content.first_chunk().map_or(-libc::EPROTO, |bytes| i32::from_ne_bytes(*bytes));
                    return if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-number)) };
                }
                kind => each(kind, content),
            }
            let length = (message.length() as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}
