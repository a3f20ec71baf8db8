//! Rules and correlation as the daemon uses them.

mod story;
