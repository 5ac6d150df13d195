//! End-to-end tests: both binaries, from outside.
