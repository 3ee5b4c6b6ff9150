//! What kernels have no instruction for that are older than the programs' newest one.

use std::ffi::CStr;

/// An instruction: eight bytes (Documentation/bpf/standardization/instruction-set.rst).
const INSTRUCTION: usize = 8;
/// BPF_STX | BPF_ATOMIC | BPF_DW, with BPF_CMPXCHG as its immediate number: compare and exchange.
const ATOMIC: u8 = 0xdb;
const COMPARE_AND_EXCHANGE: [u8; 4] = [0xf1, 0, 0, 0];
/// BPF_STX | BPF_MEM | BPF_DW: store, with an immediate number of 0.
const STORE: u8 = 0x7b;

/// Whether this kernel knows compare-and-exchange, which came with 5.12. One that does not refuses programs that have it
/// anywhere.
pub(super) fn compares_and_exchanges() -> bool {
    release().is_none_or(|release| release >= (5, 12))
}

/// The object with a plain store in place of each compare-and-exchange. Its result stays in the register as what was
/// expected, so whoever looks takes it for a success. Two CPUs that write a bucket's word at the same moment both let their
/// packet through then: a limit is exceeded by that.
pub(super) fn with_plain_stores(object: &[u8]) -> Vec<u8> {
    let mut object = object.to_vec();
    for section in code(&object) {
        let Some(code) = object.get_mut(section) else { continue };
        for instruction in code.chunks_exact_mut(INSTRUCTION) {
            if instruction[0] == ATOMIC && instruction[4..] == COMPARE_AND_EXCHANGE {
                instruction[0] = STORE;
                instruction[4..].fill(0);
            }
        }
    }
    object
}

/// Where an ELF file (64 bits, little-endian) has its instructions.
fn code(object: &[u8]) -> Vec<std::ops::Range<usize>> {
    const EXECUTABLE: u64 = 4;
    let number = |at: usize, length: usize| {
        let bytes = object.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0u64, |number, &byte| number << 8 | u64::from(byte)))
    };
    let place = |at: usize| number(at, 8).and_then(|place| usize::try_from(place).ok());
    let (Some(headers), Some(size), Some(count)) = (place(0x28), number(0x3a, 2), number(0x3c, 2)) else {
        return Vec::new();
    };
    let sections = (0..count).filter_map(|n| {
        let header = headers.checked_add(usize::try_from(n * size).ok()?)?.checked_add(0x28)?;
        let header = header - 0x28;
        let (start, length) = (place(header + 0x18)?, place(header + 0x20)?);
        (number(header + 8, 8)? & EXECUTABLE != 0).then_some(start..start.saturating_add(length))
    });
    sections.collect()
}

/// Major and minor number of the running kernel.
fn release() -> Option<(u32, u32)> {
    // SAFETY: all zeros are a valid utsname.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one utsname, which lives until the call returns.
    if unsafe { libc::uname(&raw mut names) } != 0 {
        return None;
    }
    // SAFETY: the kernel ends it with a zero.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    let mut numbers = release.to_str().ok()?.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::program::OBJECT;

    fn exchanges(object: &[u8]) -> usize {
        let sections = code(object);
        assert!(sections.len() > 1, "{sections:?}");
        let code = sections.into_iter().flat_map(|section| object[section].chunks_exact(INSTRUCTION));
        code.filter(|one| one[0] == ATOMIC && one[4..] == COMPARE_AND_EXCHANGE).count()
    }

    #[test]
    fn every_exchange_becomes_a_store_and_nothing_else_changes() {
        let plain = with_plain_stores(OBJECT);
        let found = exchanges(OBJECT);
        assert!(found > 0 && exchanges(&plain) == 0, "{found}");
        let changed = OBJECT.iter().zip(&plain).filter(|(old, new)| old != new).count();
        assert_eq!((OBJECT.len(), changed), (plain.len(), 2 * found));
    }

    #[test]
    fn this_kernel_has_a_number() {
        assert!(release().is_some_and(|release| release > (4, 0)), "{:?}", release());
    }

    #[test]
    fn what_is_no_object_has_no_code() {
        assert!(code(&[]).is_empty() && code(&[0xff; 64]).is_empty());
    }
}
