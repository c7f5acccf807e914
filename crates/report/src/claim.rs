use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A claim of the report with its verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The task, with a number if the task has two claims.
    pub id: String,
    /// What the report claims.
    pub claim: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The rule of the verdict: when it is which.
    pub rule: String,
    /// The numbers behind the verdict, in words.
    pub measured: String,
    /// The reason for the verdict.
    pub why: String,
    /// The same numbers as JSON.
    pub evidence: Value,
    /// The runs behind the verdict.
    pub runs: Vec<String>,
    /// The figures that show the numbers.
    pub figures: Vec<String>,
}

/// The verdict on a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The claim is true as written.
    #[serde(rename = "supported")]
    Supported,
    /// The measurements contradict the claim.
    #[serde(rename = "not supported")]
    NotSupported,
    /// The claim is true after a correction.
    #[serde(rename = "corrected")]
    Corrected,
}

impl Verdict {
    /// Returns the name on the page.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::NotSupported => "not supported",
            Verdict::Corrected => "corrected",
        }
    }
}
