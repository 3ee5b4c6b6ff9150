//! Everything that can happen to a running daemon, and the loop that does what it takes.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    clock,
    confirm::Change,
    control::Reply,
    databases::Followed,
    engine::Engine,
    logins::Asking,
    service::{self, Heart},
};
use crate::{Failure, geoip::Identity};

/// Everything that can happen to a running daemon.
#[derive(Debug)]
pub enum Event {
    /// SIGHUP, or `octroi reload`, which waits for the answer.
    Reload {
        /// Databases are taken however much they differ from those that run.
        accept: bool,
        /// Where whoever asks is logged in from.
        login: Option<Asking>,
        /// Who waits.
        answer: Option<oneshot::Sender<Reply>>,
    },
    /// `octroi apply`, `confirm` or `rollback`, which waits for the answer.
    Change(Change, oneshot::Sender<Reply>),
    /// Files of databases or lists have changed, and settled.
    Files {
        /// Which they were when they had settled.
        expected: Option<BTreeMap<PathBuf, Option<Identity>>>,
        /// Who waits.
        answer: oneshot::Sender<Result<Followed, Failure>>,
    },
    /// An interface appeared, vanished or changed, or it is time to look again.
    Interfaces,
    /// Somebody set the clock.
    ClockSet,
    /// SIGTERM or SIGINT.
    Terminate,
}

/// How often interfaces and the clock are looked at when nothing else happens.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long to wait at least for what is due: so that what fails is not tried again at once.
const A_MOMENT: Duration = Duration::from_millis(50);

/// How many events wait at most for a piece of work to end; whoever has more waits with them.
const WAITING: usize = 64;

/// One event after the other; but interfaces and the clock wait for nothing.
pub(super) struct Loop {
    engine: Arc<Engine>,
    queue: mpsc::Receiver<Event>,
    /// What came while something else was done, in its order.
    later: VecDeque<Event>,
    heart: Heart,
    /// See [`clock::tell`].
    late: Option<String>,
}

impl Loop {
    pub(super) fn new(engine: Arc<Engine>, queue: mpsc::Receiver<Event>) -> Self {
        Self { engine, queue, later: VecDeque::new(), heart: Heart::new(), late: None }
    }

    /// Runs until the daemon is told to end.
    pub(super) async fn run(mut self) {
        loop {
            self.engine.end_leases();
            // However the clock came to go back, and whatever has been stepped to since.
            if self.engine.is_ahead() {
                let compiled = self.work(Engine::go_back_in_time).await;
                clock::tell(&mut self.late, compiled.err());
            }
            if self.engine.policies.is_due() {
                // Said by whoever tried first.
                let write = |engine: &Engine| {
                    engine.policies.write_what_is_due();
                    Ok(())
                };
                let _ = self.work(write).await;
            }
            self.heart.beat();
            let event = self.next().await;
            // Before anything else, and however much else there is: whoever is locked out waits for it.
            if self.engine.until_waiting_ends() == Some(Duration::ZERO) {
                // Said by whoever tried.
                let _ = self.work(Engine::end_waiting).await;
                service::status(&self.engine.summary());
            }
            match event {
                Some(Event::Terminate) | None => return self.engine.policies.write_what_is_due(),
                Some(event) => self.follow(event).await,
            }
        }
    }

    /// What happens next: at the latest a look around, or when something is due.
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.later.pop_front() {
            return Some(event);
        }
        // The kernel tells of most changes; not of a program that somebody detached, nor when an interface that took none
        // would take one.
        let ends = [self.engine.until_lease_ends(), self.engine.until_waiting_ends()];
        let patience = ends.into_iter().flatten().fold(LOOK_AGAIN, Duration::min).max(A_MOMENT);
        timeout(self.heart.patience(patience), self.queue.recv()).await.unwrap_or(Some(Event::Interfaces))
    }

    async fn follow(&mut self, event: Event) {
        match event {
            Event::Reload { accept, login, answer } => {
                service::reloading();
                let result = self.work(move |engine| engine.reload(accept, login)).await;
                service::ready(&self.engine.summary());
                let kept = result.is_ok().then(|| keep(&self.engine));
                if let Some(answer) = answer {
                    let file = Some(self.engine.path.clone());
                    let ignored = self.engine.ignored().is_some();
                    // Nobody else waits for that.
                    tokio::spawn(async move {
                        let kept = match kept {
                            Some(kept) => kept.await.unwrap_or_default(),
                            None => None,
                        };
                        let result = result.map(|warnings| warnings.into_iter().chain(kept).collect());
                        let reply = |warnings| Reply::Reloaded { file, ignored, warnings };
                        // Whoever asked may have gone.
                        let _ = answer.send(Reply::new(result, reply));
                    });
                }
            }
            Event::Change(change, answer) => {
                service::reloading();
                let reply = self.work(|engine| Ok(engine.change_policy(change))).await;
                service::ready(&self.engine.summary());
                // As above.
                let failed = |error: Failure| Reply::Failed { error: error.to_string(), invalid: false };
                let _ = answer.send(reply.unwrap_or_else(failed));
            }
            Event::Files { expected, answer } => {
                let followed = self.work(move |engine| engine.follow_files(expected.as_ref())).await;
                if matches!(followed, Ok(Followed::Taken)) {
                    drop(keep(&self.engine));
                }
                // Who asked tries again where this fails, and says so when it goes on.
                let _ = answer.send(followed);
                service::status(&self.engine.summary());
            }
            Event::Interfaces => look_around(&self.engine).await,
            Event::ClockSet => set_clock(&self.engine),
            // Not followed by anything.
            Event::Terminate => {}
        }
    }

    /// Does what may take a while, and meanwhile what must not wait for it: an interface that has just come lets in everything.
    async fn work<T: Send + 'static>(
        &mut self,
        act: impl FnOnce(&Engine) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let Self { engine, queue, later, heart, .. } = self;
        let mut work = pin!(heart.through(blocking(engine, act)));
        loop {
            tokio::select! {
                done = &mut work => return done,
                Some(event) = queue.recv(), if later.len() < WAITING => match event {
                    Event::Interfaces => look_around(engine).await,
                    Event::ClockSet => set_clock(engine),
                    other => later.push_back(other),
                },
            }
        }
    }
}

async fn look_around(engine: &Arc<Engine>) {
    match blocking(engine, Engine::look_around).await {
        Ok(()) => service::status(&engine.summary()),
        Err(error) => tracing::error!(%error, "follow interfaces"),
    }
}

fn set_clock(engine: &Engine) {
    tracing::warn!("the clock was set: rules with times follow it");
    engine.set_clock();
}

/// Keeps what runs, for a start that has no other policy, while everything else goes on.
pub(super) fn keep(engine: &Arc<Engine>) -> JoinHandle<Option<String>> {
    let engine = Arc::clone(engine);
    tokio::task::spawn_blocking(move || engine.keep())
}

/// Runs what may take a while where it holds up nobody.
async fn blocking<T: Send + 'static>(
    engine: &Arc<Engine>,
    act: impl FnOnce(&Engine) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let engine = Arc::clone(engine);
    match tokio::task::spawn_blocking(move || act(&engine)).await {
        Ok(result) => result,
        Err(error) => Err(Failure::Other(error.into())),
    }
}
