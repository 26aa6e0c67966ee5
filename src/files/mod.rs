//! Atomic outputs: written beside their final path, flushed to disk, then renamed into place, by one
//! process at a time.

pub(crate) mod exclusive;
mod file;
mod folder;

pub use file::{FileWriter, write_file};
pub use folder::{FolderWriter, PartWriter};

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Returns whether `path` exists and is not an empty folder.
pub fn is_occupied(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => fs::symlink_metadata(path).is_ok(),
    }
}

/// Suffix of a file that is still being written.
pub(crate) const PART: &str = "part";

/// The path of a temporary sibling of `place`. It is always the same, so that the next process finds the
/// leftovers of a killed one.
pub(crate) fn beside(place: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(place.file_name().unwrap_or_default());
    name.push(".minift-");
    name.push(suffix);
    parent(place).join(name)
}

/// Returns the path that a link leads to, over other links if necessary, and any other path unchanged: outputs
/// are written there, and the link stays. The target need not exist.
fn target(place: &Path) -> io::Result<PathBuf> {
    /// Links on the way to a target; the limit of Linux.
    const MOST: usize = 40;
    // Without a slash at its end, which would follow the link.
    let mut place: PathBuf = place.components().collect();
    for _ in 0..MOST {
        match fs::symlink_metadata(&place) {
            Ok(metadata) if metadata.is_symlink() => {
                // An absolute target replaces the folder of the link.
                place = parent(&place).join(fs::read_link(&place)?);
            }
            _ => return Ok(place),
        }
    }
    let message = "too many links, or links that lead to each other";
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Syncs the entries of a folder to disk.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn outputs_are_written_where_a_link_leads() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        fs::create_dir(path("disk")).unwrap();
        symlink("disk/folder", path("first")).unwrap();
        symlink(path("first"), path("second")).unwrap();
        symlink("disk/file", path("report")).unwrap();
        for text in ["once", "again"] {
            let folder = FolderWriter::new(path("second"), true).unwrap();
            folder.write("a.txt", text.as_bytes()).unwrap();
            assert_eq!(folder.place(), path("second"));
            folder.finish().unwrap();
            write_file(path("report"), text.as_bytes()).unwrap();
            for place in ["disk/folder/a.txt", "second/a.txt", "disk/file", "report"] {
                assert_eq!(fs::read_to_string(path(place)).unwrap(), text, "{place}");
            }
        }
        for link in ["first", "second", "report"] {
            assert!(path(link).is_symlink(), "{link}");
        }
        assert_eq!(
            fs::read_dir(path("disk")).unwrap().count(),
            2,
            "nothing else is left"
        );
        assert_eq!(
            fs::read_dir(parent.path()).unwrap().count(),
            4,
            "nothing else is left"
        );

        // A slash at the end, which shells add, is the same folder.
        let folder = FolderWriter::new(path("first/"), true).unwrap();
        folder.write("b.txt", b"once more").unwrap();
        folder.finish().unwrap();
        assert!(path("first").is_symlink() && path("disk/folder/b.txt").exists());
        assert!(
            !path("disk/folder/a.txt").exists(),
            "the old folder is replaced"
        );
    }

    #[test]
    fn links_to_other_things_are_errors() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        symlink("b", path("a")).unwrap();
        symlink("a", path("b")).unwrap();
        symlink("/dev/null", path("device")).unwrap();
        fs::create_dir(path("full")).unwrap();
        fs::write(path("full/notes.md"), "years of work").unwrap();
        symlink("full", path("link")).unwrap();
        let folder = |name: &str| FolderWriter::new(path(name), false).unwrap_err().report();
        let file = |name: &str| write_file(path(name), b"x").unwrap_err().report();
        assert!(folder("a").contains("too many links") && file("a").contains("too many links"));
        assert!(
            folder("device").contains("not a folder"),
            "{}",
            folder("device")
        );
        assert!(
            file("device").contains("regular file"),
            "{}",
            file("device")
        );
        assert!(folder("link").contains("not empty"), "{}", folder("link"));
        assert!(file("link").contains("regular file"), "{}", file("link"));
        assert!(path("full/notes.md").exists() && path("device").is_symlink());
    }
}
