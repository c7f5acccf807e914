use std::path::{Path, PathBuf};

use chainrule_core::{DataKind, TextOptions};
use chainrule_data::{InputReader, InputRows, Unseen};
use chainrule_solve::{Answers, BatchPredictor};

use crate::{Error, Fitted, SamplesError};

/// The answers for the rows of a file of any size: an iterator of batches.
/// [`Fitted::predict_rows`] makes it.
///
/// A row that cannot be read is answered by what is wrong with it. A damaged file is an error,
/// which ends the iteration.
pub struct FileRows<'a> {
    file: PathBuf,
    rows: InputRows<'static>,
    predictor: BatchPredictor<'a>,
    unseen: Vec<Unseen>,
}

impl<L> Fitted<L> {
    /// Predicts the rows of a table of any size, some at a time. The file is in any format of
    /// [`READERS`](chainrule_data::readers::READERS), plain or compressed, with the model's columns
    /// in any order. The columns of `keep` are returned with the answers; all others are ignored,
    /// also the label.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("predict_rows-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let file = folder.join("new.csv");
    /// # std::fs::write(&file, "id,x2,x1\na,0,1\nb,4,none\nc,4,0\n")?;
    /// use chainrule::Fitted;
    /// use chainrule::core::{LinkKind, Parameters};
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.25]);
    /// let weights = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let fitted = Fitted::of_weights(LinkKind::Logistic, weights, &["no", "yes"])?;
    /// let mut lines = Vec::new();
    /// for answers in fitted.predict_rows(&file, &["id"])? {
    ///     for answer in answers?.iter() {
    ///         let id = answer.kept().next().unwrap_or_default();
    ///         lines.push(match answer.prediction {
    ///             Ok(prediction) => format!("{id}: {}", fitted.classes()[prediction.class]),
    ///             Err(problem) => format!("{id}: line {}, {problem}", answer.line()),
    ///         });
    ///     }
    /// }
    /// assert_eq!(lines, ["a: yes", "b: line 3, column \"x1\": \"none\" is not a number", "c: no"]);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the model takes images, or if the file cannot be opened, is no table or
    /// lacks a column.
    pub fn predict_rows(&self, path: impl AsRef<Path>, keep: &[&str]) -> Result<FileRows<'_>, Error> {
        // The program reads `-` as standard input. Here it is a file name.
        let file = Path::new(".").join(path);
        let schema = self.schema();
        if schema.kind != DataKind::Table {
            return Err(Error::Model("it takes images, and predict_rows the rows of a table".to_owned()));
        }
        let recipe = schema.recipe_of_columns();
        let predictor = self.predictor().of_batches(recipe.n_features())?;
        let keep = keep.iter().map(|&name| name.to_owned()).collect();
        let rows = InputReader::new(recipe, keep, TextOptions::default()).open(&file);
        let rows = rows.map_err(|problem| SamplesError::File { file: file.clone(), problem })?;
        Ok(FileRows { file, rows, predictor, unseen: Vec::new() })
    }
}

impl FileRows<'_> {
    /// Returns what is unusual in the file so far, one sentence each. See [`Fitted::notes`].
    pub fn notes(&self) -> Vec<String> {
        let message = self.rows.read_as().message();
        message.into_iter().chain(self.unseen.iter().filter_map(Unseen::message)).collect()
    }
}

impl Iterator for FileRows<'_> {
    type Item = Result<Answers, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.rows.next()? {
            Ok(batch) => batch,
            Err(problem) => return Some(Err(SamplesError::File { file: self.file.clone(), problem }.into())),
        };
        Unseen::add(&mut self.unseen, batch.unseen.clone());
        Some(self.predictor.answer(batch).map_err(Error::from))
    }
}
