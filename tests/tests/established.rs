//! `established`: what belongs to a connection of the filtered host goes on, whatever a rule says of new ones. Real sockets
//! on both ends of the wire, and frames made by hand where a socket would not send them.

use std::{
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use octroi_gate::corpus::build::{Build, tcp, udp};
use octroi_tests::{
    gate::{Gate, Setup},
    netns::{Lab, Namespace, Pair},
    nft::Counters,
    socket,
    wait::until,
    wire::{Receiver, Sender},
};

/// Sources in China.
const SOURCES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(1, 0, 1, 1)), IpAddr::V6(Ipv6Addr::new(0x240e, 0, 0, 0, 0, 0, 0, 1))];
const SOON: Duration = Duration::from_secs(5);
/// What does not come in this time does not come.
const NEVER: Duration = Duration::from_millis(300);

const DROP: &str = "[[rule]]\nname = \"cn\"\nsource.country = [\"CN\"]\naction = \"drop\"\n";
/// The same rule where packets are judged one by one.
const DROP_TCP: &str =
    "[[rule]]\nname = \"cn\"\nsource.country = [\"CN\"]\naction = \"drop\"\nservice = [\"tcp\", \"udp\"]\n";

/// A lab whose outer end has these sources.
fn lab() -> Lab {
    let lab = Lab::new();
    SOURCES.into_iter().for_each(|source| lab.give_source(source));
    lab
}

/// A TCP connection: the end outside, and the one on the filtered host.
struct Connection {
    outer: TcpStream,
    inner: TcpStream,
}

impl Connection {
    /// One that `source` opened, to a socket inside that takes both families or one.
    fn from_outside(lab: &Lab, source: IpAddr, any_family: bool) -> Connection {
        let here = lab.pair().here(source);
        let bind = if any_family { Ipv6Addr::UNSPECIFIED.into() } else { here };
        let listener = lab.inside.run(|| TcpListener::bind((bind, 0))).expect("listen inside");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let outer = socket::connect(&lab.outside, source, (here, port).into(), SOON).expect("connect");
        let (inner, from) = listener.accept().expect("accept");
        assert_eq!(from.ip().to_canonical(), source);
        Connection { outer, inner }.with_limits()
    }

    /// One that the filtered host opens to `source`.
    fn from_inside(lab: &Lab, source: IpAddr) -> io::Result<Connection> {
        let listener = lab.outside.run(|| TcpListener::bind((source, 0))).expect("listen outside");
        let there = listener.local_addr().expect("a bound socket has an address");
        let inner = socket::connect(&lab.inside, lab.pair().here(source), there, SOON)?;
        let (outer, _) = listener.accept().expect("accept");
        Ok(Connection { outer, inner }.with_limits())
    }

    fn with_limits(self) -> Connection {
        for end in [&self.outer, &self.inner] {
            end.set_read_timeout(Some(SOON)).expect("a time limit");
        }
        self
    }

    /// Sends more than a segment in both directions, and receives it.
    fn talk(&mut self) -> io::Result<()> {
        let text = [0x5a; 9000];
        let mut back = [0; 9000];
        for _ in 0..3 {
            self.outer.write_all(&text)?;
            self.inner.read_exact(&mut back)?;
            self.inner.write_all(&text)?;
            self.outer.read_exact(&mut back)?;
        }
        Ok(())
    }

    /// A packet of it from outside that a socket did not send.
    fn segment(&self) -> Build {
        let [from, to] = [&self.outer, &self.inner]
            .map(|end| end.local_addr().expect("a connected socket has an address"));
        tcp(from.ip(), to.ip().to_canonical()).ports(from.port(), to.port()).flags(ACK)
    }
}

const ACK: u8 = 16;

/// A new connection from `source` to somebody who listens inside.
fn connect_anew(lab: &Lab, source: IpAddr) -> io::Result<TcpStream> {
    let here = lab.pair().here(source);
    let listener = lab.inside.run(|| TcpListener::bind((here, 0))).expect("listen inside");
    let address = listener.local_addr().expect("a bound socket has an address");
    socket::connect(&lab.outside, source, address, NEVER)
}

#[track_caller]
fn assert_times_out<T: std::fmt::Debug>(result: io::Result<T>, gate: &Gate<'_>) {
    let error = result.err().unwrap_or_else(|| panic!("not dropped\n{}", gate.describe()));
    assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
}

/// Packets that the rule let through and dropped, and the same by country.
fn counts(gate: &Gate<'_>) -> [f64; 2] {
    let metrics = gate.metrics();
    ["pass", "drop"].map(|verdict| {
        let rule = metrics.sum("octroi_rule_packets_total", &[("rule", "cn"), ("verdict", verdict)]);
        let country = metrics.sum("octroi_packets_total", &[("country", "CN"), ("verdict", verdict)]);
        assert!(rule <= country, "{verdict}: {rule} of {country}\n{}", gate.describe());
        rule
    })
}

