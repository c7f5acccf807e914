use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::Path;

use chainrule_core::{
    Class, DataConfig, DataFile, DataKind, MAX_ABS_VALUE, MAX_CLASSES, ModelKind, Recipe, Schema, Settings,
    TextOptions, TrainConfig, UnusedFiles, name_problem, pluralize, positive_class,
};
use chainrule_data::digits::draw_both;
use chainrule_data::table::sorted_labels;
use chainrule_data::{
    Counts, Data, DataError, Dataset, Holdout, Numbers, Origin, Provenance, RecipeOptions, RecipeSource, RowBuffer,
    Rows, TableRequest, Tables, Unseen, names, schema_of_images, schema_of_tables, sha256, table_request,
};

use crate::{Error, SamplesError};

/// Rows in memory, with labels of type `L`. An [`Estimator`](crate::Estimator) is fitted to them,
/// and a [`Fitted`](crate::Fitted) model predicts them.
///
/// A row is an image of bytes or a row of numbers of a table, as stored in the data. The model does
/// the preprocessing. Columns and classes have names. A model finds its columns and classes by
/// name, so their order in other samples does not matter.
///
/// Rows from files have labels of type [`Class`]. Rows from memory have labels of any type that
/// implements [`Label`], and a model fitted to them predicts that type. `Samples<()>` have no
/// labels; a model can predict them.
#[derive(Clone, Debug)]
pub struct Samples<L = Class> {
    /// The rows. Labels are positions in the schema's classes.
    pub(crate) rows: Rows,
    pub(crate) schema: Schema,
    /// One label per class, in the order of the schema's classes. A class's name is its label as
    /// text.
    pub(crate) labels: Vec<L>,
    /// How a recipe is learnt from the rows, for rows of a file.
    pub(crate) recipe_options: Option<RecipeOptions>,
    /// What was left out or changed when the rows were read.
    pub(crate) notes: Vec<String>,
    pub(crate) source: Provenance,
}

/// A label type: any type that can be displayed and compared. Two labels with the same text are one
/// class.
pub trait Label: Clone + Display + PartialEq {}

impl<L: Clone + Display + PartialEq> Label for L {}

impl Samples {
    /// Reads a table: a CSV file or another format of
    /// [`READERS`](chainrule_data::readers::READERS), plain or compressed. The first line holds the
    /// column names.
    ///
    /// Numbers, texts and ISO dates become features by a [`Recipe`]. These samples show the recipe
    /// that is learnt from all rows. [`Estimator::fit`](crate::Estimator::fit) learns it anew, from
    /// the rows that it is fitted to, and a model applies its own recipe to the rows that it
    /// predicts.
    ///
    /// The classes are the labels that occur. They are sorted by value if all are numbers,
    /// otherwise by character. [`split`](Self::split) separates a validation set.
    ///
    /// # Errors
    /// Returns an error with line and column if the file is invalid. Returns an error if the file
    /// or its numbers take more than 1 GiB; [`Samples::tables`] can allow more.
    pub fn csv(path: impl AsRef<Path>, label: &str) -> Result<Self, Error> {
        if path.as_ref().is_dir() {
            return Err(SamplesError::Folder(path.as_ref().to_owned()).into());
        }
        let request = TableRequest {
            label: Some(label.to_owned()),
            ignored: Vec::new(),
            group: None,
            weight: None,
            text: TextOptions::default(),
            recipe: RecipeSource::Learn(RecipeOptions::default()),
            classes: None,
            holdout: None,
            resident_bytes: DataConfig::default().resident_bytes,
            scratch: Some(chainrule_data::scratch_folder()),
        };
        let [all, _] = Self::tables(path, &request)?;
        Ok(all)
    }

    /// Reads a table file, or a folder of `train.csv` and `validation.csv`. The `request` selects
    /// columns and classes and limits the bytes. Returns the training rows and the validation rows.
    /// For a single file without a holdout, both are all rows.
    ///
    /// # Errors
    /// As [`Tables::read`].
    pub fn tables(path: impl AsRef<Path>, request: &TableRequest) -> Result<[Self; 2], Error> {
        let tables = Tables::read(path.as_ref(), request)?;
        let options = match &request.recipe {
            RecipeSource::Learn(options) => Some(options),
            RecipeSource::Model(_) => None,
        };
        Ok(Self::of_tables(tables, options))
    }

