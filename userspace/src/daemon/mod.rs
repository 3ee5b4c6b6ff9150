//! The daemon: validate → compile → load → attach → ready, then one loop over everything that can happen.

pub mod account;
mod admission;
mod ask;
mod book;
mod clock;
pub mod confirm;
pub mod control;
mod databases;
pub mod engine;
mod events;
mod fallback;
mod follow;
mod generation;
mod good;
mod interfaces;
pub mod leases;
mod live;
mod logins;
pub mod memory;
mod opening;
pub(crate) mod peer;
pub mod rollback;
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
    sync::mpsc,
};

pub use self::events::Event;
use self::{
    engine::Engine,
    events::{LOOK_AGAIN, Loop, keep},
    opening::Opening,
};
use crate::{
    Failure,
    config::OnStop,
    dataplane::{ProgramOptions, clock::Settings},
    metrics,
};

/// How long to wait where the kernel fails to tell of the clock.
const MINUTE: Duration = Duration::from_secs(60);

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
    let config = opening.candidate.config();
    let metrics = config.metrics;
    // Another daemon's place is found out before anything is attached.
    let socket = control::Listener::bind(&config.control).await?;
    let (events, queue) = mpsc::channel(64);
    listen(&events)?;
    let (engine, resume) = Engine::start(opening, options)?;
    let engine = Arc::new(engine);
    if let Some(pending) = resume {
        engine.resume(pending);
    }
    memory::give_back();

    let control = tokio::spawn(control::serve(socket, Arc::clone(&engine), events.clone()));
    if let Some(address) = metrics {
        tokio::spawn(metrics::server::run(address, Arc::clone(&engine)));
    }
    let follow = tokio::spawn(follow::follow(Arc::clone(&engine), events.clone()));
    tokio::spawn(logins::watch(Arc::clone(&engine)));
    service::ready(&engine.summary());
    tracing::info!("ready in {:.2} s: {}", started.elapsed().as_secs_f64(), engine.summary());
    engine.look_at_state();
    drop(keep(&engine));

    Loop::new(Arc::clone(&engine), queue).run().await;
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
        loop {
            match clock.next().await {
                Ok(()) if settings.send(Event::ClockSet).await.is_ok() => {}
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(%error, "hear of settings of the clock: seen within {} s instead", LOOK_AGAIN.as_secs());
                    tokio::time::sleep(MINUTE).await;
                }
            }
        }
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
