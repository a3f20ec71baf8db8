//! Real local fleets: a primary, standbys, PgBouncer, Redis, a traffic whose acknowledged writes are counted, and faults
//! that always end.
//!
//! It changes only servers whose data folder carries its marker (law L3). It reads no environment and prints nothing:
//! everything it needs comes in [`options::LabOptions`].

pub mod error;
pub mod fault;
pub mod faults;
pub mod fleet;
pub mod install;
pub mod ledger;
pub mod options;
pub mod owned;
pub mod process;
pub mod script;
pub mod server;
pub mod stop;
pub mod testing;
pub mod up;

mod pooler;

pub use error::LabError;
pub use fleet::Fleet;
pub use options::{LabOptions, PgChoice};
pub use stop::{DownReport, FleetStatus, down, status};
pub use up::up;
