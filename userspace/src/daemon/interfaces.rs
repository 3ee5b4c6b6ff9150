//! Interfaces of the running gate: attached to as they appear, let go as the configuration does, and awaited.

use super::{engine::Live, status::InterfaceStatus};
use crate::{
    Failure,
    config::{self, OnStop},
    dataplane::{Dataplane, Filtered, Interface, Mode, interfaces},
    lint::{Absent, absent},
};

/// At what moment interfaces are looked at.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// At a start: one that fails leaves what earlier daemons filter as it is.
    First,
    /// At any time.
    Around,
    /// After a step, which may let go of some.
    AfterStep,
}

impl Live {
    /// Attaches to interfaces that appeared, and forgets those that vanished. The log says so.
    pub(super) fn look_at_interfaces(&mut self) -> Result<(), Failure> {
        for told in self.look(Look::Around)? {
            tracing::warn!("{told}");
        }
        self.keep_counting();
        Ok(())
    }

    /// The first look, by a daemon that has just loaded its policy.
    ///
    /// # Errors
    /// Why one of the interfaces that exist is not filtered. The others are, and stay so: those that an earlier daemon filters by
    /// its policy, unless they `must_step`, and those that nobody filtered by this one, unless stopping is to open the gate.
    pub(super) fn attach_first(&mut self, must_step: bool) -> Result<(), Failure> {
        self.look(if must_step { Look::Around } else { Look::First })?;
        let Some((_, reason)) = self.unfiltered.first() else { return Ok(()) };
        let reason = reason.clone();
        if self.config.control.on_stop == OnStop::Detach {
            self.dataplane.detach_own();
            return Err(anyhow::anyhow!(reason).into());
        }
        let closed: Vec<&str> = self.dataplane.filtered().values().map(|one| one.name.as_str()).collect();
        let closed = match closed.as_slice() {
            [] => String::new(),
            closed => format!(
                "; what could be closed is, and stays so until `octroi detach`: {}",
                closed.join(", ")
            ),
        };
        self.dataplane.leave();
        Err(anyhow::anyhow!("{reason}{closed}").into())
    }

    /// Lets go of what earlier daemons left on interfaces that the configuration does not name, unless it names some that are not
    /// there: one of those may be meant.
    pub(super) fn clear(&mut self) {
        let missing = self.awaited();
        match self.dataplane.clear(missing.is_empty()) {
            Ok(told) => {
                for told in told {
                    let meant = if missing.is_empty() {
                        String::new()
                    } else {
                        format!(" ({}, which it names, is not there)", missing.join(", "))
                    };
                    tracing::warn!("{told}{meant}");
                }
            }
            Err(error) => tracing::error!(%error, "look for what earlier daemons left"),
        }
    }

    /// Follows interfaces; what to tell of those that vanished, and that it let go.
    fn look(&mut self, how: Look) -> Result<Vec<String>, Failure> {
        if self.ended {
            return Ok(Vec::new());
        }
        let mut told = self.dataplane.forget_vanished()?;
        let present = interfaces::list().map_err(|error| {
            told.iter().for_each(|lost| tracing::warn!("{lost}"));
            anyhow::anyhow!("list network interfaces: {error}")
        })?;
        let mut wanted: Vec<&Interface> = present.iter().filter(|one| self.config.wants(&one.name)).collect();
        if matches!(how, Look::First) {
            wanted.sort_by_key(|one| self.dataplane.order(one));
        }
        let filtered = self.dataplane.filtered().iter();
        let surplus = filtered.filter(|&(index, _)| {
            // One that was renamed goes on until somebody says what is to be.
            matches!(how, Look::AfterStep) && !wanted.iter().any(|one| one.index == *index)
        });
        for (index, name) in surplus.map(|(&index, one)| (index, one.name.clone())).collect::<Vec<_>>() {
            told.push(format!(
                "detached from {name}: the configuration no longer names it; nothing is filtered there"
            ));
            self.dataplane.detach(index);
        }
        let before = std::mem::take(&mut self.unfiltered);
        for interface in wanted {
            if self.dataplane.filtered().contains_key(&interface.index) {
                continue;
            }
            if matches!(how, Look::First)
                && !self.unfiltered.is_empty()
                && self.dataplane.order(interface) == Dataplane::LAST
            {
                // The start fails: what an earlier daemon filters goes on by the policy that it has.
                continue;
            }
            match self.dataplane.attach(interface, self.config.mode) {
                Ok(mode) => tracing::info!(interface = interface.name, %mode, "attached"),
                Err(error) => {
                    let entry = (interface.name.clone(), error.to_string());
                    if !before.contains(&entry) {
                        tracing::error!(interface = interface.name, %error, "not filtered");
                    }
                    self.unfiltered.push(entry);
                }
            }
        }
        Ok(told)
    }

