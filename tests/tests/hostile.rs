//! Clients that want to hold up the daemon: none does, and none leaves anything behind.
#![allow(clippy::print_stderr, reason = "figures of a test")]

use std::{
    collections::VecDeque,
    fs, io,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use octroi_tests::{
    command, descriptors,
    gate::{Gate, METRICS_PORT, Setup},
    netns::Lab,
    prom, wait,
};

const BLOCK_CN: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n";

fn connect(gate: &Gate<'_>) -> TcpStream {
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, METRICS_PORT)).expect("it listens");
    gate.namespace().run(connect)
}

/// Makes half as many clients again as there are places, by `client`, and waits until the daemon has as many as it takes.
fn fill<C>(gate: &Gate<'_>, before: u64, places: u64, client: impl Fn(u64) -> C) -> Vec<C> {
    let clients: Vec<C> = (0..places * 3 / 2).map(client).collect();
    wait::until("all places are taken", || descriptors::now(gate) >= before + places);
    assert_eq!(descriptors::at_rest(gate), before + places, "as many clients as there are places");
    clients
}

/// What no HTTP request is, and what is one that nobody would send.
fn garbage(number: usize) -> Vec<u8> {
    match number % 6 {
        0 => vec![0xff; number % 700 + 1],
        1 => b"GET /metrics HTTP/9.9\r\n\r\n".to_vec(),
        2 => format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(number % 3000)).into_bytes(),
        3 => b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
        4 => format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(number % 200)).into_bytes(),
        _ => b"\r\n\r\n\r\n".to_vec(),
    }
}

#[test]
fn ten_thousand_garbage_requests_leave_metrics_as_they_were() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.metrics();
    let before = descriptors::at_rest(&gate);
    let started = Instant::now();
    for number in 0..10_000 {
        let mut stream = connect(&gate);
        // It may be closed already, which is as good an answer as any.
        let _ = stream.write_all(&garbage(number));
        if number % 50 == 0 {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let _ = stream.read(&mut [0; 64]);
        }
    }
    eprintln!("10,000 requests in {:.1} s", started.elapsed().as_secs_f64());
    gate.metrics();
    assert_eq!(gate.health(), 200);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

#[test]
fn clients_that_say_nothing_hold_their_places_for_ten_seconds_only() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = descriptors::at_rest(&gate);
    let started = Instant::now();
    // One in two begins a request that it never ends.
    let silent = fill(&gate, before, 64, |number| {
        let mut stream = connect(&gate);
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HT").expect("it is open");
        }
        stream
    });
    wait::until("somebody else is answered", || {
        prom::get(gate.namespace(), METRICS_PORT, "/healthz").is_ok_and(|(status, _)| status == 200)
    });
    eprintln!("answered after {:.1} s", started.elapsed().as_secs_f64());
    // Requests of octroi's own commands go another way.
    gate.status();
    drop(silent);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

fn ask(gate: &Gate<'_>) -> UnixStream {
    UnixStream::connect(socket(gate)).expect("it listens")
}

#[test]
fn ten_thousand_garbage_requests_leave_the_control_socket_as_it_was() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    gate.status();
    let before = descriptors::at_rest(&gate);
    for number in 0..10_000 {
        let mut stream = ask(&gate);
        let mut request = match number % 5 {
            0 => b"{\"command\":\"nothing\"}".to_vec(),
            1 => b"{\"command\":\"explain\",\"addresses\":[1,2,3]}".to_vec(),
            2 => vec![0xff; number],
            3 => b"[".repeat(number * 20),
            _ => b"{\"command\":\"add_lease\",\"prefix\":\"::/0\",\"action\":\"pass\",\"ttl\":0}".to_vec(),
        };
        request.push(b'\n');
        // It may be refused before all of it is read.
        let _ = stream.write_all(&request);
        if number % 50 == 0 {
            let mut reply = String::new();
            let _ = stream.read_to_string(&mut reply);
            assert!(reply.is_empty() || reply.contains("not understood"), "{reply}");
        }
    }
    gate.status();
    assert_eq!(gate.octroi(["lease", "list", "--json"]).json()["leases"], serde_json::json!([]));
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

#[test]
fn clients_of_the_control_socket_that_say_nothing_hold_their_places_for_five_seconds_only() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, BLOCK_CN);
    let before = descriptors::at_rest(&gate);
    let silent = fill(&gate, before, 256, |_| ask(&gate));
    wait::until("somebody else is answered", || gate.octroi(["status"]).status.success());
    drop(silent);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

