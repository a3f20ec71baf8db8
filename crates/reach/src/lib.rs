//! How Muster reaches a target: sessions with time-outs, budgets, identity checks and redaction.
