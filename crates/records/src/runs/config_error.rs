/// An error in an experiment's config. The one-line message has the file, the key, the value, and
/// what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {problem}")]
    Read {
        /// The file.
        file: String,
        /// The system's error.
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
        /// The message of the parser.
        message: String,
    },
    /// An unknown key.
    #[error("{file}: unknown key {key}; {hint}")]
    UnknownKey {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The most similar known key, or a list of keys.
        hint: String,
    },
    /// An override without a key or a value.
    #[error("{text}: expected key=value, as in descent.epochs=10")]
    Override {
        /// The override.
        text: String,
    },
    /// An invalid value.
    #[error("{file}: {key} = {value}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// The problem, and the valid values.
        problem: String,
    },
    /// A required key is missing.
    #[error("{file}: {key} is missing; {hint}")]
    MissingKey {
        /// The file.
        file: String,
        /// The key.
        key: &'static str,
        /// A hint what to write.
        hint: &'static str,
    },
}
