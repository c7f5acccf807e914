use std::path::{Path, PathBuf};

use chainrule_core::{ContentError, DataKind};
use chainrule_data::{InputReader, InputRows, Unseen};
use chainrule_solve::{Answers, BatchPredictor};

use crate::{Error, Fitted, SamplesError};

/// The answers for the rows of a file of any size: an iterator of batches.
/// [`Fitted::predict_rows`] makes it, and `Fitted::predict_record_batches` does for rows in memory.
///
/// A row that cannot be read is answered by what is wrong with it. A damaged file is an error,
/// which ends the iteration.
pub struct FileRows<'a> {
    /// `None` if the rows are in memory.
    file: Option<PathBuf>,
    rows: InputRows<'a>,
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
        let (reader, predictor) = self.reader(keep)?;
        let rows = reader.open(&file).map_err(|problem| wrong(Some(&file), problem))?;
        Ok(FileRows { file: Some(file), rows, predictor, unseen: Vec::new() })
    }

    /// Predicts the rows of Arrow's record batches, of any number. A value is what it is in a
    /// Parquet file, and the columns are found by name as in [`predict_rows`](Self::predict_rows).
    ///
    /// Any reader will do: one of this process's batches, as here, a stream, or the memory of
    /// another library (such as polars) through Arrow's C interface.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    ///
    /// use arrow_array::{Float64Array, RecordBatch, RecordBatchIterator};
    /// use chainrule::Fitted;
    /// use chainrule::core::{LinkKind, Parameters};
    ///
    /// let (weight, bias) = (vec![1.5, -0.5], vec![0.25]);
    /// let weights = Parameters { n_features: 2, columns: 1, weight, bias };
    /// let fitted = Fitted::of_weights(LinkKind::Logistic, weights, &["no", "yes"])?;
    /// let column = |numbers: Vec<f64>| Arc::new(Float64Array::from(numbers)) as _;
    /// let columns = [column(vec![0.0, 4.0]), column(vec![1.0, 0.0])];
    /// let batch = RecordBatch::try_from_iter(["x2", "x1"].into_iter().zip(columns))?;
    /// let schema = batch.schema();
    /// let batches = RecordBatchIterator::new([Ok(batch)], schema);
    /// let mut classes = Vec::new();
    /// for answers in fitted.predict_record_batches(batches, &[])? {
    ///     for answer in answers?.iter() {
    ///         classes.push(answer.prediction.map(|prediction| prediction.class).ok());
    ///     }
    /// }
    /// assert_eq!(classes, [Some(1), Some(0)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the model takes images, or if the batches lack a column.
    #[cfg(feature = "arrow")]
    pub fn predict_record_batches<'a>(
        &'a self,
        batches: impl arrow_array::RecordBatchReader + 'a,
        keep: &[&str],
    ) -> Result<FileRows<'a>, Error> {
        let (reader, predictor) = self.reader(keep)?;
        let rows = reader.record_batches(batches).map_err(|problem| wrong(None, problem))?;
        Ok(FileRows { file: None, rows, predictor, unseen: Vec::new() })
    }

    fn reader(&self, keep: &[&str]) -> Result<(InputReader, BatchPredictor<'_>), Error> {
        let schema = self.schema();
        if schema.kind != DataKind::Table {
            return Err(Error::Model("the model takes images, and no rows of a table".to_owned()));
        }
        let recipe = schema.recipe_of_columns();
        let predictor = self.predictor().of_batches(recipe.n_features())?;
        let keep = keep.iter().map(|&name| name.to_owned()).collect();
        Ok((InputReader::new(recipe, keep, self.text_options()), predictor))
    }
}

/// Returns what is wrong with a file, or with rows in memory.
fn wrong(file: Option<&PathBuf>, problem: ContentError) -> Error {
    match file {
        Some(file) => SamplesError::File { file: file.clone(), problem }.into(),
        None => SamplesError::RecordBatches(problem).into(),
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
            Err(problem) => return Some(Err(wrong(self.file.as_ref(), problem))),
        };
        Unseen::add(&mut self.unseen, batch.unseen.clone());
        Some(self.predictor.answer(batch).map_err(Error::from))
    }
}
