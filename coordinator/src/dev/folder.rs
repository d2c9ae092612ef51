//! The folder of a local system: temporary, or kept; used by one system at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::DevError;

/// A folder with the server's store, the logs and the configuration files.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    // Dropped last: the folder goes when nothing uses it any more.
    _lock: File,
    _temporary: Option<TempDir>,
}

impl Folder {
    /// Makes `kept`, or a temporary one that goes with the value.
    pub(super) fn make(kept: Option<&Path>) -> Result<Self, DevError> {
        let (path, temporary) = match kept {
            Some(path) => {
                std::fs::create_dir_all(path).map_err(DevError::files("make", path))?;
                let path = path.canonicalize().map_err(DevError::files("find", path))?;
                (path, None)
            }
            None => {
                let dir = tempfile::Builder::new()
                    .prefix("coordinator-dev-")
                    .tempdir()
                    .map_err(DevError::files("make a folder in", std::env::temp_dir()))?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        let lock = lock(&path)?;
        let logs = path.join("logs");
        std::fs::create_dir_all(&logs).map_err(DevError::files("make", logs.clone()))?;
        Ok(Self {
            path,
            _lock: lock,
            _temporary: temporary,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The log file of a process.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path.join("logs").join(format!("{name}.log"))
    }

    /// Writes a file of the folder.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, DevError> {
        let path = self.path.join(name);
        // Whole or not at all: a program that was started before may be reading the file now, and
        // one that reads half of it runs with other settings.
        let whole = self.path.join(format!("{name}.new"));
        std::fs::write(&whole, text).map_err(DevError::files("write", whole.clone()))?;
        std::fs::rename(&whole, &path).map_err(DevError::files("write", path.clone()))?;
        Ok(path)
    }
}

fn lock(path: &Path) -> Result<File, DevError> {
    let at = path.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&at)
        .map_err(DevError::files("make", at.clone()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DevError::FolderInUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(DevError::files("lock", at)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use crate::dev::DevError;

    #[test]
    fn a_folder_has_one_user_and_a_temporary_one_goes() {
        let first = Folder::make(None).expect("a folder");
        let path = first.path().to_owned();
        let second = Folder::make(Some(&path)).expect_err("it is in use");
        assert!(matches!(second, DevError::FolderInUse(_)), "{second}");
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_named_folder_is_kept() {
        let dir = tempfile::TempDir::new().expect("a temporary folder");
        let path = dir.path().join("a/b");
        drop(Folder::make(Some(&path)).expect("a folder"));
        assert!(path.join("logs").exists());
        Folder::make(Some(&path)).expect("it is free again");
    }

    /// A coordinator once read the empty file that the start of the next one left for a moment, and
    /// went to another server.
    #[test]
    fn a_file_is_whole_whenever_it_is_read() {
        let folder = Folder::make(None).expect("a folder");
        let text = "server = \"nats://127.0.0.1:1\"\n".repeat(2_000);
        let path = folder.write("settings.toml", &text).expect("it is written");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..500 {
                    folder.write("settings.toml", &text).expect("it is written");
                }
            });
            while !writer.is_finished() {
                let read = std::fs::read_to_string(&path).expect("it is there");
                assert_eq!(read.len(), text.len());
            }
        });
    }
}
