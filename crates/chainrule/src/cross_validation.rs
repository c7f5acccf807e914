use std::num::NonZero;

use chainrule_data::{DataError, FoldError, FoldSplit, Folds, Prefetcher};
use chainrule_evaluate::{FoldMean, choose_penalty};
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::samples::{Label, Samples};
use crate::{Error, Estimator, Fitted, SamplesError};

/// The scores of an estimator on rows that it was not fitted to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CrossValidation {
    /// The number of folds of each repeat.
    pub folds: usize,
    /// The number of repeats.
    pub repeats: usize,
    /// The scores of each penalty, in the order in which they were given.
    pub penalties: Vec<PenaltyScores>,
    /// The position of the penalty with the lowest mean loss. That loss is too low on average,
    /// because it is the lowest of several: judge the model on rows that are in no fold.
    pub best: usize,
    /// The position of the largest penalty whose mean loss is at most one standard error above the
    /// lowest: see [`choose_penalty`].
    pub one_standard_error: usize,
}

/// The scores of a choice of the penalty, on rows that had no part in it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NestedCrossValidation {
    /// How the penalty was chosen.
    pub choice: PenaltyChoice,
    /// The chosen lambda of each fold, repeat by repeat.
    pub chosen: Vec<f64>,
    /// See [`PenaltyScores::loss`].
    pub loss: FoldMean,
    /// See [`PenaltyScores::accuracy`].
    pub accuracy: FoldMean,
    /// See [`PenaltyScores::auc`].
    pub auc: Option<FoldMean>,
    /// The scores of each fold, repeat by repeat.
    pub of_folds: Vec<FoldScores>,
}

/// Which penalty of a cross-validation is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PenaltyChoice {
    /// The [best](CrossValidation::best) one.
    Best,
    /// The largest one within [one standard error](CrossValidation::one_standard_error).
    OneStandardError,
}

/// The scores of one penalty.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PenaltyScores {
    /// Lambda of the penalty.
    pub l2: f64,
    /// The mean cross-entropy in nats.
    pub loss: FoldMean,
    /// The fraction of rows that are classified correctly.
    pub accuracy: FoldMean,
    /// The area under the ROC curve: of two classes that of the second, else the mean of each class
    /// against the others. `None` if a fold lacks rows of a class.
    pub auc: Option<FoldMean>,
    /// The scores of each fold, repeat by repeat.
    pub of_folds: Vec<FoldScores>,
}

/// The scores of a model on the validation rows of its fold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldScores {
    /// The number of rows that the model was fitted to.
    pub training_rows: usize,
    /// The number of validation rows.
    pub validation_rows: usize,
    /// The sum of their weights. Without weights, it is their number.
    pub weight: f64,
    /// Their mean cross-entropy in nats.
    pub loss: f64,
    /// The fraction that is classified correctly.
    pub accuracy: f64,
    /// The area under the ROC curve. `None` if a class has no row.
    pub auc: Option<f64>,
    /// Whether the training rows have no minimum, because their classes are separated and lambda is
    /// 0. The scores are those of weights on the way to infinity.
    pub is_separated: bool,
}

/// A model of a fold: its lambda and its scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoldModel {
    /// Lambda of the penalty.
    pub l2: f64,
    /// The scores on the validation rows.
    pub scores: FoldScores,
}

/// Keeps the scores of finished folds, so that an interrupted cross-validation can go on. Splits
/// are numbered from 0, repeat by repeat. `()` keeps nothing.
pub trait FoldStore {
    /// Returns the models of a split that is finished, or `None`.
    ///
    /// # Errors
    /// If they are there and cannot be read.
    fn load(&mut self, split: usize) -> Result<Option<Vec<FoldModel>>, Error>;

    /// Keeps the models of a split.
    ///
    /// # Errors
    /// If they cannot be kept. The cross-validation ends with this error.
    fn save(&mut self, split: usize, models: &[FoldModel]) -> Result<(), Error>;
}

impl FoldStore for () {
    fn load(&mut self, _: usize) -> Result<Option<Vec<FoldModel>>, Error> {
        Ok(None)
    }

    fn save(&mut self, _: usize, _: &[FoldModel]) -> Result<(), Error> {
        Ok(())
    }
}

