//! What can go wrong. An error is made of the parts of the one sentence that everybody reads:
//! `argument: problem, got VALUE at PLACE; advice`. Whoever wants a part takes it from here and never from the text.

use std::borrow::Cow;
use std::fmt;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure the caller can act on.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// An argument, or something in it, cannot be used.
    Invalid(Box<Invalid>),
    /// There is no room for an array.
    Memory {
        /// What it holds.
        what: String,
        /// How much it needs.
        bytes: f64,
    },
    /// The caller asked to stop.
    Interrupted,
}

/// The parts of the sentence about an argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Invalid {
    /// The name of the argument.
    pub argument: String,
    /// What sort of problem it is.
    pub kind: Kind,
    /// What is wrong, or what it must be.
    pub problem: Cow<'static, str>,
    /// The value that is to blame.
    pub got: Value,
    /// Where in the argument it stands: `("row", 3)`, `("column", 5)`.
    pub place: Vec<(&'static str, usize)>,
    /// What to do about it; often there is nothing to say.
    pub advice: Cow<'static, str>,
}

/// The sorts of problem that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A setting is out of its bounds, or does not go with another.
    Parameter,
    /// A name that is none of these.
    Choice(&'static [&'static str]),
    /// The data holds a value that nothing can be made of.
    Values,
    /// Offsets or ids that are no rows and columns of a matrix.
    Layout,
    /// Two arguments do not fit together in shape, or there is more than an index can count.
    Shape,
    /// Finite values came to more than float32 holds.
    Overflow,
    /// The same (user, item) pair came more than once where that is an error.
    Duplicates {
        /// How many events repeat an earlier pair.
        count: usize,
        /// The user of the first repeated pair.
        user: i32,
        /// The item of the first repeated pair.
        item: i32,
    },
}

impl Kind {
    /// Its name in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Choice(_) => "choice",
            Self::Values => "values",
            Self::Layout => "layout",
            Self::Shape => "shape",
            Self::Overflow => "overflow",
            Self::Duplicates { .. } => "duplicates",
        }
    }
}

/// An offending value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The problem says it all.
    None,
    /// A count, an id, an offset.
    Int(i64),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
    /// A shape.
    Ints(Vec<usize>),
    /// The ends of a range.
    Floats(Vec<f64>),
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::None
    }
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Int(v)
    }
}

impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v.into())
    }
}

impl From<usize> for Value {
    fn from(v: usize) -> Self {
        i64::try_from(v).map_or(Self::Float(v as f64), Self::Int)
    }
}

impl From<f64> for Value {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}

impl From<f32> for Value {
    /// As it is written: 0.1, not the digits that a double adds to it.
    fn from(v: f32) -> Self {
        Self::Float(v.to_string().parse().unwrap_or(v.into()))
    }
}

impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Text(v.into())
    }
}

impl From<(usize, usize)> for Value {
    fn from((rows, cols): (usize, usize)) -> Self {
        Self::Ints(vec![rows, cols])
    }
}

impl Error {
    /// A problem with an argument; `()` where there is no value to show.
    pub fn new(
        kind: Kind,
        argument: &str,
        problem: impl Into<Cow<'static, str>>,
        got: impl Into<Value>,
    ) -> Self {
        Self::Invalid(Box::new(Invalid {
            argument: argument.into(),
            kind,
            problem: problem.into(),
            got: got.into(),
            place: Vec::new(),
            advice: Cow::Borrowed(""),
        }))
    }

    /// [`Kind::Parameter`].
    pub fn parameter(name: &str, problem: impl Into<Cow<'static, str>>, got: impl Into<Value>) -> Self {
        Self::new(Kind::Parameter, name, problem, got)
    }

    /// [`Kind::Choice`].
    pub fn choice(name: &str, got: &str, choices: &'static [&'static str]) -> Self {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("'{choice}'")).collect();
        Self::new(Kind::Choice(choices), name, format!("must be one of {}", quoted.join(", ")), got)
    }

    /// [`Kind::Values`].
    pub fn values(name: &str, problem: impl Into<Cow<'static, str>>, got: impl Into<Value>) -> Self {
        Self::new(Kind::Values, name, problem, got)
    }

    /// [`Kind::Layout`].
    pub fn layout(name: &str, problem: impl Into<Cow<'static, str>>, got: impl Into<Value>) -> Self {
        Self::new(Kind::Layout, name, problem, got)
    }

    /// [`Kind::Shape`].
    pub fn shape(name: &str, problem: impl Into<Cow<'static, str>>, got: impl Into<Value>) -> Self {
        Self::new(Kind::Shape, name, problem, got)
    }

    /// [`Kind::Overflow`].
    pub fn overflow(name: &str, problem: impl Into<Cow<'static, str>>, got: impl Into<Value>) -> Self {
        Self::new(Kind::Overflow, name, problem, got)
    }

    /// [`Error::Memory`].
    pub(crate) fn no_room(what: impl fmt::Display, bytes: f64) -> Self {
        Self::Memory { what: what.to_string(), bytes }
    }

    /// With the value that is to blame, for one who knows it where the problem was found without it.
    pub(crate) fn got(mut self, value: impl Into<Value>) -> Self {
        if let Self::Invalid(invalid) = &mut self {
            invalid.got = value.into();
        }
        self
    }

    /// With the place of the value.
    pub fn at(mut self, axis: &'static str, index: usize) -> Self {
        if let Self::Invalid(invalid) = &mut self {
            invalid.place.push((axis, index));
        }
        self
    }

    /// With what to do about it.
    pub fn advise(mut self, advice: impl Into<Cow<'static, str>>) -> Self {
        if let Self::Invalid(invalid) = &mut self {
            invalid.advice = advice.into();
        }
        self
    }
}

/// An error about the first of these settings that is below 0 or not finite.
pub(crate) fn not_negative(arguments: &[(&str, f64)]) -> Result<()> {
    match arguments.iter().find(|(_, v)| !(v.is_finite() && *v >= 0.0)) {
        Some(&(name, v)) => Err(Error::parameter(name, "must be at least 0 and finite", v)),
        None => Ok(()),
    }
}

/// An error about the first of these settings that is 0.
pub(crate) fn at_least_one(arguments: &[(&str, usize)]) -> Result<()> {
    match arguments.iter().find(|(_, v)| *v == 0) {
        Some((name, _)) => Err(Error::parameter(name, "must be at least 1", 0)),
        None => Ok(()),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = |parts: Vec<String>| format!("({})", parts.join(", "));
        match self {
            Self::None => Ok(()),
            Self::Int(v) => write!(f, "{v}"),
            Self::Float(v) => write!(f, "{v:?}"),
            Self::Text(v) => write!(f, "'{v}'"),
            Self::Ints(v) => f.write_str(&all(v.iter().map(|v| format!("{v}")).collect())),
            Self::Floats(v) => f.write_str(&all(v.iter().map(|v| format!("{v:?}")).collect())),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.argument, self.problem)?;
        if self.got != Value::None {
            write!(f, ", got {}", self.got)?;
        }
        for (at, (axis, index)) in self.place.iter().enumerate() {
            write!(f, "{} {axis} {index}", if at == 0 { " at" } else { "," })?;
        }
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(invalid) => invalid.fmt(f),
            Self::Memory { what, bytes } => {
                write!(
                    f,
                    "{what} needs {:.1} GiB, which the system does not give",
                    bytes / f64::from(1 << 30)
                )
            }
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
