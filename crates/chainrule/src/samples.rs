use std::fmt::Display;
use std::path::Path;

use chainrule_core::{
    Class, DataConfig, DataFile, DataKind, LARGEST_NUMBER, ModelKind, Schema, Settings, TrainConfig, Unused, count,
    name_problem,
};
use chainrule_data::digits::draw_both;
use chainrule_data::table::in_label_order;
use chainrule_data::{
    Counts, Data, DataError, Dataset, Holdout, Origin, Provenance, RowBuffer, Rows, TableRequest, Tables, Values,
    names, schema_of_images, schema_of_tables, sha256,
};

use crate::{Error, SamplesError};

/// Rows in memory, with labels of the type `L`: to fit an [`Estimator`](crate::Estimator) to, or to
/// ask a [`Fitted`](crate::Fitted) model about.
///
/// A row is an image of bytes or the numbers of a table, as the data has them; what becomes of it
/// before it meets the weights is the model's affair. Columns and classes have names, by which a
/// model finds them in other samples, in whatever order they are there. Rows from files have labels
/// of the type [`Class`], those from memory whatever [`Label`]s they are given, which a fitted
/// model predicts as they are; `Samples<()>` have none, and can be asked about.
#[derive(Clone, Debug)]
pub struct Samples<L = Class> {
    /// With each one's class as a position among the schema's.
    pub(crate) rows: Rows,
    pub(crate) schema: Schema,
    /// The labels that there are, in the order of the schema's classes, which are what they are
    /// called.
    pub(crate) labels: Vec<L>,
    pub(crate) source: Provenance,
}

/// What tells classes apart: whatever can be shown and compared. Two labels are one class where
/// they are called alike.
pub trait Label: Clone + Display + PartialEq {}

impl<L: Clone + Display + PartialEq> Label for L {}

impl Samples {
    /// Reads a table, a CSV file or another of [`READERS`](chainrule_data::readers::READERS), plain
    /// or gzipped: a header of names, and below it numbers, but for the
    /// column of labels. The classes are the labels that occur, by size where all are numbers, else
    /// by their characters. [`split`](Self::split) keeps some rows for the validation.
    ///
    /// # Errors
    /// What is wrong, with line and column; and where the file or its numbers take more than 1 GiB,
    /// which [`Samples::tables`] can allow for.
    pub fn csv(path: impl AsRef<Path>, label: &str) -> Result<Self, Error> {
        if path.as_ref().is_dir() {
            return Err(SamplesError::Folder(path.as_ref().to_owned()).into());
        }
        let request = TableRequest {
            label: Some(label.to_owned()),
            ignored: Vec::new(),
            features: None,
            classes: None,
            holdout: None,
            resident_bytes: DataConfig::default().resident_bytes,
        };
        let [all, _] = Self::tables(path, &request)?;
        Ok(all)
    }

    /// Reads such a file, or a folder of `train.csv` and `validation.csv`, as `request` says: which
    /// columns, which classes, how many bytes at most. Gives the rows to train on and those to
    /// validate on; of one file without a holdout all rows are both.
    ///
    /// # Errors
    /// As [`Tables::read`].
    pub fn tables(path: impl AsRef<Path>, request: &TableRequest) -> Result<[Self; 2], Error> {
        let tables = Tables::read(path.as_ref(), request)?;
        Ok(Self::of_tables(tables))
    }

