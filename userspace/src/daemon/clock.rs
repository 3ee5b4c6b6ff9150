//! The clock goes back behind what was left out of the live generation, since it was over: set back by hand, or once a
//! machine that came up with a wrong one has asked for the time.

use std::sync::Arc;

use super::{
    admission::Admission,
    engine::{Candidate, Engine},
    memory,
};
use crate::{Failure, time};

impl Engine {
    /// Whether the live generation leaves out changes that are yet to come, by the clock as it is now.
    pub(super) fn is_ahead(&self) -> bool {
        time::now_ns() < self.live().last_over
    }

    /// Compiles what runs once more, for the time that it is now, and steps to that. The policy is the same: a policy that
    /// waits for its confirmation goes on waiting, and nothing is booked.
    ///
    /// # Errors
    /// When a file that it was read from has been written into since, or the kernel refuses.
    pub(super) fn go_back_in_time(&self) -> Result<(), Failure> {
        let (config, text, originals, kept, fallback) = {
            let live = self.live();
            let (kept, fallback) = (live.kept.clone(), live.fallback.clone());
            (Arc::clone(&live.config), Arc::clone(&live.text), Arc::clone(&live.originals), kept, fallback)
        };
        let stepped = Candidate::new(config, text, originals, &[]).and_then(|mut candidate| {
            candidate.kept = kept;
            candidate.fallback = fallback;
            // It has the databases that run.
            self.step(candidate, Admission::Certain)
        });
        memory::give_back();
        stepped?;
        tracing::warn!(
            generation = self.live().generation,
            "the clock is back where rules were not over: they hold again"
        );
        Ok(())
    }
}

/// Says why rules that were over stay so, unless that was `told` last; `None`: they do not.
pub(super) fn tell(told: &mut Option<String>, failure: Option<Failure>) {
    let error = failure.map(|failure| failure.to_string());
    if let Some(error) = error.as_ref().filter(|_| *told != error) {
        tracing::error!(
            %error,
            "the clock went back, and rules that were over stay so: tried again every 5 s; `octroi reload` reads all files anew"
        );
    }
    *told = error;
}
