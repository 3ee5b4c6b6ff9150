//! Capture files, written as tcpdump and Wireshark write them: link type Ethernet, little-endian. And read by tcpdump.

use std::process::Command;

use crate::command::{SHORT, run};

/// A packet in a capture: what was captured of it, and how long it was on the wire, in bytes.
#[derive(Clone, Debug)]
pub struct Captured {
    /// From the Ethernet header on.
    pub bytes: Vec<u8>,
    /// At least as long as what was captured.
    pub length: usize,
}

impl Captured {
    /// A packet that was captured whole.
    pub fn whole(frame: &[u8]) -> Captured {
        Captured { bytes: frame.to_vec(), length: frame.len() }
    }

    /// What a capture with that snap length keeps of a packet.
    pub fn snapped(frame: &[u8], snap_length: usize) -> Captured {
        Captured { bytes: frame[..frame.len().min(snap_length)].to_vec(), length: frame.len() }
    }
}

/// Ethernet (LINKTYPE_ETHERNET).
const ETHERNET: u16 = 1;

/// A file of the old format (pcap, microseconds).
pub fn pcap(packets: &[Captured]) -> Vec<u8> {
    let mut file = Vec::new();
    let words =
        |file: &mut Vec<u8>, words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // Magic, version 2.4, time zone, accuracy, snap length, link type.
    words(&mut file, &[0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 262_144, ETHERNET.into()]);
    for Captured { bytes, length } in packets {
        words(&mut file, &[1_750_000_000, 0, number(bytes.len()), number(*length)]);
        file.extend(bytes);
    }
    file
}

/// A file of the new format (pcapng) with two interfaces, whose packets come from them in turn.
pub fn pcapng(packets: &[Captured]) -> Vec<u8> {
    let mut file = [section(), interface(0), interface(0)].concat();
    for (index, Captured { bytes, length }) in packets.iter().enumerate() {
        let head = [number(index % 2), 0, 0, number(bytes.len()), number(*length)];
        let head: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        file.extend(block(6, &[head, bytes.clone()].concat()));
    }
    file
}

/// The same of simple packet blocks, which leave the captured length to the interface's snap length.
pub fn pcapng_of_simple_packets(snap_length: usize, frames: &[&[u8]]) -> Vec<u8> {
    let mut file = [section(), interface(number(snap_length))].concat();
    for frame in frames {
        let kept = &frame[..frame.len().min(snap_length)];
        file.extend(block(3, &[&number(frame.len()).to_le_bytes()[..], kept].concat()));
    }
    file
}

/// What tcpdump, very verbosely, says of each frame, with its Ethernet header.
///
/// # Panics
/// Where it cannot be run.
#[track_caller]
pub fn decoded(frames: &[Vec<u8>]) -> Vec<String> {
    let directory = tempfile::tempdir().expect("make a temporary directory");
    let path = directory.path().join("frames.pcap");
    let packets: Vec<Captured> = frames.iter().map(|frame| Captured::whole(frame)).collect();
    std::fs::write(&path, pcap(&packets)).expect("write into a directory of ours");
    let mut command = Command::new("tcpdump");
    // No names, no times. Not as another user, who could not read the file.
    command.args(["-nevvt", "-Z", "root", "-r"]).arg(&path);
    let mut texts: Vec<String> = Vec::new();
    for line in run(command, SHORT).success().lines() {
        match texts.last_mut() {
            // What it says further of a packet is indented.
            Some(text) if line.starts_with([' ', '\t']) => *text += &format!(" {}", line.trim()),
            _ => texts.push(line.to_owned()),
        }
    }
    texts
}

/// Section header: byte order, version 1.0, length not given.
fn section() -> Vec<u8> {
    let order = 0x1a2b_3c4du32.to_le_bytes();
    block(0x0a0d_0d0a, &[&order[..], &[1, 0, 0, 0], &[0xff; 8]].concat())
}

/// Interface description; a snap length of 0 is none.
fn interface(snap_length: u32) -> Vec<u8> {
    let [low, high] = ETHERNET.to_le_bytes();
    block(1, &[&[low, high, 0, 0], &snap_length.to_le_bytes()[..]].concat())
}

/// A block: type, length, content padded to words of 4 bytes, length again.
fn block(kind: u32, content: &[u8]) -> Vec<u8> {
    let padded = content.len().next_multiple_of(4);
    let length = number(padded + 12).to_le_bytes();
    let padding = vec![0; padded - content.len()];
    [&kind.to_le_bytes()[..], &length, content, &padding, &length].concat()
}

fn number(number: usize) -> u32 {
    u32::try_from(number).expect("captures of tests are small")
}