    /// Gets what `train --data` gets: `auto`, `mnist`, `embedded`, a folder of IDX files, or one
    /// with a folder of pictures for each class, which are made 28 x 28. Gives the rows to train on
    /// and those to validate on.
    ///
    /// # Errors
    /// Where the data is not there or not right, takes more than 1 GiB, or is a table, whose label
    /// [`Samples::csv`] is told.
    pub fn load(source: &str) -> Result<[Self; 2], Error> {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.data.source = source.to_owned();
        let config = TrainConfig::try_from(settings.clone()).map_err(|error| Error::setting(&settings, error, None))?;
        // What it takes time for, and tries in vain, is told to nobody: a library has no console.
        match Dataset::find(&config, &mut |_| ()) {
            Ok(Dataset::Images(data)) => Self::of_images(&data, config.data().resident_bytes),
            Ok(Dataset::Tables(tables)) => Ok(Self::of_tables(tables)),
            Err(DataError::NoLabel { path, columns }) => Err(SamplesError::Table { path, columns }.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Draws digits, 28 x 28 and of ten classes, by code: the same bytes on every platform for a
    /// seed.
    pub fn digits(count: usize, seed: u64) -> Self {
        let [images, _] = draw_both(seed, Counts { train: count, validation: 0 });
        let files = images.file_checksums().map(|sha256| DataFile { name: Origin::Embedded.to_string(), sha256 });
        let source = Provenance { name: Origin::Embedded.to_string(), files: files.into(), unused: Unused::default() };
        let schema = Schema {
            kind: DataKind::Images,
            image_size: [images.size().0, images.size().1],
            features: Vec::new(),
            classes: (0..10).map(Class::Number).collect(),
        };
        Self::of_schema(images.into(), &schema, &source)
    }
}

impl Samples<()> {
    /// Takes rows of numbers from memory. The columns are called x1, x2, … unless
    /// [`with_columns`](Self::with_columns) says otherwise.
    ///
    /// # Errors
    /// Where there is no row, rows are of different lengths, or a number is not finite or is beyond
    /// ±1e30.
    pub fn rows<T: Copy + Into<f64>, R: AsRef<[T]>>(rows: impl IntoIterator<Item = R>) -> Result<Self, Error> {
        let (mut values, mut d, mut n) = (Values::default(), 0, 0);
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
                if value.is_nan() || value.abs() > LARGEST_NUMBER {
                    return Err(SamplesError::Number { row: n, column, value }.into());
                }
                values.push(value);
            }
            n += 1;
        }
        if n == 0 {
            return Err(SamplesError::NoRow.into());
        }
        if d == 0 {
            return Err(SamplesError::NoNumber.into());
        }
        Ok(Self::of_numbers(Rows::of_numbers(d, values, vec![0; n])))
    }

    /// The same of one slice `[n * d]`, row by row, with d numbers a row.
    ///
    /// # Errors
    /// As [`rows`](Self::rows), and where the last row is not whole.
    pub fn flat<T: Copy + Into<f64>>(values: &[T], n_features: usize) -> Result<Self, Error> {
        if n_features == 0 {
            return Err(SamplesError::NoNumber.into());
        }
        Self::rows(values.chunks(n_features))
    }

    /// Takes images of so many lines and columns from memory, `[n * height * width]` grey levels
    /// from 0 to 255: a model takes them for -1 to 1.
    ///
    /// # Errors
    /// Where there is no image, or the last one is not whole.
    pub fn images(pixels: &[u8], size: [usize; 2]) -> Result<Self, Error> {
        let d = size[0] * size[1];
        if d == 0 {
            return Err(SamplesError::NoNumber.into());
        }
        if pixels.is_empty() {
            return Err(SamplesError::NoRow.into());
        }
        if !pixels.len().is_multiple_of(d) {
            let (row, found) = (pixels.len() / d, pixels.len() % d);
            return Err(SamplesError::RowLength { row, found, expected: d }.into());
        }
        let rows = Rows::of_pixels(size, pixels.to_vec(), vec![0; pixels.len() / d]);
        let schema = Schema { kind: DataKind::Images, image_size: size, features: Vec::new(), classes: Vec::new() };
        Ok(Self { rows, schema, labels: Vec::new(), source: in_memory(sha256([])) })
    }

    /// Takes the rows of a matrix.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    #[cfg(feature = "arrays")]
    pub fn array<T: Copy + Into<f64>>(matrix: ndarray::ArrayView2<'_, T>) -> Result<Self, Error> {
        Self::rows(matrix.rows().into_iter().map(|row| row.to_vec()))
    }

    fn of_numbers(rows: Rows) -> Self {
        let d = rows.n_features();
        let schema =
            Schema { kind: DataKind::Table, image_size: [1, d], features: numbered_columns(d), classes: Vec::new() };
        Self { rows, schema, labels: Vec::new(), source: in_memory(sha256([])) }
    }

    /// Gives each row its label. The classes are the labels that occur, by size where all are
    /// numbers, else by their characters.
    ///
    /// # Errors
    /// Where there are more labels than rows or fewer, a label is no name of up to 100 characters,
    /// or there are more than 256 of them.
    pub fn with_labels<L: Label>(mut self, labels: &[L]) -> Result<Samples<L>, Error> {
        if labels.len() != self.len() {
            return Err(SamplesError::Labels { rows: self.len(), labels: labels.len() }.into());
        }
        let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
        if let Some((row, problem)) = names.iter().enumerate().find_map(|(i, name)| Some((i, name_problem(name)?))) {
            return Err(SamplesError::Label { row, problem }.into());
        }
        let classes = in_label_order(names.iter().cloned().collect());
        if classes.len() > MAX_CLASSES {
            return Err(SamplesError::ManyClasses(classes.len()).into());
        }
        let mut own: Vec<Option<L>> = vec![None; classes.len()];
        let mut positions = Vec::with_capacity(names.len());
        for (name, label) in names.iter().zip(labels) {
            let position = classes.iter().position(|class| class == name).unwrap_or_default();
            positions.push(position as u8);
            own[position].get_or_insert_with(|| label.clone());
        }
        let rows = self.rows.with_labels(&positions);
        self.schema.classes = if self.schema.kind == DataKind::Table {
            classes.into_iter().map(Class::Name).collect()
        } else {
            Class::all_of(self.schema.kind, &classes).map_err(SamplesError::ClassNames)?
        };
        let source = in_memory(rows.sha256()?);
        Ok(Samples { rows, schema: self.schema, labels: own.into_iter().flatten().collect(), source })
    }
}

/// Classes, at most: a label is a byte.
const MAX_CLASSES: usize = 256;

/// Where rows in memory come from. Their checksum is taken with their labels: without, no model
/// is fitted to them that could tell it.
fn in_memory(sha256: String) -> Provenance {
    let file = DataFile { name: "rows in memory".to_owned(), sha256 };
    Provenance { name: file.name.clone(), files: vec![file], unused: Unused::default() }
}

impl<L: Label> Samples<L> {
    /// Takes rows of numbers from memory, with each one's label: [`Samples::rows`] and
    /// [`Samples::with_labels`].
    ///
    /// # Errors
    /// As these.
    pub fn from_rows<T: Copy + Into<f64>, R: AsRef<[T]>>(rows: &[R], labels: &[L]) -> Result<Self, Error> {
        Samples::rows(rows)?.with_labels(labels)
    }

