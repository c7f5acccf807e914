/// Why an experiment cannot be run, in one line: file, key, value, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not there or cannot be read.
    #[error("{file}: {problem}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        problem: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file, or the option.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        message: String,
    },
    /// A key that no experiment has.
    #[error("{file}: unknown key {key}; {hint}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The known key most like it, or those that there are.
        hint: String,
    },
    /// An override without a key or a value.
    #[error("{text}: expected key=value, as in descent.epochs=10")]
    Override {
        /// What was given.
        text: String,
    },
    /// A value that cannot be.
    #[error("{file}: {key} = {value}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A key that must be there.
    #[error("{file}: {key} is missing; {hint}")]
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
}
