//! The exit codes of `capture`: scripts decide on them, so they do not change.

/// A sealed bundle with everything that was asked for.
pub const WHOLE: u8 = 0;
/// Nothing could be recorded, and nothing is left.
pub const NOTHING: u8 = 1;
/// The command line makes no sense, or would overwrite something. `clap` ends with the same code.
pub const USAGE: u8 = 2;
/// Something was recorded and something is missing: a sealed bundle with losses, or without a source that was asked
/// for and failed; or one that could not be sealed, because nobody reads the pipe any more, the output failed, or a
/// second signal came. What was written of that one is good up to the cut (of a file: `NAME.partial`).
pub const LOSSES: u8 = 4;

// `--propagate` gives the command's own code instead, or 128 and the signal's number, as a shell does.

/// What a shell gives for a program that exists and cannot be run; the held child ends with it.
pub const CANNOT_RUN: u8 = 126;
/// What a shell gives for a program that does not exist; the held child ends with it.
pub const NOT_FOUND: u8 = 127;

/// The code of a command that ended: its own, or 128 and the number of the signal that killed it (as bash does).
#[must_use]
pub fn of_command(status: Option<i32>, signal: Option<i32>) -> u8 {
    // Linux statuses are eight bits wide and signals end at 64.
    match (status, signal) {
        (Some(status), _) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
        (None, None) => NOTHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_counts_as_in_a_shell() {
        assert_eq!(of_command(Some(42), None), 42);
        assert_eq!(of_command(None, Some(9)), 137);
        assert_eq!(of_command(None, None), NOTHING);
    }
}