    /// Takes rows with their labels one after the other.
    ///
    /// # Errors
    /// As [`from_rows`](Self::from_rows).
    pub fn from_pairs<T: Copy + Into<f64>, R: AsRef<[T]>>(
        pairs: impl IntoIterator<Item = (R, L)>,
    ) -> Result<Self, Error> {
        let (rows, labels): (Vec<R>, Vec<L>) = pairs.into_iter().unzip();
        Self::from_rows(&rows, &labels)
    }

    /// Keeps a fraction of each class's rows for the validation, one at least and all but one at
    /// most, shuffled by `seed`: the same rows as `data.validation_fraction` and
    /// `descent.shuffle.seed` keep. Gives the rows to train on and those to validate on.
    ///
    /// # Errors
    /// Where the fraction is not between 0 and 1, or a class has a single row.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<[Self; 2], Error> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(SamplesError::Fraction(fraction).into());
        }
        let rows = Holdout { fraction, seed }
            .split(&self.labels())
            .map_err(|class| SamplesError::SingleRow { class: self.schema.classes[usize::from(class)].to_string() })?;
        Ok(rows.map(|rows| self.with_rows(self.rows.select(&rows))))
    }

    /// The rows of some classes, which are numbered in this order from now on. The logistic model's
    /// positive class is the second of two.
    ///
    /// # Errors
    /// Where one is none of the classes, or named twice.
    pub fn with_classes<N: ToString>(&self, names: &[N]) -> Result<Self, Error> {
        let mut positions = vec![None; self.schema.classes.len()];
        let (mut classes, mut labels) = (Vec::new(), Vec::new());
        for (position, name) in (0..=u8::MAX).zip(names) {
            let name = name.to_string();
            let Some(found) = self.schema.classes.iter().position(|class| class.is_called(&name)) else {
                return Err(SamplesError::UnknownClass { class: name, classes: listed(&self.schema.classes) }.into());
            };
            if positions[found].replace(position).is_some() {
                return Err(SamplesError::SameClasses(name).into());
            }
            classes.push(self.schema.classes[found].clone());
            labels.push(self.labels[found].clone());
        }
        let mut samples = self.with_rows(self.rows.with_classes(&positions));
        (samples.schema.classes, samples.labels) = (classes, labels);
        Ok(samples)
    }

    /// The labels that there are: what tells the classes apart, in their order.
    pub fn classes(&self) -> &[L] {
        &self.labels
    }

    /// Each row's class, as a position among [`classes`](Self::classes).
    pub fn labels(&self) -> Vec<u8> {
        self.rows.labels()
    }

    /// The rows as a model takes them that learnt from samples of this schema: columns in its
    /// order, found by their names, and labels as positions among its classes.
    ///
    /// # Errors
    /// Where these are images and those a table, or of another size; where a column is missing; and
    /// where a row is of a class that it does not know.
    pub(crate) fn as_of(&self, schema: &Schema) -> Result<Rows, Error> {
        let rows = self.rows_as_of(schema)?;
        let positions: Vec<Option<u8>> = self
            .schema
            .classes
            .iter()
            .map(|class| {
                let name = class.to_string();
                schema.classes.iter().position(|own| own.is_called(&name)).map(|position| position as u8)
            })
            .collect();
        let is_unknown = |&row: &usize| positions[usize::from(rows.label(row))].is_none();
        if let Some(row) = (0..rows.len()).find(is_unknown) {
            let class = self.schema.classes[usize::from(rows.label(row))].to_string();
            return Err(SamplesError::AnotherClass { row, class, classes: listed(&schema.classes) }.into());
        }
        Ok(rows.with_classes(&positions))
    }
}

