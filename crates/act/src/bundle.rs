//! A bundle of evidence on disk: one folder, one file a section, a manifest with the digest of each.
//!
//! The one place that writes what was read outside the state, and the last one before it leaves: everything is redacted here
//! once more, whoever read it. It changes no target. Files are for their owner only, the folder is made anew, and its
//! size is bounded.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use muster_model::bundle::{BUNDLE, MANIFEST};
use muster_model::{Digest, Manifest, Section, SectionState, Time, digest_of_bytes};
use muster_observe::bundle::{Asked, Body, Command, Piece, commands, gather, given};
use muster_reach::Cluster;
use muster_reach::redact::{self, Known};
use serde_json::Value;

/// Most bytes of all sections together.
const TOTAL: usize = 64 * 1024 * 1024;
/// Bundles of one second that do not get in each other's way.
const SAME_SECOND: u32 = 100;
/// A manifest or a section that is longer than this is not read to verify it.
const LONGEST: u64 = 256 * 1024 * 1024;

/// What a bundle needs besides its targets.
#[derive(Clone, Debug, Default)]
pub struct Kit {
    /// The folder in which each bundle gets a folder.
    pub out: PathBuf,
    /// The environment, masked, one line a variable.
    pub environment: String,
    /// Commands of the config.
    pub commands: Vec<Command>,
    /// Secrets that must be nowhere in it.
    pub known: Known,
    /// Version of the program.
    pub version: String,
}

/// The kit of the config as last accepted; shared, so that a reload counts at once.
pub type SharedKit = Arc<RwLock<Arc<Kit>>>;

/// A bundle that was written.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its folder.
    pub dir: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's file: who keeps it elsewhere can tell an edited bundle.
    pub digest: Digest,
}

/// Why there is no bundle, or none that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The folder or the manifest cannot be written.
    #[error("{} cannot be written: {why}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// There is no manifest.
    #[error("{} cannot be read: {why}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl BundleError {
    /// What to do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Write { .. } => "give another folder with --out, on a volume with room".to_owned(),
            Self::Read { .. } => {
                "give the folder of one bundle; without a manifest its collection was cut off, and nothing in it is vouched for"
                    .to_owned()
            }
        }
    }
}

