//! Network interfaces of this network namespace, and what XDP program the kernel says each of them runs.

use std::{fmt, io};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkLayerType, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::{AsyncSocket, AsyncSocketExt, Socket, SocketAddr, TokioSocket, protocols::NETLINK_ROUTE};

/// How a program is attached, as the kernel reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// In the driver, before the kernel allocates anything for the packet.
    Native,
    /// In the network stack, for drivers without XDP.
    Generic,
    /// On the network card.
    Offloaded,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        })
    }
}

/// An XDP program on an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attached {
    /// How.
    pub mode: Mode,
    /// The program's id.
    pub program: u32,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its packets begin with an Ethernet header.
    pub ethernet: bool,
    /// The XDP program on it.
    pub xdp: Option<Attached>,
}

/// All interfaces of this network namespace.
///
/// # Errors
/// When the kernel does not answer, or interfaces change too fast to be listed.
pub fn list() -> io::Result<Vec<Interface>> {
    const ATTEMPTS: u32 = 10;
    for _ in 0..ATTEMPTS {
        if let Some(interfaces) = try_list()? {
            return Ok(interfaces);
        }
    }
    Err(io::Error::other(format!("interfaces changed while they were listed, {ATTEMPTS} times over")))
}

/// The names of all of them.
///
/// # Errors
/// As [`list`].
pub fn names() -> io::Result<Vec<String>> {
    Ok(list()?.into_iter().map(|interface| interface.name).collect())
}

/// `None` where interfaces changed meanwhile, so that the list may lack some.
fn try_list() -> io::Result<Option<Vec<Interface>>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut request = NetlinkMessage::new(
        header,
        NetlinkPayload::from(RouteNetlinkMessage::GetLink(LinkMessage::default())),
    );
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    socket.send(&bytes, 0)?;

    let mut interfaces = Vec::new();
    let mut interrupted = false;
    loop {
        let (reply, _) = socket.recv_from_full()?;
        let mut rest = reply.as_slice();
        while !rest.is_empty() {
            let message =
                NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok((!interrupted).then_some(interfaces)),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    interfaces.push(interface(&link))
                }
                _ => {}
            }
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

fn interface(link: &LinkMessage) -> Interface {
    let ethernet = link.header.link_layer_type == LinkLayerType::Ether;
    let mut found = Interface { index: link.header.index, name: String::new(), mtu: 0, ethernet, xdp: None };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => found.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::Xdp(xdp) => found.xdp = attached(xdp),
            _ => {}
        }
    }
    found
}

fn attached(xdp: &[LinkXdp]) -> Option<Attached> {
    let mode = xdp.iter().find_map(|part| match part {
        LinkXdp::Attached(XdpAttached::Driver | XdpAttached::Multiple) => Some(Mode::Native),
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(Mode::Generic),
        LinkXdp::Attached(XdpAttached::Hardware) => Some(Mode::Offloaded),
        _ => None,
    })?;
    // Where programs are attached in several modes, the one in the driver comes first.
    let program = xdp.iter().find_map(|part| match (mode, part) {
        (Mode::Native, LinkXdp::DrvProgId(id)) | (_, LinkXdp::ProgId(id)) => Some(*id),
        _ => None,
    })?;
    Some(Attached { mode, program })
}

/// Tells when interfaces appear, vanish, or change.
pub struct Changes {
    socket: TokioSocket,
}

impl Changes {
    /// Starts listening.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn listen() -> io::Result<Self> {
        const RTNLGRP_LINK: u32 = 1;
        let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 1 << (RTNLGRP_LINK - 1)))?;
        Ok(Self { socket })
    }

    /// Waits for a change. What changed is not looked at: whoever is told lists the interfaces anew, so a message that
    /// the kernel dropped for lack of room does no harm.
    pub async fn next(&mut self) {
        if let Err(error) = self.socket.recv_from_full().await
            && error.raw_os_error() != Some(libc::ENOBUFS)
        {
            tracing::warn!(%error, "listen for interface changes");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}
