//! Metrics before the real tools: promtool and Prometheus.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use octroi_gate::corpus::build::{neighbour_discovery, udp};
use octroi_tests::{
    command,
    gate::{Gate, METRICS_PORT},
    netns::Lab,
    prom::{self, Metrics},
    wire::Sender,
};

const POLICY: &str = "[[rule]]\nname = \"cn\"\nsource = { country = [\"CN\"] }\naction = \"drop\"\n\
     [[rule]]\nname = \"seen\"\nsource = { any = true }\naction = \"drop\"\nobserve = true\n";

fn traffic(lab: &Lab) {
    let sender = Sender::new(&lab.outside, &lab.pair().peer);
    for source in ["1.0.1.1", "8.8.8.8", "5.1.64.1", "240e::1", "192.168.1.1", "203.0.113.1"] {
        let source: IpAddr = source.parse().expect("an address");
        let pair = lab.pair();
        let here: IpAddr = if source.is_ipv4() { pair.gate4.into() } else { pair.gate6.into() };
        for _ in 0..3 {
            sender.send(&udp(source, here).ports(4000, 9).frame());
        }
    }
    let pair = lab.pair();
    sender.send(&neighbour_discovery(pair.peer6.into(), pair.gate6.into(), 135).frame());
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn promtool_has_nothing_to_say() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, POLICY);
    traffic(&lab);
    let (_, text) = prom::get(gate.namespace(), METRICS_PORT, "/metrics").expect("the daemon answers");
    assert!(text.contains("octroi_packets_total{country=\"CN\""), "{text}");
    let check = |arguments: &[&str]| {
        let mut promtool = Command::new("promtool");
        promtool.args(["check", "metrics"]).args(arguments);
        command::run_with_input(promtool, &text, command::SHORT)
    };
    let plain = check(&[]);
    assert!(plain.status.success(), "{plain}\n{text}");
    assert_eq!((&*plain.stdout, &*plain.stderr), ("", ""), "{text}");

    // With --extended, it prints how many series each metric has, and nothing else.
    let extended = check(&["--extended"]);
    assert!(extended.status.success() && extended.stderr.is_empty(), "{extended}\n{text}");
    let table: Vec<Vec<&str>> =
        extended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(table[0], ["Metric", "Cardinality", "Percentage"], "{extended}");
    let metrics = Metrics::parse(&text).expect("well-formed metrics");
    let (total, rows) = table[1..].split_last().expect("a line for all metrics together");
    assert_eq!(total, &["Total", &metrics.all().count().to_string(), "100%"]);
    for row in rows {
        let &[name, cardinality, percentage] = &row[..] else { panic!("{row:?} in\n{extended}") };
        assert_eq!(cardinality, metrics.series(name).count().to_string(), "{name}");
        assert!(percentage.ends_with('%'), "{row:?}");
    }
    let names: BTreeSet<&str> = metrics.all().map(|(name, ..)| name).collect();
    assert_eq!(rows.len(), names.len(), "{extended}\n{text}");
}

#[test]
fn no_label_holds_an_address() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, POLICY);
    traffic(&lab);
    for (name, labels, _) in gate.metrics().all() {
        for (label, value) in labels {
            let address = value.parse::<IpAddr>().is_ok() || value.contains('/');
            assert!(!address, "{name}{{{label}={value:?}}}");
        }
    }
}

#[test]
fn prometheus_shows_packets_by_country() {
    let lab = Lab::new();
    let gate = Gate::start(&lab, POLICY);
    let folder = gate.directory();
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n- job_name: octroi\n  static_configs:\n  - targets: ['127.0.0.1:{METRICS_PORT}']\n"
    );
    fs::write(folder.join("prometheus.yml"), config).expect("write into a directory of ours");
    let mut prometheus = gate
        .namespace()
        .command("prometheus")
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
        .arg("--web.listen-address=127.0.0.1:9090")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("start prometheus: {error}; install Debian's package prometheus"));
    traffic(&lab);
    let deadline = Instant::now() + Duration::from_secs(30);
    let found = loop {
        let query = "/api/v1/query?query=octroi_packets_total%7Bcountry%3D%22CN%22%2Cverdict%3D%22drop%22%7D";
        let answer = prom::get(gate.namespace(), 9090, query).map(|(_, body)| body).unwrap_or_default();
        if answer.contains("\"country\":\"CN\"") && answer.contains("\"3\"") || Instant::now() > deadline {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    command::kill(&mut prometheus);
    let json: serde_json::Value = serde_json::from_str(&found).unwrap_or_default();
    let series = json["data"]["result"].as_array().cloned().unwrap_or_default();
    assert_eq!(series.len(), 2, "one of each family: {found}\n{}", gate.describe());
    for one in series {
        assert_eq!((one["metric"]["job"].as_str(), one["value"][1].as_str()), (Some("octroi"), Some("3")));
    }
}