impl<L: Clone> Samples<L> {
    /// Calls the columns of a table so.
    ///
    /// # Errors
    /// Where there are more or fewer, a name is empty, too long or there twice, or these are
    /// images.
    pub fn with_columns<N: ToString>(mut self, names: &[N]) -> Result<Self, Error> {
        self.schema.features = column_names(&self.schema, names)?;
        Ok(self)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Features of a row, d: an image's pixels, or the columns but for the label.
    pub fn n_features(&self) -> usize {
        self.schema.image_size.iter().product()
    }

    /// What the columns are called, of a table.
    pub fn columns(&self) -> &[String] {
        &self.schema.features
    }

    /// What the folder that they were read from holds and is not used.
    pub fn unused(&self) -> &Unused {
        &self.source.unused
    }

    /// The numbers of a row as the data has them, d of them: bytes from 0 to 255 of an image.
    ///
    /// # Panics
    /// Where `row` is past the end.
    pub fn row(&self, row: usize) -> Vec<f64> {
        let mut buffer = RowBuffer::default();
        self.rows.row(row, &mut buffer).expect("they are in memory").to_vec()
    }

    /// The same with the labels left as they are, for a model that is asked about rows of whatever
    /// classes.
    ///
    /// # Errors
    /// As [`Samples::as_of`], but for the classes.
    pub(crate) fn rows_as_of(&self, schema: &Schema) -> Result<Rows, Error> {
        let [of_own, of_model] = [&self.schema, schema].map(described);
        let is_table = |schema: &Schema| schema.kind == DataKind::Table;
        let fits = is_table(&self.schema) == is_table(schema);
        if !fits || (!is_table(schema) && self.schema.image_size != schema.image_size) {
            return Err(SamplesError::AnotherKind { samples: of_own, model: of_model }.into());
        }
        if !is_table(schema) {
            return Ok(self.rows.clone());
        }
        let place = |name: &String| {
            let found = self.schema.features.iter().position(|own| own == name);
            found.ok_or_else(|| {
                let columns = self.schema.features.join(", ");
                Error::from(SamplesError::NoColumn { column: name.clone(), columns })
            })
        };
        let places = schema.features.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        Ok(self.rows.clone().with_columns(&places))
    }

    fn with_rows(&self, rows: Rows) -> Self {
        Self { rows, schema: self.schema.clone(), labels: self.labels.clone(), source: self.source.clone() }
    }
}

impl Samples {
    fn of_schema(rows: Rows, schema: &Schema, source: &Provenance) -> Self {
        Self { rows, schema: schema.clone(), labels: schema.classes.clone(), source: source.clone() }
    }

    fn of_tables(tables: Tables) -> [Self; 2] {
        let source = Provenance::of_tables(&tables);
        let schema = schema_of_tables(&tables);
        tables.parts.map(|part| Self::of_schema(part.rows.clone(), &schema, &source))
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

fn described(schema: &Schema) -> String {
    let [height, width] = schema.image_size;
    match schema.kind {
        DataKind::Table => format!("a table of {}", count(schema.features.len(), "column")),
        DataKind::Images | DataKind::Pictures => format!("images of {height} x {width}"),
    }
}

/// The classes, for an error.
pub(crate) fn listed(classes: &[Class]) -> String {
    names(classes).join(", ")
}

/// What so many columns are called where nobody names them.
pub(crate) fn numbered_columns(d: usize) -> Vec<String> {
    (1..=d).map(|j| format!("x{j}")).collect()
}

/// Names for the columns of what is of this schema.
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
    if let Some(twice) = names.iter().enumerate().find_map(|(j, name)| names[..j].contains(name).then_some(name)) {
        return Err(SamplesError::SameColumns(twice.clone()));
    }
    Ok(names)
}
