//! Collectors: read-only, one subject a file, each fills one part of a Snapshot.
