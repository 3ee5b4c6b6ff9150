//! A rule's `service`: every form, and what is said about others.

use octroi_gate::service::Service;

use super::*;

fn rule(service: &str) -> String {
    format!("name = \"r\"\nsource.any = true\naction = \"drop\"\nservice = {service}")
}

fn services(service: &str) -> Services {
    let config = accepted(&format!("[[rule]]\n{}", rule(service)));
    config.rules[0].service.clone().expect("a service was typed")
}

#[test]
fn every_form_of_a_service_is_read() {
    for (typed, entries) in [
        ("\"tcp/443\"", vec![Service::ports(6, 443, 443)]),
        ("\"udp/53\"", vec![Service::ports(17, 53, 53)]),
        ("\"tcp/8000-8100\"", vec![Service::ports(6, 8000, 8100)]),
        ("\"udp/1-65535\"", vec![Service::ports(17, 1, u16::MAX)]),
        ("\"tcp/80-80\"", vec![Service::ports(6, 80, 80)]),
        ("\"tcp/0443\"", vec![Service::ports(6, 443, 443)]),
        ("\"tcp\"", vec![Service::whole(6)]),
        ("\"UDP\"", vec![Service::whole(17)]),
        ("\"icmp\"", vec![Service::whole(1), Service::whole(58)]),
        ("47", vec![Service::whole(47)]),
        ("\"47\"", vec![Service::whole(47)]),
        ("0x2f", vec![Service::whole(47)]),
        ("1", vec![Service::whole(1)]),
        ("58", vec![Service::whole(58)]),
        ("51", vec![Service::whole(51)]),
        ("255", vec![Service::whole(255)]),
    ] {
        assert_eq!(services(&format!("[{typed}]")).entries, entries, "{typed}");
    }
}

