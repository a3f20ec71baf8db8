//! Which PostgreSQL is installed already. Looks only.

use std::path::{Path, PathBuf};

use crate::children;

/// Folders of programs: the given one, Debian's, Homebrew's, then the one of `pg_config`.
pub(super) fn installed() -> Vec<PathBuf> {
    let given = std::env::var_os("MUSTER_PG_BINDIR").map(PathBuf::from);
    let mut candidates: Vec<PathBuf> = given.into_iter().collect();
    candidates.extend(versions(Path::new("/usr/lib/postgresql"), ""));
    for root in ["/opt/homebrew/opt", "/usr/local/opt"] {
        candidates.extend(versions(Path::new(root), "postgresql"));
    }
    if let Ok(dir) = children::output(&["pg_config", "--bindir"], None) {
        candidates.push(PathBuf::from(dir.trim()));
    }
    complete(candidates)
}

/// Those that hold a server, each once.
fn complete(candidates: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for dir in candidates {
        let whole = dir.join("postgres").is_file() && dir.join("initdb").is_file();
        if whole && !found.contains(&dir) {
            found.push(dir);
        }
    }
    found
}

fn versions(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(root)
        .map(|entries| entries.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    all.retain(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(prefix))
    });
    all.sort();
    all.reverse();
    all.into_iter().map(|p| p.join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_with_a_server_count() {
        let dir = std::env::temp_dir().join(format!("muster-xtask-pg-{}", std::process::id()));
        let (good, bad) = (dir.join("good"), dir.join("bad"));
        for d in [&good, &bad] {
            std::fs::create_dir_all(d).expect("a folder");
        }
        for program in ["postgres", "initdb"] {
            std::fs::write(good.join(program), "").expect("a file");
        }
        let found = complete(vec![bad, good.clone(), good.clone()]);
        std::fs::remove_dir_all(&dir).expect("ours to remove");
        assert_eq!(found, [good]);
    }
}
