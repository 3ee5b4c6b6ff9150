//! Follows the files of databases and lists: when one has changed and then kept still for a while, it is time to read them.
//!
//! Publishers' tools rename a new file over the old one, write into it, remove it first, or switch a link that leads to it.
//! Whatever they do, another file is found at the path than the one that was read. One that somebody has open and wrote into
//! is not read, however long he pauses: half of it may be valid. The configuration is not followed: a policy changes when
//! somebody says so.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    Event,
    databases::{Files, Followed},
    engine::Engine,
    watch::Watch,
};
use crate::{Failure, geoip::Identity, time::now_text};

/// For how long files must have kept still.
const QUIET: Duration = Duration::from_secs(2);
/// After that time, files that never keep still are read as they are: whoever writes them closes them each time.
const RESTLESS: Duration = Duration::from_secs(60);
/// After that time, it is an error that somebody still has a file open that he wrote into.
const UNFINISHED: Duration = Duration::from_secs(60);
/// How often files are looked at when nothing tells of a change.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// For how long files may be missing or half written before it is an error.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often files are read again once that was said: not every reason shows in a file's place, size or times.
const READ_AGAIN: Duration = Duration::from_secs(300);
/// How often files are read again that would lock out somebody who is logged in.
const WHILE_LOCKED_OUT: Duration = Duration::from_secs(20);

/// What stands at each path; `None`: nothing.
pub(super) type Found = BTreeMap<PathBuf, Option<Identity>>;

/// Runs for as long as the daemon does.
pub(super) async fn follow(engine: Arc<Engine>, events: mpsc::Sender<Event>) {
    let mut watch = Watch::new();
    let mut follower = Follower::default();
    loop {
        let files = engine.files();
        watch.aim(files.read.keys().cloned());
        let paths: Vec<PathBuf> = files.read.keys().cloned().collect();
        // A network file system may take its time.
        let Ok(found) = tokio::task::spawn_blocking(move || look(paths)).await else { return };
        let written = watch.written();
        let next = follower.look(Instant::now(), files, found, !written.is_empty());
        if let Some(since) = follower.unfinished(Instant::now()) {
            engine.leave_files(&unfinished(&written, since));
        }
        let expected = match next {
            Next::Read(expected) => expected,
            Next::Wait(wait) => {
                // Whatever it is, it is time to look.
                let _ = timeout(wait, watch.changed()).await;
                continue;
            }
        };
        let (answer, answered) = oneshot::channel();
        if events.send(Event::Files { expected, answer }).await.is_err() {
            return;
        }
        // The daemon is about to end.
        let Ok(result) = answered.await else { return };
        match result {
            Ok(Followed::LocksOut) => follower.waits(Instant::now()),
            Ok(Followed::Same | Followed::Taken | Followed::Held) => follower.succeeded(),
            // The next look finds others than those that were tried.
            Ok(Followed::Moved) => {}
            Err(failure) => {
                if follower.failed(Instant::now(), &failure) {
                    engine.leave_files(&failure);
                }
            }
        }
    }
}

fn look(paths: Vec<PathBuf>) -> Found {
    let identity = |path: &PathBuf| std::fs::metadata(path).ok().map(|file| Identity::of(&file));
    paths.into_iter().map(|path| (path.clone(), identity(&path))).collect()
}

fn unfinished(files: &[PathBuf], since: &str) -> Failure {
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    anyhow::anyhow!(
        "follow {}: still being written since {since}, and read once whoever writes has closed it (`octroi reload` reads it as it \
         is); replace it by renaming a whole file over it",
        files.join(", ")
    )
    .into()
}

/// What to do.
#[derive(PartialEq, Eq, Debug)]
enum Next {
    /// Look again after that time at the latest.
    Wait(Duration),
    /// Read: these, if others are found then somebody has begun to write; `None`: whatever there is, since that never ends.
    Read(Option<Found>),
}

/// When to read.
#[derive(Default, Debug)]
struct Follower {
    /// Of the generation that `tried` began with.
    generation: u64,
    /// What was found when they were read last.
    tried: Found,
    /// What was found last, and since when it is so and nobody has any of it open that he wrote into.
    seen: Option<(Found, Instant)>,
    /// Since when something else is found than what was tried, whoever had it open for longer than a moment.
    restless: Option<Instant>,
    writing: Option<Writing>,
    failing: Option<Failing>,
}

/// Files that somebody has open and wrote into.
#[derive(Debug)]
struct Writing {
    since: Instant,
    /// The same for people.
    since_text: String,
    told: bool,
}

