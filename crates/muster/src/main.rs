//! The `muster` program.

use clap::Parser;
use muster::cli::{Cli, Command, run};
use tracing_subscriber::EnvFilter;

fn main() -> std::process::ExitCode {
    // Everything that speaks TLS uses this provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            let usage = e.use_stderr();
            return std::process::ExitCode::from(if usage { 64 } else { 0 });
        }
    };
    let level = match cli.command {
        Command::Watch { .. } => "info",
        // A drill watches many incidents come and go; its own report tells them.
        Command::Drill(_) => "off",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("MUSTER_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false);
    if cli.log_json {
        log.json().init();
    } else {
        log.init();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(_) => return std::process::ExitCode::from(1),
    };
    let code = runtime.block_on(run(cli));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    std::process::ExitCode::from(code)
}