/// Collects and writes a bundle about clusters.
///
/// # Errors
/// When its folder or its manifest cannot be written. What cannot be read is in the manifest.
pub async fn collect(
    clusters: &[(Arc<Cluster>, Asked)],
    kit: &Arc<Kit>,
    now: impl Fn() -> Time,
) -> Result<Bundle, BundleError> {
    let started_at = now();
    let mut writer = Writer {
        dir: folder(&kit.out, started_at)?,
        kit: kit.clone(),
        left: TOTAL,
    };
    let mut sections = Vec::new();
    let all = futures::future::join_all(clusters.iter().map(|(c, asked)| gather(c, asked))).await;
    let environment = given(
        "environment",
        "the environment of Muster, masked",
        kit.environment.clone(),
    );
    for piece in all.into_iter().flatten().chain([environment]) {
        let (back, section) = writer.taken(piece).await?;
        writer = back;
        sections.push(section);
    }
    for piece in commands(&kit.commands).await {
        let (back, section) = writer.taken(piece).await?;
        writer = back;
        sections.push(section);
    }
    let targets = clusters
        .iter()
        .map(|(c, asked)| asked.only.clone().unwrap_or_else(|| c.name.clone()))
        .collect();
    let manifest = Manifest {
        schema: BUNDLE.to_owned(),
        muster: kit.version.clone(),
        targets,
        started_at,
        ended_at: now(),
        sections,
    };
    let path = writer.dir.join(MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    put(&path, text.as_bytes()).map_err(|e| unwritten(&path, &e))?;
    Ok(Bundle {
        dir: writer.dir,
        manifest,
        digest: digest_of_bytes(text.as_bytes()),
    })
}

/// The folder of a new bundle: `20261122-010203Z`, and `-2` behind it when there is one of the same second.
fn folder(out: &Path, at: Time) -> Result<PathBuf, BundleError> {
    let mut private = DirBuilder::new();
    private.mode(0o700).recursive(true);
    private.create(out).map_err(|e| unwritten(out, &e))?;
    let name = stamp(at);
    let mut one = DirBuilder::new();
    one.mode(0o700);
    let mut path = out.join(&name);
    for n in 2..SAME_SECOND {
        match one.create(&path) {
            Ok(()) => {
                // Whoever asked may be told the path and stand elsewhere.
                return Ok(path.canonicalize().unwrap_or(path));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => path = out.join(format!("{name}-{n}")),
            Err(e) => return Err(unwritten(&path, &e)),
        }
    }
    let why = "too many bundles were begun in this second".to_owned();
    Err(BundleError::Write { path, why })
}

/// `20261122-010203Z`.
fn stamp(at: Time) -> String {
    let digits: String = at
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    let (day, clock) = digits.split_at(8.min(digits.len()));
    format!("{day}-{clock}Z")
}

struct Writer {
    dir: PathBuf,
    kit: Arc<Kit>,
    left: usize,
}

impl Writer {
    /// Redacts and writes in a thread of its own: eight megabytes of log take a while, and nobody else has to wait.
    async fn taken(mut self, piece: Piece) -> Result<(Self, Section), BundleError> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || {
            let section = self.take(piece);
            (self, section)
        })
        .await
        .map_err(|e| BundleError::Write {
            path: dir,
            why: e.to_string(),
        })
    }

    fn take(&mut self, piece: Piece) -> Section {
        let Piece { mut section, body } = piece;
        let known = &self.kit.known;
        let clean = |text: &str| redact::text(&known.scrub(text));
        section.reason = section.reason.as_deref().map(clean);
        section.remedy = section.remedy.as_deref().map(|t| known.scrub(t).into_owned());
        section.collector = known.scrub(&section.collector).into_owned();
        let Some(body) = body else { return section };
        let ending = match &body {
            Body::Json(_) => "json",
            Body::Text(_) => "log",
        };
        let mut bytes = match body {
            Body::Json(mut value) => {
                scrub(&mut value, known);
                redact::document(&mut value);
                serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
            }
            Body::Text(text) => clean(&text),
        };
        if bytes.len() > self.left {
            if ending == "json" {
                fail(
                    &mut section,
                    "the bundle is as long as it may be".to_owned(),
                    "ask for one server",
                );
                return section;
            }
            let mut from = bytes.len() - self.left;
            while !bytes.is_char_boundary(from) {
                from += 1;
            }
            bytes.drain(..from);
            section.cut = true;
        }
        let target = section
            .target
            .as_deref()
            .map(|t| format!("{t}."))
            .unwrap_or_default();
        let name = file_name(&format!("{target}{}.{ending}", section.name));
        if let Err(e) = put(&self.dir.join(&name), bytes.as_bytes()) {
            fail(
                &mut section,
                format!("its file cannot be written: {e}"),
                "collect again, on a volume with room",
            );
            return section;
        }
        self.left -= bytes.len();
        section.bytes = bytes.len() as u64;
        section.sha256 = Some(digest_of_bytes(bytes.as_bytes()));
        section.file = Some(name);
        section
    }
}

fn fail(section: &mut Section, reason: String, remedy: &str) {
    section.state = SectionState::Failed;
    section.reason = Some(reason);
    section.remedy = Some(remedy.to_owned());
}

/// Known secrets go first: a pattern might take half of one, and nobody would know the rest.
fn scrub(value: &mut Value, known: &Known) {
    match value {
        Value::String(s) => *s = known.scrub(s).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|v| scrub(v, known)),
        Value::Object(map) => map.values_mut().for_each(|v| scrub(v, known)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A name that is one file in one folder, whatever a target is called.
fn file_name(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '.'
        }
    };
    text.chars()
        .map(plain)
        .collect::<String>()
        .trim_start_matches('.')
        .to_owned()
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn unwritten(path: &Path, e: &io::Error) -> BundleError {
    BundleError::Write {
        path: path.to_owned(),
        why: e.to_string(),
    }
}

/// What verifying a bundle found.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's file.
    pub digest: Digest,
    /// What is not as it was written, one sentence each; empty when everything is.
    pub wrong: Vec<String>,
}

