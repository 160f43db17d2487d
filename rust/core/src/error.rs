//! What can go wrong, each with the argument's name and the offending value.

use std::fmt;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure the caller can act on.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// An argument has a value that makes no sense; the text names both.
    InvalidArgument(String),
    /// Two arguments do not fit together in shape.
    Shape(String),
    /// There is no room for an array; the text says for what, and how much it needs.
    Memory(String),
    /// The same (user, item) pair came more than once where that is an error.
    Duplicates {
        /// How many events repeat an earlier pair.
        count: usize,
        /// The user of the first repeated pair.
        user: i32,
        /// The item of the first repeated pair.
        item: i32,
    },
    /// The caller asked to stop.
    Interrupted,
}

impl Error {
    /// An [`Error::InvalidArgument`] that names the argument.
    pub fn invalid(name: &str, problem: impl fmt::Display) -> Self {
        Self::InvalidArgument(format!("{name}: {problem}"))
    }

    /// An [`Error::Memory`].
    pub(crate) fn no_room(what: impl fmt::Display, bytes: f64) -> Self {
        let gib = bytes / f64::from(1 << 30);
        Self::Memory(format!("{what} needs {gib:.1} GiB, which the system does not give"))
    }
}

/// An error that names the first of these arguments that is below 0 or not finite.
pub(crate) fn not_negative(arguments: &[(&str, f64)]) -> Result<()> {
    for &(name, v) in arguments {
        if !(v.is_finite() && v >= 0.0) {
            return Err(Error::invalid(name, format_args!("must be at least 0 and finite, got {v:?}")));
        }
    }
    Ok(())
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidArgument(text) | Self::Shape(text) | Self::Memory(text) => f.write_str(text),
            Self::Duplicates { count, user, item } => write!(f, "duplicates:{count}:{user}:{item}"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
