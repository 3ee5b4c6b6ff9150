//! Any prefixes of both families: what the table says is the longest match, wherever it may change.
#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use octroi_gate::table;

#[path = "../../gate/src/table/oracle.rs"]
mod oracle;

use oracle::{Prefix, check};

fuzz_target!(|input: Input| check(&input.v4, &input.v6, input.classes, &input.others));

/// Beyond so many, the naive match takes longer than the table.
const MOST: usize = 256;

/// Few, since each costs time, and those at which an image becomes wide.
const CLASSES: [u16; 11] = [1, 2, 3, 4, 5, 6, 8, 20, 255, 256, 300];

/// Ends of what is looked up in different ways, and what they lie in.
const PLACES_V6: [u128; 8] = [
    0,
    1 << 125,
    (1 << 125) - 1,
    2 << 125,
    (2 << 125) - 1,
    u128::MAX,
    0x2001_0db8 << 96,
    (2 << 125) - (1 << 64),
];

#[derive(Debug)]
struct Input {
    classes: u16,
    v4: Vec<Prefix>,
    v6: Vec<Prefix>,
    others: Vec<u128>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let number: u8 = u.arbitrary()?;
        // Tables of very many classes take long to build: behind numbers that libFuzzer seldom comes to.
        let classes = match number {
            0x5a if u.arbitrary::<u8>()? == 0x5a => 65_535,
            0x5b => u.arbitrary::<u16>()? % 2048 + 1,
            0x5c => 254 + u16::from(u.arbitrary::<u8>()? & 3),
            _ => CLASSES[usize::from(number) % CLASSES.len()],
        };
        let mut random = u.arbitrary::<u16>()?.into();
        let mut input = Self { classes, v4: vec![], v6: vec![], others: vec![] };
        while !u.is_empty() && input.v4.len() + input.v6.len() < MOST {
            let kind: u8 = u.arbitrary()?;
            if kind < 0x80 {
                add(u, kind, 128, classes, &mut input.v6)?;
            } else {
                add(u, kind, 32, classes, &mut input.v4)?;
            }
        }
        for n in 0..16 {
            let any = u128::from(next(&mut random)) << 64 | u128::from(next(&mut random));
            // Half of them near a prefix.
            let near = input.v6.get(n % input.v6.len().max(1)).map_or(0, |prefix| prefix.0);
            input.others.push(if n % 2 == 0 { any } else { near ^ any >> (any & 127) });
        }
        Ok(input)
    }
}

/// Adds a prefix, or a series of them; mostly one that has to do with an earlier one.
fn add(u: &mut Unstructured<'_>, kind: u8, width: u32, classes: u16, to: &mut Vec<Prefix>) -> Result<()> {
    let top = u128::MAX >> (128 - width);
    let earlier = match to.len() {
        0 => (0, 0, 0),
        length => to[usize::from(u.arbitrary::<u8>()?) % length],
    };
    let size = 1u128.checked_shl(width - earlier.1).unwrap_or(0);
    let base = match kind & 7 {
        0 if width == 32 => u.arbitrary::<u32>()?.into(),
        0 => u.arbitrary()?,
        1 => PLACES_V6[usize::from(u.arbitrary::<u8>()? & 7)] >> (128 - width),
        2 => earlier.0,
        3 => earlier.0 ^ u128::from(u.arbitrary::<u8>()?) << (u32::from(u.arbitrary::<u8>()?) % width),
        4 => earlier.0.wrapping_add(size),
        5 => earlier.0.wrapping_sub(1),
        6 => earlier.0.wrapping_add(size >> 1),
        _ => earlier.0.wrapping_add(u.arbitrary::<u16>()?.into()),
    };
    let length = match kind >> 3 & 3 {
        0 => width,
        1 => (earlier.1 + 1).min(width),
        _ => u32::from(u.arbitrary::<u8>()?) % (width + 1),
    };
    let host = width - length;
    let class: u16 = u.arbitrary()?;
    let (count, step, turn) = match kind >> 5 & 3 {
        3 => (u.arbitrary::<u8>()?, u.arbitrary::<u8>()?, u.arbitrary::<u8>()?),
        _ => (1, 0, 1),
    };
    for n in 0..u16::from(count) {
        let moved = (u128::from(n) * u128::from(step)).checked_shl(host).unwrap_or(0);
        let base = (base & top).wrapping_add(moved) & top;
        let base = base.checked_shr(host).and_then(|bits| bits.checked_shl(host)).unwrap_or(0);
        to.push((base, length, class.wrapping_add(n % u16::from(turn.max(1))) % classes));
        if to.len() >= MOST {
            break;
        }
    }
    Ok(())
}

/// splitmix64.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