#[test]
fn a_list_keeps_what_was_typed_and_has_each_service_once() {
    assert_eq!(
        services(r#"["tcp/443", "icmp", 47, "tcp/443", "47", 1, "TCP/443"]"#),
        Services {
            typed: ["tcp/443", "icmp", "47", "1", "TCP/443"].map(str::to_owned).to_vec(),
            entries: vec![
                Service::ports(6, 443, 443),
                Service::whole(1),
                Service::whole(58),
                Service::whole(47)
            ],
        }
    );
}

#[test]
fn a_rule_without_services_is_about_every_packet() {
    assert_eq!(
        accepted("[[rule]]\nname = \"r\"\nsource.any = true\naction = \"drop\"").rules[0].service,
        None
    );
}

#[test]
fn what_is_no_service_is_refused_with_what_was_meant() {
    let forms = "is unknown; expected \"tcp/443\", \"udp/8000-8100\", \"tcp\", \"udp\", \"icmp\", or an IP protocol \
                 number such as 47";
    let unknown = |typed: &str| format!("service {typed:?} {forms}");
    let meant = |typed: &str, meant: &str| format!("service {typed:?} is unknown; did you mean {meant:?}?");
    for (typed, message) in [
        ("\"http\"", unknown("http")),
        ("\"\"", unknown("")),
        ("\"/\"", unknown("/")),
        ("\"tcp/https\"", unknown("tcp/https")),
        ("\"tcp/80,443\"", unknown("tcp/80,443")),
        ("\"tcp/+443\"", unknown("tcp/+443")),
        ("\"tcp/-443\"", unknown("tcp/-443")),
        ("\"tcp/443-\"", unknown("tcp/443-")),
        ("\"tcp/1-2-3\"", unknown("tcp/1-2-3")),
        ("\"132/80\"", unknown("132/80")),
        ("\"-1\"", unknown("-1")),
        ("\"tpc/443\"", meant("tpc/443", "tcp/443")),
        ("\"upd\"", meant("upd", "udp")),
        ("\"tcp 443\"", unknown("tcp 443")),
        ("\"tcp / 443\"", meant("tcp / 443", "tcp/443")),
        ("\" tcp/443\"", meant(" tcp/443", "tcp/443")),
        ("\"tcp:443\"", meant("tcp:443", "tcp/443")),
        ("\"443/tcp\"", meant("443/tcp", "tcp/443")),
        ("\"80-90/udp\"", unknown("80-90/udp")),
        ("\"6/443\"", meant("6/443", "tcp/443")),
        ("\"17/53\"", meant("17/53", "udp/53")),
        ("\"icmpv6\"", meant("icmpv6", "icmp")),
        ("\"icmp/8\"", "service \"icmp/8\" has a port, and ICMP has none; write \"icmp\"".to_owned()),
        ("\"tcp/\"", "service \"tcp/\" has no port; for all of them, write \"tcp\"".to_owned()),
        ("\"tcp/0\"", "service \"tcp/0\" has port 0, which no service has; ports are 1 to 65535".to_owned()),
        (
            "\"udp/0-1023\"",
            "service \"udp/0-1023\" has port 0, which no service has; ports are 1 to 65535".to_owned(),
        ),
        ("\"tcp/65536\"", "service \"tcp/65536\" has port 65536, and ports are 1 to 65535".to_owned()),
        (
            "\"tcp/90-80\"",
            "service \"tcp/90-80\" is a range whose first port is above its last; write \"tcp/80-90\""
                .to_owned(),
        ),
    ] {
        assert_eq!(rule_messages(&rule(&format!("[{typed}]"))), [message], "{typed}");
    }
}

#[test]
fn a_port_without_its_protocol_is_told_to_name_it() {
    let ports =
        "is not an IP protocol number, which are 0 to 255; for a port, write \"tcp/443\" or \"udp/443\"";
    assert_eq!(rule_messages(&rule("[443]")), [format!("service 443 {ports}")]);
    assert_eq!(rule_messages(&rule("[\"443\"]")), [format!("service \"443\" {ports}")]);
    for typed in ["-1", "65536", "9223372036854775807"] {
        let message = format!("service {typed} is not an IP protocol number, which are 0 to 255");
        assert_eq!(rule_messages(&rule(&format!("[{typed}]"))), [message]);
    }
}

#[test]
fn an_extension_header_is_no_service() {
    for number in [0, 43, 44, 60] {
        let message = format!(
            "service {number} is the number of an IPv6 extension header, and packets are for the protocol that \
             follows it: the rule would match nothing; name that protocol"
        );
        assert_eq!(rule_messages(&rule(&format!("[{number}]"))), [message]);
    }
}

#[test]
fn a_service_of_another_type_is_told_how_to_write_it() {
    let expected = "expected a list of strings and protocol numbers, such as [\"tcp/443\", \"udp/8000-8100\", \
                    \"icmp\", 47]";
    for (typed, message) in [
        ("\"tcp/443\"", format!("\"service\" is the string \"tcp/443\"; {expected}; write [\"tcp/443\"]")),
        ("47", format!("\"service\" is the integer 47; {expected}; write [47]")),
        ("[]", format!("\"service\" is an empty list; {expected}")),
        ("[1.5]", format!("\"service\" contains the floating-point number 1.5; {expected}")),
        ("[[\"tcp\"]]", format!("\"service\" contains a list; {expected}")),
    ] {
        assert_eq!(rule_messages(&rule(typed)), [message], "{typed}");
    }
}

#[test]
fn every_wrong_service_of_a_list_is_reported() {
    assert_eq!(rule_messages(&rule("[\"http\", \"tcp/443\", 443, \"tcp/0\"]")).len(), 3);
}

#[test]
fn more_services_than_a_rule_takes_are_refused_where_they_stand() {
    let ports = |count: usize| {
        let ports: Vec<String> = (1..=count).map(|port| format!("\"tcp/{}\"", 2 * port)).collect();
        format!("[[rule]]\n{}", rule(&format!("[{}]", ports.join(", "))))
    };
    assert_eq!(accepted(&ports(64)).rules.len(), 1);
    let errors = parse(&format!("{MINIMAL}{}", ports(65))).expect_err("one too many");
    let message = "65 services, and a rule takes 64; bring ports together as ranges, or divide the rule";
    let found = errors.problems().iter().map(|problem| (problem.message(), problem.line().is_some()));
    assert_eq!(found.collect::<Vec<_>>(), [(message, true)]);
}
