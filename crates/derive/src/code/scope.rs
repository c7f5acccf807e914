//! The names of a scope: their identifiers, and the axes of their tensors.

use std::collections::{BTreeMap, BTreeSet};

use super::Key;
use super::names::{Names, candidates, identifier};
use super::tensor::Argument;
use crate::document::Part;
use crate::tree::Index;
use crate::typing::{Model, ROWS, Range, Typing};

/// The names of a scope.
pub(super) struct Symbols<'a> {
    pub(super) model: &'a Model,
    /// All identifiers that are taken.
    pub(super) names: Names,
    identifiers: BTreeMap<Key, String>,
    /// A letter for each range, as far as names have letters as indices.
    labels: Vec<(Range, String)>,
}

impl<'a> Symbols<'a> {
    pub(super) fn new(part: &Part, model: &'a Model, names: &mut Names) -> Self {
        let mut keys: Vec<Key> = Vec::new();
        for (place, definition) in model.definitions.iter().enumerate() {
            keys.push(Key { head: definition.name.head.clone(), place: Some(place) });
        }
        for member in part.items.iter().flat_map(|item| &item.members) {
            member.visit_names(&mut |name| {
                let key = Key { head: name.head.clone(), place: None };
                let is_constant = model.sizes.contains_key(&name.head) || ["e", "π"].contains(&name.head.as_str());
                if model.is_input(&name.head) && !is_constant && !keys.contains(&key) {
                    keys.push(key);
                }
            });
        }
        // The lower-case letters first, so that it is the upper-case ones that are called big.
        keys.sort_by_key(|key| key.head.starts_with(char::is_uppercase));
        let mut identifiers = BTreeMap::new();
        for key in keys {
            let mut all = candidates(&key.head);
            let is_row_of_several = key.place.is_some_and(|place| {
                let definitions = &model.definitions;
                let has_row = definitions[place].name.row.is_some();
                has_row && definitions.iter().filter(|other| other.name.head == key.head).count() > 1
            });
            if let (true, Some(place)) = (is_row_of_several, key.place)
                && let Some(Index::Letter(letter)) = &model.definitions[place].name.row
            {
                all = all.iter().map(|name| format!("{name}_{}", identifier(letter))).collect();
            }
            identifiers.insert(key, names.take(&all));
        }
        let labels = labels(part, model);
        Self { model, names: names.clone(), identifiers, labels }
    }

    /// Returns the identifier of a name: that of its tensor, and of the function that computes it.
    pub(super) fn identifier(&self, key: &Key) -> String {
        self.identifiers.get(key).cloned().unwrap_or_else(|| identifier(&key.head))
    }

    /// Returns whether a name has another value in each row. `item` is where it is used.
    pub(super) fn has_row(&self, key: &Key, item: usize) -> bool {
        self.has_row_within(key, item, &mut BTreeSet::new())
    }

    fn has_row_within(&self, key: &Key, item: usize, seen: &mut BTreeSet<usize>) -> bool {
        if !self.model.has_rows {
            return false;
        }
        let Some(place) = key.place else { return self.model.by_row.contains(&key.head) };
        let definition = &self.model.definitions[place];
        if definition.name.row.is_some() {
            return true;
        }
        // What was seen has none, because the first that has ends the search.
        if !seen.insert(place) {
            return false;
        }
        let mut used: BTreeSet<Key> = BTreeSet::new();
        definition.body.visit_names(&mut |name| {
            let is_parameter = definition.parameters.iter().any(|parameter| parameter.head == name.head);
            if name.row.is_none() && !is_parameter {
                let place = self.model.resolve(&name.head, false, item, Some(place));
                used.insert(Key { head: name.head.clone(), place });
            }
        });
        used.iter().any(|key| self.has_row_within(key, item, seen))
    }

    /// Returns the ranges of the axes of a name: that of its rows, and those of its indices.
    pub(super) fn ranges(&self, key: &Key, item: usize) -> Vec<Range> {
        let rows = self.has_row(key, item).then_some(ROWS);
        rows.into_iter().chain(self.model.slots.get(&key.head).into_iter().flatten().copied()).collect()
    }

    pub(super) fn argument(&self, key: &Key, item: usize) -> Argument {
        let ranges = self.ranges(key, item);
        Argument { key: key.clone(), name: self.identifier(key), ranges, is_borrowed: true }
    }

    /// Names a length: `N` if the document does, otherwise by an index that runs over it.
    pub(super) fn label(&self, range: Range, typing: &Typing) -> String {
        let class = typing.ranges.find(range);
        let is_class = |range: &Range| typing.ranges.contains(*range) && typing.ranges.find(*range) == class;
        let size = self.model.sizes.iter().find(|(_, range)| is_class(range)).map(|(size, _)| size);
        let letter = self.labels.iter().find(|(range, _)| is_class(range)).map(|(_, letter)| letter);
        size.or(letter).cloned().unwrap_or_else(|| "m".to_owned())
    }

    /// Writes the shape of a tensor for a comment.
    pub(super) fn shape(&self, ranges: &[Range], typing: &Typing) -> String {
        let labels: Vec<String> = ranges.iter().map(|&range| self.label(range, typing)).collect();
        if labels.is_empty() { "[1]".into() } else { format!("[{}]", labels.join(", ")) }
    }
}

/// Finds a letter for each range: the first that is an index of it and of no range before.
fn labels(part: &Part, model: &Model) -> Vec<(Range, String)> {
    let mut letters: Vec<(Range, Vec<String>)> = Vec::new();
    for member in part.items.iter().flat_map(|item| &item.members) {
        member.visit_names(&mut |name| {
            let slots = model.slots.get(&name.head).map_or(&[][..], Vec::as_slice);
            for (index, slot) in name.indices.iter().zip(slots) {
                let Index::Letter(letter) = index else { continue };
                let class = model.typing.ranges.find(*slot);
                match letters.iter_mut().find(|(known, _)| *known == class) {
                    Some((_, all)) => all.push(letter.clone()),
                    None => letters.push((class, vec![letter.clone()])),
                }
            }
        });
    }
    let mut labels: Vec<(Range, String)> = Vec::new();
    for (class, all) in letters {
        let is_free = |letter: &String| !labels.iter().any(|(_, known)| known == letter);
        let label = all.iter().find(|letter| is_free(letter)).cloned();
        let label = label.unwrap_or_else(|| format!("{}'", all[0]));
        labels.push((class, label));
    }
    labels
}
