//! What `replay` tells the shell: one number for each outcome, the same for every command.

/// Done: the question was answered.
pub const DONE: u8 = 0;
/// The bundle was read, but nothing matched, or an expectation failed.
pub const NOTHING: u8 = 1;
/// The command line makes no sense: unknown option, bad filter, bad moment, output file in the way.
pub const USAGE: u8 = 2;
/// There is no readable bundle: not found, not a bundle, made by a newer version, or an I/O error.
pub const UNREADABLE: u8 = 3;
/// The bundle was read, but it is cut or damaged, so the answer covers only a part. Wins over [`NOTHING`].
pub const INCOMPLETE: u8 = 4;
/// `verify` found that the bundle contradicts itself.
pub const INCONSISTENT: u8 = 5;

/// The exit code of a command that answered from a bundle.
///
/// What capture itself lost is shown, and is no error of the reader: it is not asked here.
#[must_use]
pub fn answered(matched: bool, whole: bool) -> u8 {
    match (whole, matched) {
        (false, _) => INCOMPLETE,
        (true, false) => NOTHING,
        (true, true) => DONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_wins_over_nothing_found() {
        assert_eq!(answered(true, true), DONE);
        assert_eq!(answered(false, true), NOTHING);
        assert_eq!(answered(false, false), INCOMPLETE);
        assert_eq!(answered(true, false), INCOMPLETE);
    }
}