    /// Loads the data that `train --data` loads: `auto`, `mnist`, `embedded`, a folder of IDX
    /// files, or a folder with one folder of pictures per class. Pictures are converted to 28 x 28.
    /// Returns the training rows and the validation rows.
    ///
    /// # Errors
    /// Returns an error if the data is missing or invalid, takes more than 1 GiB, or is a table.
    /// For a table, [`Samples::csv`] takes the label column.
    pub fn load(source: &str) -> Result<[Self; 2], Error> {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.data.source = source.to_owned();
        let config = TrainConfig::try_from(settings.clone()).map_err(|error| Error::setting(&settings, error, None))?;
        // Progress messages are discarded: a library has no console.
        match Dataset::find(&config, &mut |_| ()) {
            Ok(Dataset::Images(data)) => Self::of_images(&data, config.data().resident_bytes),
            Ok(Dataset::Tables(tables)) => Ok(Self::of_tables(tables, Some(&RecipeOptions::default()))),
            Err(DataError::NoLabel { path, columns }) => Err(SamplesError::Table { path, columns }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the rows of a data set that was found for a config. Returns the training rows and the
    /// validation rows. Without held-out rows, both are all rows.
    ///
    /// # Errors
    /// Returns an error if the data lacks rows that the config asks for, or if its images do not
    /// fit in `data.resident_bytes`.
    pub fn of_dataset(data: Dataset, config: &TrainConfig) -> Result<[Self; 2], Error> {
        let (source, resident_bytes) = (data.provenance(), config.data().resident_bytes);
        let (recipe_options, notes) = match (&data, table_request(config).recipe) {
            (Dataset::Tables(tables), RecipeSource::Learn(options)) => (Some(options), tables.notes_on_rows()),
            _ => (None, Vec::new()),
        };
        let (rows, schema) = data.into_rows(config)?;
        let [train, validation] = rows.map(|rows| {
            let samples = Self::of_schema(rows.into_memory(resident_bytes)?, &schema, &source);
            Ok::<_, Error>(Self { recipe_options: recipe_options.clone(), notes: notes.clone(), ..samples })
        });
        Ok([train?, validation?])
    }

    /// Draws images of digits, 28 x 28, ten classes. The same seed gives the same bytes on every
    /// platform.
    pub fn digits(count: usize, seed: u64) -> Self {
        let [images, _] = draw_both(seed, Counts { train: count, validation: 0 });
        let files = images.file_checksums().map(|sha256| DataFile { name: Origin::Embedded.to_string(), sha256 });
        let source =
            Provenance { name: Origin::Embedded.to_string(), files: files.into(), unused: UnusedFiles::default() };
        let schema = Schema {
            kind: DataKind::Images,
            image_size: [images.size().0, images.size().1],
            features: Vec::new(),
            recipe: None,
            classes: (0..10).map(Class::Number).collect(),
        };
        Self::of_schema(images.into(), &schema, &source)
    }
}

impl Samples<()> {
    /// Creates samples from rows of numbers in memory. The columns are named x1, x2, … unless
    /// [`with_columns`](Self::with_columns) renames them.
    ///
    /// # Errors
    /// Returns an error if there is no row, if rows differ in length, or if a number is not finite
    /// or beyond ±1e30.
    pub fn rows<T: Copy + Into<f64>, R: AsRef<[T]>>(rows: impl IntoIterator<Item = R>) -> Result<Self, Error> {
        let (mut numbers, mut d, mut n) = (Numbers::default(), 0, 0);
        for row in rows {
            let row = row.as_ref();
            if n == 0 {
                d = row.len();
            }
            if row.len() != d {
                return Err(SamplesError::RowLength { row: n, found: row.len(), expected: d }.into());
            }
            for (column, &value) in row.iter().enumerate() {
                let value = value.into();
                if value.is_nan() || value.abs() > MAX_ABS_VALUE {
                    return Err(SamplesError::Number { row: n, column, value }.into());
                }
            }
            numbers.push(row.iter().map(|&value| value.into()));
            n += 1;
        }
        if n == 0 {
            return Err(SamplesError::NoRow.into());
        }
        if d == 0 {
            return Err(SamplesError::NoFeature.into());
        }
        Ok(Self::of_numbers(Rows::of_numbers(numbers, vec![0; n])))
    }

    /// Like [`rows`](Self::rows), from one slice `[n * d]` in row-major order, with d numbers per
    /// row.
    ///
    /// # Errors
    /// As [`rows`](Self::rows). Also returns an error if the last row is incomplete.
    pub fn flat<T: Copy + Into<f64>>(values: &[T], n_features: usize) -> Result<Self, Error> {
        if n_features == 0 {
            return Err(SamplesError::NoFeature.into());
        }
        if !values.len().is_multiple_of(n_features) {
            let (row, found) = (values.len() / n_features, values.len() % n_features);
            return Err(SamplesError::RowLength { row, found, expected: n_features }.into());
        }
        Self::rows(values.chunks(n_features))
    }

    /// Creates samples from images in memory: `[n * height * width]` grey levels from 0 to 255,
    /// with `size` as `[height, width]`. The model scales them to -1 to 1.
    ///
    /// # Errors
    /// Returns an error if there is no image, or if the last one is incomplete.
    pub fn images(pixels: &[u8], size: [usize; 2]) -> Result<Self, Error> {
        // If the product overflows, no number of bytes is a whole image.
        let d = size[0].saturating_mul(size[1]);
        if d == 0 {
            return Err(SamplesError::NoFeature.into());
        }
        if pixels.is_empty() {
            return Err(SamplesError::NoRow.into());
        }
        if !pixels.len().is_multiple_of(d) {
            let (row, found) = (pixels.len() / d, pixels.len() % d);
            return Err(SamplesError::RowLength { row, found, expected: d }.into());
        }
        let rows = Rows::of_pixels(size, pixels.to_vec(), vec![0; pixels.len() / d]);
        let schema = Schema {
            kind: DataKind::Images,
            image_size: size,
            features: Vec::new(),
            recipe: None,
            classes: Vec::new(),
        };
        Ok(Self {
            rows,
            schema,
            labels: Vec::new(),
            recipe_options: None,
            notes: Vec::new(),
            source: in_memory(sha256([])),
        })
    }

    /// Creates samples from the rows of a matrix.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    #[cfg(feature = "arrays")]
    pub fn array<T: Copy + Into<f64>>(matrix: ndarray::ArrayView2<'_, T>) -> Result<Self, Error> {
        Self::rows(matrix.rows().into_iter().map(|row| row.to_vec()))
    }

    fn of_numbers(rows: Rows) -> Self {
        let d = rows.n_features();
        let schema = Schema {
            kind: DataKind::Table,
            image_size: [1, d],
            features: numbered_columns(d),
            recipe: None,
            classes: Vec::new(),
        };
        Self {
            rows,
            schema,
            labels: Vec::new(),
            recipe_options: None,
            notes: Vec::new(),
            source: in_memory(sha256([])),
        }
    }

    /// Adds one label per row. The classes are the labels that occur. They are sorted by value if
    /// all are numbers, otherwise by character.
    ///
    /// # Errors
    /// Returns an error if the number of labels differs from the number of rows, if a label is not
    /// a name of up to 100 characters, or if there are more than 256 classes.
    pub fn with_labels<L: Label>(mut self, labels: &[L]) -> Result<Samples<L>, Error> {
        if labels.len() != self.len() {
            return Err(SamplesError::Labels { rows: self.len(), labels: labels.len() }.into());
        }
        // The distinct labels in the order of their first rows, and for each row its position among
        // them.
        let (mut found, mut distinct_labels): (HashMap<String, usize>, Vec<&L>) = (HashMap::new(), Vec::new());
        let mut class_of_row = Vec::with_capacity(labels.len());
        for (row, label) in labels.iter().enumerate() {
            let name = label.to_string();
            if let Some(&class) = found.get(&name) {
                class_of_row.push(class as u16);
                continue;
            }
            if let Some(problem) = name_problem(&name) {
                return Err(SamplesError::Label { row, problem }.into());
            }
            // Labels beyond the limit are only counted, for the error message.
            class_of_row.push(distinct_labels.len().min(MAX_CLASSES) as u16);
            found.insert(name, distinct_labels.len());
            distinct_labels.push(label);
        }
        if distinct_labels.len() > MAX_CLASSES {
            return Err(SamplesError::ManyClasses(distinct_labels.len()).into());
        }
        let classes = sorted_labels(found.keys().cloned().collect());
        let mut position_of = vec![0; classes.len()];
        for (position, name) in (0..).zip(&classes) {
            position_of[found[name]] = position;
        }
        let mut own: Vec<Option<L>> = vec![None; classes.len()];
        for (&position, label) in position_of.iter().zip(distinct_labels) {
            own[usize::from(position)] = Some(label.clone());
        }
        let positions: Vec<u16> = class_of_row.into_iter().map(|class| position_of[usize::from(class)]).collect();
        let rows = self.rows.with_labels(&positions);
        self.schema.classes = if self.schema.kind == DataKind::Table {
            classes.into_iter().map(Class::Name).collect()
        } else {
            Class::from_names(self.schema.kind, &classes).map_err(SamplesError::ClassNames)?
        };
        let source = in_memory(rows.sha256()?);
        let labels = own.into_iter().flatten().collect();
        Ok(Samples {
            rows,
            schema: self.schema,
            labels,
            recipe_options: self.recipe_options,
            notes: self.notes,
            source,
        })
    }
}

/// The name of rows in memory.
const IN_MEMORY: &str = "rows in memory";

/// The provenance of rows in memory. The checksum is computed once labels are known, because no
/// model is fitted without labels.
fn in_memory(sha256: String) -> Provenance {
    let file = DataFile { name: IN_MEMORY.to_owned(), sha256 };
    Provenance { name: file.name.clone(), files: vec![file], unused: UnusedFiles::default() }
}

impl<L: Label> Samples<L> {
    /// Creates samples from rows and labels in memory: [`Samples::rows`] followed by
    /// [`Samples::with_labels`].
    ///
    /// # Errors
    /// As [`Samples::rows`] and [`Samples::with_labels`].
    pub fn from_rows<T: Copy + Into<f64>, R: AsRef<[T]>>(rows: &[R], labels: &[L]) -> Result<Self, Error> {
        Samples::rows(rows)?.with_labels(labels)
    }

    /// Creates samples from (row, label) pairs.
    ///
    /// # Errors
    /// As [`from_rows`](Self::from_rows).
    pub fn from_pairs<T: Copy + Into<f64>, R: AsRef<[T]>>(
        pairs: impl IntoIterator<Item = (R, L)>,
    ) -> Result<Self, Error> {
        let (rows, labels): (Vec<R>, Vec<L>) = pairs.into_iter().unzip();
        Self::from_rows(&rows, &labels)
    }

    /// Gives each row a weight: a row of weight 2 counts as two rows. Weights are finite numbers
    /// from 0. They are scaled to a mean of 1 over the rows that a model is fitted to, so that the
    /// penalty keeps its meaning, and they multiply the class weights. Statistics of the rows, such
    /// as those of [`standardize`](crate::Estimator::standardize), and scores count each row once.
    ///
    /// [`TableRequest::weight`] names a column of a table instead.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// # use chainrule::{Estimator, Samples};
    /// let rows = [[0.0], [1.0], [1.0], [1.0]];
    /// let labels = ["no", "yes", "no", "no"];
    /// let samples = Samples::from_rows(&rows, &labels)?.with_weights(vec![1.0, 5.0, 1.0, 1.0])?;
    /// let fitted = Estimator::logistic().to_the_minimum().l2(0.01).fit(&samples)?;
    /// assert_eq!(fitted.predict(&Samples::rows(&[[1.0]])?)?, ["yes"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns an error if the number of weights differs from the number of rows, if a weight is
    /// negative, not finite or beyond 1e30, if all are 0, or if the rows are images.
    pub fn with_weights(self, weights: Vec<f64>) -> Result<Self, Error> {
        if weights.len() != self.len() {
            return Err(SamplesError::Weights { rows: self.len(), weights: weights.len() }.into());
        }
        let rows = self.rows.clone().with_weights(weights)?;
        let is_in_memory = self.source.name == IN_MEMORY;
        let source = if is_in_memory { in_memory(rows.sha256()?) } else { self.source.clone() };
        Ok(Self { source, ..self.with_rows(rows) })
    }

    /// Splits the rows into a training set and a validation set. The validation set gets this
    /// fraction of each class, at least one row and at most all but one, shuffled by `seed`. The
    /// settings `data.validation_fraction` and `descent.shuffle.seed` give the same split.
    ///
    /// # Errors
    /// Returns an error if the fraction is not between 0 and 1, or if a class has a single row.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<[Self; 2], Error> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(SamplesError::Fraction(fraction).into());
        }
        let rows = Holdout { fraction, seed }
            .split(&self.labels())
            .map_err(|class| SamplesError::SingleRow { class: self.schema.classes[usize::from(class)].to_string() })?;
        Ok(rows.map(|rows| self.select(&rows)))
    }

    /// Returns the rows of these classes, numbered in this order. The logistic model's positive
    /// class is the second of two.
    ///
    /// # Errors
    /// Returns an error if a class is unknown or named twice.
    pub fn with_classes<N: ToString>(&self, names: &[N]) -> Result<Self, Error> {
        let mut positions = vec![None; self.schema.classes.len()];
        let (mut classes, mut labels) = (Vec::new(), Vec::new());
        for (position, name) in (0..).zip(names) {
            let name = name.to_string();
            let Some(found) = self.schema.classes.iter().position(|class| class.has_name(&name)) else {
                return Err(
                    SamplesError::UnknownClass { class: name, classes: class_list(&self.schema.classes) }.into()
                );
            };
            if positions[found].replace(position).is_some() {
                return Err(SamplesError::DuplicateClass(name).into());
            }
            classes.push(self.schema.classes[found].clone());
            labels.push(self.labels[found].clone());
        }
        let mut samples = self.with_rows(self.rows.with_classes(&positions));
        (samples.schema.classes, samples.labels) = (classes, labels);
        Ok(samples)
    }

    /// Returns the rows with their two classes in the order that `train` gives those of a table:
    /// the positive class last. It is the one that is called yes, true, + or 1, else the rarer one,
    /// else the second by name. Rows of more classes stay as they are.
    ///
    /// # Errors
    /// As [`with_classes`](Self::with_classes).
    pub fn with_positive_last(&self) -> Result<Self, Error> {
        let [first, second] = &self.schema.classes[..] else { return Ok(self.clone()) };
        let [first, second] = [first, second].map(ToString::to_string);
        let n_second = self.labels().iter().filter(|&&label| label == 1).count();
        match positive_class([(&first, self.len() - n_second), (&second, n_second)]) {
            0 => self.with_classes(&[second, first]),
            _ => Ok(self.clone()),
        }
    }

    /// Returns the labels of the classes, in class order.
    pub fn classes(&self) -> &[L] {
        &self.labels
    }

    /// Returns each row's class, as a position in [`classes`](Self::classes).
    pub fn labels(&self) -> Vec<u16> {
        self.rows.labels()
    }

    /// Returns the rows in the layout of a model's schema: columns found by name, in the schema's
    /// order, and labels as positions in the schema's classes.
    ///
    /// # Errors
    /// Returns an error if one is images and the other a table, if image sizes differ, if a column
    /// is missing, or if a row's class is unknown to the schema.
    pub(crate) fn aligned_to(&self, schema: &Schema) -> Result<Rows, Error> {
        let rows = self.rows_aligned_to(schema)?;
        let positions: Vec<Option<u16>> = self
            .schema
            .classes
            .iter()
            .map(|class| {
                let name = class.to_string();
                schema.classes.iter().position(|own| own.has_name(&name)).map(|position| position as u16)
            })
            .collect();
        let is_unknown = |&row: &usize| positions[usize::from(rows.label(row))].is_none();
        if let Some(row) = (0..rows.len()).find(is_unknown) {
            let class = self.schema.classes[usize::from(rows.label(row))].to_string();
            return Err(SamplesError::UnknownRowClass { row, class, classes: class_list(&schema.classes) }.into());
        }
        Ok(rows.with_classes(&positions))
    }
}

impl<L: Clone> Samples<L> {
    /// Renames the columns of a table.
    ///
    /// # Errors
    /// Returns an error if the number of names is wrong, if a name is empty, too long or repeated,
    /// or if the samples are images.
    pub fn with_columns<N: ToString>(mut self, names: &[N]) -> Result<Self, Error> {
        self.schema.features = column_names(&self.schema, names)?;
        // The names are those of features now, and no longer those of a file's columns.
        (self.schema.recipe, self.recipe_options) = (None, None);
        Ok(self)
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of features, d: the pixels of an image, or the columns without the label.
    pub fn n_features(&self) -> usize {
        self.schema.image_size.iter().product()
    }

    /// Returns the column names of a table.
    pub fn columns(&self) -> &[String] {
        &self.schema.features
    }

    /// Returns what was recognised as unusual, changed or left out when a table was read, one
    /// sentence each: rows without a label, rows that cannot be read, values of the validation rows
    /// that no training row has.
    ///
    /// [`Fitted::notes`](crate::Fitted::notes) says what a model finds unusual in these rows.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the files of the data folder that were not used.
    pub fn unused(&self) -> &UnusedFiles {
        &self.source.unused
    }

    /// Returns a row's d numbers as stored in the data. Pixels are bytes from 0 to 255.
    ///
    /// # Panics
    /// Panics if `row` is out of range.
    pub fn row(&self, row: usize) -> Vec<f64> {
        let mut buffer = RowBuffer::default();
        self.rows.row(row, &mut buffer).expect("they are in memory").to_vec()
    }

    /// Like [`Samples::aligned_to`], but keeps the labels, for prediction on rows of any classes.
    ///
    /// # Errors
    /// As [`Samples::aligned_to`], without the check of classes.
    pub(crate) fn rows_aligned_to(&self, schema: &Schema) -> Result<Rows, Error> {
        self.encoded_for(schema).map(|(rows, _)| rows)
    }

    /// Like [`Samples::rows_aligned_to`]. Also returns the values that no training row has.
    pub(crate) fn encoded_for(&self, schema: &Schema) -> Result<(Rows, Vec<Unseen>), Error> {
        let [of_samples, of_model] = [&self.schema, schema].map(describe_schema);
        let is_table = |schema: &Schema| schema.kind == DataKind::Table;
        let fits = is_table(&self.schema) == is_table(schema);
        if !fits || (!is_table(schema) && self.schema.image_size != schema.image_size) {
            return Err(SamplesError::KindMismatch { samples: of_samples, model: of_model }.into());
        }
        if !is_table(schema) {
            return Ok((self.rows.clone(), Vec::new()));
        }
        // Rows of a file keep its columns, so any recipe can be applied to them.
        let by_recipe = |recipe: &Recipe| {
            self.rows.with_recipe(recipe).map_err(|problem| Error::from(SamplesError::Recipe(problem)))
        };
        if let (Some(_), Some(recipe)) = (&self.schema.recipe, &schema.recipe) {
            return by_recipe(recipe);
        }
        let own: HashMap<&str, usize> =
            self.schema.features.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let place = |name: &String| {
            own.get(name.as_str()).copied().ok_or_else(|| {
                let columns = self.schema.features.join(", ");
                Error::from(SamplesError::NoColumn { column: name.clone(), columns })
            })
        };
        let places = match schema.features.iter().map(place).collect::<Result<Vec<usize>, _>>() {
            // The model may take a column that these rows would leave out.
            Err(error) if self.schema.recipe.is_some() => {
                return by_recipe(&schema.recipe_of_columns()).map_err(|_| error);
            }
            places => places?,
        };
        Ok((self.rows.clone().with_columns(&places), Vec::new()))
    }

    /// Selects these rows.
    pub(crate) fn select(&self, rows: &[usize]) -> Self {
        self.with_rows(self.rows.select(rows))
    }

    /// Returns the samples with the names of the classes as labels.
    pub(crate) fn with_class_labels(&self) -> Samples {
        let Self { rows, schema, recipe_options, notes, source, .. } = self.clone();
        Samples { labels: schema.classes.clone(), rows, schema, recipe_options, notes, source }
    }

    fn with_rows(&self, rows: Rows) -> Self {
        Self {
            rows,
            schema: self.schema.clone(),
            labels: self.labels.clone(),
            recipe_options: self.recipe_options.clone(),
            notes: self.notes.clone(),
            source: self.source.clone(),
        }
    }

    /// Returns the samples with a recipe that is learnt from these rows alone. Rows from memory are
    /// returned as they are.
    ///
    /// # Errors
    /// Returns an error if no column is left.
    pub(crate) fn with_learnt_recipe(&self) -> Result<Self, Error> {
        let Some(options) = &self.recipe_options else { return Ok(self.clone()) };
        let recipe = self.rows.learn_recipe(options).map_err(SamplesError::Recipe)?;
        let (rows, _) = self.rows.with_recipe(&recipe).map_err(SamplesError::Recipe)?;
        let mut samples = self.with_rows(rows);
        samples.schema.image_size = [1, recipe.n_features()];
        samples.schema.features = recipe.feature_names();
        samples.schema.recipe = Some(recipe);
        Ok(samples)
    }
}

impl Samples {
    fn of_schema(rows: Rows, schema: &Schema, source: &Provenance) -> Self {
        let (schema, labels) = (schema.clone(), schema.classes.clone());
        Self { rows, schema, labels, recipe_options: None, notes: Vec::new(), source: source.clone() }
    }

