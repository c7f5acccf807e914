use std::path::Path;
use std::sync::Arc;

use chainrule_core::{
    Class, DataConfig, DataFile, DataKind, LARGEST_NUMBER, ModelKind, Schema, Settings, TrainConfig, Unused, count,
    name_problem,
};
use chainrule_data::digits::draw_both;
use chainrule_data::table::in_label_order;
use chainrule_data::{
    Counts, Data, DataError, Dataset, Holdout, Numbers, Origin, Provenance, Split, TablePart, TableRequest, Tables,
    Values, names, schema_of_images, schema_of_tables, sha256,
};
use chainrule_solve::Chosen;

use crate::Error;

/// Labelled rows in memory: to fit an [`Estimator`](crate::Estimator) to, or to ask a [`Fitted`](crate::Fitted) model about.
///
/// A row is an image of bytes or the numbers of a table, as the data has them; what becomes of it before it meets the weights is the model's affair.
/// Columns and classes have names, by which a model finds them in other samples, in whatever order they are there.
#[derive(Clone, Debug)]
pub struct Samples {
    pub(crate) rows: Rows,
    pub(crate) schema: Schema,
    pub(crate) source: Provenance,
}

/// The rows, with each one's class as a position among the schema's.
#[derive(Clone, Debug)]
pub(crate) enum Rows {
    Images(Split),
    Numbers(Numbers),
}