impl Estimator {
    /// Fits a model to the training rows of each fold, and scores it on the validation rows.
    ///
    /// Everything that a model learns of rows is learnt anew in each fold: how columns become
    /// features, imputed values, means and standard deviations, class weights. If the samples have
    /// [weights](Samples::with_weights), the scores are weighted by them.
    ///
    /// Several folds are fitted at the same time on the threads of the estimator. The result does
    /// not depend on their order.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::data::Folds;
    /// use chainrule::{Estimator, Samples};
    ///
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/penguins.csv");
    /// let samples = Samples::csv(file, "species")?;
    /// let folds = Folds::stratified(&samples.labels(), 5, 1, 0)?;
    /// let scores = Estimator::for_table(&samples).cross_validate(&samples, &folds)?;
    /// let accuracy = scores.penalties[0].accuracy;
    /// assert!(accuracy.mean > 0.9 && accuracy.standard_error < 0.1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fit`](Self::fit), for the first fold that fails. Also returns an error if the folds are
    /// those of another number of rows, or if a fold has no training row of a class.
    pub fn cross_validate<L: Label>(&self, samples: &Samples<L>, folds: &Folds) -> Result<CrossValidation, Error> {
        self.cross_validate_with(samples, folds, &mut ())
    }

    /// Like [`cross_validate`](Self::cross_validate). The store has the scores of folds that are
    /// finished already, and gets those of each other one.
    ///
    /// # Errors
    /// As [`cross_validate`](Self::cross_validate), and those of the store.
    pub fn cross_validate_with<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        store: &mut dyn FoldStore,
    ) -> Result<CrossValidation, Error> {
        let fit = |estimator: &Self, train: &Samples, _: &[usize]| Ok(vec![estimator.fit(train)?]);
        CrossValidation::of_splits(&self.score_splits(samples, folds, store, fit)?, folds)
    }

    /// Like [`cross_validate`](Self::cross_validate) for each lambda, with models that are fitted
    /// [to the minimum](Self::to_the_minimum). In each fold they are a [path](Self::fit_path), so
    /// ten lambdas take about twice the time of one.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::data::Folds;
    /// use chainrule::{Estimator, Samples};
    ///
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/penguins.csv");
    /// let samples = Samples::csv(file, "species")?;
    /// let folds = Folds::stratified(&samples.labels(), 5, 1, 0)?;
    /// let estimator = Estimator::for_table(&samples);
    /// let scores = estimator.cross_validate_path(&samples, &folds, &[1.0, 0.1, 0.01, 0.001])?;
    /// let chosen = scores.penalties[scores.one_standard_error].l2;
    /// let fitted = estimator.l2(chosen).fit(&samples)?;
    /// # assert!(fitted.score(&samples)? > 0.9);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`cross_validate`](Self::cross_validate). Also returns an error without lambdas.
    #[track_caller]
    pub fn cross_validate_path<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        lambdas: &[f64],
    ) -> Result<CrossValidation, Error> {
        self.cross_validate_path_with(samples, folds, lambdas, &mut ())
    }

    /// Like [`cross_validate_path`](Self::cross_validate_path), with a
    /// [store](Self::cross_validate_with).
    ///
    /// # Errors
    /// As [`cross_validate_path`](Self::cross_validate_path), and those of the store.
    #[track_caller]
    pub fn cross_validate_path_with<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        lambdas: &[f64],
        store: &mut dyn FoldStore,
    ) -> Result<CrossValidation, Error> {
        self.check_lambdas(samples, lambdas)?;
        let lambdas = lambdas.to_vec();
        let fit = move |estimator: &Self, train: &Samples, _: &[usize]| estimator.fit_path(train, &lambdas);
        CrossValidation::of_splits(&self.score_splits(samples, folds, store, fit)?, folds)
    }

    /// Scores the choice of a lambda itself: in each fold, a cross-validation of the training rows
    /// chooses one, and the model that is fitted with it is scored on the validation rows. These
    /// had no part in the choice, so the mean is not too good, unlike that of the best lambda.
    ///
    /// `inner_folds` divides the training rows of a fold. It is given their positions in the
    /// samples, in the order in which it numbers them.
    ///
    /// ```
    /// # fn main() -> Result<(), chainrule::Error> {
    /// use chainrule::data::Folds;
    /// use chainrule::{Estimator, PenaltyChoice, Samples};
    ///
    /// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/penguins.csv");
    /// let samples = Samples::csv(file, "species")?;
    /// let labels = samples.labels();
    /// let folds = Folds::stratified(&labels, 5, 1, 0)?;
    /// let inner_folds = move |rows: &[usize]| {
    ///     let labels: Vec<u16> = rows.iter().map(|&row| labels[row]).collect();
    ///     Folds::stratified(&labels, 5, 1, 0)
    /// };
    /// let (estimator, lambdas) = (Estimator::for_table(&samples), [0.1, 0.01, 0.001]);
    /// let choice = PenaltyChoice::OneStandardError;
    /// let scores = estimator.cross_validate_nested(&samples, &folds, inner_folds, &lambdas, choice)?;
    /// assert!(scores.accuracy.mean > 0.9);
    /// assert!(scores.chosen.iter().all(|chosen| lambdas.contains(chosen)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`cross_validate_path`](Self::cross_validate_path), also for the inner folds.
    #[track_caller]
    pub fn cross_validate_nested<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        inner_folds: impl Fn(&[usize]) -> Result<Folds, FoldError> + Clone + Send + 'static,
        lambdas: &[f64],
        choice: PenaltyChoice,
    ) -> Result<NestedCrossValidation, Error> {
        self.cross_validate_nested_with(samples, folds, inner_folds, lambdas, choice, &mut ())
    }

    /// Like [`cross_validate_nested`](Self::cross_validate_nested), with a
    /// [store](Self::cross_validate_with).
    ///
    /// # Errors
    /// As [`cross_validate_nested`](Self::cross_validate_nested), and those of the store.
    #[track_caller]
    pub fn cross_validate_nested_with<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        inner_folds: impl Fn(&[usize]) -> Result<Folds, FoldError> + Clone + Send + 'static,
        lambdas: &[f64],
        choice: PenaltyChoice,
        store: &mut dyn FoldStore,
    ) -> Result<NestedCrossValidation, Error> {
        self.check_lambdas(samples, lambdas)?;
        let lambdas = lambdas.to_vec();
        let fit = move |estimator: &Self, train: &Samples, rows: &[usize]| {
            let inner = estimator.cross_validate_path(train, &inner_folds(rows)?, &lambdas)?;
            let chosen = match choice {
                PenaltyChoice::Best => inner.best,
                PenaltyChoice::OneStandardError => inner.one_standard_error,
            };
            estimator.fit_path(train, &[inner.penalties[chosen].l2])
        };
        let of_splits = self.score_splits(samples, folds, store, fit)?;
        let models = of_splits.into_iter().flatten().map(|model| (model.l2, model.scores));
        let (chosen, of_folds): (Vec<f64>, Vec<FoldScores>) = models.unzip();
        let PenaltyScores { loss, accuracy, auc, of_folds, .. } = PenaltyScores::new(0.0, of_folds, folds.folds());
        Ok(NestedCrossValidation { choice, chosen, loss, accuracy, auc, of_folds })
    }

    /// Reports an invalid lambda with the caller's line.
    #[track_caller]
    fn check_lambdas<L: Label>(&self, samples: &Samples<L>, lambdas: &[f64]) -> Result<(), Error> {
        if lambdas.is_empty() {
            return Err(SamplesError::NoPenalty.into());
        }
        for &lambda in lambdas {
            self.clone().l2(lambda).to_the_minimum().config(samples)?;
        }
        Ok(())
    }

    /// Fits models to the training rows of each split, and scores them on the validation rows.
    /// `fit` is given the samples and their positions. Returns the models of each split.
    fn score_splits<L: Label>(
        &self,
        samples: &Samples<L>,
        folds: &Folds,
        store: &mut dyn FoldStore,
        fit: impl Fn(&Self, &Samples, &[usize]) -> Result<Vec<Fitted>, Error> + Clone + Send + 'static,
    ) -> Result<Vec<Vec<FoldModel>>, Error> {
        // Labels of any type need not cross to other threads.
        let samples = samples.with_class_labels();
        check_folds(&samples, folds)?;
        let splits = folds.splits();
        let mut of_splits = (0..splits.len()).map(|split| store.load(split)).collect::<Result<Vec<_>, _>>()?;
        let missing: Vec<usize> = (0..splits.len()).filter(|&split| of_splits[split].is_none()).collect();
        // As for all splits, so that a later call fits the others with as many threads.
        let threads = self.threads_of(splits.len())?;
        let estimator = self.clone().threads(threads.of_each);
        let make_worker = || {
            let (estimator, samples, splits, fit) = (estimator.clone(), samples.clone(), splits.to_vec(), fit.clone());
            let missing = missing.clone();
            move |i: usize| {
                let split = &splits[missing[i]];
                scores_of_split(&samples, split, |train| fit(&estimator, train, &split.train))
            }
        };
        let all = Prefetcher::new(missing.len(), threads.workers, make_worker)
            .map_err(|problem| DataError::Thread { problem })?;
        for (models, &split) in all.zip(&missing) {
            let models = models.map_err(|error| Error::Fold {
                fold: split % folds.folds() + 1,
                repeat: (folds.repeats() > 1).then_some(split / folds.folds() + 1),
                error: Box::new(error),
            })?;
            store.save(split, &models)?;
            of_splits[split] = Some(models);
        }
        Ok(of_splits.into_iter().flatten().collect())
    }

    /// Divides the estimator's threads among splits. A device fits one model after the other.
    fn threads_of(&self, splits: usize) -> Result<FoldThreads, Error> {
        let machine: Machine = self.machine()?;
        let all = machine.threads().get();
        let workers = if machine.backend().has_separate_memory() { 1 } else { all.min(splits).max(1) };
        let of_each = NonZero::new(all / workers).unwrap_or(NonZero::<usize>::MIN);
        Ok(FoldThreads { workers, of_each })
    }
}

