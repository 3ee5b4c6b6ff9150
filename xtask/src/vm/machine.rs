//! A machine: QEMU without KVM, its disk, and the agent in it that runs what the host says. Its one interface is the wire;
//! it has no way out.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use super::{
    image::Image,
    wire::{self, Wire},
};
use crate::shell::run_quietly;

/// The longest that anything in the machine takes, slow as it is.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine's disk and what is around it.
pub(super) struct Setting<'all> {
    pub(super) folder: &'all Path,
    pub(super) image: &'all Image,
    /// A second disk, read only.
    pub(super) packages: &'all Path,
    pub(super) wire: &'all Wire,
}

impl Setting<'_> {
    /// A disk as on the first day.
    pub(super) fn new_disk(&self) -> anyhow::Result<()> {
        let disk = self.disk();
        let _ = fs::remove_file(&disk);
        let _ = fs::remove_file(self.log());
        // Most of it is a hole.
        let mut copy = Command::new("cp");
        run_quietly(copy.arg("--sparse=always").arg(&self.image.disk).arg(disk))
    }

    /// What the machine writes to its serial console.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("serial.log")
    }

    fn disk(&self) -> PathBuf {
        self.folder.join("disk.ext4")
    }

    /// Switches the machine on, and waits until its agent is there.
    pub(super) fn boot(&self) -> anyhow::Result<Machine> {
        self.wire.unplug();
        let agent = self.folder.join("agent");
        let _ = fs::remove_file(&agent);
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-display", "none"])
            .args(["-nodefaults", "-no-user-config", "-device", "virtio-rng-pci"])
            .arg("-kernel")
            .arg(&self.image.kernel)
            .arg("-initrd")
            .arg(&self.image.initrd)
            .args(["-append", "root=/dev/vda rw console=ttyS0 systemd.show_status=yes panic=10"])
            .args(["-drive", &format!("file={},if=virtio,format=raw", self.disk().display())])
            .args([
                "-drive",
                &format!("file={},if=virtio,format=raw,readonly=on", self.packages.display()),
                "-chardev",
                &format!("file,id=console,append=on,path={}", self.log().display()),
                "-serial",
                "chardev:console",
                "-netdev",
                &self.wire.netdev(),
                "-device",
                &format!("virtio-net-pci,netdev=wire,mac={}", wire::text(wire::GUEST_MAC)),
                "-device",
                "virtio-serial-pci",
                "-chardev",
                &format!("socket,id=agent,server=on,wait=off,path={}", agent.display()),
                "-device",
                "virtserialport,chardev=agent,name=host.agent",
            ])
            .stdin(Stdio::null());
        let mut child = qemu.spawn().context("run qemu-system-x86_64")?;
        let begun = Instant::now();
        let stream = loop {
            if let Ok(stream) = UnixStream::connect(&agent) {
                break stream;
            }
            if let Some(status) = child.try_wait()? {
                bail!("qemu-system-x86_64: {status}");
            }
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
                bail!("qemu-system-x86_64 made no {}", agent.display());
            }
            thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut machine = Machine { child, agent: BufReader::new(stream), log: self.log() };
        machine.wait_for_agent()?;
        Ok(machine)
    }
}

/// A machine that is on. Switched off, as by a power cut, when dropped.
pub(super) struct Machine {
    child: Child,
    agent: BufReader<UnixStream>,
    log: PathBuf,
}

/// What a script in the machine ended with.
pub(super) struct Done {
    pub(super) code: i32,
    pub(super) said: String,
}

impl Machine {
    /// Waits until the agent says that it is there: once after each boot.
    pub(super) fn wait_for_agent(&mut self) -> anyhow::Result<()> {
        let line = self.line().context("the machine did not come up")?;
        if line != "ready" {
            bail!("the machine's agent said {line:?}");
        }
        // Whatever else starts has started, or has failed.
        self.run("systemctl is-system-running --wait").map(drop)
    }

    /// Runs a script, by bash with -e.
    pub(super) fn run(&mut self, script: &str) -> anyhow::Result<Done> {
        let request = format!("{}\n{script}", script.len());
        self.agent.get_mut().write_all(request.as_bytes()).context("write to the machine's agent")?;
        let line = self.line().with_context(|| format!("in the machine: {script}"))?;
        let answer =
            line.split_once(' ').and_then(|(code, length)| Some((code.parse().ok()?, length.parse().ok()?)));
        let (code, length): (i32, usize) =
            answer.with_context(|| format!("the machine's agent said {line:?}"))?;
        let mut said = vec![0; length];
        self.agent.read_exact(&mut said).with_context(|| format!("in the machine: {script}"))?;
        Ok(Done { code, said: String::from_utf8_lossy(&said).trim_end().to_owned() })
    }

    /// Runs a script that has to succeed; what it printed.
    pub(super) fn sh(&mut self, script: &str) -> anyhow::Result<String> {
        let done = self.run(script)?;
        if done.code != 0 {
            bail!("in the machine: {script}\nended with {}, and said\n{}", done.code, done.said);
        }
        Ok(done.said)
    }

    /// Runs a script until it succeeds; how long that took.
    pub(super) fn until(&mut self, limit: Duration, script: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        loop {
            let done = self.run(script)?;
            if done.code == 0 {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                bail!(
                    "in the machine, within {limit:?}: {script}\nended with {}, and said\n{}",
                    done.code,
                    done.said
                );
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Restarts it in good order, and waits until its agent is there again.
    pub(super) fn restart(&mut self) -> anyhow::Result<()> {
        self.sh("systemd-run --quiet --on-active=1 systemctl reboot")?;
        self.wait_for_agent()
    }

    /// Switches it off in good order.
    pub(super) fn switch_off(&mut self) -> anyhow::Result<()> {
        self.sh("systemd-run --quiet --on-active=1 systemctl poweroff")?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begun.elapsed() > PATIENCE {
                bail!("the machine is not off after {PATIENCE:?}");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Takes its power away: whatever it has not written to its disk is lost.
    pub(super) fn cut_power(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        match self.agent.read_line(&mut line) {
            Ok(length) if length > 0 => Ok(line.trim_end().to_owned()),
            outcome => {
                let error = outcome.err().map_or_else(|| "it went off".into(), |error| error.to_string());
                let log = fs::read(&self.log).unwrap_or_default();
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(30)..].join("\n");
                bail!("no answer from the machine: {error}; its console ends with\n{end}")
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
