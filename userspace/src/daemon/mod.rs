//! The daemon: validate → compile → load → attach → ready, then one loop over everything that can happen.

mod book;
mod clock;
pub mod confirm;
pub mod control;
mod databases;
pub mod engine;
mod fallback;
mod follow;
mod generation;
mod good;
mod interfaces;
pub mod leases;
mod live;
mod logins;
pub mod memory;
mod peer;
mod service;
pub mod status;
mod watch;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::timeout,
};

use self::{databases::Followed, engine::Engine, good::Opening, service::Heart};
use crate::{
    Failure,
    config::OnStop,
    dataplane::{ProgramOptions, clock::Settings},
    lint::Login,
    metrics,
};

/// Everything that can happen to a running daemon.
#[derive(Debug)]
pub enum Event {
    /// SIGHUP, or `octroi reload`, which waits for the answer.
    Reload {
        /// Databases are taken however much they differ from those that run.
        accept: bool,
        /// Where whoever asks is logged in from.
        login: Option<Login>,
        /// Who waits.
        answer: Option<oneshot::Sender<control::Reply>>,
    },
    /// `octroi apply`, `confirm` or `rollback`, which waits for the answer.
    Change(confirm::Change, oneshot::Sender<control::Reply>),
    /// Files of databases or lists have changed, and settled.
    Files(oneshot::Sender<Result<Followed, Failure>>),
    /// An interface appeared, vanished or changed, or it is time to look again.
    Interfaces,
    /// Somebody set the clock.
    ClockSet,
    /// SIGTERM or SIGINT.
    Terminate,
}

/// How often interfaces are looked at when nothing else happens.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long to wait at least for what is due: so that what fails is not tried again at once.
const A_MOMENT: Duration = Duration::from_millis(50);

/// Runs the daemon until it is told to end.
///
/// # Errors
/// Whatever keeps the gate from closing; nothing stays attached then.
pub fn run(path: &Path, options: ProgramOptions) -> Result<(), Failure> {
    let started = Instant::now();
    memory::prepare();
    // What is kept of policies outlives this process, and where it was started.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let opening = Opening::new(&path)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| anyhow::anyhow!("start the runtime: {error}"))?;
    runtime.block_on(serve(opening, options, started))
}

