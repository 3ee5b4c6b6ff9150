//! Which places in the file system a path depends on, and inotify on them.

use std::{
    collections::{HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs, io,
    path::{Component, Path, PathBuf},
};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use tokio::io::{Interest, unix::AsyncFd};

/// Names in directories that paths depend on. It only says that it is time to look: what it does not see, such as what
/// another host does to a network file system, is seen a few seconds later.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<AsyncFd<Inotify>>,
    /// Each directory, and what is watched in it.
    names: HashMap<WatchDescriptor, (PathBuf, HashSet<OsString>)>,
    /// What was written into, and not closed since.
    open: HashSet<(WatchDescriptor, OsString)>,
}

impl Watch {
    /// Watches nothing yet.
    pub(super) fn new() -> Self {
        let register = |inotify| {
            // SAFETY: an `Inotify` has one descriptor and keeps it until it is dropped, with the `AsyncFd` that owns it.
            let registered = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) };
            registered.map_err(io::Error::from)
        };
        let inotify = Inotify::init().and_then(register);
        let inotify = inotify.inspect_err(|error| {
            tracing::warn!(%error, "inotify (fs.inotify.max_user_instances): files that change are seen some seconds later");
        });
        Self { inotify: inotify.ok(), names: HashMap::new(), open: HashSet::new() }
    }

    /// Watches what these paths depend on by now, and nothing else. Directories that are missing, or that nobody may list,
    /// are left out.
    pub(super) fn aim(&mut self, paths: impl Iterator<Item = PathBuf>) {
        let Some(inotify) = &self.inotify else { return };
        let mut watches = inotify.get_ref().watches();
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::ATTRIB
            | WatchMask::MODIFY
            | WatchMask::CLOSE_WRITE
            // Whoever goes on writing into a file that was replaced does not write into the one that is there now.
            | WatchMask::EXCL_UNLINK
            | WatchMask::ONLYDIR;
        let mut names: HashMap<WatchDescriptor, (PathBuf, HashSet<OsString>)> = HashMap::new();
        for (directory, name) in paths.flat_map(|path| places(&path)) {
            // A directory that is watched already has the same descriptor again.
            if let Ok(watch) = watches.add(&directory, mask) {
                names.entry(watch).or_insert_with(|| (directory, HashSet::new())).1.insert(name);
            }
        }
        for (watch, _) in std::mem::replace(&mut self.names, names) {
            if !self.names.contains_key(&watch) {
                // It went with its directory otherwise.
                let _ = watches.remove(watch);
            }
        }
        let names = &self.names;
        self.open.retain(|(watch, name)| names.get(watch).is_some_and(|(_, names)| names.contains(name)));
    }

    /// Waits until something happens to one of the names.
    pub(super) async fn changed(&mut self) {
        loop {
            let Some(inotify) = &mut self.inotify else { return std::future::pending().await };
            let Ok(mut ready) = inotify.readable_mut().await else {
                self.inotify = None;
                continue;
            };
            let mut buffer = [0; 4096];
            let read = ready.try_io(|inotify| inotify.get_mut().read_events(&mut buffer));
            let events = match read {
                Ok(Ok(events)) => events,
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "read inotify: files that change are seen some seconds later");
                    self.inotify = None;
                    continue;
                }
                // Somebody else's news.
                Err(_) => continue,
            };
            let mut ours = false;
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    // Whatever it was may have been ours, and that somebody closed it.
                    ours = true;
                    self.open.clear();
                }
                let Some(name) = event
                    .name
                    .filter(|&name| self.names.get(&event.wd).is_some_and(|(_, names)| names.contains(name)))
                else {
                    continue;
                };
                ours = true;
                let key = (event.wd, name.to_owned());
                if event.mask.contains(EventMask::MODIFY) {
                    self.open.insert(key);
                } else if event.mask.intersects(
                    EventMask::CLOSE_WRITE | EventMask::DELETE | EventMask::MOVED_FROM | EventMask::MOVED_TO,
                ) {
                    self.open.remove(&key);
                }
            }
            if ours {
                return;
            }
        }
    }

    /// Files that somebody is still writing into, as far as is known: he paused, or is busy.
    pub(super) fn written(&self) -> Vec<PathBuf> {
        let path = |(watch, name): &(WatchDescriptor, OsString)| Some(self.names.get(watch)?.0.join(name));
        let mut paths: Vec<PathBuf> = self.open.iter().filter_map(path).collect();
        paths.sort_unstable();
        paths
    }
}

