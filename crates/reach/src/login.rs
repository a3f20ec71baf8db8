//! From a [`Login`] to a driver config: libpq's URL and `key=value` forms, its TLS options, `.pgpass`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::Host;

use crate::config::Login;
use crate::error::{ReachError, Trouble};

/// How much of the server's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// No TLS.
    Off,
    /// TLS if the server offers it, unchecked.
    #[default]
    Prefer,
    /// TLS, unchecked.
    Require,
    /// TLS, the certificate's chain checked.
    Ca,
    /// TLS, chain and host name checked.
    Full,
}

/// A login, ready for the driver.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The driver's config, password included.
    pub config: tokio_postgres::Config,
    /// TLS.
    pub verify: Verify,
    /// Certificates to trust.
    pub root_cert: Option<PathBuf>,
}

/// Reads a login.
///
/// # Errors
/// When it cannot be understood or its files cannot be read.
pub fn ready(target: &str, login: &Login, application: &str, connect: Duration) -> Result<Ready, ReachError> {
    let wrong = |reason: String| ReachError::new(target, Trouble::Login, reason);
    let (text, tls) = split_tls(&login.url);
    let mut config: tokio_postgres::Config = text
        .parse()
        .map_err(|e: tokio_postgres::Error| wrong(format!("the url cannot be understood: {e}")))?;
    let mut verify = Verify::default();
    let mut root_cert = None;
    for (key, value) in tls {
        match (key.as_str(), value.as_str()) {
            ("sslmode", "disable") => verify = Verify::Off,
            ("sslmode", "allow" | "prefer") => verify = Verify::Prefer,
            ("sslmode", "require") => verify = Verify::Require,
            ("sslmode", "verify-ca") => verify = Verify::Ca,
            ("sslmode", "verify-full") => verify = Verify::Full,
            ("sslmode", other) => return Err(wrong(format!("unknown sslmode `{other}`"))),
            ("sslrootcert", file) => root_cert = Some(PathBuf::from(file)),
            _ => {}
        }
    }
    // libpq: a root certificate turns `require` into `verify-ca`.
    if root_cert.is_some() && verify == Verify::Require {
        verify = Verify::Ca;
    }
    config.ssl_mode(match verify {
        Verify::Off => tokio_postgres::config::SslMode::Disable,
        Verify::Prefer => tokio_postgres::config::SslMode::Prefer,
        _ => tokio_postgres::config::SslMode::Require,
    });
    config.application_name(application);
    config.connect_timeout(connect);
    config.keepalives_idle(Duration::from_secs(10));
    if config.get_hosts().is_empty() {
        return Err(wrong("the url names no host".to_owned()));
    }
    if let Some(password) = &login.password {
        config.password(password.expose_secret());
    } else if config.get_password().is_none()
        && let Some(file) = &login.passfile
        && let Some(password) = from_passfile(file, &config)
    {
        config.password(password.expose_secret());
    }
    Ok(Ready {
        config,
        verify,
        root_cert,
    })
}

/// `host:port` of the first host, for people and for matching.
#[must_use]
pub fn endpoint(config: &tokio_postgres::Config) -> String {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => format!("{host}:{port}"),
        Some(Host::Unix(dir)) => format!("{}:{port}", dir.display()),
        None => String::new(),
    }
}

/// Takes the TLS options that the driver does not know out of the text.
fn split_tls(text: &str) -> (String, Vec<(String, String)>) {
    const KEYS: [&str; 2] = ["sslmode", "sslrootcert"];
    if let Some((head, query)) = text.split_once('?')
        && text.contains("://")
    {
        let (tls, rest): (Vec<&str>, Vec<&str>) = query
            .split('&')
            .partition(|pair| KEYS.contains(&pair.split('=').next().unwrap_or("")));
        let decode = |s: &str| {
            percent_encoding::percent_decode_str(s)
                .decode_utf8_lossy()
                .into_owned()
        };
        let tls = tls
            .iter()
            .filter_map(|p| p.split_once('='))
            .map(|(k, v)| (k.to_owned(), decode(v)))
            .collect();
        let rest = if rest.is_empty() {
            head.to_owned()
        } else {
            format!("{head}?{}", rest.join("&"))
        };
        return (rest, tls);
    }
    if text.contains("://") {
        return (text.to_owned(), Vec::new());
    }
    let (tls, rest): (Vec<&str>, Vec<&str>) = text
        .split_whitespace()
        .partition(|pair| KEYS.contains(&pair.split('=').next().unwrap_or("")));
    let tls = tls
        .iter()
        .filter_map(|p| p.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    (rest.join(" "), tls)
}

fn from_passfile(file: &Path, config: &tokio_postgres::Config) -> Option<SecretString> {
    let text = std::fs::read_to_string(file).ok()?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(dir)) => dir.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user().unwrap_or_default();
    let wanted = [host.as_str(), &port, config.get_dbname().unwrap_or(user), user];
    text.lines().filter(|l| !l.starts_with('#')).find_map(|line| {
        let fields = split_passfile(line);
        let [h, p, d, u, password] = <[String; 5]>::try_from(fields).ok()?;
        let fits = [h, p, d, u]
            .iter()
            .zip(wanted)
            .all(|(field, want)| field == "*" || field == want);
        fits.then(|| SecretString::from(password))
    })
}

fn split_passfile(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                if let (Some(next), Some(last)) = (chars.next(), fields.last_mut()) {
                    last.push(next);
                }
            }
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => {
                if let Some(last) = fields.last_mut() {
                    last.push(other);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(url: &str) -> Login {
        Login {
            url: url.to_owned(),
            password: None,
            passfile: None,
        }
    }

    #[test]
    fn libpq_forms_and_tls_options_are_understood() {
        let read = |url: &str| ready("shop/a", &login(url), "muster/x", Duration::from_secs(1)).expect(url);
        let url =
            read("postgres://u@db-a:6000/app?sslmode=verify-full&sslrootcert=%2Fca.pem&connect_timeout=3");
        assert_eq!(url.verify, Verify::Full);
        assert_eq!(url.root_cert, Some(PathBuf::from("/ca.pem")));
        assert_eq!(endpoint(&url.config), "db-a:6000");
        assert_eq!(read("host=h user=u sslmode=disable").verify, Verify::Off);
        assert_eq!(
            read("postgres://u@h/d?sslmode=require&sslrootcert=/c").verify,
            Verify::Ca
        );
        assert!(ready("t", &login("postgres://u@h/d?sslmode=maybe"), "m", Duration::ZERO).is_err());
        assert!(ready("t", &login("user=u"), "m", Duration::ZERO).is_err());
    }

    #[test]
    fn a_passfile_is_read_like_libpq_reads_it() {
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("pgpass");
        std::fs::write(&file, "# x\nother:*:*:*:no\nh:5432:*:u:pa\\:ss\n").expect("writes");
        let config: tokio_postgres::Config = "postgres://u@h/d".parse().expect("parses");
        assert_eq!(
            from_passfile(&file, &config).expect("found").expose_secret(),
            "pa:ss"
        );
        let config: tokio_postgres::Config = "postgres://v@h/d".parse().expect("parses");
        assert!(from_passfile(&file, &config).is_none());
    }
}