async fn serve(opening: Opening, options: ProgramOptions, started: Instant) -> Result<(), Failure> {
    let Opening { candidate, policies, resume } = opening;
    // Whatever may be taken already is taken before anything is attached.
    let socket = control::Listener::bind(&candidate.config().control).await?;
    let metrics = match candidate.config().metrics {
        Some(address) => Some(metrics::server::bind(address).await?),
        None => None,
    };
    let (events, mut queue) = mpsc::channel(64);
    listen(&events)?;
    let engine = Arc::new(Engine::start(candidate, policies, options)?);
    if let Some(pending) = resume {
        engine.resume(pending);
    }
    memory::give_back();

    let control = tokio::spawn(control::serve(socket, Arc::clone(&engine), events.clone()));
    if let Some(listener) = metrics {
        tokio::spawn(metrics::server::serve(listener, Arc::clone(&engine)));
    }
    let follow = tokio::spawn(follow::follow(Arc::clone(&engine), events.clone()));
    service::ready(&engine.summary());
    tracing::info!("ready in {:.2} s: {}", started.elapsed().as_secs_f64(), engine.summary());
    engine.look_at_state();
    keep(&engine);

    let heart = Heart::new();
    let mut late = None;
    loop {
        engine.end_leases();
        // However the clock came to go back, and whatever has been stepped to since.
        if engine.is_ahead() {
            let compiled = heart.through(blocking(&engine, Engine::go_back_in_time)).await;
            clock::tell(&mut late, compiled.err());
        }
        heart.beat();
        // The kernel tells of most changes; not of a program that somebody detached, nor when an interface that took none
        // would take one.
        let ends = [engine.until_lease_ends(), engine.until_waiting_ends()];
        let patience = ends.into_iter().flatten().fold(LOOK_AGAIN, Duration::min).max(A_MOMENT);
        let event = timeout(heart.patience(patience), queue.recv()).await.unwrap_or(Some(Event::Interfaces));
        // Before anything else, and however much else there is: whoever is locked out waits for it.
        if engine.until_waiting_ends() == Some(Duration::ZERO) {
            // Said by whoever tried.
            let _ = heart.through(blocking(&engine, Engine::end_waiting)).await;
            service::status(&engine.summary());
        }
        let Some(event) = event else { break };
        match event {
            Event::Reload { accept, login, answer } => {
                service::reloading();
                let result =
                    heart.through(blocking(&engine, move |engine| engine.reload(accept, login))).await;
                service::ready(&engine.summary());
                if result.is_ok() {
                    keep(&engine);
                }
                if let Some(answer) = answer {
                    let file = Some(engine.path.clone());
                    let reply = |warnings| control::Reply::Reloaded { file, warnings };
                    // Whoever asked may have gone.
                    let _ = answer.send(control::Reply::new(result, reply));
                }
            }
            Event::Change(change, answer) => {
                service::reloading();
                let reply = heart.through(blocking(&engine, |engine| Ok(engine.change_policy(change)))).await;
                service::ready(&engine.summary());
                // As above.
                let failed =
                    |error: Failure| control::Reply::Failed { error: error.to_string(), invalid: false };
                let _ = answer.send(reply.unwrap_or_else(failed));
            }
            Event::Files(answer) => {
                let followed = heart.through(blocking(&engine, Engine::follow_files)).await;
                if matches!(followed, Ok(Followed::Taken)) {
                    keep(&engine);
                }
                // Who asked tries again where this fails, and says so when it goes on.
                let _ = answer.send(followed);
                service::status(&engine.summary());
            }
            Event::Interfaces => match heart.through(blocking(&engine, Engine::follow_interfaces)).await {
                Ok(()) => service::status(&engine.summary()),
                Err(error) => tracing::error!(%error, "follow interfaces"),
            },
            Event::ClockSet => {
                tracing::warn!("the clock was set: rules with times follow it");
                engine.set_clock();
            }
            Event::Terminate => break,
        }
    }
    service::stopping();
    control.abort();
    follow.abort();
    match engine.on_stop() {
        OnStop::Keep => {
            let left = engine.leave();
            tracing::warn!("the daemon ends, and the gate goes on filtering until `octroi detach`: {left}");
        }
        OnStop::Detach => {
            tokio::task::block_in_place(|| engine.detach_all());
            tracing::info!("detached; nothing is filtered any more");
        }
    }
    Ok(())
}

/// Keeps what runs, for a start that has no other policy, while everything else goes on.
fn keep(engine: &Arc<Engine>) {
    let engine = Arc::clone(engine);
    tokio::task::spawn_blocking(move || engine.keep());
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

/// Starts the tasks that turn signals and netlink messages into events.
fn listen(events: &mpsc::Sender<Event>) -> Result<(), Failure> {
    for (kind, event) in [
        (
            SignalKind::hangup(),
            (|| Event::Reload { accept: false, login: None, answer: None }) as fn() -> Event,
        ),
        (SignalKind::terminate(), || Event::Terminate),
        (SignalKind::interrupt(), || Event::Terminate),
    ] {
        let mut signals = signal(kind).map_err(|error| anyhow::anyhow!("listen for signals: {error}"))?;
        let events = events.clone();
        tokio::spawn(
            async move { while signals.recv().await.is_some() && events.send(event()).await.is_ok() {} },
        );
    }
    let clock =
        Settings::listen().map_err(|error| anyhow::anyhow!("listen for settings of the clock: {error}"))?;
    let settings = events.clone();
    tokio::spawn(async move {
        while clock.next().await.is_ok() && settings.send(Event::ClockSet).await.is_ok() {}
    });
    let mut changes = crate::dataplane::interfaces::Changes::listen()
        .map_err(|error| anyhow::anyhow!("listen for interface changes: {error}"))?;
    let events = events.clone();
    tokio::spawn(async move {
        loop {
            changes.next().await;
            // Our own attaching changes interfaces too; a queue that is full will list them anyway.
            let _ = events.try_send(Event::Interfaces);
        }
    });
    Ok(())
}
