//! Packets of a capture file: pcap or pcapng, Ethernet.

use std::{collections::HashMap, fs::File, path::Path};

use anyhow::{Context, bail};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};

/// A captured packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captured<'a> {
    /// What was captured of it, from the Ethernet header on.
    pub(super) frame: &'a [u8],
    /// Its length on the wire, in bytes.
    pub(super) length: u64,
}

/// What a file says of the packets of one interface.
struct Interface {
    kind: Linktype,
    /// Bytes of a packet that were kept at most; 0 for all.
    snap_length: u32,
}

/// Room for one block; larger than the largest packet that Linux captures (256 KiB), with options.
const BUFFER: usize = 1 << 20;

/// Calls `each` for every packet, in order.
///
/// # Errors
/// When the file cannot be read, is damaged or cut short, or holds packets that are not Ethernet; or what `each`
/// returns.
pub(super) fn packets(
    path: &Path,
    mut each: impl FnMut(Captured<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("open the capture {name}"))?;
    if file.metadata().is_ok_and(|file| file.is_dir()) {
        bail!("open the capture {name}: it is a directory; name a file in it");
    }
    let mut reader = create_reader(BUFFER, file).map_err(|error| {
        anyhow::anyhow!(
            "read the capture {name}: {}; it has to be pcap or pcapng, as tcpdump -w writes it",
            text(&error)
        )
    })?;
    let mut interfaces: HashMap<u32, Interface> = HashMap::new();
    let mut number = 0u64;
    let mut grew = true;
    loop {
        match reader.next() {
            Ok((size, block)) => {
                grew = true;
                let packet = match &block {
                    PcapBlockOwned::LegacyHeader(header) => {
                        interfaces.insert(0, Interface { kind: header.network, snap_length: header.snaplen });
                        None
                    }
                    PcapBlockOwned::Legacy(packet) => {
                        Some((0, clip(packet.data, packet.caplen), packet.origlen))
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                        interfaces.clear();
                        None
                    }
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        let index = u32::try_from(interfaces.len())?;
                        let kind = interface.linktype;
                        interfaces.insert(index, Interface { kind, snap_length: interface.snaplen });
                        None
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        Some((packet.if_id, clip(packet.data, packet.caplen), packet.origlen))
                    }
                    PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
                        // It does not say how much was captured: as much as the interface lets, 0 for all.
                        let most = interfaces.get(&0).map_or(0, |interface| interface.snap_length);
                        let captured = packet.origlen.min(if most == 0 { u32::MAX } else { most });
                        Some((0, clip(packet.data, captured), packet.origlen))
                    }
                    PcapBlockOwned::NG(_) => None,
                };
                if let Some((interface, frame, length)) = packet {
                    number += 1;
                    match interfaces.get(&interface) {
                        Some(Interface { kind: Linktype::ETHERNET, .. }) => {
                            each(Captured { frame, length: length.into() })?
                        }
                        Some(other) => bail!(
                            "packet {number} of {name} has link type {}, and octroi judges Ethernet (1): capture on one interface, \
                             not on \"any\"",
                            other.kind.0
                        ),
                        None => bail!(
                            "packet {number} of {name} was captured on interface {interface}, which the file lacks"
                        ),
                    }
                }
                reader.consume(size);
            }
            Err(PcapError::Eof) => return Ok(()),
            Err(PcapError::Incomplete(_)) => {
                if !grew {
                    bail!("the capture {name} is cut short after packet {number}");
                }
                grew = false;
                let before = reader.data().len();
                reader
                    .refill()
                    .map_err(|error| anyhow::anyhow!("read the capture {name}: {}", text(&error)))?;
                grew |= reader.data().len() > before;
            }
            Err(error) => bail!("the capture {name} is damaged after packet {number}: {}", text(&error)),
        }
    }
}

/// The captured bytes without padding.
fn clip(data: &[u8], captured: u32) -> &[u8] {
    &data[..data.len().min(captured as usize)]
}

fn text<T: std::fmt::Debug>(error: &PcapError<T>) -> String {
    match error {
        PcapError::HeaderNotRecognized => "its first bytes are of neither pcap nor pcapng".into(),
        PcapError::UnexpectedEof => "it ends too early".into(),
        PcapError::BufferTooSmall => "a block is above 1 MiB".into(),
        PcapError::ReadError => "the system cannot read it".into(),
        _ => "a block is not as the format has it".into(),
    }
}
