//! The disk that machines start from: Debian, made of its packages by mmdebstrap, with systemd, a network interface that
//! systemd-networkd brings up, and an agent that runs what the host says. octroi is not on it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail, ensure as hold};

use super::wire;
use crate::shell::{output, run_quietly};

/// What the machine has beyond what Debian calls essential and apt.
const PACKAGES: &str =
    "linux-image-cloud-amd64,initramfs-tools,systemd,systemd-sysv,udev,dbus,kmod,iproute2,libgcc-s1";

/// Reads a length in a line, then a script of as many bytes; answers its exit code and the length of what it printed in
/// a line, then that.
const AGENT: &str = r#"#!/bin/bash
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec 3<>/dev/virtio-ports/host.agent
echo ready >&3
while read -r length <&3; do
    script=$(head -c "$length" <&3)
    said=$(bash -ec "$script" 2>&1 </dev/null 3<&-)
    printf '%s %s\n%s' $? ${#said} "$said" >&3
done
"#;

const AGENT_UNIT: &str = r"[Unit]
BindsTo=dev-virtio\x2dports-host.agent.device
After=dev-virtio\x2dports-host.agent.device
[Service]
ExecStart=/usr/local/sbin/host-agent
StandardOutput=null
[Install]
WantedBy=multi-user.target
";

/// A disk, and the kernel that boots it.
pub(super) struct Image {
    pub(super) disk: PathBuf,
    pub(super) kernel: PathBuf,
    pub(super) initrd: PathBuf,
}

/// Makes the image of that release of Debian, unless it is there and was made of the same.
pub(super) fn image(folder: &Path, release: &str) -> anyhow::Result<Image> {
    let image = Image {
        disk: folder.join(format!("{release}.ext4")),
        kernel: folder.join(format!("{release}.vmlinuz")),
        initrd: folder.join(format!("{release}.initrd")),
    };
    let sources = sources(release)?;
    let files = files();
    let recipe = format!("{PACKAGES}\n{sources}\n{files:?}\n");
    let stamp = folder.join(format!("{release}.made-of"));
    if image.disk.exists() && fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == recipe) {
        return Ok(image);
    }
    println!("making a machine of the packages of Debian {release}: {PACKAGES}");
    let tree = folder.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("empty {}", tree.display()))?;
    }
    let list = folder.join("sources.list");
    fs::write(&list, &sources).with_context(|| format!("write {}", list.display()))?;
    let include = format!("--include={PACKAGES}");
    let mut strap = Command::new("mmdebstrap");
    strap.args(["--quiet", "--mode=root", "--variant=apt", "--format=directory", &include, release]);
    run_quietly(strap.arg(&tree).arg(&list))?;
    for (path, text, mode) in &files {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
    }
    // Nothing that comes up by itself: its work would be in the figures.
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--root").arg(&tree).args(["--quiet", "enable", "host-agent", "systemd-networkd"]);
    run_quietly(&mut systemctl)?;
    let mut systemctl = Command::new("systemctl");
    systemctl.arg("--root").arg(&tree).args([
        "--quiet",
        "mask",
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
    ]);
    run_quietly(systemctl.args([
        "fstrim.timer",
        "dpkg-db-backup.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
    ]))?;
    for (pattern, to) in [("vmlinuz-", &image.kernel), ("initrd.img-", &image.initrd)] {
        let boot = tree.join("boot");
        let found = fs::read_dir(&boot)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(pattern)));
        let from = found.with_context(|| format!("no {pattern}* in {}", boot.display()))?;
        fs::copy(&from, to).with_context(|| format!("copy {}", from.display()))?;
    }
    // Not below its name until it is whole.
    let half = folder.join("half.ext4");
    let _ = fs::remove_file(&half);
    let mut make = Command::new("mke2fs");
    make.args(["-q", "-t", "ext4", "-L", "root", "-d"]).arg(&tree).arg(&half).arg("1500M");
    run_quietly(&mut make)?;
    fs::rename(&half, &image.disk)?;
    fs::remove_dir_all(&tree).with_context(|| format!("remove {}", tree.display()))?;
    fs::write(&stamp, recipe).with_context(|| format!("write {}", stamp.display()))?;
    Ok(image)
}

/// A disk with files, which the machine can read only.
pub(super) fn disk_of(folder: &Path, name: &str, files: &[&Path]) -> anyhow::Result<PathBuf> {
    let tree = folder.join(name);
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("empty {}", tree.display()))?;
    }
    fs::create_dir_all(&tree)?;
    for file in files {
        let to = tree.join(file.file_name().context("a file's name")?);
        fs::copy(file, &to).with_context(|| format!("copy {}", file.display()))?;
    }
    let disk = folder.join(format!("{name}.ext4"));
    let _ = fs::remove_file(&disk);
    let mut make = Command::new("mke2fs");
    run_quietly(make.args(["-q", "-t", "ext4", "-d"]).arg(&tree).arg(&disk).arg("64M"))?;
    Ok(disk)
}

/// Where this machine's own Debian packages come from, as lines for apt, for that release.
fn sources(release: &str) -> anyhow::Result<String> {
    let os = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    let own = os.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let own = own.context("/etc/os-release names no release")?;
    let format = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
    let targets =
        output(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    let mut lines: Vec<String> = Vec::new();
    for target in targets.lines() {
        let words: Vec<&str> = target.split('|').collect();
        let [origin, uri, suite, component] = words[..] else {
            bail!("apt-get indextargets said: {target}");
        };
        // The release, its security and its updates.
        if origin == "Debian" && component == "main" && suite.starts_with(own) {
            lines.push(format!("deb {uri} {} main", suite.replacen(own, release, 1)));
        }
    }
    lines.dedup();
    hold!(!lines.is_empty(), "apt has no source of Debian {own}: run this on Debian, after apt-get update");
    Ok(lines.join("\n") + "\n")
}

/// What is on the disk beside packages: `(path, text, mode)`.
fn files() -> Vec<(&'static str, String, u32)> {
    let network = format!(
        "[Match]\nName=en*\n[Network]\nLinkLocalAddressing=no\nIPv6AcceptRA=no\nGateway={gateway4}\nGateway={gateway6}\n\
         [Address]\nAddress={guest4}/24\n[Address]\nAddress={guest6}/64\nDuplicateAddressDetection=none\n\
         [Neighbor]\nAddress={gateway4}\nLinkLayerAddress={mac}\n[Neighbor]\nAddress={gateway6}\nLinkLayerAddress={mac}\n",
        gateway4 = wire::HOST4,
        gateway6 = wire::HOST6,
        guest4 = wire::GUEST4,
        guest6 = wire::GUEST6,
        mac = wire::text(wire::HOST_MAC),
    );
    vec![
        ("etc/fstab", "/dev/vda / ext4 rw,noatime 0 1\n/dev/vdb /mnt ext4 ro,nofail 0 0\n".into(), 0o644),
        ("etc/hostname", "machine\n".into(), 0o644),
        ("etc/systemd/network/10-wire.network", network, 0o644),
        // All of it is looked through after a power cut.
        (
            "etc/systemd/journald.conf.d/keep.conf",
            "[Journal]\nStorage=persistent\nSyncIntervalSec=1\n".into(),
            0o644,
        ),
        ("etc/systemd/system/host-agent.service", AGENT_UNIT.into(), 0o644),
        ("usr/local/sbin/host-agent", AGENT.into(), 0o755),
    ]
}
