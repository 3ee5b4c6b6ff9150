//! A machine with a systemd of its own, and what becomes of its gate in a life: installed, started, restarted, upgraded,
//! killed, hung, without power, removed. A verb of its own: it takes minutes, without KVM too.

mod image;
mod machine;
mod story;
mod wire;

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, bail};

use self::{machine::Setting, wire::Wire};
use crate::{
    package,
    packages::{ensure, is_root},
};

/// What it calls: `(program, Debian package)`.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("mmdebstrap", "mmdebstrap"),
    ("mke2fs", "e2fsprogs"),
    ("systemctl", "systemd"),
];

/// The version that is upgraded to: the same tree under another name.
const NEXT: &str = "0.1.1-1";

/// Makes packages and machine, and goes through the story, or its `chosen` parts.
pub(crate) fn run(root: &Path, release: &str, chosen: &[String]) -> anyhow::Result<()> {
    if !is_root() {
        bail!(
            "the machine's disk is made of Debian's packages with their owners: run `cargo xtask vm` as root"
        );
    }
    ensure(&PROGRAMS)?;
    let folder = root.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    package::prepare(root)?;
    let (first, next) = (package::deb(root, None)?, package::deb(root, Some(NEXT))?);
    let packages = image::disk_of(&folder, "packages", &[&first, &next])?;
    let image = image::image(&folder, release)?;
    let begun = Instant::now();
    let wire = Wire::new(&folder)?;
    let setting = Setting { folder: &folder, image: &image, packages: &packages, wire: &wire };
    println!("the machine's console: {}", setting.log().display());
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    story::tell(&setting, &name(&first), &name(&next), chosen)
        .with_context(|| format!("after {:.0} s of the machine's life", begun.elapsed().as_secs_f64()))?;
    println!("all good, in {:.0} s of the machine's life", begun.elapsed().as_secs_f64());
    Ok(())
}
