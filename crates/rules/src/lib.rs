//! Pure rules: Snapshots to Findings, and the correlation that names one cause.