impl Samples {
    /// Reads a CSV file, plain or gzipped: a header of names, and below it numbers, but for the column of labels. The classes are the labels that
    /// occur, by size where all are numbers, else by their characters. [`split`](Self::split) keeps some rows for the validation.
    ///
    /// # Errors
    /// What is wrong, with line and column; and where the file or its numbers take more than 1 GiB, which [`Samples::tables`] can allow for.
    pub fn csv(path: impl AsRef<Path>, label: &str) -> Result<Self, Error> {
        if path.as_ref().is_dir() {
            return Err(Error::Samples(format!(
                "{}: a folder; Samples::tables reads one of train.csv and validation.csv",
                path.as_ref().display()
            )));
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

    /// Reads a CSV file, or a folder of `train.csv` and `validation.csv`, as `request` says: which columns, which classes, how many bytes at most.
    /// Gives the rows to train on and those to validate on; of one file without a holdout all rows are both.
    ///
    /// # Errors
    /// As [`Tables::read`].
    pub fn tables(path: impl AsRef<Path>, request: &TableRequest) -> Result<[Self; 2], Error> {
        let tables = Tables::read(path.as_ref(), request)?;
        Ok(Self::of_tables(tables))
    }

    /// Gets what `train --data` gets: `auto`, `mnist`, `embedded`, a folder of IDX files, or one with a folder of pictures for each class, which are made
    /// 28 x 28. Gives the rows to train on and those to validate on.
    ///
    /// # Errors
    /// Where the data is not there or not right, takes more than 1 GiB, or is a table, whose label [`Samples::csv`] is told.
    pub fn load(source: &str) -> Result<[Self; 2], Error> {
        let mut settings = Settings::of(ModelKind::Softmax);
        settings.data.source = source.to_owned();
        let config = TrainConfig::try_from(settings.clone()).map_err(|error| Error::setting(&settings, error))?;
        // What it takes time for, and tries in vain, is told to nobody: a library has no console.
        match Dataset::find(&config, &mut |_| ()) {
            Ok(Dataset::Images(data)) => Self::of_images(&data, config.data().resident_bytes),
            Ok(Dataset::Tables(tables)) => Ok(Self::of_tables(tables)),
            Err(DataError::NoLabel { path, columns }) => Err(Error::Samples(format!(
                "{}: a table; Samples::csv reads a file, and Samples::tables a folder of two, told which column has the labels: {columns}",
                path.display()
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Draws digits, 28 x 28 and of ten classes, by code: the same bytes on every platform for a seed.
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
        let pixels = (0..count).flat_map(|row| images.pixels(row)).copied().collect();
        let split = Split { size: schema.image_size, pixels, labels: images.labels().to_vec() };
        Self { rows: Rows::Images(split), schema, source }
    }

    /// Takes rows of numbers from memory, with each one's label. The columns are called x1, x2, … unless [`with_columns`](Self::with_columns) says
    /// otherwise.
    ///
    /// # Errors
    /// Where rows are of different lengths, a number is not finite or is beyond ±1e30, there are more labels than rows or fewer, a label is no name of up to
    /// 100 characters, or there are more than 256 of them.
    pub fn from_rows<R: AsRef<[f64]>, L: ToString>(rows: &[R], labels: &[L]) -> Result<Self, Error> {
        let wrong = |problem: String| Err(Error::Samples(problem));
        let Some(first) = rows.first() else { return wrong("there is no row".to_owned()) };
        let n_features = first.as_ref().len();
        if n_features == 0 {
            return wrong("row 0 has no number".to_owned());
        }
        if rows.len() != labels.len() {
            return wrong(format!(
                "{} and {}; each row has one",
                count(rows.len(), "row"),
                count(labels.len(), "label")
            ));
        }
        let mut values = Values::default();
        for (i, row) in rows.iter().map(AsRef::as_ref).enumerate() {
            if row.len() != n_features {
                return wrong(format!("row {i} has {} numbers, and row 0 has {n_features}", row.len()));
            }
            if let Some(j) = row.iter().position(|x| x.is_nan() || x.abs() > LARGEST_NUMBER) {
                return wrong(format!("row {i}, number {j}: {} is not between ±{LARGEST_NUMBER:e}", row[j]));
            }
            row.iter().for_each(|&x| values.push(x));
        }
        let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
        if let Some((i, problem)) = names.iter().enumerate().find_map(|(i, name)| Some((i, name_problem(name)?))) {
            return wrong(format!("row {i}: the label {problem}"));
        }
        let classes = in_label_order(names.iter().cloned().collect());
        if classes.len() > 256 {
            return wrong(format!("{} different labels; at most 256 classes are told apart", classes.len()));
        }
        let position = |name| classes.iter().position(|class| class == name).unwrap_or_default() as u8;
        let numbers = Numbers { n_features, values, labels: names.iter().map(position).collect() };
        let bytes: Vec<u8> = numbers.values.iter().flat_map(f64::to_le_bytes).collect();
        let file = DataFile { name: "rows in memory".to_owned(), sha256: sha256([&bytes[..], &numbers.labels]) };
        let schema = Schema {
            kind: DataKind::Table,
            image_size: [1, n_features],
            features: (1..=n_features).map(|j| format!("x{j}")).collect(),
            classes: classes.into_iter().map(Class::Name).collect(),
        };
        let source = Provenance { name: file.name.clone(), files: vec![file], unused: Unused::default() };
        Ok(Self { rows: Rows::Numbers(numbers), schema, source })
    }

    /// Calls the columns of a table so.
    ///
    /// # Errors
    /// Where there are more or fewer, a name is empty, too long or there twice, or these are images.
    pub fn with_columns<N: ToString>(mut self, names: &[N]) -> Result<Self, Error> {
        let wrong = |problem: String| Err(Error::Samples(problem));
        if self.schema.kind != DataKind::Table {
            return wrong("images have no columns".to_owned());
        }
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        if names.len() != self.n_features() {
            return wrong(format!("{}, and {}", count(self.n_features(), "column"), count(names.len(), "name")));
        }
        if let Some((j, problem)) = names.iter().enumerate().find_map(|(j, name)| Some((j, name_problem(name)?))) {
            return wrong(format!("the name of column {j} {problem}"));
        }
        if let Some(twice) = names.iter().enumerate().find_map(|(j, name)| names[..j].contains(name).then_some(name)) {
            return wrong(format!("two columns are called {twice:?}"));
        }
        self.schema.features = names;
        Ok(self)
    }

    /// Keeps a fraction of each class's rows for the validation, one at least and all but one at most, shuffled by `seed`: the same rows as
    /// `data.validation_fraction` and `descent.shuffle.seed` keep. Gives the rows to train on and those to validate on.
    ///
    /// # Errors
    /// Where the fraction is not between 0 and 1, or a class has a single row.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<[Self; 2], Error> {
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(Error::Samples(format!("a fraction of {fraction} is kept; it is between 0 and 1")));
        }
        let rows = Holdout { fraction, seed }.split(self.labels()).map_err(|class| {
            let class = &self.schema.classes[usize::from(class)];
            Error::Samples(format!("the class {class} has a single row; to learn and to be judged it needs two"))
        })?;
        Ok(rows.map(|rows| self.with_rows(self.rows.some(&rows))))
    }

    /// The rows of some classes, which are numbered in this order from now on. The logistic model's positive class is the second of two.
    ///
    /// # Errors
    /// Where one is none of the classes, or named twice.
    pub fn with_classes<N: ToString>(&self, names: &[N]) -> Result<Self, Error> {
        let wrong = |problem: String| Err(Error::Samples(problem));
        let mut positions = vec![None; self.schema.classes.len()];
        let mut classes = Vec::new();
        for (position, name) in (0..=u8::MAX).zip(names) {
            let name = name.to_string();
            let Some(found) = self.schema.classes.iter().position(|class| class.is_called(&name)) else {
                return wrong(format!("no class {name:?}; the classes are {}", listed(&self.schema.classes)));
            };
            if positions[found].replace(position).is_some() {
                return wrong(format!("the class {name:?} is named twice"));
            }
            classes.push(self.schema.classes[found].clone());
        }
        let chosen: Vec<usize> =
            (0..self.len()).filter(|&row| positions[usize::from(self.labels()[row])].is_some()).collect();
        let mut rows = self.rows.some(&chosen);
        rows.labels_mut().iter_mut().for_each(|label| *label = positions[usize::from(*label)].unwrap_or_default());
        let mut samples = self.with_rows(rows);
        samples.schema.classes = classes;
        Ok(samples)
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// Features of a row, d: an image's pixels, or the columns but for the label.
    pub fn n_features(&self) -> usize {
        self.schema.image_size.iter().product()
    }

    /// What the classes are called.
    pub fn classes(&self) -> &[Class] {
        &self.schema.classes
    }

    /// What the columns are called, of a table.
    pub fn columns(&self) -> &[String] {
        &self.schema.features
    }

    /// Each row's class, as a position among [`classes`](Self::classes).
    pub fn labels(&self) -> &[u8] {
        self.rows.labels()
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
        let d = self.n_features();
        match &self.rows {
            Rows::Images(split) => split.pixels[row * d..][..d].iter().map(|&pixel| pixel.into()).collect(),
            Rows::Numbers(numbers) => numbers.row(row),
        }
    }

    /// The rows as a model takes them that learnt from samples of this schema: columns in its order, found by their names, and labels as positions among
    /// its classes.
    ///
    /// # Errors
    /// Where these are images and those a table, or of another size; where a column is missing; and where a row is of a class that it does not know.
    pub(crate) fn as_of(&self, schema: &Schema) -> Result<Rows, Error> {
        let mut rows = self.rows_as_of(schema)?;
        let positions: Vec<Option<u8>> = self
            .schema
            .classes
            .iter()
            .map(|class| {
                let name = class.to_string();
                schema.classes.iter().position(|own| own.is_called(&name)).map(|position| position as u8)
            })
            .collect();
        for (row, label) in rows.labels_mut().iter_mut().enumerate() {
            let Some(position) = positions[usize::from(*label)] else {
                let class = &self.schema.classes[usize::from(*label)];
                return Err(Error::Samples(format!(
                    "row {row} is of the class {class}, and the model tells {} apart",
                    listed(&schema.classes)
                )));
            };
            *label = position;
        }
        Ok(rows)
    }

    /// The same with the labels left as they are, for a model that is asked about rows of whatever classes.
    ///
    /// # Errors
    /// As [`Samples::as_of`], but for the classes.
    pub(crate) fn rows_as_of(&self, schema: &Schema) -> Result<Rows, Error> {
        let [of_own, of_model] = [&self.schema, schema].map(described);
        let is_table = |schema: &Schema| schema.kind == DataKind::Table;
        let fits = is_table(&self.schema) == is_table(schema);
        if !fits || (!is_table(schema) && self.schema.image_size != schema.image_size) {
            return Err(Error::Samples(format!("the samples are {of_own}, and the model takes {of_model}")));
        }
        let Rows::Numbers(Numbers { n_features, values, labels }) = &self.rows else { return Ok(self.rows.clone()) };
        let place = |name: &String| {
            let found = self.schema.features.iter().position(|own| own == name);
            found.ok_or_else(|| {
                let own = self.schema.features.join(", ");
                Error::Samples(format!("no column {name:?}, from which the model learnt; the columns are {own}"))
            })
        };
        let places = schema.features.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        let values =
            (0..labels.len()).flat_map(|row| places.iter().map(move |&place| values.get(row * n_features + place)));
        Ok(Rows::Numbers(Numbers { n_features: places.len(), values: values.collect(), labels: labels.clone() }))
    }

    fn with_rows(&self, rows: Rows) -> Self {
        Self { rows, schema: self.schema.clone(), source: self.source.clone() }
    }

    fn of_tables(tables: Tables) -> [Self; 2] {
        let source = Provenance::of_tables(&tables);
        let schema = schema_of_tables(&tables);
        let rows = |part: Arc<TablePart>| Rows::Numbers(Arc::unwrap_or_clone(part).rows);
        tables.parts.map(|part| Self { rows: rows(part), schema: schema.clone(), source: source.clone() })
    }

    fn of_images(data: &Data, resident_bytes: u64) -> Result<[Self; 2], Error> {
        let (selections, labels) = data.select(None, None, None)?;
        if let Some(large) = selections.iter().find(|rows| rows.bytes() > resident_bytes) {
            let (source, bytes) = (&data.origin, large.bytes());
            return Err(Error::Samples(format!(
                "{source}: {bytes} bytes of images are more than the {resident_bytes} that samples may take in memory; `train` reads them piece by piece"
            )));
        }
        let (source, schema) = (Provenance::of_images(data), schema_of_images(data, labels));
        let [train, validation] = selections;
        let read = |split| Self { rows: Rows::Images(split), schema: schema.clone(), source: source.clone() };
        Ok([read(train.read()?), read(validation.read()?)])
    }
}

impl From<Rows> for Chosen {
    fn from(rows: Rows) -> Self {
        match rows {
            Rows::Images(split) => Self::Resident(split),
            Rows::Numbers(numbers) => Self::Numbers(numbers),
        }
    }
}

impl Rows {
    pub(crate) fn labels(&self) -> &[u8] {
        match self {
            Self::Images(split) => &split.labels,
            Self::Numbers(numbers) => &numbers.labels,
        }
    }

    fn labels_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Images(split) => &mut split.labels,
            Self::Numbers(numbers) => &mut numbers.labels,
        }
    }

    pub(crate) fn some(&self, rows: &[usize]) -> Self {
        match self {
            Self::Images(Split { size, pixels, labels }) => Self::Images(Split {
                size: *size,
                pixels: some(pixels, size[0] * size[1], rows),
                labels: some(labels, 1, rows),
            }),
            Self::Numbers(numbers) => Self::Numbers(numbers.some(rows)),
        }
    }
}

/// These rows of d values each.
fn some<T: Copy>(values: &[T], d: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * d..][..d]).copied().collect()
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