/// Files that could not be taken.
#[derive(Debug)]
struct Failing {
    why: String,
    since: Instant,
    told: bool,
    again: Instant,
}

impl Follower {
    /// What to do next. `written`: somebody has a file open that he wrote into.
    fn look(&mut self, now: Instant, files: Files, found: Found, written: bool) -> Next {
        let Files { generation, read, wait } = files;
        if wait {
            // Nor is anything told meanwhile.
            self.writing = None;
            return Next::Wait(LOOK_AGAIN);
        }
        if generation != self.generation || !read.keys().eq(self.tried.keys()) {
            *self = Self { generation, tried: read, ..Self::default() };
        }
        if written {
            self.writing.get_or_insert_with(|| Writing { since: now, since_text: now_text(), told: false });
            // It keeps still from when it is closed on.
            self.seen = None;
            return Next::Wait(LOOK_AGAIN);
        }
        // Whoever opens it anew for each line is as restless as before.
        if self.writing.take().is_some_and(|writing| now >= writing.since + QUIET) {
            self.restless = None;
        }
        let since = match &self.seen {
            Some((seen, since)) if *seen == found => *since,
            _ => now,
        };
        let quiet = since + QUIET;
        let wait = if found == self.tried {
            self.restless = None;
            match &self.failing {
                Some(failing) => failing.again.saturating_duration_since(now).min(LOOK_AGAIN),
                None => LOOK_AGAIN,
            }
        } else {
            let restless = *self.restless.get_or_insert(now) + RESTLESS;
            quiet.min(restless).saturating_duration_since(now).min(LOOK_AGAIN)
        };
        self.seen = Some((found.clone(), since));
        if !wait.is_zero() {
            return Next::Wait(wait);
        }
        self.tried.clone_from(&found);
        self.restless = None;
        Next::Read((quiet <= now).then_some(found))
    }

    /// Since when somebody has been writing into a file, where that is to be told now.
    fn unfinished(&mut self, now: Instant) -> Option<&str> {
        let writing = self.writing.as_mut()?;
        let tell = !writing.told && now >= writing.since + UNFINISHED;
        writing.told |= tell;
        tell.then_some(writing.since_text.as_str())
    }

    /// They could not be taken: whether that is to be told now.
    fn failed(&mut self, now: Instant, failure: &Failure) -> bool {
        let why = failure.to_string();
        let failing = match &mut self.failing {
            // Missing and then half written is one trouble until it is told.
            Some(failing) if !failing.told || failing.why == why => failing,
            other => other.insert(Failing { why: String::new(), since: now, told: false, again: now }),
        };
        failing.why = why;
        let tell = !failing.told && now >= failing.since + PATIENCE;
        failing.told |= tell;
        failing.again = now + if failing.told { READ_AGAIN } else { QUIET };
        tell
    }

    /// They lock out somebody, who may leave.
    fn waits(&mut self, now: Instant) {
        let again = now + WHILE_LOCKED_OUT;
        self.failing = Some(Failing { why: String::new(), since: now, told: true, again });
    }

    /// They were taken, or need not be.
    fn succeeded(&mut self) {
        self.failing = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A follower of one file; time only goes on where a test says so.
    struct World {
        follower: Follower,
        now: Instant,
        files: Files,
        folder: tempfile::TempDir,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().expect("a temporary directory");
            std::fs::write(folder.path().join("file"), "0").expect("a directory of ours");
            let files = Files { generation: 1, read: look(vec![folder.path().join("file")]), wait: false };
            World { follower: Follower::default(), now: Instant::now(), files, folder }
        }

        fn write(&self, text: &str) {
            std::fs::write(self.folder.path().join("file"), text).expect("a directory of ours");
        }

        fn remove(&self) {
            std::fs::remove_file(self.folder.path().join("file")).expect("a file of ours");
        }

        /// Lets that time pass, and looks: how many seconds it waits, 0 for reading.
        fn after(&mut self, seconds: u64, written: bool) -> u64 {
            self.now += Duration::from_secs(seconds);
            let found = look(self.files.read.keys().cloned().collect());
            match self.follower.look(self.now, self.files.clone(), found, written) {
                Next::Wait(wait) => wait.as_secs(),
                Next::Read(_) => 0,
            }
        }

        fn fails(&mut self, why: &str) -> bool {
            self.follower.failed(self.now, &Failure::Config(why.into()))
        }
    }