/// A policy takes hold while there are connections; these go on, and no new one is made.
fn connections_go_on(mode: &str, policy: &str) {
    let lab = lab();
    let gate = Gate::start_with(&lab, Setup { mode: mode.to_owned(), ..Setup::new("") });
    let mut connections = Vec::new();
    for source in SOURCES {
        for any_family in [false, true] {
            connections.push(Connection::from_outside(&lab, source, any_family));
        }
    }
    gate.write(policy);
    gate.reload().success();
    for connection in &mut connections {
        connection.talk().unwrap_or_else(|error| panic!("{error}\n{}", gate.describe()));
    }
    for source in SOURCES {
        assert_times_out(connect_anew(&lab, source), &gate);
        let mut opened = Connection::from_inside(&lab, source)
            .unwrap_or_else(|error| panic!("from inside to {source}: {error}\n{}", gate.describe()));
        opened.talk().unwrap_or_else(|error| panic!("{error}\n{}", gate.describe()));
    }
    let metrics = gate.metrics();
    for family in ["ipv4", "ipv6"] {
        let packets = |verdict| {
            let labels = [("country", "CN"), ("family", family), ("verdict", verdict)];
            metrics.sum("octroi_packets_total", &labels)
        };
        assert!(packets("pass") > 30.0 && packets("drop") >= 1.0, "{family}\n{}", gate.describe());
    }
}

#[test]
fn connections_go_on_under_a_rule_that_drops_and_new_ones_time_out() {
    connections_go_on("native", DROP);
}

#[test]
fn the_same_in_generic_mode() {
    connections_go_on("generic", DROP);
}

#[test]
fn the_same_where_packets_are_judged_one_by_one() {
    connections_go_on("native", DROP_TCP);
}

#[test]
fn a_default_that_drops_is_like_a_rule() {
    connections_go_on("native", "[policy]\ndefault = \"drop\"\n");
}

#[test]
fn what_goes_on_is_counted_as_passed_by_the_rule_that_would_have_dropped_it() {
    for policy in [DROP, DROP_TCP] {
        let lab = lab();
        let gate = Gate::start(&lab, "");
        let connection = Connection::from_outside(&lab, SOURCES[0], false);
        gate.write(policy);
        gate.reload().success();
        assert_eq!(counts(&gate), [0.0, 0.0]);
        let sender = Sender::new(&lab.outside, &lab.pair().peer);
        // To another port, there is no connection.
        let port = connection.inner.local_addr().expect("connected").port();
        let other = connection.segment().ports(1, port).frame();
        sender.send_all(&[connection.segment().frame(), other.clone(), other]);
        until("three packets are counted", || counts(&gate).iter().sum::<f64>() >= 3.0);
        assert_eq!(counts(&gate), [1.0, 2.0], "{}", gate.describe());
    }
}

#[test]
fn established_drop_cuts_connections_at_once() {
    let lab = lab();
    let gate = Gate::start(&lab, "");
    let mut connections = SOURCES.map(|source| Connection::from_outside(&lab, source, false));
    gate.write(&format!("{DROP}established = \"drop\"\n"));
    gate.reload().success();
    for connection in &mut connections {
        connection.inner.set_read_timeout(Some(NEVER)).expect("a time limit");
        assert_times_out(connection.talk(), &gate);
    }
    for source in SOURCES {
        assert_times_out(connect_anew(&lab, source), &gate);
        let listener = lab.outside.run(|| TcpListener::bind((source, 0))).expect("listen outside");
        let there = listener.local_addr().expect("bound");
        assert_times_out(socket::connect(&lab.inside, lab.pair().here(source), there, NEVER), &gate);
    }
    let [passed, dropped] = counts(&gate);
    assert!(passed == 0.0 && dropped >= 6.0, "{passed}, {dropped}\n{}", gate.describe());
}

/// The frames that arrive of those sent, before one that passes under every policy.
fn arriving(lab: &Lab, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let pair = lab.pair();
    let marker = udp(pair.peer4.into(), pair.gate4.into()).ports(9, 9).payload(b"the last one").frame();
    let receiver = Receiver::new(&lab.inside, &pair.gate);
    let sender = Sender::new(&lab.outside, &pair.peer);
    sender.send_all(frames);
    sender.send(&marker);
    let mut arrived = receiver.until(|frame| *frame == marker, SOON);
    arrived.retain(|frame| frames.contains(frame));
    arrived
}