impl CrossValidation {
    fn of_splits(of_splits: &[Vec<FoldModel>], folds: &Folds) -> Result<Self, Error> {
        let of_penalty = |i: usize| {
            let scores = of_splits.iter().map(|of_split| of_split[i].scores).collect();
            PenaltyScores::new(of_splits[0][i].l2, scores, folds.folds())
        };
        let penalties: Vec<PenaltyScores> = (0..of_splits[0].len()).map(of_penalty).collect();
        let (lambdas, losses): (Vec<f64>, Vec<FoldMean>) =
            penalties.iter().map(|scores| (scores.l2, scores.loss)).unzip();
        let [best, one_standard_error] = choose_penalty(&lambdas, &losses).ok_or(SamplesError::NoPenalty)?;
        Ok(Self { folds: folds.folds(), repeats: folds.repeats(), penalties, best, one_standard_error })
    }
}

/// The threads of a cross-validation.
struct FoldThreads {
    /// The number of splits that are fitted at the same time.
    workers: usize,
    /// The threads of the kernels of each.
    of_each: NonZero<usize>,
}

/// Fails unless each class has a training row in each fold: its probability would be 0 else.
fn check_folds(samples: &Samples, folds: &Folds) -> Result<(), Error> {
    if folds.n_rows() != samples.len() {
        return Err(SamplesError::Folds { rows: samples.len(), folds: folds.n_rows() }.into());
    }
    let labels = samples.labels();
    for (split, FoldSplit { train, .. }) in folds.splits().iter().enumerate() {
        let mut has_rows = vec![false; samples.classes().len()];
        train.iter().for_each(|&row| has_rows[usize::from(labels[row])] = true);
        if let Some(class) = has_rows.iter().position(|has_rows| !has_rows) {
            let rows = labels.iter().filter(|&&label| usize::from(label) == class).count();
            let (fold, class) = (split % folds.folds() + 1, samples.classes()[class].to_string());
            return Err(SamplesError::FoldWithoutClass { fold, class, rows }.into());
        }
    }
    Ok(())
}

