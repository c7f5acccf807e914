use chainrule_core::FinalMetrics;

/// Returns the metrics of the constant model: the one that predicts the class frequencies of the
/// training rows for every row. `labels` are those of the training rows and of the validation
/// rows. With class weights, each row's loss is multiplied by its class's weight.
///
/// # Panics
/// Panics if there are no rows, or if a label is not below k.
pub fn constant_model(labels: [&[u16]; 2], k: usize, class_weights: Option<&[f64]>) -> FinalMetrics {
    let weight = |class: usize| class_weights.map_or(1.0, |weights| weights[class]);
    let [train, validation] = labels.map(|labels| {
        let mut rows = vec![0usize; k];
        labels.iter().for_each(|&label| rows[usize::from(label)] += 1);
        rows
    });
    // These probabilities have the lowest weighted loss on the training rows.
    let mass: Vec<f64> = train.iter().enumerate().map(|(class, &rows)| weight(class) * rows as f64).collect();
    let total: f64 = mass.iter().sum();
    let predicted = (0..k).max_by(|&i, &j| mass[i].total_cmp(&mass[j]).then(j.cmp(&i))).unwrap_or_default();
    let metrics = |rows: &[usize]| {
        let n = rows.iter().sum::<usize>() as f64;
        let loss = |(class, &rows): (usize, &usize)| match rows {
            0 => 0.0,
            _ => weight(class) * rows as f64 * (total / mass[class]).ln(),
        };
        (rows.iter().enumerate().map(loss).sum::<f64>() / n, rows[predicted] as f64 / n)
    };
    let ((train_loss, train_accuracy), (validation_loss, validation_accuracy)) =
        (metrics(&train), metrics(&validation));
    FinalMetrics { train_loss, validation_loss, train_accuracy, validation_accuracy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_model_predicts_the_class_frequencies() {
        let train = [0, 0, 0, 1];
        let constant = constant_model([&train, &[1, 1]], 2, None);
        assert_eq!((constant.train_accuracy, constant.validation_accuracy), (0.75, 0.0));
        assert!((constant.train_loss - -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln())).abs() < 1e-15);
        assert!((constant.validation_loss - -(0.25f64.ln())).abs() < 1e-15);
        // With these weights both classes weigh the same.
        let weighted = constant_model([&train, &train], 2, Some(&[1.0, 3.0]));
        assert!((weighted.train_loss - 1.5 * 2f64.ln()).abs() < 1e-15);
    }
}