#[test]
fn a_listener_alone_lets_nothing_in() {
    let lab = lab();
    let gate = Gate::start(&lab, DROP);
    let listener = lab.inside.run(|| TcpListener::bind("[::]:8080")).expect("listen inside");
    // It listens, but not for these.
    assert!(listener.local_addr().is_ok());
    let bound = lab.inside.run(|| UdpSocket::bind("[::]:8080")).expect("bind inside");
    let mut frames = Vec::new();
    for source in SOURCES {
        let here = lab.pair().here(source);
        let segment = |flags| tcp(source, here).ports(4000, 8080).flags(flags);
        // SYN, SYN-ACK, ACK, FIN, RST, all and none of them.
        frames.extend(
            [2, 2 | ACK, ACK, 1 | ACK, 4, 63, 0].map(|flags| segment(flags).payload(b"hello").frame()),
        );
        frames.push(udp(source, here).ports(4000, 8080).payload(b"hello").frame());
    }
    assert_eq!(arriving(&lab, &frames), Vec::<Vec<u8>>::new(), "{}", gate.describe());
    bound.set_nonblocking(true).expect("a socket");
    assert_eq!(bound.recv(&mut [0; 16]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    assert_eq!(counts(&gate), [0.0, 16.0], "{}", gate.describe());
}

#[test]
fn a_frame_with_a_priority_tag_belongs_to_the_same_connection() {
    let lab = lab();
    let gate = Gate::start(&lab, "");
    let connections = SOURCES.map(|source| Connection::from_outside(&lab, source, false));
    gate.write(DROP);
    gate.reload().success();
    let frames = connections.each_ref().map(|connection| connection.segment().vlan(0).frame());
    let strangers = connections.each_ref().map(|connection| connection.segment().ports(9, 9).vlan(0).frame());
    let all: Vec<Vec<u8>> = frames.iter().chain(&strangers).cloned().collect();
    assert_eq!(arriving(&lab, &all), frames, "{}", gate.describe());
}

/// A client on the filtered host with a socket like a resolver's, and the server's address outside.
fn client(lab: &Lab, source: IpAddr, connected: bool) -> (UdpSocket, SocketAddr, SocketAddr) {
    let server = SocketAddr::new(source, 53);
    let socket = lab.inside.run(|| UdpSocket::bind((lab.pair().here(source), 0))).expect("bind inside");
    if connected {
        socket.connect(server).expect("a route to it");
    }
    socket.set_read_timeout(Some(if connected { SOON } else { NEVER })).expect("a time limit");
    let own = socket.local_addr().expect("a bound socket has an address");
    (socket, own, server)
}

#[test]
fn answers_reach_a_connected_udp_socket_and_no_other() {
    for policy in [DROP, DROP_TCP, "[policy]\ndefault = \"drop\"\n"] {
        let lab = lab();
        let gate = Gate::start(&lab, policy);
        for source in SOURCES {
            let server = lab.outside.run(|| UdpSocket::bind((source, 53))).expect("bind outside");
            server.set_read_timeout(Some(SOON)).expect("a time limit");
            for connected in [true, false] {
                let (socket, own, there) = client(&lab, source, connected);
                socket
                    .send_to(b"where is it?", there)
                    .or_else(|_| socket.send(b"where is it?"))
                    .expect("ask");
                let mut buffer = [0; 64];
                let (_, from) = server.recv_from(&mut buffer).expect("what the host sends is not filtered");
                assert_eq!(from, own);
                server.send_to(b"there", from).expect("answer");
                let answer = socket.recv(&mut buffer);
                if connected {
                    assert_eq!(answer.ok(), Some(5), "{source}\n{}", gate.describe());
                } else {
                    assert_times_out(answer, &gate);
                }
            }
        }
    }
}

#[test]
fn a_connected_udp_socket_takes_from_its_peer_alone_and_behind_a_priority_tag_too() {
    let lab = lab();
    let gate = Gate::start(&lab, DROP);
    for source in SOURCES {
        let (socket, own, there) = client(&lab, source, true);
        let answer = udp(source, own.ip()).ports(there.port(), own.port()).payload(b"there");
        let stranger = match source {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(1, 0, 1, 2)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x240e, 0, 0, 0, 0, 0, 0, 2)),
        };
        let frames = [
            answer.clone().frame(),
            answer.clone().vlan(0).payload(b"tagged").frame(),
            answer.clone().ports(54, own.port()).frame(),
            answer.clone().ports(there.port(), own.port() ^ 1).frame(),
            udp(stranger, own.ip()).ports(there.port(), own.port()).frame(),
            // Of a fragment, nobody can say before it is put together.
            answer.clone().payload(&[7; 64]).fragment(0, true).frame(),
            answer.payload(&[7; 64]).fragment(9, false).frame(),
        ];
        assert_eq!(arriving(&lab, &frames), frames[..2], "{source}\n{}", gate.describe());
        let mut buffer = [0; 64];
        let received = [(); 2].map(|()| socket.recv(&mut buffer).ok());
        assert_eq!(received, [Some(5), Some(6)], "{source}\n{}", gate.describe());
    }
    assert_eq!(counts(&gate), [4.0, 10.0]);
}

