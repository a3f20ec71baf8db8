//! Runbook files: YAML to typed steps, with a lint that names line and column.
