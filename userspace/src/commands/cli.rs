//! What may be typed.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    lease::{Action, Prefix, Reason, Ttl},
    policy::walk::Purpose,
    time,
};

/// Drops, tags or passes packets at a network interface by the country and network they come from.
#[derive(Parser, Debug)]
#[command(
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 could not be done; 2 wrong usage; 78 configuration or database invalid."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Where the configuration is: each command has it too, in either place.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the daemon in the foreground: validate, compile, load, attach, serve.
    Run(RunArgs),
    /// Validate configuration and databases, and print what would be loaded. Needs no privilege.
    Check(CheckArgs),
    /// Say why a packet from an address gets its verdict. Needs no privilege and, without --live, no daemon.
    Explain(ExplainArgs),
    /// Say what a policy does to the packets of a capture (pcap or pcapng, Ethernet).
    Replay(ReplayArgs),
    /// Ask the running daemon for its interfaces, rules, counters and databases.
    Status(ReadArgs),
    /// Make the running daemon read configuration and databases again, without a gap.
    Reload(ReloadArgs),
    /// Replace the policy by that of a file, and go back by itself unless somebody confirms it in time.
    Apply(ApplyArgs),
    /// Keep the policy that was applied, and install it as the configuration.
    Confirm(ConfigArg),
    /// Go back: from a policy that was applied and not confirmed, or else to the one before the last.
    Rollback(RollbackArgs),
    /// Temporary exceptions and bans, which come before the rules and end by themselves, daemon or not.
    #[command(subcommand)]
    Lease(LeaseCommand),
    /// Remove octroi's programs and pins, also when no daemon runs.
    Detach(DetachArgs),
}

/// Where the configuration is, if nobody says so.
pub const DEFAULT_CONFIG: &str = "/etc/octroi/octroi.toml";

/// Where the configuration is.
#[derive(Args, Debug)]
pub struct ConfigArg {
    /// Configuration file.
    #[arg(short, long, global = true, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// Arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Set marks without XDP metadata: for tests, and for drivers that take metadata but do not deliver it.
    #[arg(long, hide = true, env = "OCTROI_NO_METADATA")]
    pub no_metadata: bool,
    /// Load the tables in parts of 2 MiB, as on kernels before 6.0 where one is above 4 MiB: for tests.
    #[arg(long, hide = true, env = "OCTROI_TABLE_PARTS")]
    pub table_parts: bool,
    /// Write buckets of limits with plain stores, as on kernels before 5.12: for tests.
    #[arg(long, hide = true, env = "OCTROI_PLAIN_STORES")]
    pub plain_stores: bool,
    /// Attach the program for marks by clsact, as on kernels before 6.6: for tests.
    #[arg(long, hide = true, env = "OCTROI_CLSACT")]
    pub clsact: bool,
}

/// Arguments of `reload`.
#[derive(Args, Debug)]
pub struct ReloadArgs {
    /// Take databases however much they differ from those that run: what is held, and what would be.
    #[arg(long)]
    pub accept: bool,
    /// Also where it would keep out whoever runs this, logged in by ssh; of others it warns.
    #[arg(long)]
    pub force: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of commands that print facts.
#[derive(Args, Debug)]
pub struct ReadArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// End with 1 where there is any warning: for scripts that let no doubtful configuration through.
    #[arg(long)]
    pub strict: bool,
    /// Say what NEW changes in the place of OLD, two databases of one kind, instead: addresses by country or network, and
    /// the verdicts that they meet. With --strict, end with 1 where a running daemon would hold NEW.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"])]
    pub diff: Option<Vec<PathBuf>>,
    /// Where the configuration is, and how to print.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The source address (IPv4-mapped ones, `::ffff:192.0.2.1`, are read as IPv4), or `-` to read addresses from standard input, one a line, and answer one line each.
    #[arg(value_parser = parse_addresses)]
    pub address: Addresses,
    /// What the packets are for: tcp/443, udp/53, icmp, or a protocol number. Without it, a rule about services counts as
    /// matching, and says which.
    #[arg(long, value_name = "PROTOCOL/PORT", value_parser = parse_port)]
    pub port: Option<Purpose>,
    /// When: RFC 3339, such as 2026-07-09T00:00:00Z. Without it, now.
    #[arg(long, value_name = "TIME", value_parser = time::parse_ns)]
    pub at: Option<u64>,
    /// Ask the running daemon: the policy and the databases that it has loaded, whatever the files hold by now.
    #[arg(long)]
    pub live: bool,
    /// Configuration, and how to print.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What to explain.
#[derive(Clone, Debug)]
pub enum Addresses {
    /// One address.
    One(IpAddr),
    /// Those on standard input.
    StandardInput,
}

fn parse_addresses(text: &str) -> Result<Addresses, String> {
    if text == "-" {
        return Ok(Addresses::StandardInput);
    }
    text.parse()
        .map(|address: IpAddr| Addresses::One(address.to_canonical()))
        .map_err(|_| "expected an IPv4 or IPv6 address, or -".into())
}

fn parse_port(text: &str) -> Result<Purpose, String> {
    let (protocol, port) = match text.split_once('/') {
        Some((protocol, port)) => (protocol, Some(port)),
        None => (text, None),
    };
    let number = match protocol {
        "tcp" => 6,
        "udp" => 17,
        "icmp" if port.is_none() => return Ok(Purpose::Icmp),
        "icmp" => 1,
        other => other.parse().map_err(|_| match other.parse::<u16>() {
            Ok(port) if text == other => {
                format!("{port} is no protocol; for a port, write tcp/{port} or udp/{port}")
            }
            _ => format!("{other:?} is no protocol: tcp, udp, icmp or a number to 255"),
        })?,
    };
    let has_ports = matches!(number, 6 | 17);
    match port {
        None if has_ports => Err(format!("{text} has no port; write {text}/443")),
        None => Ok(Purpose::Protocol(number, None)),
        Some(_) if !has_ports => Err(format!("{protocol} has no ports; write {protocol}")),
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => Ok(Purpose::Protocol(number, Some(port))),
            _ => Err(format!("{port:?} is no port: 1 to 65535")),
        },
    }
}

/// Arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The capture file.
    pub capture: PathBuf,
    /// Configuration, and how to print: with --json, one object a packet.
    #[command(flatten)]
    pub read: ReadArgs,
    /// When they come: RFC 3339, such as 2026-07-09T00:00:00Z. Without it, now.
    #[arg(long, value_name = "TIME", value_parser = time::parse_ns)]
    pub at: Option<u64>,
    /// What judges the packets; by default the kernel where that is permitted.
    #[arg(long)]
    pub engine: Option<EngineKind>,
}

/// What judges packets.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub enum EngineKind {
    /// The real program, by BPF_PROG_TEST_RUN.
    Kernel,
    /// The same code in user space.
    Host,
}

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// The policy: a whole configuration file. Relative paths in it start where the configuration is.
    pub file: PathBuf,
    /// How long it waits for `octroi confirm`, such as 60s or 10m; at most 1d.
    #[arg(long, value_name = "TIME", default_value = "60s", allow_hyphen_values = true, value_parser = parse_timeout)]
    pub confirm_timeout: Ttl,
    /// Also where it would keep out somebody who is logged in by ssh.
    #[arg(long)]
    pub force: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `rollback`.
#[derive(Args, Debug)]
pub struct RollbackArgs {
    /// To the policy before the one that runs, also where the last change has gone already.
    #[arg(long)]
    pub previous: bool,
    /// Also where it would keep out somebody who is logged in by ssh.
    #[arg(long)]
    pub force: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
}

fn parse_timeout(text: &str) -> Result<Ttl, String> {
    const DAY: u64 = 86_400_000_000_000;
    match text.parse::<Ttl>()? {
        ttl if ttl.nanoseconds() <= DAY => Ok(ttl),
        _ => Err("is longer than a day; whoever confirms is there".into()),
    }
}

/// What to do with leases.
#[derive(Subcommand, Debug)]
pub enum LeaseCommand {
    /// Let a prefix in, or keep it out, for a while. Where it has a lease already, this one takes its place.
    Add(AddLeaseArgs),
    /// List the leases that are not over; without a daemon, those that it keeps.
    List(ReadArgs),
    /// End a lease now.
    Remove(RemoveLeaseArgs),
}

/// Arguments of `lease add`.
#[derive(Args, Debug)]
pub struct AddLeaseArgs {
    /// Which sources: an address or a prefix, such as 192.0.2.0/24. The longest prefix counts.
    pub prefix: Prefix,
    /// What becomes of their packets, those of existing connections included.
    #[arg(long)]
    pub action: Action,
    /// For how long, such as 90s, 30m, 2h or 7d; at most 365d.
    #[arg(long, allow_hyphen_values = true)]
    pub ttl: Ttl,
    /// Why, for people: 200 characters at most.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<Reason>,
    /// Also where it would cut off somebody who is logged in by ssh.
    #[arg(long)]
    pub force: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `lease remove`.
#[derive(Args, Debug)]
pub struct RemoveLeaseArgs {
    /// The prefix that the lease was added for.
    pub prefix: Prefix,
    /// Also where it is what lets in whoever runs this, logged in by ssh.
    #[arg(long)]
    pub force: bool,
    /// Where the configuration is.
    #[command(flatten)]
    pub config: ConfigArg,
}

/// Arguments of `detach`.
#[derive(Args, Debug)]
pub struct DetachArgs {
    /// Where the configuration is; it says where the pins are, and may be missing.
    #[command(flatten)]
    pub config: ConfigArg,
    /// In every network namespace whose pins are there, not only in this one.
    #[arg(long)]
    pub all: bool,
}
