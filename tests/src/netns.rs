//! A lab: two network namespaces and the wire between them, gone when dropped.
//!
//! `outside` sends; `inside` is the host to be protected. Packets from any source address are accepted inside, so
//! that what does not arrive was stopped by the gate and by nothing else.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use octroi_gate::corpus::build::{RECEIVER_MAC, SENDER_MAC};
use serde_json::Value;

use crate::command::{SHORT, ip, run};

/// What the names of everything begin with that tests leave in the system while they run.
pub const PREFIX: &str = "octroi-t";

/// Two namespaces and one or more wires between them.
#[derive(Debug)]
pub struct Lab {
    /// Where the world is.
    pub outside: Namespace,
    /// The host to be protected.
    pub inside: Namespace,
    tag: String,
    pairs: Vec<Pair>,
}

/// A wire: a pair of veth devices, and the addresses at its ends.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The device outside, `peer0` and so on.
    pub peer: String,
    /// The device inside, `gate0` and so on.
    pub gate: String,
    /// The MAC address outside; the first wire's is the sender of [`octroi_gate::corpus::build`].
    pub peer_mac: [u8; 6],
    /// The MAC address inside; the first wire's is the receiver of [`octroi_gate::corpus::build`].
    pub gate_mac: [u8; 6],
    /// The IPv4 address outside, in a /24.
    pub peer4: Ipv4Addr,
    /// The IPv4 address inside.
    pub gate4: Ipv4Addr,
    /// The IPv6 address outside, in a /64.
    pub peer6: Ipv6Addr,
    /// The IPv6 address inside.
    pub gate6: Ipv6Addr,
}

impl Pair {
    /// The address inside that is of `source`'s family.
    pub fn here(&self, source: IpAddr) -> IpAddr {
        if source.is_ipv4() { self.gate4.into() } else { self.gate6.into() }
    }
}

impl Lab {
    /// A lab with one wire, whose ends are up.
    ///
    /// # Panics
    /// Without root, and with the message of whatever else fails.
    pub fn new() -> Lab {
        // SAFETY: geteuid takes nothing, touches nothing and cannot fail.
        let user = unsafe { libc::geteuid() };
        assert_eq!(user, 0, "user {user} may not make network namespaces: run the tests as root");
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let outside = Namespace::new(&format!("{tag}-out"));
        let inside = Namespace::new(&format!("{tag}-in"));
        let mut lab = Lab { outside, inside, tag, pairs: Vec::new() };
        lab.add_pair();
        lab
    }

    /// What the names of everything of this lab begin with.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The first wire.
    pub fn pair(&self) -> &Pair {
        &self.pairs[0]
    }

    /// All wires.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Adds a wire (`peer1` and `gate1`, and so on) with networks of its own.
    pub fn add_pair(&mut self) -> Pair {
        let number = u8::try_from(self.pairs.len()).expect("a lab has less than 256 wires");
        let mac = |mut mac: [u8; 6]| {
            mac[4] = number;
            mac
        };
        let v6 = |host| Ipv6Addr::new(0xfd00, 0x88, u16::from(number), 0, 0, 0, 0, host);
        let pair = Pair {
            peer: format!("peer{number}"),
            gate: format!("gate{number}"),
            peer_mac: mac(SENDER_MAC),
            gate_mac: mac(RECEIVER_MAC),
            peer4: Ipv4Addr::new(10, 88, number, 1),
            gate4: Ipv4Addr::new(10, 88, number, 2),
            peer6: v6(1),
            gate6: v6(2),
        };
        let Pair { peer, gate, .. } = &pair;
        let (peer_mac, gate_mac) = (spell_mac(pair.peer_mac), spell_mac(pair.gate_mac));
        ip(&format!(
            "link add name {peer} netns {} address {peer_mac} type veth peer name {gate} netns {} address {gate_mac}",
            self.outside.name, self.inside.name
        ));
        for (namespace, device, v4, v6) in
            [(&self.outside, peer, pair.peer4, pair.peer6), (&self.inside, gate, pair.gate4, pair.gate6)]
        {
            namespace.ip(&format!("addr add {v4}/24 dev {device}"));
            namespace.ip(&format!("addr add {v6}/64 dev {device} nodad"));
            namespace.ip(&format!("link set {device} up"));
        }
        for (namespace, device) in [(&self.outside, peer), (&self.inside, gate)] {
            namespace.wait_until_up(device);
        }
        self.pairs.push(pair.clone());
        pair
    }

    /// Gives the outside an address on the first wire, so that real sockets can talk from it: it is configured
    /// outside, and inside there is a route to it.
    pub fn give_source(&self, address: IpAddr) {
        let Pair { peer, gate, .. } = self.pair();
        let (bits, nodad) = if address.is_ipv4() { (32, "") } else { (128, "nodad") };
        self.outside.ip(&format!("addr add {address}/{bits} dev {peer} {nodad}"));
        self.inside.ip(&format!("route add {address}/{bits} dev {gate}"));
    }

    /// Devices of both namespaces with their counters and programs, for people.
    pub fn describe(&self) -> String {
        [&self.outside, &self.inside].map(|namespace| namespace.describe()).join("\n")
    }
}