/// A user, and a group for it to be in or not; see [`with_group`].
const SOMEBODY: u32 = 65_534;
const ADM: u32 = 4;
const OTHER: u32 = 65_533;

/// Runs a command as that user, in this group.
fn as_somebody(gate: &Gate<'_>, group: u32, arguments: &[&str]) -> command::Finished {
    let mut setpriv = Command::new("setpriv");
    let group = group.to_string();
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--groups", &group, "--inh-caps", "-all"]);
    // Where everybody may run it.
    let binary = gate.directory().join("octroi");
    if !binary.exists() {
        fs::copy(octroi_tests::gate::binary(), &binary).expect("a directory of ours");
    }
    setpriv.arg(binary).args(arguments).arg("-c").arg(gate.config());
    command::run(setpriv, command::SHORT)
}

/// A gate whose socket the group adm may use, in a directory that everybody may enter.
fn with_group<'lab>(lab: &'lab Lab, policy: &str) -> Gate<'lab> {
    with_group_by(lab, Setup::new(policy))
}

fn with_group_by<'lab>(lab: &'lab Lab, setup: Setup) -> Gate<'lab> {
    let group = fs::read_to_string("/etc/group").expect("it is everywhere");
    let adm = format!("adm:x:{ADM}:");
    assert!(group.lines().any(|line| line.starts_with(&adm)), "this test needs the group adm, with the id 4");
    let control = "group = \"adm\"".to_owned();
    let gate = Gate::start_with(lab, Setup { control, ..setup });
    for path in [gate.directory(), &gate.config()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    gate
}

fn socket(gate: &Gate<'_>) -> PathBuf {
    gate.directory().join("octroi.sock")
}

/// As where the user that octroi runs as is no member of the group, and cannot give it the socket.
fn open_to_everybody(gate: &Gate<'_>) {
    fs::set_permissions(socket(gate), fs::Permissions::from_mode(0o666)).expect("it is ours");
}

/// Makes the calling thread, and no other, that user in that group; it stays so.
fn become_somebody(group: u32) {
    // The system calls themselves: libc's functions would change all threads.
    // SAFETY: a list of one group that lives until the call returns.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 1, &raw const group) };
    // SAFETY: takes numbers only.
    let ids = unsafe { libc::syscall(libc::SYS_setresgid, SOMEBODY, SOMEBODY, SOMEBODY) };
    assert_eq!((groups, ids), (0, 0), "{}", io::Error::last_os_error());
    // SAFETY: takes numbers only.
    let ids = unsafe { libc::syscall(libc::SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY) };
    assert_eq!(ids, 0, "{}", io::Error::last_os_error());
}

