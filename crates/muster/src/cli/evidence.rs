//! `muster evidence`: collects a bundle, or looks whether one is as it was written.
//!
//! It needs neither a daemon nor a state, and with `--url` no config: it must work when nothing else does. Where a daemon holds
//! the last sessions of a server that is full, `muster run evidence` goes through them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use muster_act::Kit;
use muster_act::bundle::{Bundle, BundleError, collect, verify};
use muster_engine::clock::{Clock, SystemClock};
use muster_model::{SectionState, Span};
use muster_observe::bundle::Asked;
use muster_reach::redact::{Known, of_url};
use muster_reach::{
    AppConfig, CacheConfig, Cluster, ClusterConfig, Limits, Login, PoolerConfig, ServerConfig,
};
use secrecy::SecretString;
use serde_json::json;

use super::exit::{Failure, USAGE};
use super::print::{self, coloured};
use super::session::resolve;
use crate::evidence;

/// Health routes that are tried below `--base-url`.
const ROUTES: [(&str, &str); 7] = [
    ("health", "/health"),
    ("health-live", "/health/live"),
    ("health-ready", "/health/ready"),
    ("health-detailed", "/health/detailed"),
    ("healthz", "/healthz"),
    ("api-health", "/api/health"),
    ("api-health-db", "/api/health/db"),
];

/// Clusters, and what of each.
type Meant = Vec<(Arc<Cluster>, Asked)>;

/// What is collected, and where to.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EvidenceArgs {
    /// Something else than collecting
    #[command(subcommand)]
    pub command: Option<EvidenceCommand>,
    /// Cluster, or one of its servers, poolers or caches; without it everything in the config
    pub target: Option<String>,
    /// Folder in which the bundle gets a folder (default: `evidence.out` of the config, else ./muster-evidence)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Without a config: postgres://…, redis://…; the database `pgbouncer` means a pooler. Passwords from PGPASSWORD or .pgpass
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    pub url: Vec<String>,
    /// Without a config: an application, http://…; the usual health routes below it are asked
    #[arg(long, value_name = "URL", conflicts_with = "target")]
    pub base_url: Option<String>,
    /// How far back the short log of an application goes; a log of 24 h is collected as well
    #[arg(long, default_value = "2h")]
    pub since: Span,
}

/// What else.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Compare every file of a bundle with its manifest; exit 1 when something is not as it was written
    Verify {
        /// Folder of the bundle
        dir: PathBuf,
        /// SHA-256 of the manifest, as it was printed or journaled
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
    },
}

impl From<BundleError> for Failure {
    fn from(e: BundleError) -> Self {
        Self::new(1, e.to_string(), e.remedy())
    }
}

/// `muster evidence`.
///
/// # Errors
/// When the config or a target is wrong, or nothing can be written.
pub async fn evidence(args: &EvidenceArgs, config: Option<&Path>, as_json: bool) -> Result<u8, Failure> {
    if let Some(EvidenceCommand::Verify { dir, digest }) = &args.command {
        return check(dir, digest.as_deref(), as_json);
    }
    let (clusters, mut kit) = if args.url.is_empty() && args.base_url.is_none() {
        enrolled(args, config)?
    } else {
        named(args)?
    };
    if let Some(out) = &args.out {
        kit.out.clone_from(out);
    }
    let bundle = collect(&clusters, &Arc::new(kit), || SystemClock.now()).await?;
    if as_json {
        print::json(&json!({
            "dir": bundle.dir, "manifest_sha256": bundle.digest, "verdict": bundle.manifest.verdict(),
            "manifest": bundle.manifest,
        }));
    } else {
        show(&bundle);
    }
    Ok(u8::from(bundle.manifest.verdict() != "ok"))
}

/// What the config enrols.
fn enrolled(args: &EvidenceArgs, config: Option<&Path>) -> Result<(Meant, Kit), Failure> {
    let resolved = resolve(config).map_err(|mut e| {
        e.remedy
            .push_str("; without a config: muster evidence --url postgres://user@host/postgres");
        e
    })?;
    let wrong = |e: String| Failure::new(USAGE, e, "`muster config show` lists the targets");
    let mut out = Vec::new();
    for settings in &resolved.clusters {
        let mut asked = Asked {
            since: args.since,
            ..Asked::default()
        };
        if let Some(target) = &args.target {
            let (cluster, address) = resolved.target(Some(target)).map_err(wrong)?;
            if cluster.reach.name != settings.reach.name {
                continue;
            }
            asked.only = (address != cluster.reach.name).then_some(address);
        }
        let cluster = Cluster::new(settings.reach.clone(), &Limits::default());
        out.push((Arc::new(cluster), asked));
    }
    Ok((out, evidence::kit(&resolved)))
}

