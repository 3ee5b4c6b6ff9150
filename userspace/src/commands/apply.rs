//! `octroi apply`, `confirm` and `rollback`: a policy that goes unless somebody confirms it, and the file that it ends up in.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use super::{
    cli::{ApplyArgs, ConfigArg, RollbackArgs},
    print,
    running::{ask_at, places, request, unexpected},
};
use crate::{
    Failure,
    config::read_named_by,
    daemon::{
        confirm::{Install, Order},
        control::{MAX_POLICY, Reply, Request},
        rollback::Back,
    },
    lint,
};

/// `octroi apply`.
///
/// # Errors
/// Why what runs goes on.
pub fn apply(args: &ApplyArgs) -> Result<(), Failure> {
    let file = args.file.clone();
    let text = read_named_by(&file, "octroi apply FILE")?;
    if text.len() > MAX_POLICY {
        return Err(anyhow::anyhow!(
            "apply {}: it has {} bytes, and a policy {MAX_POLICY} at most; put its networks into lists",
            file.display(),
            text.len()
        )
        .into());
    }
    let (timeout, force, login) = (args.confirm_timeout, args.force, lint::own_login());
    let order = Order { file: file.clone(), text, timeout, force, login };
    match request(&args.config, Request::Apply(Box::new(order)))? {
        Reply::Applied { generation, until, warnings } => {
            warn(&warnings);
            print(&format!(
                "applied: {} is generation {generation} until {until}, and goes then unless it is confirmed\n\
                 next: log in once more, and where that works, run `octroi confirm`; `octroi rollback` goes back at once\n",
                file.display()
            ));
            Ok(())
        }
        other => Err(unexpected(other)),
    }
}

/// `octroi confirm`.
///
/// # Errors
/// When nothing waits for it, or it cannot be kept.
pub fn confirm(args: &ConfigArg) -> Result<(), Failure> {
    match request(args, Request::Confirm)? {
        Reply::Confirmed { file, install } => {
            print(&format!("confirmed: {}\n", file.display()));
            put(args, install.as_ref(), &file.display().to_string())
        }
        other => Err(unexpected(other)),
    }
}

/// `octroi rollback`.
///
/// # Errors
/// When there is nothing to go back to, or it cannot be loaded.
pub fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let back = Back { previous: args.previous, force: args.force, login: lint::own_login() };
    match request(&args.config, Request::Rollback(back))? {
        Reply::RolledBack { generation, from, kept, install, warnings } => {
            warn(&warnings);
            let what = match (from, kept) {
                (Some(file), _) => format!("what ran before {}", file.display()),
                (None, Some(kept)) => format!("the policy before the last, as it was at {kept}"),
                (None, None) => "the policy before the last".into(),
            };
            print(&format!("rolled back: generation {generation} is {what}\n"));
            put(&args.config, install.as_ref(), "the policy that runs now")
        }
        other => Err(unexpected(other)),
    }
}

fn warn(warnings: &[String]) {
    for warning in warnings {
        print(&format!("warning: {warning}\n"));
    }
}

/// Puts what runs into the configured file, and says so; where that cannot be, says what to do.
fn put(args: &ConfigArg, install: Option<&Install>, what: &str) -> Result<(), Failure> {
    let Some(Install { path, text, changed }) = install else { return Ok(()) };
    let shown = path.display();
    if *changed {
        print(&format!(
            "warning: {shown} was changed since it was last loaded, so it stays as it is, and counts at the next reload or start: \
             make it say what is to hold\n"
        ));
        return Ok(());
    }
    // By what the file says before: what it will say may be in force only after a restart.
    let places = places(args)?;
    match replace(path, text) {
        Ok(None) => print(&format!("installed: {what}, as {shown}\n")),
        Ok(Some(previous)) => {
            print(&format!("installed: {what}, as {shown}; what was there is {}\n", previous.display()));
        }
        Err(error) => {
            print(&format!(
                "warning: {shown} does not say so: {error}; write {what} into it as a user who may; as long as it stays as it is, it \
                 does not count, and the daemon goes on, and starts again, with {what}\n"
            ));
            return Ok(());
        }
    }
    // From now on any file counts there, the one before as well.
    match ask_at(&places, Request::Installed)?.map_err(anyhow::Error::from)? {
        Reply::Noted => Ok(()),
        other => Err(unexpected(other)),
    }
}

/// Replaces a file whole by one with that text and the same owner and mode; what was there is kept beside it. Where.
fn replace(path: &Path, text: &str) -> io::Result<Option<PathBuf>> {
    // Where it is a link, what it leads to is meant.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match fs::read(&path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let like = fs::metadata(&path).ok();
    let previous = match old {
        Some(old) => {
            let previous = with_ending(&path, ".previous");
            write_like(like.as_ref(), &previous, &old)?;
            Some(previous)
        }
        None => None,
    };
    write_like(like.as_ref(), &path, text.as_bytes())?;
    Ok(previous)
}

/// Writes a file whole, with owner and mode of another one.
fn write_like(like: Option<&fs::Metadata>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = with_ending(path, ".new");
    let written = (|| {
        let mode = like.map_or(0o644, |like| like.mode() & 0o7777);
        // Nobody reads it before it has its owner: it may hold what is not for everybody.
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        if let Some(like) = like {
            fchown(&file, Some(like.uid()), Some(like.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
    })();
    if written.is_err() {
        // Gone where it was renamed.
        let _ = fs::remove_file(&new);
    }
    written
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_the_old_one_stays_beside_it() {
        let folder = tempfile::tempdir().expect("make a temporary directory");
        let (file, link) = (folder.path().join("octroi.toml"), folder.path().join("link.toml"));
        assert_eq!(replace(&file, "one").expect("a folder of ours"), None);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("a file of ours");
        symlink(&file, &link).expect("a folder of ours");
        let previous = replace(&link, "two").expect("a folder of ours").expect("there was one");
        let text = |path: &Path| fs::read_to_string(path).expect("a file of ours");
        assert_eq!((text(&file).as_str(), text(&previous).as_str()), ("two", "one"));
        assert!(link.is_symlink() && previous.ends_with("octroi.toml.previous"));
        for path in [&file, &previous] {
            assert_eq!(fs::metadata(path).expect("there").mode() & 0o7777, 0o640);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder of ours").count(), 3, "nothing else stays");
        replace(&folder.path().join("none/octroi.toml"), "x").expect_err("no such folder");
    }
}
