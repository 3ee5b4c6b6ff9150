//! CPUs: which there are, a thread kept on one of them, and what each of them has counted.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::process::Command;

use octroi_abi::{Counter, name};
use serde_json::Value;

use crate::command::{SHORT, run};
use crate::netns::Namespace;

/// Two CPUs that this process may run on.
///
/// # Panics
/// Where there is only one.
pub fn two() -> [usize; 2] {
    let set = allowed();
    // SAFETY: `cpu` is below the set's size.
    let mut found = (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) });
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => [first, second],
        _ => panic!("this test needs two CPUs, and may use one"),
    }
}

/// Keeps the calling thread on a CPU.
///
/// # Panics
/// Where there is no such CPU, or this process may not run on it.
pub fn keep_to(cpu: usize) {
    // SAFETY: all zeros are a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: one of those that `two` found, below the set's size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the kernel reads as many bytes as the set has, and it lives until the call returns.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    assert_eq!(result, 0, "keep to CPU {cpu}: {}", io::Error::last_os_error());
}

fn allowed() -> libc::cpu_set_t {
    // SAFETY: all zeros are a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: the kernel writes at most as many bytes as the set has, and it lives until the call returns.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    assert_eq!(result, 0, "which CPUs may be used: {}", io::Error::last_os_error());
    set
}

/// Packets that the gate on a device has counted on each CPU, by the CPU's number, since its counters were made.
///
/// # Panics
/// Where there is no gate on the device.
pub fn counted(namespace: &Namespace, device: &str) -> BTreeMap<usize, u64> {
    let link = namespace.link(device);
    let program = number(&link["xdp"]["prog"]["id"]);
    let program = bpftool(&["prog", "show", "id", &program.to_string()]);
    let maps = program["map_ids"].as_array().unwrap_or_else(|| panic!("no maps in {program}"));
    let ids = maps.iter().map(|id| number(id).to_string());
    let counters = ids.into_iter().find(|id| bpftool(&["map", "show", "id", id])["name"] == name::COUNTERS);
    let counters = counters.unwrap_or_else(|| panic!("no map {} in {program}", name::COUNTERS));
    let dump = bpftool(&["map", "dump", "id", &counters]);
    let mut found = BTreeMap::new();
    for block in dump.as_array().unwrap_or_else(|| panic!("no slots: {dump}")) {
        for one in block["values"].as_array().unwrap_or_else(|| panic!("no CPUs: {block}")) {
            let cpu = usize::try_from(number(&one["cpu"])).expect("CPUs are few");
            *found.entry(cpu).or_insert(0) += packets(&one["value"]);
        }
    }
    found
}

/// The sum of the counters in a block, of which bpftool gives bytes.
fn packets(block: &Value) -> u64 {
    let bytes = block.as_array().unwrap_or_else(|| panic!("no bytes: {block}"));
    let bytes = bytes.iter().map(|byte| {
        let text = byte.as_str().and_then(|text| text.strip_prefix("0x"));
        text.and_then(|text| u8::from_str_radix(text, 16).ok()).unwrap_or_else(|| panic!("no byte: {byte}"))
    });
    let bytes: Vec<u8> = bytes.collect();
    let first = |counter: &[u8]| u64::from_ne_bytes(*counter.first_chunk().expect("16 bytes"));
    bytes.chunks_exact(size_of::<Counter>()).map(first).sum()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn bpftool(arguments: &[&str]) -> Value {
    let mut command = Command::new("bpftool");
    command.arg("-j").args(arguments);
    run(command, SHORT).json()
}