    /// Pins what the counters are and mean once more, where somebody removed the pins: the next daemon counts on.
    fn keep_counting(&self) {
        if !self.dataplane.filtered().is_empty() && self.dataplane.counters_are_lost() {
            let former = self.waiting.iter().flat_map(|waiting| &waiting.former.outcomes);
            self.dataplane.keep_again(&self.slots.keep(self.outcomes.iter().chain(former)));
        }
    }

    /// Follows interfaces after a step, which is done: whatever goes wrong does not undo it, and is told.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let followed = self.look(Look::AfterStep).unwrap_or_else(|error| vec![error.to_string()]);
        let unfiltered = self.unfiltered.iter().map(|(_, reason)| reason.clone());
        // In force where interfaces were attached to; where it says the same still, all was said then.
        let asked = self.in_force.mode != self.config.mode;
        let modes = self.other_modes(self.dataplane.filtered().values().filter(|_| asked));
        followed.into_iter().chain(unfiltered).chain(self.missing()).chain(modes).collect()
    }

    /// Those of some interfaces that are not filtered in the mode that the configuration asks for, a sentence each.
    ///
    /// A link's mode is fixed (bpf_xdp_link_update), and the kernel takes no generic program beside a native one, nor the other
    /// way round (dev_xdp_attach): whoever changes the mode opens the gate in between, which nobody does by himself.
    pub(super) fn other_modes<'a>(&self, among: impl Iterator<Item = &'a Filtered>) -> Vec<String> {
        let wanted = self.config.mode;
        let other = among.filter(|one| match wanted {
            config::Mode::Native => one.mode != Mode::Native,
            config::Mode::Generic => one.mode != Mode::Generic,
            // It may be that there is no other: nobody has tried.
            config::Mode::Auto => one.mode == Mode::Generic,
        });
        let told = |one: &Filtered| {
            format!(
                "{} goes on in {} mode, whatever mode = \"{}\" would choose: the kernel cannot change it while the gate is \
                 closed, and a restart takes over what is attached; to change it, stop octroi, run `octroi detach`, which opens \
                 the gate, and start octroi",
                one.name,
                one.mode,
                wanted.as_str()
            )
        };
        other.map(told).collect()
    }

    /// Names and globs of the configuration that no interface has, a sentence each.
    pub(super) fn missing(&self) -> Vec<String> {
        let here = interfaces::names().unwrap_or_default();
        let told = |absent: Absent<'_>| {
            format!(
                "attach XDP to {}: no such interface (interfaces here: {}); octroi attaches when it appears{}",
                absent.pattern,
                here.join(", "),
                absent.question()
            )
        };
        absent(&self.config, &here).into_iter().map(told).collect()
    }

    /// For `octroi status`: the interfaces that the configuration names, and that exist.
    pub(super) fn interfaces(&self) -> Vec<InterfaceStatus> {
        let filtered = self.dataplane.filtered().values().map(|one| InterfaceStatus {
            name: one.name.clone(),
            mode: one.mode.to_string(),
            attached: true,
            error: None,
        });
        let unfiltered = self.unfiltered.iter().map(|(name, reason)| InterfaceStatus {
            name: name.clone(),
            mode: String::new(),
            attached: false,
            error: Some(reason.clone()),
        });
        filtered.chain(unfiltered).collect()
    }

    /// For `octroi status`: names and globs that no interface has.
    pub(super) fn awaited(&self) -> Vec<String> {
        // Where they cannot be listed, who asked was told so.
        let here = interfaces::names().unwrap_or_default();
        absent(&self.config, &here).into_iter().map(|absent| absent.pattern.to_string()).collect()
    }
}
