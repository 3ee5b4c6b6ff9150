//! Packages for Debian and for distributions with rpm, in target/package: what is in them is said in
//! `userspace/Cargo.toml`, what they do when they come and go in `packaging/`.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure as hold};

use crate::{
    build,
    packages::ensure,
    shell::{output, run, run_quietly},
    tools::tool,
};

const CARGO_DEB: &str = "3.8.0";
const CARGO_GENERATE_RPM: &str = "0.21.1";

/// What checks packages: `(program, Debian package)`.
const PROGRAMS: [(&str, &str); 4] =
    [("lintian", "lintian"), ("dpkg-deb", "dpkg"), ("rpm", "rpm"), ("gzip", "gzip")];

/// What has to be in each of them: `(in the .deb, in the .rpm)`.
const CONTENTS: [(&str, &str); 12] = [
    ("/usr/bin/octroi", "/usr/bin/octroi"),
    ("/usr/lib/systemd/system/octroi.service", "/usr/lib/systemd/system/octroi.service"),
    ("/usr/lib/sysusers.d/octroi.conf", "/usr/lib/sysusers.d/octroi.conf"),
    ("/usr/lib/tmpfiles.d/octroi.conf", "/usr/lib/tmpfiles.d/octroi.conf"),
    ("/etc/octroi/octroi.toml", "/etc/octroi/octroi.toml"),
    ("/usr/share/man/man1/octroi.1.gz", "/usr/share/man/man1/octroi.1.gz"),
    ("/usr/share/man/man1/octroi-lease-add.1.gz", "/usr/share/man/man1/octroi-lease-add.1.gz"),
    ("/usr/share/bash-completion/completions/octroi", "/usr/share/bash-completion/completions/octroi"),
    ("/usr/share/zsh/vendor-completions/_octroi", "/usr/share/zsh/site-functions/_octroi"),
    ("/usr/share/fish/vendor_completions.d/octroi.fish", "/usr/share/fish/vendor_completions.d/octroi.fish"),
    ("/usr/share/doc/octroi/examples/octroi.toml", "/usr/share/doc/octroi/examples/octroi.toml"),
    ("/usr/share/doc/octroi/copyright", "/usr/share/licenses/octroi/copyright"),
];

/// Makes both packages, checks them and says what they are.
pub(crate) fn all(root: &Path) -> anyhow::Result<()> {
    ensure(&PROGRAMS)?;
    prepare(root)?;
    let deb = deb(root, None)?;
    check_deb(root, &deb)?;
    let rpm = rpm(root)?;
    check_rpm(&rpm)
}

/// Builds octroi and all that packages hold beside it.
pub(crate) fn prepare(root: &Path) -> anyhow::Result<()> {
    build::build(root, true)?;
    let folder = folder(root);
    for part in ["man", "complete"] {
        let part = folder.join(part);
        if part.exists() {
            fs::remove_dir_all(&part).with_context(|| format!("empty {}", part.display()))?;
        }
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let manual =
        ["run", "--locked", "--quiet", "--release", "--package", "octroi", "--example", "manual", "--"];
    run(Command::new("cargo").args(manual).arg(&folder))?;
    // -n: without name and time, so that the same source makes the same package.
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "--no-name"]);
    for page in fs::read_dir(folder.join("man"))? {
        gzip.arg(page?.path());
    }
    run_quietly(&mut gzip)?;
    let changelog = folder.join("changelog");
    fs::copy(root.join("CHANGELOG.md"), &changelog).context("copy CHANGELOG.md")?;
    run_quietly(Command::new("gzip").args(["-9", "--no-name", "--force"]).arg(changelog))?;
    fs::write(folder.join("crates.txt"), crates()?).context("write crates.txt")
}

/// Packs for Debian what `prepare` made; `version` in place of the crate's.
pub(crate) fn deb(root: &Path, version: Option<&str>) -> anyhow::Result<PathBuf> {
    let tool = tool(root, "cargo-deb", CARGO_DEB)?;
    let mut pack = Command::new(tool);
    pack.env("SOURCE_DATE_EPOCH", commit_time(root)?)
        .args(["--package", "octroi", "--locked", "--no-build", "--strip", "--no-dbgsym", "--output"])
        .arg(folder(root));
    if let Some(version) = version {
        pack.args(["--deb-version", version]);
    }
    // Its last line is where the package is.
    let said = output(&mut pack)?;
    let path = PathBuf::from(said.lines().last().unwrap_or_default());
    hold!(path.extension().is_some_and(|end| end == "deb"), "cargo-deb named no package:\n{said}");
    Ok(path)
}

fn rpm(root: &Path) -> anyhow::Result<PathBuf> {
    let tool = tool(root, "cargo-generate-rpm", CARGO_GENERATE_RPM)?;
    // The one in the .deb is stripped by cargo-deb; this tool takes files as they are.
    let folder = folder(root).join("rpm");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let time = commit_time(root)?;
    let mut pack = Command::new(tool);
    pack.args(["--package", "userspace", "--auto-req", "builtin", "--source-date", time.trim(), "--output"])
        .arg(&folder);
    run_quietly(&mut pack)?;
    let made = fs::read_dir(&folder)?.next().context("cargo-generate-rpm made no package")??;
    Ok(made.path())
}