/// Does something as that user.
fn somebody<T: Send>(group: u32, act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            become_somebody(group);
            act()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Clients of that user, of which 1,500 are held and say nothing, and new ones come for as long as this lives.
struct Flood {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl Flood {
    fn of(gate: &Gate<'_>, group: u32) -> Self {
        const HELD: usize = 1500;
        let limit = libc::rlimit { rlim_cur: 4096, rlim_max: 4096 };
        // SAFETY: takes a number and a structure that lives until the call returns.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
        assert_eq!(result, 0, "descriptors for them: {}", io::Error::last_os_error());
        let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (flag, count, path) = (Arc::clone(&stop), Arc::clone(&made), socket(gate));
        // Not waited for: where nobody accepts, it waits for ever.
        thread::spawn(move || {
            become_somebody(group);
            let mut held = VecDeque::new();
            while !flag.load(Ordering::Relaxed) {
                let Ok(client) = UnixStream::connect(&path) else { return };
                held.push_back(client);
                if count.fetch_add(1, Ordering::Relaxed) >= HELD {
                    held.pop_front();
                }
            }
        });
        // As many as there are places and the kernel holds beyond.
        wait::until("they are there", || made.load(Ordering::Relaxed) > 1024);
        Self { stop, made }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whatever others do, root is answered.
fn root_is_answered(gate: &Gate<'_>, flood: &Flood) {
    for _ in 0..5 {
        let started = Instant::now();
        gate.status();
        let took = started.elapsed();
        assert!(took < Duration::from_secs(2), "status took {took:?}");
    }
    eprintln!("root answered beside {} clients", flood.made.load(Ordering::Relaxed));
}

/// How many kilobytes of memory the daemon has more at most while something is done.
fn grows(gate: &Gate<'_>, act: impl FnOnce()) -> u64 {
    let memory = |key| {
        let status = fs::read_to_string(format!("/proc/{}/status", gate.pid())).expect("the daemon runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux says it");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().expect("a number of kilobytes")
    };
    // The peak begins anew (proc(5)).
    fs::write(format!("/proc/{}/clear_refs", gate.pid()), "5").expect("as root");
    let before = memory("VmRSS:");
    act();
    let more = memory("VmHWM:").saturating_sub(before);
    eprintln!("{more} kB more");
    more
}

/// Forty clients write as much as a policy may have, and do not end it. What they are answered, and how many kilobytes the
/// daemon has more while they are there.
fn forty_long_requests(gate: &Gate<'_>, group: u32) -> (Vec<String>, u64) {
    let request = [b"{\"command\":\"apply\",".to_vec(), vec![b' '; 8_500_000]].concat();
    let mut clients = Vec::new();
    let connect = || {
        clients.extend((0..40).map(|_| {
            let mut client = ask(gate);
            let _ = client.set_write_timeout(Some(Duration::from_millis(500)));
            // It may be closed before all is read.
            let _ = client.write_all(&request);
            client
        }));
    };
    let more = grows(gate, || somebody(group, connect));
    let answers = clients.iter_mut().map(|client| {
        let mut answer = Vec::new();
        // What was not read when it was closed is an error behind the answer.
        let _ = client.read_to_end(&mut answer);
        String::from_utf8(answer).expect("JSON")
    });
    (answers.collect(), more)
}

#[test]
fn a_group_may_ask_and_change_nothing_and_others_may_not_connect() {
    let lab = Lab::new();
    let gate = with_group(&lab, BLOCK_CN);
    let metadata = fs::metadata(socket(&gate)).expect("it is there");
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, ADM));
    as_somebody(&gate, ADM, &["status"]).success();
    as_somebody(&gate, ADM, &["lease", "list"]).success();
    as_somebody(&gate, ADM, &["explain", "1.0.1.1", "--live"]).success();
    let refused = |group, arguments: &[&str], why: &str| {
        let refused = as_somebody(&gate, group, arguments);
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(refused.stderr.contains(why), "{refused}");
    };
    refused(ADM, &["reload"], "not permitted: root may");
    let lease = ["lease", "add", "1.0.1.1", "--action", "pass", "--ttl", "1h"];
    refused(ADM, &lease, "not permitted: root may");
    refused(OTHER, &["status"], "Permission denied (os error 13); run this as root");
    open_to_everybody(&gate);
    refused(OTHER, &["status"], "not permitted: root may");
    assert_eq!(gate.status()["generation"], 1);
}

#[test]
fn where_the_socket_cannot_be_given_to_the_group_the_log_says_what_that_takes() {
    let lab = Lab::new();
    let directory = tempfile::tempdir().expect("make a temporary directory");
    let (path, binary) = (directory.path().join("octroi"), octroi_tests::gate::binary());
    let script = format!("#!/bin/sh\nexec setpriv --bounding-set=-chown {} \"$@\"\n", binary.display());
    fs::write(&path, script).expect("a directory of ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    let gate = with_group_by(&lab, Setup { binary: Some(path), ..Setup::new(BLOCK_CN) });
    assert_eq!(fs::metadata(socket(&gate)).expect("it is there").mode() & 0o777, 0o666);
    let log = gate.log();
    assert!(log.contains("to [control] group \"adm\": Operation not permitted"), "{log}");
    assert!(log.contains("make the user that octroi runs as a member of the group"), "{log}");
    as_somebody(&gate, ADM, &["status"]).success();
    let refused = as_somebody(&gate, OTHER, &["status"]);
    assert!(refused.stderr.contains("not permitted: root may"), "{refused}");
}

#[test]
fn whoever_may_nothing_takes_neither_places_nor_memory() {
    let lab = Lab::new();
    let gate = with_group(&lab, BLOCK_CN);
    open_to_everybody(&gate);
    let (answers, more) = forty_long_requests(&gate, OTHER);
    assert!(more < 32 << 10, "{more} kB");
    for answer in answers {
        assert!(answer.contains("not permitted: root may"), "{answer}");
    }
    let before = descriptors::at_rest(&gate);
    let flood = Flood::of(&gate, OTHER);
    root_is_answered(&gate, &flood);
    drop(flood);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
}

#[test]
fn members_take_their_own_places_and_little_memory() {
    let lab = Lab::new();
    let gate = with_group(&lab, BLOCK_CN);
    let (answers, more) = forty_long_requests(&gate, ADM);
    assert!(more < 64 << 10, "{more} kB");
    for answer in answers {
        let why = ["not permitted: root may", "have 32 connections at once"];
        assert!(why.iter().any(|why| answer.contains(why)), "{answer}");
    }
    let long = format!("{{\"command\":\"status\"{}}}\n", " ".repeat(300_000));
    let mut answer = vec![0; 64];
    somebody(ADM, || {
        let mut client = ask(&gate);
        let _ = client.write_all(long.as_bytes());
        client.read_exact(&mut answer).expect("an answer");
    });
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("refused: a request has 262144"), "{answer}");
    let before = descriptors::at_rest(&gate);
    let flood = Flood::of(&gate, ADM);
    root_is_answered(&gate, &flood);
    drop(flood);
    wait::until("all are closed", || descriptors::now(&gate) <= before);
    as_somebody(&gate, ADM, &["status"]).success();
}

/// What a member is answered.
fn answer_to_member(gate: &Gate<'_>, request: &str) -> String {
    somebody(ADM, || {
        let mut client = ask(gate);
        client.write_all(request.as_bytes()).expect("it is read");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("JSON");
        answer
    })
}

#[test]
fn members_get_no_answer_that_takes_much_memory_and_all_that_they_want_to_know() {
    const RULES: usize = 300;
    let lab = Lab::new();
    let rules: String = (0..RULES)
        .map(|number| {
            format!("[[rule]]\nname = \"rule-{number}\"\nsource = {{ cidr = [\"192.0.2.{}/32\"] }}\naction = \"drop\"\n", number % 256)
        })
        .collect();
    let gate = with_group(&lab, &rules);
    let request = |command: &str, count: usize| {
        let addresses = vec!["\"1.1.1.1\""; count].join(",");
        format!(
            "{{\"command\":\"{command}\",\"addresses\":[{addresses}],\"question\":{{\"service\":null,\"at\":0}}}}\n"
        )
    };
    for (command, most) in [("explain", 512), ("explain_briefly", 4096)] {
        let mut answer = String::new();
        let more = grows(&gate, || answer = answer_to_member(&gate, &request(command, 5_000)));
        assert!(answer.contains(&format!("refused: explains {most} addresses")), "{answer:.300}");
        assert!(more < 32 << 10, "{more} kB");
        let more = grows(&gate, || answer = answer_to_member(&gate, &request(command, most)));
        assert!(answer.starts_with("{\"reply\":\"explained"), "{answer:.300}");
        assert!(answer.len() < 32 << 20, "{} bytes", answer.len());
        assert!(more < 160 << 10, "{more} kB");
    }
    // Eight at once, who do not read: one answer is in memory.
    let long = request("explain", 512);
    let more = grows(&gate, || {
        let clients = somebody(ADM, || {
            let clients = (0..8).map(|_| {
                let mut client = ask(&gate);
                client.write_all(long.as_bytes()).expect("it is read");
                client
            });
            clients.collect::<Vec<_>>()
        });
        thread::sleep(Duration::from_secs(4));
        drop(clients);
    });
    assert!(more < 160 << 10, "{more} kB");
    let input: String = (0..1_500).map(|number| format!("1.1.{}.{}\n", number / 256, number % 256)).collect();
    let command = gate.command(["explain", "-", "--live", "--json"]);
    let lines = command::run_with_input(command, &input, command::SHORT).success();
    assert_eq!(lines.lines().count(), 1_500);
    for (asked, line) in input.lines().zip(lines.lines()) {
        let answer: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(
            (&answer["address"], answer["rules"].as_array().map(Vec::len)),
            (&asked.into(), Some(RULES))
        );
    }
}

#[test]
fn without_a_group_the_socket_is_its_owners() {
    let lab = Lab::new();
    let mut gate = Gate::start(&lab, BLOCK_CN);
    let mode = |gate: &Gate<'_>| fs::metadata(socket(gate)).expect("it is there").mode() & 0o777;
    assert_eq!(mode(&gate), 0o600);
    gate.stop();
    gate.octroi(["detach"]).success();
    // Which a gate does not wait for.
    let nobody = Setup { control: "group = \"no-such-group\"".into(), ..Setup::new(BLOCK_CN) };
    let gate = Gate::start_with(&lab, nobody);
    assert_eq!(mode(&gate), 0o600);
    let unknown = "[control] group \"no-such-group\": no such group here";
    assert!(gate.log().contains(unknown), "{}", gate.log());
    let check = gate.octroi(["check"]).success();
    assert!(check.contains(unknown), "{check}");
}