/// Compares every file of a bundle with its manifest, and the manifest with the digest that somebody kept.
///
/// # Errors
/// When there is no manifest that can be read.
pub fn verify(dir: &Path, kept: Option<&str>) -> Result<Verified, BundleError> {
    let path = dir.join(MANIFEST);
    let unread = |why: String| BundleError::Read {
        path: path.clone(),
        why,
    };
    let bytes = bounded(&path).map_err(|e| unread(e.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| unread(e.to_string()))?;
    if manifest.schema != BUNDLE {
        return Err(unread(format!(
            "its format is `{}`, and this program reads `{BUNDLE}`",
            manifest.schema
        )));
    }
    let digest = digest_of_bytes(&bytes);
    let mut wrong = Vec::new();
    if kept.is_some_and(|k| !k.eq_ignore_ascii_case(&digest)) {
        wrong.push(format!("{MANIFEST} was edited: its digest is {digest}"));
    }
    let mut listed = vec![MANIFEST.to_owned()];
    for section in &manifest.sections {
        let Some(file) = &section.file else { continue };
        // A manifest that was edited could name any file of this machine.
        if file_name(file) != *file {
            wrong.push(format!("`{file}` is no file of a bundle"));
            continue;
        }
        listed.push(file.clone());
        match bounded(&dir.join(file)) {
            Err(e) => wrong.push(format!("{file} cannot be read: {e}")),
            Ok(bytes) if Some(digest_of_bytes(&bytes)) != section.sha256 => {
                wrong.push(format!(
                    "{file} was edited: it has {} bytes and another digest than when it was written with {}",
                    bytes.len(),
                    section.bytes
                ));
            }
            Ok(_) => {}
        }
    }
    let found = std::fs::read_dir(dir).map_err(|e| unread(e.to_string()))?;
    for entry in found.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !listed.contains(&name) {
            wrong.push(format!("{name} is not in the manifest"));
        }
    }
    Ok(Verified {
        manifest,
        digest,
        wrong,
    })
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    // Reading a pipe would wait for a writer.
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn kit(out: &Path) -> Arc<Kit> {
        let mut known = Known::default();
        known.add([secrecy::SecretString::from("Tr0ub4dor&3".to_owned())]);
        Arc::new(Kit {
            out: out.to_owned(),
            environment: "LANG=C\nX=Tr0ub4dor&3\nURL=redis://:geheim@h\n".to_owned(),
            commands: vec![Command {
                name: "who".to_owned(),
                run: ["echo", "Tr0ub4dor&3 password=geheim"]
                    .map(str::to_owned)
                    .to_vec(),
                timeout: muster_model::Span::from_secs(5),
                most: 1000,
                dir: None,
            }],
            known,
            version: "test".to_owned(),
        })
    }

    #[tokio::test]
    async fn files_are_private_redacted_and_an_edited_one_is_found() {
        let dir = tempfile::tempdir().expect("dir");
        let at = || Time::from_millis(1_795_310_000_000);
        let kit = kit(&dir.path().join("deep/out"));
        let first = collect(&[], &kit, at).await.expect("writes");
        let second = collect(&[], &kit, at).await.expect("writes");
        assert!(
            first.dir.ends_with("20261122-011320Z") && second.dir.ends_with("20261122-011320Z-2"),
            "{first:?}"
        );
        let mode = |p: &Path| std::fs::metadata(p).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&first.dir), 0o700);
        for entry in std::fs::read_dir(&first.dir).expect("lists").flatten() {
            assert_eq!(mode(&entry.path()), 0o600);
            let text = std::fs::read_to_string(entry.path()).expect("reads");
            assert!(!text.contains("Tr0ub4dor") && !text.contains("geheim"), "{text}");
        }
        assert_eq!(first.manifest.verdict(), "ok");
        let verified = verify(&first.dir, Some(&first.digest)).expect("reads");
        assert_eq!((verified.wrong, verified.digest), (vec![], first.digest.clone()));

        let file = first.dir.join("environment.log");
        std::fs::write(&file, "LANG=de\n").expect("writes");
        std::fs::write(first.dir.join("added"), "").expect("writes");
        let wrong = verify(&first.dir, Some("00")).expect("reads").wrong.join("\n");
        for words in [
            "environment.log was edited",
            "added is not in the manifest",
            "manifest.json was edited",
        ] {
            assert!(wrong.contains(words), "{wrong}");
        }
        std::fs::remove_file(&file).expect("removes");
        assert!(
            verify(&first.dir, None)
                .expect("reads")
                .wrong
                .join("\n")
                .contains("environment.log cannot be read")
        );
        let manifest = second.dir.join(MANIFEST);
        let text = std::fs::read_to_string(&manifest).expect("reads");
        std::fs::write(&manifest, text.replace("environment.log", "../../secret")).expect("writes");
        let wrong = verify(&second.dir, None).expect("reads").wrong.join("\n");
        assert!(wrong.contains("`../../secret` is no file of a bundle"), "{wrong}");
        std::fs::remove_file(&manifest).expect("removes");
        assert!(
            verify(&second.dir, None)
                .expect_err("none")
                .remedy()
                .contains("cut off")
        );
    }
}
