use chainrule_core::FinalMetrics;
use chainrule_data::{DataError, Rows};

/// The rows of a class.
#[derive(Clone, Copy, Default)]
struct ClassRows {
    count: usize,
    /// The sum of the rows' own weights.
    weight: f64,
}

/// Returns the metrics of the constant model: the one that predicts the class frequencies of the
/// training rows for every row. `rows` are the training rows and the validation rows. Each row's
/// loss is multiplied by its weight and by that of its class.
///
/// # Errors
/// Fails if all rows have the weight 0.
///
/// # Panics
/// Panics if there are no rows, or if a label is not below k.
pub fn constant_model(rows: [&Rows; 2], k: usize, class_weights: Option<&[f64]>) -> Result<FinalMetrics, DataError> {
    let weight = |class: usize| class_weights.map_or(1.0, |weights| weights[class]);
    let by_class = |rows: &Rows| {
        let mut classes = vec![ClassRows::default(); k];
        for (label, weight) in rows.weighted_labels()? {
            let class = &mut classes[usize::from(label)];
            class.count += 1;
            class.weight += weight;
        }
        Ok::<_, DataError>(classes)
    };
    let [train, validation] = rows.map(by_class);
    let (train, validation) = (train?, validation?);
    // These probabilities have the lowest weighted loss on the training rows.
    let mass: Vec<f64> = train.iter().enumerate().map(|(class, rows)| weight(class) * rows.weight).collect();
    let total: f64 = mass.iter().sum();
    let predicted = (0..k).max_by(|&i, &j| mass[i].total_cmp(&mass[j]).then(j.cmp(&i))).unwrap_or_default();
    let metrics = |classes: &[ClassRows]| {
        let n = classes.iter().map(|rows| rows.count).sum::<usize>() as f64;
        let loss = |(class, rows): (usize, &ClassRows)| match rows.weight {
            0.0 => 0.0,
            of_rows => weight(class) * of_rows * (total / mass[class]).ln(),
        };
        (classes.iter().enumerate().map(loss).sum::<f64>() / n, classes[predicted].count as f64 / n)
    };
    let ((train_loss, train_accuracy), (validation_loss, validation_accuracy)) =
        (metrics(&train), metrics(&validation));
    Ok(FinalMetrics { train_loss, validation_loss, train_accuracy, validation_accuracy })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_model_predicts_the_class_frequencies() {
        let rows = |labels: &[u16]| Rows::of_values(1, &vec![0.0; labels.len()], labels.to_vec());
        let train = rows(&[0, 0, 0, 1]);
        let constant = constant_model([&train, &rows(&[1, 1])], 2, None).expect("rows without weights");
        assert_eq!((constant.train_accuracy, constant.validation_accuracy), (0.75, 0.0));
        assert!((constant.train_loss - -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln())).abs() < 1e-15);
        assert!((constant.validation_loss - -(0.25f64.ln())).abs() < 1e-15);
        // With these weights both classes weigh the same.
        let weighted = constant_model([&train, &train], 2, Some(&[1.0, 3.0])).expect("rows without weights");
        assert!((weighted.train_loss - 1.5 * 2f64.ln()).abs() < 1e-15);
        // So they do with these weights of the rows, whose mean is 1.
        let train = train.with_weights(vec![1.0, 0.0, 5.0, 6.0]).expect("valid weights");
        let weighted = constant_model([&train, &train], 2, None).expect("positive weights");
        assert!((weighted.train_loss - 2f64.ln()).abs() < 1e-15 && weighted.train_accuracy == 0.75);
    }
}
