use std::fmt::{self, Display, Formatter, Write};

use serde::{Deserialize, Serialize};

/// The largest number of features of a sparse column. So a few rows of all features, and the
/// weights of a few classes, fit in memory.
pub const MAX_SPARSE_FEATURES: usize = 1 << 20;

/// The indices of a sparse column that are features, in increasing order. They are stored as runs:
/// `1-500,502`, because most files use most indices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SparseIndices {
    runs: Vec<Run>,
}

/// Consecutive indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    last: u32,
    /// The number of indices before the run.
    before: usize,
}

impl Run {
    fn len(self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

impl SparseIndices {
    /// Returns the indices that increase.
    ///
    /// # Panics
    /// Panics if they do not increase.
    pub fn of_sorted(indices: impl IntoIterator<Item = u32>) -> Self {
        let mut all = Self::default();
        for index in indices {
            match all.runs.last_mut() {
                Some(run) if run.last.checked_add(1) == Some(index) => run.last = index,
                last => {
                    assert!(last.is_none_or(|last| last.last < index), "indices increase");
                    all.push(index, index);
                }
            }
        }
        all
    }

    fn push(&mut self, first: u32, last: u32) {
        self.runs.push(Run { first, last, before: self.len() });
    }

    /// Returns the number of indices.
    pub fn len(&self) -> usize {
        self.runs.last().map_or(0, |last| last.before + last.len())
    }

    /// Returns whether there are no indices.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns the position of an index among them.
    pub fn position(&self, index: u32) -> Option<usize> {
        let run = self.runs.get(self.runs.partition_point(|run| run.last < index))?;
        (run.first <= index).then(|| run.before + (index - run.first) as usize)
    }

    /// Iterates over the indices.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last)
    }
}

/// `3 sparse features, indices 1 to 7`
impl Display for SparseIndices {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let features = crate::pluralize(self.len(), "sparse feature");
        match (self.runs.first(), self.runs.last()) {
            (Some(Run { first, .. }), Some(Run { last, .. })) if self.len() > 1 => {
                write!(f, "{features}, indices {first} to {last}")
            }
            (Some(Run { first, .. }), _) => write!(f, "{features}, index {first}"),
            _ => f.write_str(&features),
        }
    }
}

impl From<SparseIndices> for String {
    fn from(indices: SparseIndices) -> Self {
        let mut text = String::new();
        for Run { first, last, .. } in indices.runs {
            let separator = if text.is_empty() { "" } else { "," };
            let written = match first == last {
                true => write!(text, "{separator}{first}"),
                false => write!(text, "{separator}{first}-{last}"),
            };
            written.expect("writing to a String cannot fail");
        }
        text
    }
}

impl TryFrom<String> for SparseIndices {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || "the indices of the sparse features are no increasing runs such as 1-500,502".to_owned();
        let mut indices = Self::default();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let [Ok(first), Ok(last)] = [first, last].map(str::parse::<u32>) else { return Err(wrong()) };
            if first > last || indices.runs.last().is_some_and(|run| run.last >= first) {
                return Err(wrong());
            }
            indices.push(first, last);
            if indices.len() > MAX_SPARSE_FEATURES {
                return Err(format!("more than {MAX_SPARSE_FEATURES} sparse features are not supported"));
            }
        }
        Ok(indices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_found_and_read_as_they_were_written() {
        let check = |list: &[u32], text: &str, described: &str| {
            let indices = SparseIndices::of_sorted(list.iter().copied());
            assert_eq!((indices.len(), indices.is_empty()), (list.len(), list.is_empty()));
            assert!(indices.iter().eq(list.iter().copied()), "{list:?}");
            for index in (0..20).chain([u32::MAX - 1, u32::MAX]) {
                assert_eq!(indices.position(index), list.iter().position(|&own| own == index), "{index} of {list:?}");
            }
            let json = serde_json::to_string(&indices).expect("a text");
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<SparseIndices>(&json).ok(), Some(indices.clone()));
            assert_eq!(indices.to_string(), described);
        };
        check(&[], "", "0 sparse features");
        check(&[7], "7", "1 sparse feature, index 7");
        check(&[0, 1, 2, 5, 7, 8], "0-2,5,7-8", "6 sparse features, indices 0 to 8");
        check(
            &[u32::MAX - 1, u32::MAX],
            "4294967294-4294967295",
            "2 sparse features, indices 4294967294 to 4294967295",
        );
        for wrong in ["x", "1-", "3-1", "1,1", "5,4", "1-3,3", "-1", "1-2-3", "0-4294967295", "1, 2", "4294967296"] {
            assert!(serde_json::from_str::<SparseIndices>(&format!("\"{wrong}\"")).is_err(), "{wrong}");
        }
    }
}
