//! `replay state`: what was there at a moment.

use super::{Failure, moment};
use crate::cli;

pub(super) fn run(options: &cli::State) -> Result<u8, Failure> {
    moment(Some(&options.at))?;
    Err(Failure::Usage("state: not there yet".to_owned()))
}
