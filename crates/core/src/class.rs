use std::fmt::{self, Display, Formatter};

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ContentError, DataKind};

/// A class, as the data names it. IDX files use numbers; tables and folders use names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Class {
    /// A label of an IDX file.
    Number(u8),
    /// A name without control characters.
    Name(String),
}

/// The maximum number of characters in the name of a class or a column.
pub const MAX_NAME_LENGTH: usize = 100;

/// Returns why `name` cannot be the name of a class or a column, as text for a message.
pub fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name.chars().count() > MAX_NAME_LENGTH {
        Some("has more than 100 characters")
    } else if name.chars().any(char::is_control) {
        Some("has a control character")
    } else {
        None
    }
}

/// Returns which of two classes, each with its number of rows, is the positive one for a table: the
/// one that is called yes, true, + or 1, else the rarer one, else the second.
pub fn positive_class([first, second]: [(&str, usize); 2]) -> usize {
    let is_affirmative =
        |class: &str| ["yes", "true", "+"].contains(&class.to_lowercase().as_str()) || class.parse() == Ok(1.0);
    let is_first = match (is_affirmative(first.0), is_affirmative(second.0)) {
        (is_first, is_second) if is_first != is_second => is_first,
        _ => first.1 < second.1,
    };
    usize::from(!is_first)
}

impl Class {
    /// Creates the classes with these names, for data of this kind. The classes of tables and
    /// folders are always names, even if they look like numbers. The classes of IDX files are
    /// numbers if every name is an integer from 0 to 255 in its usual spelling (`7`, not `007`).
    ///
    /// # Errors
    /// If a name is invalid, or if two names are equal.
    pub fn from_names(kind: DataKind, names: &[String]) -> Result<Vec<Self>, ContentError> {
        if let Some(problem) = names.iter().find_map(|name| name_problem(name)) {
            return Err(ContentError::new(format!("the name of a class {problem}")));
        }
        if let Some(duplicate) =
            names.iter().enumerate().find_map(|(i, name)| names[..i].contains(name).then_some(name))
        {
            return Err(ContentError::new(format!("the class {duplicate} is named twice")));
        }
        let numbers: Option<Vec<Self>> = names.iter().map(|name| Some(Self::Number(parse_label(name)?))).collect();
        Ok(match (kind, numbers) {
            (DataKind::Images, Some(numbers)) => numbers,
            _ => names.iter().cloned().map(Self::Name).collect(),
        })
    }

    /// The label, if the class is a number.
    pub fn number(&self) -> Option<u8> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) => None,
        }
    }

    /// Whether `text` names this class.
    pub fn has_name(&self, text: &str) -> bool {
        self.to_string() == text
    }
}

impl From<u8> for Class {
    fn from(number: u8) -> Self {
        Self::Number(number)
    }
}

/// Parses a label. Accepts only its canonical spelling.
fn parse_label(text: &str) -> Option<u8> {
    text.parse().ok().filter(|label: &u8| label.to_string() == text)
}

impl Display for Class {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => f.pad(name),
        }
    }
}

impl<'de> Deserialize<'de> for Class {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClassVisitor)
    }
}

struct ClassVisitor;

impl Visitor<'_> for ClassVisitor {
    type Value = Class;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a label from 0 to 255, or a name in quotes")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Class, E> {
        let label =
            u8::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))?;
        Ok(Class::Number(label))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Class, E> {
        let label = u8::try_from(number).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(number), &self))?;
        Ok(Class::Number(label))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Class, E> {
        match name_problem(name) {
            None => Ok(Class::Name(name.to_owned())),
            Some(problem) => Err(E::custom(format!("the name of a class {problem}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_positive_class_follows_from_names_or_rows() {
        let check = |first: (&str, usize), second: (&str, usize), expected: &str| {
            assert_eq!([first, second][positive_class([first, second])].0, expected);
        };
        check(("no", 1), ("yes", 9), "yes");
        check(("TRUE", 9), ("false", 1), "TRUE");
        check(("+1", 9), ("-1", 1), "+1");
        check(("0", 1), ("1", 9), "1");
        check(("1.0", 9), ("0.0", 1), "1.0");
        check(("-", 1), ("+", 9), "+");
        check(("cat", 3), ("dog", 9), "cat");
        check(("cat", 9), ("dog", 3), "dog");
        check(("cat", 3), ("dog", 3), "dog");
    }
}