/// What the command line names.
fn named(args: &EvidenceArgs) -> Result<(Meant, Kit), Failure> {
    let mut known = Known::default();
    let mut reach = ClusterConfig {
        name: "given".to_owned(),
        servers: Vec::new(),
        poolers: Vec::new(),
        caches: Vec::new(),
        apps: Vec::new(),
    };
    let passfile = std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|h| Path::new(&h).join(".pgpass")));
    for (n, url) in args.url.iter().enumerate() {
        known.add(of_url(url));
        let parsed = url::Url::parse(url).map_err(|e| {
            let help = "write --url postgres://user@host:5432/postgres or redis://host:6379/0";
            Failure::new(
                USAGE,
                format!("number {} of --url is no address: {e}", n + 1),
                help,
            )
        })?;
        let own = parsed.password().is_some();
        let login = |password: Option<SecretString>| Login {
            url: url.clone(),
            password: password.filter(|_| !own),
            passfile: passfile.clone(),
        };
        let of_postgres = || login(evidence::password_of_environment());
        let n = n + 1;
        match parsed.scheme() {
            "postgres" | "postgresql" if parsed.path().trim_matches('/') == "pgbouncer" => {
                reach.poolers.push(PoolerConfig {
                    name: format!("pooler-{n}"),
                    address: format!("given/pooler-{n}"),
                    observe: of_postgres(),
                    config_path: None,
                });
            }
            "postgres" | "postgresql" => reach.servers.push(ServerConfig {
                name: format!("server-{n}"),
                address: format!("given/server-{n}"),
                observe: of_postgres(),
                act: None,
                host: None,
            }),
            "redis" | "rediss" => reach.caches.push(CacheConfig {
                name: format!("cache-{n}"),
                address: format!("given/cache-{n}"),
                login: login(None),
            }),
            other => {
                return Err(Failure::new(
                    USAGE,
                    format!("`{other}://` of number {n} of --url is nothing that is known"),
                    "write postgres://… or redis://…; an application goes with --base-url",
                ));
            }
        }
    }
    if let Some(base) = &args.base_url {
        known.add(of_url(base));
        if !base.starts_with("http://") && !base.starts_with("https://") {
            let help = "write --base-url http://127.0.0.1:8080";
            return Err(Failure::new(
                USAGE,
                "--base-url is no address of HTTP".to_owned(),
                help,
            ));
        }
        for (name, path) in ROUTES {
            reach.apps.push(AppConfig {
                name: name.to_owned(),
                address: format!("given/{name}"),
                health: Some(format!("{}{path}", base.trim_end_matches('/'))),
                token: None,
                log: None,
            });
        }
    }
    known.add(reach.secrets());
    known.add(evidence::password_of_environment());
    let kit = Kit {
        out: PathBuf::from("muster-evidence"),
        environment: evidence::environment(&[], &mut known),
        commands: Vec::new(),
        known,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let asked = Asked {
        since: args.since,
        ..Asked::default()
    };
    Ok((
        vec![(Arc::new(Cluster::new(reach, &Limits::default())), asked)],
        kit,
    ))
}

fn show(bundle: &Bundle) {
    let rows = bundle.manifest.sections.iter().map(|s| {
        let what = match (&s.reason, &s.remedy) {
            (Some(reason), Some(remedy)) => format!("{reason} · {remedy}"),
            (Some(reason), None) => reason.clone(),
            _ => String::new(),
        };
        let cut = if s.cut {
            "; the oldest part is left out"
        } else {
            ""
        };
        vec![
            coloured(s.state.word()),
            s.name.clone(),
            s.target.clone().unwrap_or_default(),
            s.file.as_ref().map_or_else(String::new, |_| s.bytes.to_string()),
            format!("{what}{cut}"),
        ]
    });
    print::table(&["", "section", "of", "bytes", "why"], rows.collect());
    print::line(bundle.manifest.summary());
    print::line(format!("{}", bundle.dir.display()));
    print::line(format!("manifest sha256 {}", bundle.digest));
}

fn check(dir: &Path, digest: Option<&str>, as_json: bool) -> Result<u8, Failure> {
    let verified = verify(dir, digest)?;
    let files = verified
        .manifest
        .sections
        .iter()
        .filter(|s| s.file.is_some())
        .count();
    if as_json {
        print::json(
            &json!({"dir": dir, "manifest_sha256": verified.digest, "files": files, "wrong": verified.wrong}),
        );
    } else if verified.wrong.is_empty() {
        let failed = verified.manifest.count(SectionState::Failed);
        print::line(format!(
            "{files} files are as they were written (sections that had failed: {failed})"
        ));
        let kept = if digest.is_some() {
            "the manifest is the one that was meant"
        } else {
            "compare it with the one that was printed or journaled: a manifest can be edited too"
        };
        print::line(format!("manifest sha256 {} · {kept}", verified.digest));
    } else {
        for wrong in &verified.wrong {
            print::line(format!("{} {wrong}", coloured("failed")));
        }
    }
    Ok(u8::from(!verified.wrong.is_empty()))
}
