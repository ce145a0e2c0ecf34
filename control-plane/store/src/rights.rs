//! What stands in the way of using a file: whose it is, what we may do with it, and the cure. The system itself
//! says `Permission denied`, and neither of which directory or file, nor to whom.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;

/// What stands in the way, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// Names a file, and whose it is.
    pub cause: String,
    /// Most often a command.
    pub cure: String,
}

/// Who we are to the system: `fedgate (uid 998)`.
pub fn us() -> String {
    named(geteuid().as_raw())
}

/// What the system said of a file that cannot be read, and what is known beyond that.
pub fn unreadable(path: &Path, error: &io::Error) -> String {
    match to_use(path, Access::READ_OK) {
        Some(Obstacle { cause, cure }) if error.kind() == io::ErrorKind::PermissionDenied => {
            format!("{error}: {cause}; {cure}")
        }
        Some(_) | None => error.to_string(),
    }
}

/// What hinders us from keeping a store of `SQLite` in a file: in it, in the files beside it, in its directory.
pub fn to_keep(path: &Path) -> Option<Obstacle> {
    let path = absolute(path);
    let used = Access::READ_OK | Access::WRITE_OK;
    if let Some(obstacle) = to_use(&path, used) {
        return Some(also_beside(&path, obstacle));
    }
    let beside = beside(&path).into_iter().find_map(|file| to_use(&file, used));
    let directory = path.parent()?;
    beside
        .or_else(|| to_use(directory, Access::WRITE_OK | Access::EXEC_OK))
        .or_else(|| no_room(directory))
}

/// Whether there is no room left beside a file: what is written next may yet find some in it.
pub(crate) fn is_full(path: &Path) -> bool {
    absolute(path).parent().and_then(no_room).is_some()
}

/// What hinders us from using a file, which need not be there, from the root on down.
fn to_use(path: &Path, how: Access) -> Option<Obstacle> {
    let path = absolute(path);
    let mut above: Vec<_> = path.ancestors().skip(1).collect();
    above.reverse();
    for directory in above {
        match fs::metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some(missing(directory, &path));
            }
            Ok(found) if !found.is_dir() => {
                let cause = format!("{} is no directory", directory.display());
                return Some(Obstacle { cause, cure: "name another file".to_owned() });
            }
            Ok(_) | Err(_) => {}
        }
        if let Some(obstacle) = refused(directory, Access::EXEC_OK) {
            return Some(obstacle);
        }
    }
    refused(&path, how)
}

/// Whether the system lets us; and where it does not, why.
fn refused(path: &Path, how: Access) -> Option<Obstacle> {
    let shown = path.display();
    match access(path, how) {
        Err(Errno::ROFS) => Some(Obstacle {
            cause: format!("{shown} is on a file system that is mounted read-only"),
            cure: "mount it for writing, or name a file elsewhere; in a unit of systemd, directories that are written to stand in StateDirectory= or ReadWritePaths=".to_owned(),
        }),
        Err(Errno::PERM) => Some(Obstacle {
            cause: format!("{shown} is marked as immutable"),
            cure: format!("`chattr -i {shown}`"),
        }),
        Err(Errno::ACCESS) => Some(not_ours(path, how)),
        Ok(()) | Err(_) => None,
    }
}

fn not_ours(path: &Path, how: Access) -> Obstacle {
    let (shown, us) = (path.display(), geteuid().as_raw());
    let Ok(found) = fs::metadata(path) else {
        let cause = format!("{shown} is closed to us, who are {}", named(us));
        return Obstacle { cause, cure: format!("`ls -ld {shown}` tells whose it is") };
    };
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let cause =
        format!("{shown} belongs to {}, with mode {mode:04o}, and we are {}", named(owner), named(us));
    let cure = match (owner == us, found.is_dir(), how.contains(Access::WRITE_OK)) {
        (true, true, _) => format!("`chmod u+rwx {shown}`"),
        (true, false, _) => format!("`chmod u+rw {shown}`"),
        // A directory on the way, which others use as well.
        (false, true, false) => format!("name a file elsewhere, or let us through: `chmod o+x {shown}`"),
        (false, _, _) => chown(us, &[path]),
    };
    Obstacle { cause, cure }
}

fn missing(directory: &Path, file: &Path) -> Obstacle {
    let (us, parent) = (account(geteuid().as_raw()), file.parent().unwrap_or(directory).display());
    Obstacle {
        cause: format!("the directory {} is not there", directory.display()),
        cure: format!("`install -d -o {us} -m 0700 {parent}`"),
    }
}

/// After a restore by root, all of a store's files are root's: one command for all of them.
fn also_beside(path: &Path, obstacle: Obstacle) -> Obstacle {
    let us = geteuid().as_raw();
    let others = |file: &PathBuf| fs::metadata(file).is_ok_and(|found| found.uid() != us);
    let files: Vec<_> = beside(path).into_iter().filter(others).collect();
    if files.is_empty() || obstacle.cure != chown(us, &[path]) {
        return obstacle;
    }
    let all: Vec<&Path> = std::iter::once(path).chain(files.iter().map(PathBuf::as_path)).collect();
    Obstacle { cure: chown(us, &all), ..obstacle }
}

/// The files that `SQLite` keeps beside its own.
fn beside(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

fn no_room(directory: &Path) -> Option<Obstacle> {
    let room = statvfs(directory).ok()?;
    let what = match (room.f_bavail, room.f_favail) {
        (0, _) => "no room left",
        // A file system that does not count files says 0 of 0.
        (_, 0) if room.f_files > 0 => "no room left for another file",
        (_, _) => return None,
    };
    let shown = directory.display();
    let cause = format!("its disk, that of {shown}, has {what}");
    Some(Obstacle { cause, cure: format!("make room there; `df -h {shown}` and `df -i {shown}` tell") })
}

fn chown(user: u32, files: &[&Path]) -> String {
    let files: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    format!("`chown {}: {}`", account(user), files.join(" "))
}

/// `fedgate (uid 998)`.
fn named(user: u32) -> String {
    match account(user) {
        name if name == user.to_string() => format!("uid {user}"),
        name => format!("{name} (uid {user})"),
    }
}

/// A user's name, or its number where `/etc/passwd` has none.
fn account(user: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = users.lines().map(|line| line.split(':'));
    let number = user.to_string();
    lines
        .find_map(|mut fields| {
            let name = fields.next().filter(|name| !name.is_empty())?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_where_the_system_knows_them() {
        assert_eq!(named(0), "root (uid 0)");
        assert_eq!(named(4_000_000_000), "uid 4000000000");
    }

    #[test]
    fn a_directory_that_is_missing_or_none_is_named_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("none/such");
        let obstacle = to_keep(&missing.join("fedgate.db")).unwrap();
        let first = dir.path().join("none");
        assert_eq!(obstacle.cause, format!("the directory {} is not there", first.display()));
        assert!(obstacle.cure.starts_with("`install -d -o "), "{}", obstacle.cure);
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let obstacle = to_keep(&file.join("fedgate.db")).unwrap();
        assert_eq!(obstacle.cause, format!("{} is no directory", file.display()));
    }

    #[test]
    fn what_is_in_order_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(to_keep(&dir.path().join("fedgate.db")), None);
        assert_eq!(to_use(Path::new("/"), Access::READ_OK), None);
    }
}
