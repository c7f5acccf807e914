use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// An error in the content of a file or another input, as one sentence. The caller adds the name of
/// the input.
#[derive(Debug)]
pub struct ContentError {
    problem: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ContentError {
    /// Creates the error from a sentence.
    pub fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), cause: None }
    }
}

impl Display for ContentError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl Error for ContentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

impl From<String> for ContentError {
    fn from(problem: String) -> Self {
        Self::new(problem)
    }
}

/// Keeps the system's error as the source.
impl From<std::io::Error> for ContentError {
    fn from(error: std::io::Error) -> Self {
        Self { problem: error.to_string(), cause: Some(Box::new(error)) }
    }
}
