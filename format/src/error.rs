//! What can be wrong with a bundle, and with writing one.

/// Why bytes could not be read as what they should be.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes don't begin like a bundle.
    #[error("not a bundle: {0}")]
    NotABundle(String),
    /// The bundle needs a newer reader.
    #[error(
        "written in format {found} by {tool}: this reader knows {known} (use replay of the same release as that capture, or newer)"
    )]
    NewerVersion {
        /// The bundle's version.
        found: String,
        /// What wrote it.
        tool: String,
        /// What this reader reads.
        known: String,
    },
    /// A part contradicts the format, or another part.
    #[error("{what}: {problem}")]
    Damaged {
        /// The member, frame or structure.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A part is larger than the format allows.
    #[error("{what}: {size} is over the limit of {limit}")]
    Limit {
        /// The thing that is too large.
        what: String,
        /// What it claims.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The bytes end too soon.
    #[error("{what}: the file ends inside it")]
    Cut {
        /// The thing that is cut.
        what: String,
    },
    /// The storage failed.
    #[error("cannot read: {0}")]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// Something contradicts the format.
    pub fn damaged(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            problem: problem.into(),
        }
    }

    /// Checks a claimed size against a limit.
    ///
    /// # Errors
    /// [`ReadError::Limit`] when it is over.
    pub fn check(what: &str, size: usize, limit: usize) -> Result<(), Self> {
        if size <= limit {
            return Ok(());
        }
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        Err(Self::Limit {
            what: what.to_owned(),
            size: wide(size),
            limit: wide(limit),
        })
    }
}

/// Why a bundle could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A member's name is not one the format allows.
    #[error(
        "member name {0:?}: not allowed (lower-case letters, digits, '.', '-', '_' and '/', at most 100 bytes)"
    )]
    Name(String),
    /// A name was used twice.
    #[error("member name {0:?}: already in the bundle")]
    Duplicate(String),
    /// Something is larger than the format allows.
    #[error("{what}: {size} is over the limit of {limit}")]
    Limit {
        /// The thing that is too large.
        what: String,
        /// Its size.
        size: usize,
        /// What is allowed.
        limit: usize,
    },
    /// A value could not be encoded.
    #[error("{what}: cannot encode: {problem}")]
    Encode {
        /// The value.
        what: String,
        /// Why not.
        problem: String,
    },
    /// The output failed.
    #[error("cannot write: {0}")]
    Io(#[from] std::io::Error),
}

/// Why a bundle could not be made out of another.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The one that is read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The one that is written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What was asked for can't be done.
    #[error("{0}")]
    Refused(String),
}
