//! Rules of a service that cut answers to this host's own clients.

use super::*;

fn told(action: &str, keys: &str) -> Vec<String> {
    warned(&rule("r", CN, action, keys))
}

const CUT: &str = "established = \"drop\"";

#[test]
fn answers_come_to_ports_that_clients_talk_from() {
    for (service, what) in [
        ("\"tcp\"", Some("TCP")),
        ("6", Some("TCP")),
        ("\"udp\"", Some("UDP")),
        ("\"tcp\",\"udp\"", Some("TCP and UDP")),
        ("\"tcp/8000-65535\"", Some("TCP")),
        ("\"tcp/443\",\"tcp/60999\"", Some("TCP")),
        ("\"udp/1-32768\"", Some("UDP")),
        ("\"tcp/443\"", None),
        ("\"tcp/1-32767\",\"udp/61000-65535\"", None),
        ("47", None),
    ] {
        for (action, does) in [("drop", "drops"), ("reject", "rejects")] {
            let expected = what.map(|what| {
                format!(
                    "rule \"r\" {does} answers to this host's own connections: they come to {what} ports 32768 to 60999 \
                     (/proc/sys/net/ipv4/ip_local_port_range), which its service names, and established = \"drop\" excepts \
                     none; name only the ports that this host offers, or take established = \"drop\" out"
                )
            });
            let found = told(action, &format!("service = [{service}], {CUT}"));
            assert_eq!(found, Vec::from_iter(expected), "{service}");
        }
    }
}

#[test]
fn connections_that_exist_are_let_through_but_sockets_that_are_not_connected_have_none() {
    assert_eq!(told("drop", "service = [\"tcp\"]"), [""; 0]);
    assert_eq!(told("drop", "service = [\"udp/53\"]"), [""; 0]);
    assert_eq!(
        told("drop", "service = [\"tcp\",\"udp/1024-65535\"]"),
        [
            "rule \"r\" drops answers to questions that this host asks from UDP sockets which are not connected, as those of \
             resolvers: they come to ports 32768 to 60999 (/proc/sys/net/ipv4/ip_local_port_range), which its service names, \
             and established = \"pass\" knows connected sockets only; name only the ports that this host offers, or pass those \
             whom it asks in a rule above"
        ]
    );
}

#[test]
fn icmp_belongs_to_no_socket() {
    for (service, keys) in [("\"icmp\"", ""), ("1", ""), ("58", CUT), ("\"tcp/443\",\"icmp\"", CUT)] {
        assert_eq!(
            told("reject", &format!("service = [{service}], {keys}")),
            [
                "rule \"r\" rejects ICMP, which belongs to no socket, so that established = \"pass\" excepts none of it: answers \
                 to this host's own pings, and what routers say of packets that are too big, without which its connections to \
                 such sources may hang; take ICMP out, or give it a rule of its own with action = \"limit\""
            ],
            "{service}"
        );
    }
}

#[test]
fn rules_that_cut_nothing_or_everything_or_some_are_not_warned_of() {
    let all = "service = [\"tcp\",\"udp\",\"icmp\"]";
    assert_eq!(told("drop", CUT), [""; 0]);
    assert_eq!(told("pass", all), [""; 0]);
    assert_eq!(told("tag", &format!("{all}, mark = 1")), [""; 0]);
    assert_eq!(told("limit", &format!("{all}, {CUT}, rate = 1, per = \"rule\"")), [""; 0]);
    assert_eq!(told("drop", &format!("{all}, {CUT}, observe = true")), [""; 0]);
    // One that does not hold yet will.
    assert_eq!(told("drop", &format!("{all}, {CUT}, from = 2027-01-01T00:00:00Z")).len(), 2);
    assert_eq!(told("drop", &format!("{all}, {CUT}, until = 2026-01-01T00:00:00Z")).len(), 1);
}

#[test]
fn the_range_is_this_host_s() {
    let here = Surroundings { client_ports: 2000..=3000, ..HERE };
    let text = rule("r", CN, "drop", &format!("service = [\"tcp/1-2000\"], {CUT}"));
    let found = warned_at(&text, &here);
    assert!(found.len() == 1 && found[0].contains("TCP ports 2000 to 3000"), "{found:?}");
}