fn check_deb(root: &Path, deb: &Path) -> anyhow::Result<()> {
    let listed = output(Command::new("dpkg-deb").arg("--contents").arg(deb))?;
    let files: BTreeSet<&str> =
        listed.lines().filter_map(|line| line.split_whitespace().nth(5)?.strip_prefix('.')).collect();
    for (file, _) in CONTENTS {
        hold!(files.contains(file), "{} has no {file}:\n{listed}", deb.display());
    }
    let field = |name: &str| {
        let text = output(Command::new("dpkg-deb").arg("--field").arg(deb).arg(name))?;
        Ok::<_, anyhow::Error>(text.trim().to_owned())
    };
    let conffiles = output(Command::new("dpkg-deb").arg("--info").arg(deb).arg("conffiles"))?;
    hold!(conffiles.trim() == "/etc/octroi/octroi.toml", "conffiles: {conffiles}");
    let lintian = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"])
        // Of packages in Debian's own archive, where a first upload answers a request for it.
        .args(["--suppress-tags", "initial-upload-closes-no-bugs"])
        .arg(deb)
        .output()
        .context("run lintian")?;
    let findings = [lintian.stdout, lintian.stderr].concat();
    let findings = String::from_utf8_lossy(&findings);
    print!("{findings}");
    if !lintian.status.success() {
        bail!("lintian has something to say of {}", deb.display());
    }
    println!(
        "{}: {} bytes, {} KiB installed, {} files\n  depends on: {}\n  lintian: no errors, no warnings",
        shown(root, deb),
        fs::metadata(deb)?.len(),
        field("Installed-Size")?,
        files.iter().filter(|file| !file.ends_with('/')).count(),
        field("Depends")?,
    );
    Ok(())
}

fn check_rpm(rpm: &Path) -> anyhow::Result<()> {
    let ask = |what: &str| output(Command::new("rpm").args([what, "--package"]).arg(rpm).arg("--query"));
    let files = ask("--list")?;
    for (_, file) in CONTENTS {
        hold!(files.lines().any(|line| line == file), "{} has no {file}:\n{files}", rpm.display());
    }
    let scripts = ask("--scripts")?;
    for script in ["postinstall", "preuninstall", "postuninstall"] {
        hold!(scripts.contains(&format!("{script} scriptlet")), "no {script} in\n{scripts}");
    }
    let config = ask("--configfiles")?;
    hold!(config.trim() == "/etc/octroi/octroi.toml", "configuration files: {config}");
    let info = ask("--info")?;
    let requires = ask("--requires")?;
    // Of the symbol versions, the newest that is asked of the C library says how old it may be.
    let symbols = requires.lines().filter_map(|line| line.split_once("(GLIBC_")?.1.split_once(')'));
    let glibc = symbols.filter_map(|(version, _)| version.strip_prefix("2.")?.parse::<u32>().ok()).max();
    let plain =
        |line: &&str| !line.contains("(GLIBC_") && !line.contains("(GCC_") && !line.starts_with("rpmlib(");
    let requires: BTreeSet<&str> = requires.lines().filter(plain).collect();
    let requires: Vec<&str> = requires.into_iter().collect();
    let size = info.lines().find_map(|line| line.strip_prefix("Size")?.split(": ").nth(1));
    println!(
        "{}: {} bytes, {} bytes installed, {} files\n  requires: {}, glibc 2.{}\n  scripts: {}",
        rpm.file_name().unwrap_or_default().to_string_lossy(),
        fs::metadata(rpm)?.len(),
        size.unwrap_or("?"),
        files.lines().count(),
        requires.join(", "),
        glibc.unwrap_or_default(),
        scripts
            .lines()
            .filter_map(|line| line.split_once(" scriptlet"))
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(", "),
    );
    Ok(())
}

/// The crates inside the binary, and their licences.
fn crates() -> anyhow::Result<String> {
    let tree =
        ["tree", "--locked", "--package", "octroi", "--edges", "normal", "--prefix", "none", "--format"];
    let listed = output(Command::new("cargo").args(tree).arg("{p}|{l}"))?;
    let lines: BTreeSet<&str> = listed.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    let mut text = "The crates inside octroi's binary, and their licences.\n\n".to_owned();
    for line in lines {
        let (package, licence) = line.split_once('|').unwrap_or((line, ""));
        // Ours have a path behind the version.
        if !package.is_empty() && !package.contains(" (/") {
            writeln!(text, "{:<40} {licence}", package.trim_end_matches(" (proc-macro)"))?;
        }
    }
    Ok(text)
}

/// When what is packed was committed, in seconds: the packages' files are of that time.
fn commit_time(root: &Path) -> anyhow::Result<String> {
    let time = output(Command::new("git").arg("-C").arg(root).args(["log", "-1", "--format=%ct"]))?;
    Ok(time.trim().to_owned())
}

fn folder(root: &Path) -> PathBuf {
    root.join("target/package")
}

fn shown(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