/// Directories and names in them that decide which file a path leads to: its own, and each symbolic link's on the way.
fn places(path: &Path) -> Vec<(PathBuf, OsString)> {
    /// As many as the kernel follows.
    const LINKS: usize = 40;
    let mut places = Vec::new();
    let Ok(path) = std::path::absolute(path) else { return places };
    let mut ahead: Vec<OsString> = components(&path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        let here = at.join(&name);
        match fs::read_link(&here) {
            Ok(target) if links < LINKS => {
                links += 1;
                places.push((at.clone(), name));
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                ahead.extend(components(&target));
            }
            _ => {
                if ahead.is_empty() {
                    places.push((at, name));
                    break;
                }
                at = here;
            }
        }
    }
    places
}

/// Names of a path, the last one first.
fn components(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, time::Duration};

    use tokio::time::timeout;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().canonicalize().expect("it is there");
        (folder, path)
    }

    #[test]
    fn a_path_depends_on_its_own_directory_and_on_each_link_on_the_way() {
        let (_folder, path) = folder();
        fs::create_dir_all(path.join("data/october")).expect("a directory of ours");
        symlink("october", path.join("data/current")).expect("a directory of ours");
        symlink("../data/current/country.mmdb", path.join("data/geo.mmdb")).expect("a directory of ours");
        symlink(path.join("data/geo.mmdb"), path.join("absolute.mmdb")).expect("a directory of ours");
        let place = |directory: &str, name: &str| (path.join(directory), OsString::from(name));
        assert_eq!(
            places(&path.join("./absolute.mmdb")),
            [
                (path.clone(), "absolute.mmdb".into()),
                place("data", "geo.mmdb"),
                place("data", "current"),
                place("data/october", "country.mmdb"),
            ]
        );
        // Missing ones too, and circles end.
        assert_eq!(places(&path.join("none/such")), [place("none", "such")]);
        symlink("circle", path.join("circle")).expect("a directory of ours");
        assert!(places(&path.join("circle")).len() > 40);
    }

    #[tokio::test]
    async fn what_happens_to_a_name_is_told_and_to_others_not() {
        let (_folder, path) = folder();
        let mut watch = Watch::new();
        watch.aim([path.join("country.mmdb")].into_iter());
        fs::write(path.join("other.mmdb"), "x").expect("a directory of ours");
        let short = Duration::from_millis(100);
        assert!(timeout(short, watch.changed()).await.is_err(), "that was about another file");
        fs::rename(path.join("other.mmdb"), path.join("country.mmdb")).expect("a directory of ours");
        timeout(Duration::from_secs(5), watch.changed()).await.expect("told");
        assert!(watch.written().is_empty());

        let mut file = fs::OpenOptions::new().append(true).open(path.join("country.mmdb")).expect("ours");
        io::Write::write_all(&mut file, b"y").expect("a file of ours");
        timeout(Duration::from_secs(5), watch.changed()).await.expect("told");
        assert_eq!(watch.written(), [path.join("country.mmdb")], "it is open");
        watch.aim([path.join("country.mmdb"), path.join("asn.mmdb")].into_iter());
        assert_eq!(watch.written(), [path.join("country.mmdb")], "it still is");
        drop(file);
        timeout(Duration::from_secs(5), watch.changed()).await.expect("told");
        assert!(watch.written().is_empty());

        // Somebody goes on writing into what was replaced.
        let mut file = fs::OpenOptions::new().append(true).open(path.join("country.mmdb")).expect("ours");
        fs::write(path.join("next.mmdb"), "x").expect("a directory of ours");
        fs::rename(path.join("next.mmdb"), path.join("country.mmdb")).expect("a directory of ours");
        timeout(Duration::from_secs(5), watch.changed()).await.expect("told");
        io::Write::write_all(&mut file, b"y").expect("a file of ours");
        assert!(timeout(short, watch.changed()).await.is_err(), "that was about another file");

        watch.aim(std::iter::empty());
        fs::remove_file(path.join("country.mmdb")).expect("a file of ours");
        assert!(timeout(short, watch.changed()).await.is_err(), "nothing is watched any more");
    }
}