#[test]
fn a_connection_that_the_host_closes_first_ends_at_the_other_side_too() {
    let lab = lab();
    let gate = Gate::start(&lab, "");
    let connections = SOURCES.map(|source| Connection::from_outside(&lab, source, false));
    gate.write(DROP);
    gate.reload().success();
    for Connection { mut outer, inner } in connections {
        drop(inner);
        assert_eq!(outer.read(&mut [0; 8]).ok(), Some(0), "the host says that it has closed");
        // So that the acknowledgement of that goes by itself, and the host only waits for this side's end.
        thread::sleep(Duration::from_millis(200));
    }
    // Closed as well, an end stays for as long as nobody says that its FIN has arrived.
    until("the last FIN is acknowledged", || sockets_in(&lab.outside, "09") == 0);
    assert_eq!(counts(&gate)[1], 0.0, "{}", gate.describe());
}

/// How many sockets of a namespace are in a state: its number in include/net/tcp_states.h, as the tables print it.
fn sockets_in(namespace: &Namespace, state: &str) -> usize {
    let tables = namespace.run(|| {
        ["tcp", "tcp6"].map(|table| {
            fs::read_to_string(format!("/proc/thread-self/net/{table}")).expect("a table of sockets")
        })
    });
    let states =
        tables.iter().flat_map(|table| table.lines()).filter_map(|line| line.split_whitespace().nth(3));
    states.filter(|found| *found == state).count()
}

#[test]
fn what_a_syn_alone_has_made_is_no_connection_yet() {
    const SYN: u8 = 2;
    const SYN_RECV: &str = "03";
    // Nobody outside has these sources, so nobody says anything to what the host answers them.
    let lab = Lab::new();
    let gate = Gate::start(&lab, "");
    let Pair { gate: device, peer_mac: [a, b, c, d, e, f], .. } = lab.pair();
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    let mut listeners = Vec::new();
    let segments = SOURCES.map(|source| {
        let here = lab.pair().here(source);
        lab.inside.ip(&format!("route add {source} dev {device}"));
        lab.inside.ip(&format!(
            "neigh add {source} lladdr {a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f:x} dev {device} nud permanent"
        ));
        let listener = lab.inside.run(|| TcpListener::bind((here, 0))).expect("listen inside");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        listeners.push(listener);
        tcp(source, here).ports(4000, port)
    });
    segments.iter().for_each(|segment| sender.send(&segment.clone().flags(SYN).frame()));
    until("both are half open", || sockets_in(&lab.inside, SYN_RECV) == 2);
    gate.write(DROP);
    gate.reload().success();
    let frames = segments.map(|segment| segment.flags(ACK).frame());
    assert_eq!(arriving(&lab, &frames), Vec::<Vec<u8>>::new(), "{}", gate.describe());
    assert_eq!(counts(&gate), [0.0, 2.0], "{}", gate.describe());
    assert_eq!(sockets_in(&lab.inside, SYN_RECV), 2, "they were there to be found");
}

#[test]
fn what_goes_on_is_not_tagged_by_a_rule_below_where_tc_decides_again_either() {
    let lab = lab();
    let counters = Counters::install(
        &lab.inside,
        &[("marked", "meta mark 0x2a"), ("unmarked", "meta mark 0 ip saddr 1.0.1.1")],
    );
    let environment = vec![("OCTROI_NO_METADATA".to_owned(), "true".to_owned())];
    let gate = Gate::start_with(&lab, Setup { environment, ..Setup::new("") });
    let connection = Connection::from_outside(&lab, SOURCES[0], false);
    let before = counters.packets("unmarked");
    let services = "service = [\"tcp/1024-65535\", \"udp/53\"]\n";
    let tag = "[[rule]]\nname = \"care\"\nsource.country = [\"CN\"]\naction = \"tag\"\nmark = 0x2a\n";
    gate.write(&format!("{DROP}{services}{tag}"));
    gate.reload().success();
    let segment = connection.segment();
    let udp = |port| udp(SOURCES[0], lab.pair().gate4.into()).ports(1, port).frame();
    let frames = [segment.clone().frame(), segment.ports(9, 9).frame(), udp(53), udp(54)];
    assert_eq!(
        arriving(&lab, &frames),
        [&frames[0], &frames[1], &frames[3]].map(Clone::clone),
        "{}",
        gate.describe()
    );
    until("two packets are tagged", || counters.packets("marked") >= 2);
    let counted = (counters.packets("marked"), counters.packets("unmarked") - before);
    assert_eq!(counted, (2, 1), "{}", gate.describe());
}
