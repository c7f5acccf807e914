//! Every combination of options is either fitted or refused, as expected.

use std::num::NonZero;

use chainrule::backend::Backend;
use chainrule::core::{ClassWeights, GradientSource, Optimizer};
use chainrule::{Estimator, Samples};

/// The options of a fit.
#[derive(Clone, Copy, Debug)]
struct Combination {
    gradient: GradientSource,
    momentum: bool,
    standardize: bool,
    class_weights: bool,
    table: bool,
}

impl Combination {
    fn all() -> impl Iterator<Item = Self> {
        let gradients =
            [GradientSource::Auto, GradientSource::ClosedForm, GradientSource::Autodiff, GradientSource::Fused];
        gradients.into_iter().flat_map(|gradient| {
            (0..16).map(move |bits: u8| {
                let is_set = |bit: u8| bits & (1 << bit) != 0;
                let [momentum, standardize, class_weights, table] = [0, 1, 2, 3].map(is_set);
                Self { gradient, momentum, standardize, class_weights, table }
            })
        })
    }

    /// Returns whether a CPU backend supports the combination, with Burn or without.
    fn can(self, is_burns: bool) -> bool {
        let otherwise = is_burns || !self.momentum;
        let by_kernels = otherwise && (self.table || !self.standardize);
        match self.gradient {
            GradientSource::Fused => by_kernels,
            GradientSource::Autodiff => is_burns,
            GradientSource::ClosedForm => otherwise,
            GradientSource::Auto => by_kernels || otherwise,
        }
    }

    fn estimator(self, backend: &Backend) -> Estimator {
        let estimator = Estimator::softmax().epochs(1).gradient(self.gradient).backend(backend.clone());
        let estimator = estimator.threads(NonZero::<usize>::MIN).optimizer(Optimizer::Sgd);
        estimator.with(|settings| {
            settings.data.standardize = self.standardize;
            settings.descent.momentum = self.momentum.then_some(0.5);
            settings.objective.class_weights = self.class_weights.then_some(ClassWeights::Balanced);
        })
    }
}

#[test]
fn combinations_fit_or_are_refused_on_every_backend() {
    let images = Samples::digits(60, 1);
    let rows: Vec<Vec<f64>> = (0..images.len()).map(|row| images.row(row)[300..310].to_vec()).collect();
    let labels: Vec<String> = images.labels().iter().map(|label| format!("digit {label}")).collect();
    let table = Samples::from_rows(&rows, &labels).expect("a table");
    let mut backends = Backend::built().expect("backends");
    if !backends.contains(&Backend::Cpu) {
        backends.push(Backend::Cpu);
    }
    let mut counts = [0, 0];
    for backend in backends.iter().filter(|backend| !backend.has_separate_memory()) {
        for combination in Combination::all() {
            let estimator = combination.estimator(backend);
            let fitted = match combination.table {
                true => estimator.fit(&table).map(|_| ()),
                false => estimator.fit(&images).map(|_| ()),
            };
            let can = combination.can(*backend != Backend::Cpu);
            counts[usize::from(can)] += 1;
            match fitted {
                Ok(()) => assert!(can, "{backend}: {combination:?} was fitted"),
                Err(error) => {
                    let message = error.to_string();
                    assert!(!can, "{backend}: {combination:?}: {message}");
                    assert!(
                        message.contains("descent.") && !message.contains("\n"),
                        "{backend}: {combination:?}: {message}"
                    );
                }
            }
        }
    }
    assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
}
