use std::error::Error;
use std::fmt::{self, Display, Formatter};

/// What is wrong with something that was read, in a sentence. Where it was read, who knows that
/// says.
#[derive(Debug)]
pub struct ContentError {
    problem: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl ContentError {
    /// The sentence.
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

/// What the system said, and that it did.
impl From<std::io::Error> for ContentError {
    fn from(error: std::io::Error) -> Self {
        Self { problem: error.to_string(), cause: Some(Box::new(error)) }
    }
}
