//! What the daemon looks after besides clusters: heads of the journal that are kept outside, runs that do not get on.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::time::Duration;

use muster_engine::journal::Head;

use super::watch::{Topic, Watch};
use crate::config::Keep;
use crate::notify::Channel;
use crate::notify::deliver::Postman;

/// So many heads are written down at once.
const AT_ONCE: usize = 500;

/// Every few seconds, until the daemon stops.
pub(super) async fn look_after(watch: Arc<Watch>) {
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut through = BTreeMap::new();
    while !watch.stop.is_set() {
        tick.tick().await;
        let mut unkept = Vec::new();
        for keep in &watch.app.config().export_head {
            if let Err(why) = export(&watch, keep, &mut through).await {
                unkept.push(format!(
                    "The head of the journal cannot be written to {}: {why}.",
                    named(keep)
                ));
            }
        }
        watch.says(Topic::Heads, unkept);
        match watch.app.engine.stuck() {
            Ok(stuck) => {
                let said = stuck.into_iter().map(|(id, why)| {
                    format!("Run {id} does not get on: {why}. `muster runs show {id}` says where; cancel it or abandon it.")
                });
                watch.says(Topic::Runs, said.collect());
            }
            Err(e) => tracing::warn!(error = %e, "runs cannot be looked after"),
        }
    }
}

fn named(keep: &Keep) -> String {
    match keep {
        Keep::File(path) => path.display().to_string(),
        Keep::Syslog => "syslog".to_owned(),
        Keep::Channel(name) => format!("channel:{name}"),
    }
}

/// Writes down what is not there yet, then notes it: after a crash in between a head is there twice, which harms nobody.
async fn export(watch: &Watch, keep: &Keep, through: &mut BTreeMap<String, u64>) -> Result<(), String> {
    let to = named(keep);
    let engine = &watch.app.engine;
    let done = match through.get(&to) {
        Some(done) => *done,
        None => engine.exported_through(&to).map_err(|e| e.to_string())?,
    };
    let mut heads = engine.heads_after(done).map_err(|e| e.to_string())?;
    // The rest at the next look.
    heads.truncate(AT_ONCE);
    through.insert(to.clone(), done);
    let Some(last) = heads.last() else { return Ok(()) };
    match keep {
        Keep::File(path) => append(path, &heads).map_err(|e| e.to_string())?,
        Keep::Syslog => log(&heads).map_err(|e| e.to_string())?,
        Keep::Channel(name) => {
            let notify = watch.app.config().notify.clone();
            let Some(Channel::Webhook { url, token }) = notify.channels.get(name) else {
                return Err("there is no such webhook any more".to_owned());
            };
            let body = serde_json::json!({"format": muster_model::FORMAT, "heads": heads});
            let postman = Postman::new()?;
            postman
                .post(url, token.as_ref(), &body)
                .await
                .map_err(|e| e.to_string())?;
        }
    }
    engine.exported(&to, last.seq).map_err(|e| e.to_string())?;
    through.insert(to, last.seq);
    Ok(())
}

fn lines(heads: &[Head]) -> impl Iterator<Item = String> {
    heads.iter().map(|h| serde_json::to_string(h).unwrap_or_default())
}

fn append(path: &std::path::Path, heads: &[Head]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    let text: String = lines(heads).map(|l| l + "\n").collect();
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// RFC 3164, facility authpriv, severity notice; the system's log takes it from its socket.
fn log(heads: &[Head]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    for line in lines(heads) {
        socket.send_to(
            format!("<85>muster[{}]: journal head {line}", std::process::id()).as_bytes(),
            "/dev/log",
        )?;
    }
    Ok(())
}
