//! Commands that concern a running daemon: `status`, `reload`, `detach`.

use std::{
    fmt::Write,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    cli::{ConfigArg, DEFAULT_CONFIG, DetachArgs, ReadArgs, ReloadArgs},
    note, print, print_json, shown,
};
use crate::{
    Failure,
    config::Control,
    daemon::{
        control::{AskError, Reply, Request, ask},
        status::{DamagedLeases, RuleStatus, Status},
    },
    dataplane::{
        Removed,
        bpffs::{USUAL, is_bpffs},
        filtered_by_pins, links_in_kernel, remove_pins,
    },
    lint,
    text::some,
};

/// `octroi status`.
///
/// # Errors
/// When no daemon answers.
pub fn status(args: &ReadArgs) -> Result<(), Failure> {
    let places = places(&args.config)?;
    let reply = ask_at(&places, Request::Status)?.map_err(|error| match error {
        AskError::Absent { .. } => anyhow::anyhow!("{error}\noctroi: {}", without_a_daemon(&places.pins)),
        error @ AskError::Silent { .. } => error.into(),
    })?;
    match reply {
        Reply::Status(status) if args.json => Ok(print_json(&status)?),
        Reply::Status(status) => {
            print(&text(&status));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// What goes on where no daemon answers, as far as its pins tell.
fn without_a_daemon(pins: &Path) -> String {
    match filtered_by_pins(pins).as_slice() {
        [] => format!("nothing is filtered here by what is pinned in {}", pins.display()),
        filtered => format!(
            "the gate goes on without a daemon, by what is pinned in {}, on {}",
            pins.display(),
            filtered.join(", ")
        ),
    }
}

/// `octroi reload`.
///
/// # Errors
/// Why the running gate stays as it is.
pub fn reload(args: &ReloadArgs) -> Result<(), Failure> {
    let (accept, force, login) = (args.accept, args.force, lint::own_login());
    match request(&args.config, Request::Reload { accept, force, login })? {
        Reply::Reloaded { file, ignored, warnings } => {
            for warning in warnings {
                print(&format!("warning: {warning}\n"));
            }
            let Some(file) = file else {
                print("reloaded\n");
                return Ok(());
            };
            let asked = &args.config.config;
            // Where nobody named a file, and there is none in the usual place, nobody meant it.
            let meant = asked.as_os_str() != DEFAULT_CONFIG || asked.exists();
            if meant && !same_file(asked, &file) {
                let (asked, file) = (asked.display(), file.display());
                print(&format!(
                    "warning: {asked} was not read: the daemon was started with {file}, and a reload reads that one again; to \
                     step to another policy, run `octroi apply {asked}`\n"
                ));
            }
            let what = if ignored { "the policy that counts in place of " } else { "" };
            print(&format!("reloaded: {what}{}\n", file.display()));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// Whether both lead to one file.
fn same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => std::path::absolute(one).is_ok_and(|one| one == other),
    }
}

/// `octroi detach`.
///
/// # Errors
/// When a daemon runs that would attach again, or a pin cannot be removed.
pub fn detach(args: &DetachArgs) -> Result<(), Failure> {
    // The way out has to work with a configuration that does not.
    let Control { socket, pins, .. } = places(&args.config)?;
    match runtime()?.block_on(ask(&socket, Request::Status)) {
        Ok(Reply::Status(status)) => {
            return Err(anyhow::anyhow!(
                "octroi runs as process {}, and would attach again: stop it (systemctl stop octroi, or kill {0}), and run \
                 `octroi detach` then, since the gate goes on without it unless [control] on_stop = \"detach\"",
                status.pid
            )
            .into());
        }
        // One is there, and would attach again.
        Ok(other) => return Err(unexpected(other)),
        Err(error @ AskError::Silent { .. }) => return Err(anyhow::Error::from(error).into()),
        Err(AskError::Absent { .. }) => {}
    }
    let shown = pins.display();
    let Some(Removed { programs, elsewhere }) = remove_pins(&pins, args.all)? else {
        let mount = pins.parent().unwrap_or(&pins);
        // Anywhere else, pins could never have been.
        let hidden = pins.starts_with(USUAL) && !is_bpffs(mount);
        let links = if hidden { links_in_kernel() } else { 0 };
        if links > 0 {
            return Err(anyhow::anyhow!(
                "detach: {} is no BPF file system here, and the kernel has {links} links of octroi's programs, which are pinned \
                 elsewhere: run this where the daemon ran (`ip netns exec` hides the pins; `nsenter --net=` does not)",
                mount.display()
            )
            .into());
        }
        print(&format!("nothing to detach: there is no {shown}\n"));
        return Ok(());
    };
    let others: Vec<String> =
        elsewhere.iter().map(|(&space, &links)| describe_namespace(space, links)).collect();
    if programs == 0 && !others.is_empty() {
        return Err(anyhow::anyhow!(
            "detach: {shown} has no program of this network namespace, and programs of others go on filtering there: {}; run \
             `octroi detach --all` to detach them all, or `octroi detach` in theirs",
            others.join(", ")
        )
        .into());
    }
    let others = if others.is_empty() {
        String::new()
    } else {
        format!("; others go on filtering: {} (--all detaches them, too)", others.join(", "))
    };
    print(&format!("detached: {programs} programs{others}\n"));
    Ok(())
}

/// A network namespace by its number and, where it has one, its name, and how many programs are attached there.
fn describe_namespace(number: u64, programs: usize) -> String {
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|file| file.ino() == number);
    let named = fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|entry| entry.path());
    let host = PathBuf::from("/proc/1/ns/net");
    let path = std::iter::once(host).chain(named).find(|path| is_it(path));
    let path = path.map(|path| format!(" (nsenter --net={})", path.display())).unwrap_or_default();
    format!("{programs} in network namespace {number}{path}")
}

/// Where the daemon is that runs with this configuration. Without a file, the usual places.
///
/// # Errors
/// [`Failure::Config`] when the file does not tell.
pub(super) fn places(config: &ConfigArg) -> Result<Control, Failure> {
    let path = &config.config;
    match Control::despite_errors(path) {
        Ok((control, None)) => Ok(control),
        // A broken file must not keep the operator from the running daemon, which tells what is wrong with it.
        Ok((control, Some(errors))) => {
            let first = errors.problems().first().map(|problem| match problem.line() {
                Some(line) => format!("{}:{line}: {}", path.display(), problem.message()),
                None => format!("{}: {}", path.display(), problem.message()),
            });
            note(&format!(
                "warning: {}; `octroi check` says all that is wrong with it; what it says of [control], or leaves out, counts nevertheless",
                first.unwrap_or_default()
            ));
            Ok(control)
        }
        Err(_) if is_missing(path) && path.as_os_str() == DEFAULT_CONFIG => Ok(Control::default()),
        Err(errors) => Err(Failure::config(format!(
            "{errors}\noctroi: nothing was done: [control] in that file says which daemon and which pins are meant"
        ))),
    }
}

fn is_missing(path: &Path) -> bool {
    matches!(path.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The daemon's answer.
///
/// # Errors
/// When there is none.
pub(super) fn request(config: &ConfigArg, request: Request) -> Result<Reply, Failure> {
    Ok(ask_at(&places(config)?, request)?.map_err(anyhow::Error::from)?)
}

/// The answer of the daemon in those places, or why there was none.
pub(super) fn ask_at(control: &Control, request: Request) -> anyhow::Result<Result<Reply, AskError>> {
    Ok(runtime()?.block_on(ask(&control.socket, request)))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

pub(super) fn unexpected(reply: Reply) -> Failure {
    match reply {
        Reply::Failed { error, invalid: true } => Failure::Config(error),
        Reply::Failed { error, invalid: false } => anyhow::anyhow!(error).into(),
        other => anyhow::anyhow!("the daemon answered something else: {other:?}").into(),
    }
}

/// What happens to a rule next, and when.
fn next_change(rule: &RuleStatus) -> String {
    let Some(time) = &rule.next_change else { return String::new() };
    let what = match (rule.stage.as_str(), rule.next_stage.as_deref()) {
        (_, Some("ramp")) => "ramps from",
        ("ramp", Some("enforce")) => "full at",
        (_, Some("enforce")) => "enforces from",
        (_, Some("expired")) => "ends",
        // A daemon of another version.
        _ => "changes at",
    };
    format!(", {what} {time}")
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("octroi", format!("{} ({}), process {}", status.version, status.revision, status.pid));
    if let Some(pending) = &status.pending_confirmation {
        let file = shown(&pending.file);
        line("PENDING", format!("{file} goes at {} unless `octroi confirm` comes before", pending.until));
    }
    if let Some(fallback) = &status.fallback {
        line(
            "FALLBACK",
            format!("the last good policy runs; the configured one cannot be loaded: {}", fallback.reason),
        );
    }
    if let Some(why) = &status.ignored {
        line("IGNORED", why.clone());
    }
    if let Some(since) = &status.copies {
        let next = "`octroi reload` reads what is there now";
        line("COPIES", format!("of databases and lists, from {since}, run, and nothing is followed; {next}"));
    }
    if let Some(why) = &status.unserved {
        line("NO METRICS", why.clone());
    }
    line("generation", status.generation.to_string());
    for interface in &status.interfaces {
        let state = match &interface.error {
            None => interface.mode.clone(),
            Some(error) => format!("NOT FILTERED: {error}"),
        };
        line("interface", format!("{:<16} {state}", interface.name));
    }
    for awaited in &status.awaited {
        line(
            "interface",
            format!("{awaited:<16} waiting: there is none here; octroi attaches when it appears"),
        );
    }
    for rule in &status.rules {
        let note = rule.note.as_ref().map(|note| format!("  # {}", shown(note))).unwrap_or_default();
        let counts = format!("{} packets, {} bytes{}", rule.packets, rule.bytes, next_change(rule));
        line("rule", format!("{:<24} {:<5} {:<8} {counts}{note}", rule.name, rule.action, rule.stage));
    }
    line("leases", status.leases.to_string());
    if let Some(DamagedLeases { file, bad }) = &status.damaged_leases {
        let bad = some(bad, 5);
        line("BAD LEASES", format!("do not hold: {bad}; they are in {file}: add them again, and remove it"));
    }
    for database in &status.databases {
        let days = (crate::time::now() - database.built_seconds) / 86_400;
        line(
            "database",
            format!("{:<9} {}, built {} ({days} days ago)", database.kind, database.path, database.built),
        );
    }
    for held in &status.held {
        line("HELD", format!("{:<9} {}, since {}: {}", held.database, held.path, held.since, held.reason));
    }
    let reload = &status.last_reload;
    let error = reload.error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    line("last reload", format!("{} {}{error}", reload.time, reload.result));
    text
}