    #[test]
    fn a_change_is_read_once_it_has_kept_still() {
        let mut world = World::new();
        assert_eq!(world.after(0, false), 5);
        world.write("12");
        assert_eq!(world.after(1, false), 2);
        world.write("123");
        assert_eq!(world.after(1, false), 2, "it has changed again");
        assert_eq!(world.after(1, false), 1);
        assert_eq!(world.after(1, false), 0);
        world.follower.succeeded();
        assert_eq!(world.after(1, false), 5, "held or the same: not again");
        assert_eq!(world.after(600, false), 5);
    }

    #[test]
    fn what_would_lock_out_somebody_is_read_again_as_long_as_that_is_so() {
        let mut world = World::new();
        world.after(0, false);
        world.write("12");
        world.after(1, false);
        assert_eq!(world.after(2, false), 0);
        world.follower.waits(world.now);
        assert_eq!(world.after(1, false), 5);
        assert_eq!(world.after(18, false), 1);
        assert_eq!(world.after(1, false), 0);
        world.follower.succeeded();
        assert_eq!(world.after(100, false), 5);
    }

    #[test]
    fn what_somebody_has_open_is_not_read_however_long_and_that_is_told_once() {
        let mut world = World::new();
        world.after(0, false);
        let mut told = Vec::new();
        for round in 0..200u64 {
            if round < 10 {
                world.write(&"x".repeat(3 + usize::try_from(round).expect("a few")));
            }
            assert_eq!(world.after(1, true), 5, "round {round}");
            told.extend(world.follower.unfinished(world.now).map(|_| round));
        }
        assert_eq!(told, [60]);
        assert_eq!(world.after(1, false), 2, "it keeps still from when it is closed on");
        assert_eq!(world.after(2, false), 0);
        world.follower.succeeded();
        world.write("the next");
        world.after(1, true);
        assert_eq!(world.follower.unfinished(world.now), None, "that has just begun");
    }

    #[test]
    fn what_never_keeps_still_is_read_after_a_minute_unless_it_is_open() {
        let mut world = World::new();
        world.after(0, false);
        for round in 0..60u64 {
            world.write(&"x".repeat(3 + usize::try_from(round).expect("a few")));
            // A look now and then meets it open.
            assert_ne!(world.after(u64::from(round > 0), round % 3 == 1), 0, "round {round}");
        }
        world.write("restless still");
        assert_eq!(world.after(1, true), 5, "a minute is enough, but it is open");
        world.write("restless");
        assert_eq!(world.after(0, false), 0);
        assert_eq!(world.follower.unfinished(world.now), None);
    }

    #[test]
    fn files_wait_while_nothing_may_change_the_policy() {
        let mut world = World::new();
        world.files.wait = true;
        world.write("12");
        world.after(0, true);
        assert_eq!(world.after(100, true), 5);
        assert_eq!(world.follower.unfinished(world.now), None);
        world.files.wait = false;
        assert_eq!(world.after(1, false), 2);
        assert_eq!(world.after(2, false), 0);
    }

    #[test]
    fn a_generation_that_came_by_itself_has_read_what_is_there() {
        let mut world = World::new();
        world.after(0, false);
        world.write("12");
        assert_eq!(world.after(1, false), 2);
        world.files.generation = 2;
        world.files.read = look(world.files.read.keys().cloned().collect());
        assert_eq!(world.after(1, false), 5);
        assert_eq!(world.after(5, false), 5);
    }

    #[test]
    fn what_is_missing_for_a_moment_is_no_error_and_what_stays_missing_is_told_once() {
        let mut world = World::new();
        world.after(0, false);
        world.remove();
        assert_eq!(world.after(1, false), 2);
        assert_eq!(world.after(2, false), 0);
        assert!(!world.fails("missing"));
        assert_eq!(world.after(0, false), 2, "soon again");
        world.write("12");
        assert_eq!(world.after(1, false), 2);
        assert_eq!(world.after(2, false), 0);
        world.follower.succeeded();

        world.remove();
        assert_eq!(world.after(1, false), 2);
        let mut told = 0;
        for _ in 0..20 {
            if world.after(2, false) == 0 {
                told += u32::from(world.fails("missing"));
            }
        }
        assert_eq!(told, 1);
        assert_eq!(world.after(1, false), 5, "not before some minutes are over");
        assert_eq!(world.after(300, false), 0);
        assert!(!world.fails("missing"), "that was said");
        world.write("half");
        world.after(1, false);
        assert_eq!(world.after(2, false), 0);
        assert!(!world.fails("half written"), "another trouble has its own time");
        assert_eq!(world.after(2, false), 0);
        assert!(!world.fails("half written"));
        assert_eq!(world.after(10, false), 0);
        assert!(world.fails("half written"));
    }
}