impl Default for Lab {
    fn default() -> Lab {
        Lab::new()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            // A panic in here would end the whole test run.
            match panic::catch_unwind(AssertUnwindSafe(|| self.describe())) {
                Ok(text) => report(&text),
                Err(_) => report("the devices of the lab could not be listed"),
            }
        }
        // A socket that somebody still holds keeps a namespace alive; the wire has to go nevertheless. One end takes
        // the other with it.
        for pair in &self.pairs {
            try_ip(&["-n", &self.outside.name, "link", "del", &pair.peer]);
        }
    }
}

/// A named network namespace, gone when dropped: loopback is up, reverse path filters and duplicate address detection
/// are off, packets with any source are accepted.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    fn new(name: &str) -> Namespace {
        ip(&format!("netns add {name}"));
        let path = Path::new("/run/netns").join(name);
        let file = File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()));
        let namespace = Namespace { name: name.to_owned(), file: Arc::new(file) };
        namespace.run(|| {
            for kind in ["all", "default"] {
                let ipv4 = [("rp_filter", "0"), ("accept_local", "1"), ("route_localnet", "1")];
                let ipv6 = [("accept_dad", "0"), ("accept_ra", "0"), ("router_solicitations", "0")];
                ipv4.into_iter().for_each(|(key, value)| set(&format!("ipv4/conf/{kind}/{key}"), value));
                ipv6.into_iter().for_each(|(key, value)| set(&format!("ipv6/conf/{kind}/{key}"), value));
            }
        });
        namespace.ip("link set lo up");
        namespace
    }

    /// The name that `ip netns` knows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` in a thread that is in this namespace, and waits for it. Sockets made there stay there, whoever
    /// uses them afterwards. A panic in it goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = thread::scope(|scope| {
            let inside = || {
                enter(&self.file).unwrap_or_else(|error| panic!("enter namespace {}: {error}", self.name));
                work()
            };
            scope.spawn(inside).join()
        });
        result.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// A command that will run in this namespace. Only the network differs: `ip netns exec` would also hide the BPF
    /// file system.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let file = Arc::clone(&self.file);
        let mut command = Command::new(program);
        let hook = move || enter(&file);
        // SAFETY: between fork and exec, the hook makes one system call on an open descriptor; it allocates nothing.
        unsafe { command.pre_exec(hook) };
        command
    }

    /// Runs `ip` in this namespace, with arguments separated by blanks.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn ip(&self, arguments: &str) -> String {
        ip(&format!("-n {} {arguments}", self.name))
    }

    /// What `ip -j -d -s link` says of a device.
    ///
    /// # Panics
    /// Where there is no such device.
    pub fn link(&self, device: &str) -> Value {
        let text = self.ip(&format!("-j -d -s link show dev {device}"));
        let mut links: Vec<Value> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("ip says of {device} what is not a JSON array: {error}\n{text}"));
        links.pop().unwrap_or_else(|| panic!("ip says nothing of {device}"))
    }

    /// Devices with their counters and programs, for people.
    pub fn describe(&self) -> String {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name, "-d", "-s", "link"]);
        run(command, SHORT).to_string()
    }

    /// Waits until a device that was switched on is ready to send: until then it drops silently.
    fn wait_until_up(&self, device: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.link(device)["operstate"] != "UP" {
            assert!(Instant::now() < deadline, "{device} in {} is not up after 5 s", self.name);
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        try_ip(&["netns", "del", &self.name]);
    }
}

/// What tests whose names begin with `prefix` have left behind in the system: namespaces, devices outside of any
/// namespace, and pins. Empty is right, once their labs and gates are dropped.
pub fn leftovers(prefix: &str) -> Vec<String> {
    assert!(prefix.starts_with(PREFIX), "{prefix} is no prefix of ours ({PREFIX})");
    let mut found = Vec::new();
    for (what, directory) in
        [("namespace", "/run/netns"), ("device", "/sys/class/net"), ("pin", "/sys/fs/bpf")]
    {
        // A directory that does not exist holds nothing.
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let name = entry.unwrap_or_else(|error| panic!("read {directory}: {error}")).file_name();
            let name = name.to_string_lossy();
            if name.starts_with(prefix) {
                found.push(format!("{what} {directory}/{name}"));
            }
        }
    }
    found.sort();
    found
}

/// Prints what helps to understand a failure, where the test's own output goes.
#[expect(clippy::print_stderr, reason = "a failing test has no other place to say why")]
pub(crate) fn report(text: &str) {
    eprintln!("{text}");
}

/// Moves the calling thread into a namespace.
fn enter(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open as long as the file is borrowed; the call changes the calling thread alone.
    let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets a network parameter of the namespace that the calling thread is in.
fn set(key: &str, value: &str) {
    let path = format!("/proc/sys/net/{key}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("write {value} to {path}: {error}"));
}

/// Runs `ip` where a panic would hide another one: what fails is reported.
fn try_ip(arguments: &[&str]) {
    match Command::new("ip").args(arguments).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let message = String::from_utf8_lossy(&output.stderr);
            report(&format!("ip {}: {}", arguments.join(" "), message.trim_end()));
        }
        Err(error) => report(&format!("ip {}: {error}", arguments.join(" "))),
    }
}

fn spell_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