/// Returns the models of a split, one for each penalty.
fn scores_of_split(
    samples: &Samples,
    split: &FoldSplit,
    fit: impl FnOnce(&Samples) -> Result<Vec<Fitted>, Error>,
) -> Result<Vec<FoldModel>, Error> {
    let [train, validation] = [&split.train, &split.validation].map(|rows| samples.select(rows));
    let weights: Vec<f64> = (0..validation.len()).map(|row| validation.rows.weight(row)).collect();
    let score = |fitted: &Fitted| {
        let predicted = fitted.predicted_rows(&validation)?.with_weights(weights.clone());
        let (Some(loss), Some(accuracy)) = (predicted.log_loss(), predicted.confusion().accuracy()) else {
            return Err(SamplesError::NoEvaluationRow.into());
        };
        let training = fitted.training();
        let l2 = training.map_or(0.0, |training| training.config.objective().l2);
        let identification = training.and_then(|training| training.identification.as_ref());
        let scores = FoldScores {
            training_rows: train.len(),
            validation_rows: validation.len(),
            weight: weights.iter().sum(),
            loss: loss.mean,
            accuracy,
            auc: predicted.auc().map(|auc| auc.area),
            is_separated: identification.is_some_and(|found| !found.separating.is_empty()),
        };
        Ok(FoldModel { l2, scores })
    };
    fit(&train)?.iter().map(score).collect()
}

impl PenaltyScores {
    fn new(l2: f64, of_folds: Vec<FoldScores>, folds: usize) -> Self {
        let weights: Vec<f64> = of_folds.iter().map(|fold| fold.weight).collect();
        let mean = |score: &dyn Fn(&FoldScores) -> f64| {
            FoldMean::of(&of_folds.iter().map(score).collect::<Vec<_>>(), &weights, folds)
        };
        let (loss, accuracy) = (mean(&|fold| fold.loss), mean(&|fold| fold.accuracy));
        let areas: Option<Vec<f64>> = of_folds.iter().map(|fold| fold.auc).collect();
        let auc = areas.map(|areas| FoldMean::of(&areas, &weights, folds));
        Self { l2, loss, accuracy, auc, of_folds }
    }
}

impl From<FoldError> for Error {
    fn from(error: FoldError) -> Self {
        SamplesError::from(error).into()
    }
}