    fn of_tables(tables: Tables, options: Option<&RecipeOptions>) -> [Self; 2] {
        let source = Provenance::of_tables(&tables);
        let (schema, notes) = (schema_of_tables(&tables), tables.notes_on_rows());
        tables.parts.map(|part| {
            let samples = Self::of_schema(part.rows.clone(), &schema, &source);
            Self { recipe_options: options.cloned(), notes: notes.clone(), ..samples }
        })
    }

    fn of_images(data: &Data, resident_bytes: u64) -> Result<[Self; 2], Error> {
        let (rows, labels) = data.select(None, None, None)?;
        if let Some(large) = rows.iter().find(|rows| rows.bytes() > resident_bytes) {
            let (source, bytes) = (&data.origin, large.bytes());
            return Err(SamplesError::TooLarge { place: source.to_string(), bytes, most: resident_bytes }.into());
        }
        let (source, schema) = (Provenance::of_images(data), schema_of_images(data, labels));
        let [train, validation] = rows;
        let read = |rows: Rows| Ok::<_, Error>(Self::of_schema(rows.into_memory(resident_bytes)?, &schema, &source));
        Ok([read(train)?, read(validation)?])
    }
}

fn describe_schema(schema: &Schema) -> String {
    let [height, width] = schema.image_size;
    match schema.kind {
        DataKind::Table => format!("a table of {}", pluralize(schema.features.len(), "column")),
        DataKind::Images | DataKind::Pictures => format!("images of {height} x {width}"),
    }
}

/// Returns the class names as a list for an error message.
pub(crate) fn class_list(classes: &[Class]) -> String {
    names(classes).join(", ")
}

/// Returns the default names of `d` columns.
pub(crate) fn numbered_columns(d: usize) -> Vec<String> {
    (1..=d).map(|j| format!("x{j}")).collect()
}

/// Returns checked column names for samples or a model of this schema.
pub(crate) fn column_names<N: ToString>(schema: &Schema, names: &[N]) -> Result<Vec<String>, SamplesError> {
    if schema.kind != DataKind::Table {
        return Err(SamplesError::NoColumns);
    }
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let d = schema.features.len();
    if names.len() != d {
        return Err(SamplesError::ColumnNames { columns: d, names: names.len() });
    }
    if let Some((column, problem)) = names.iter().enumerate().find_map(|(j, name)| Some((j, name_problem(name)?))) {
        return Err(SamplesError::ColumnName { column, problem });
    }
    let mut seen = HashSet::new();
    if let Some(duplicate) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(SamplesError::DuplicateColumn(duplicate.clone()));
    }
    Ok(names)
}
