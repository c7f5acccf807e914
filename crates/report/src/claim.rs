use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A claim of the report with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The task, and a number where it makes two.
    pub id: String,
    /// What the report says.
    pub claim: String,
    /// What was found.
    pub verdict: Verdict,
    /// The numbers it rests on, in words.
    pub measured: String,
    /// How the verdict follows from them.
    pub why: String,
    /// The same numbers for programs.
    pub evidence: Value,
    /// The runs that were looked at.
    pub runs: Vec<String>,
    /// The figures that show it.
    pub figures: Vec<String>,
}

/// What a claim is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It holds as it stands.
    #[serde(rename = "supported")]
    Supported,
    /// What was measured speaks against it.
    #[serde(rename = "not supported")]
    NotSupported,
    /// It holds once it is amended.
    #[serde(rename = "corrected")]
    Corrected,
}

impl Verdict {
    /// As the page writes it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::NotSupported => "not supported",
            Verdict::Corrected => "corrected",
        }
    }
}
