//! Stepping through a bundle.
