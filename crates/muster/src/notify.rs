//! Telling people: what is worth it, whom at which level of escalation, through which channel.
//!
//! [`board`] and [`due`] decide purely, from the journal and the clock they are handed; [`channel`] knows each receiver's
//! form; [`deliver`] alone speaks to the network. The outbox is the journal: what was queued is sent, also by the next daemon.

use std::collections::BTreeMap;

use muster_model::Span;
use secrecy::SecretString;

pub mod board;
pub mod channel;
pub mod deliver;
pub mod due;
pub mod retry;

/// A receiver.
#[derive(Clone, Debug)]
pub enum Channel {
    /// Our own JSON.
    Webhook {
        /// Where to; may hold a secret.
        url: SecretString,
        /// Sent as `Authorization: Bearer`.
        token: Option<SecretString>,
    },
    /// A Slack-compatible incoming webhook.
    Slack {
        /// Where to; it is the secret.
        url: SecretString,
    },
    /// The Events API v2 of PagerDuty, or what is compatible.
    PagerDuty {
        /// Where to.
        url: SecretString,
        /// The routing key.
        key: SecretString,
    },
    /// Mail.
    Mail {
        /// `smtps://host:465`, or `smtp://host:587` with STARTTLS.
        server: url::Url,
        /// Name and password.
        login: Option<(String, SecretString)>,
        /// Sender.
        from: String,
        /// Receivers.
        to: Vec<String>,
    },
}

impl Channel {
    /// In a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Mail { .. } => "mail",
        }
    }
}

/// A level of escalation. Levels call people; they never authorise anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// `L1` … `L4`, `vendor`.
    pub name: &'static str,
    /// How long after the beginning, when nobody has it by then.
    pub after: Span,
    /// Channels.
    pub to: Vec<String>,
}

/// The levels with their times (CATALOGUE A).
pub const LEVELS: [(&str, Span); 5] = [
    ("L1", Span::ZERO),
    ("L2", Span::from_mins(5)),
    ("L3", Span::from_mins(15)),
    ("L4", Span::from_mins(30)),
    ("vendor", Span::from_mins(60)),
];

/// After how long without an answer the last level is called again.
pub const REPEAT: Span = Span::from_mins(30);

/// A sign of life to somebody outside who watches Muster.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Where to; may hold a secret.
    pub url: SecretString,
    /// How often.
    pub every: Span,
}

/// `notify` of the config.
#[derive(Clone, Debug, Default)]
pub struct Notify {
    /// By name.
    pub channels: BTreeMap<String, Channel>,
    /// In order; those that reach nobody are left out.
    pub levels: Vec<Level>,
    /// After how long without an answer the last level is called again; zero means never.
    pub repeat: Span,
    /// For the dead-man's switch.
    pub heartbeat: Option<Heartbeat>,
    /// Where people reach the page.
    pub page: Option<String>,
}
