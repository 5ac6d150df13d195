//! What `replay` does, from outside: its commands, screens and answers on bundles that the tests make, and the library's
//! properties on random ones. One program, so that it is linked once.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

#[path = "fixture/bundle.rs"]
mod fixture;
#[path = "fixture/run.rs"]
mod run;
#[path = "fixture/schema.rs"]
mod schema;

mod command;
mod corpus;
mod html;
mod in_flight;
mod json;
#[cfg(target_os = "linux")]
mod pager;
#[cfg(feature = "parquet")]
mod parquet;
mod question;
mod screen;
mod search;
mod slices_read;
mod timeline;
