//! Probes and actions on real fleets, through the engine's traits only.

mod estate;
mod fleet;
mod proofs;
mod shape;
mod victim;
