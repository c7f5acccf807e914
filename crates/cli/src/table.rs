//! What a run comes to, for a person.

use std::fmt::Write;
use std::path::Path;

use chainrule_records::{GradientSource, ModelKind, Precision, Summary};

/// The closing table of a training.
pub(crate) fn closing(summary: &Summary, folder: &Path) -> String {
    let model = match summary.model {
        ModelKind::Softmax => "softmax regression",
        ModelKind::Logistic => "logistic regression",
    };
    let gradient = match summary.gradient {
        // Settled before a run.
        GradientSource::Auto | GradientSource::Fused => "fused closed-form gradients",
        GradientSource::ClosedForm => "closed-form gradients",
        GradientSource::Autodiff => "autodiff gradients",
    };
    let precision = match summary.precision {
        Precision::F32 => "f32",
        Precision::F64 => "f64",
    };
    let ended = if summary.interrupted {
        "interrupted"
    } else if summary.stopped_early {
        "stopped early"
    } else {
        "all epochs made"
    };
    let (last, norm, seconds) = (&summary.final_metrics, &summary.weight_norm, &summary.seconds);
    let rows = [
        ("experiment", format!("{}: {model}, {gradient}, {} {precision}", summary.experiment, summary.backend)),
        ("data", format!("{} ({} + {} rows)", summary.data.source, summary.data.train, summary.data.validation)),
        ("ended", format!("{ended}, in epoch {} at step {} (both from 0)", summary.stop_epoch, summary.stop_step)),
        ("best validation", format!("loss {:.6} at step {}", summary.best_validation_loss, summary.best_step)),
        ("", String::new()),
        ("", "      training  validation".to_owned()),
        ("cross-entropy", format!("{:>14.6}{:>12.6}", last.train_loss, last.validation_loss)),
        ("accuracy", format!("{:>12.2} %{:>10.2} %", 100.0 * last.train_accuracy, 100.0 * last.validation_accuracy)),
        ("", String::new()),
        (
            "weight norm",
            format!(
                "Frobenius {:.4} (squared {:.4}), spectral {:.4}",
                norm.frobenius, norm.frobenius_squared, norm.spectral
            ),
        ),
        (
            "time",
            format!("{:.1} s: {:.1} s steps, {:.1} s evaluations", seconds.total, seconds.training, seconds.validation),
        ),
        ("run", folder.display().to_string()),
    ];
    rows.iter().fold(String::from("\n"), |mut text, (name, value)| {
        let line = format!("{name:<16} {value}");
        writeln!(text, "{}", line.trim_end()).expect("writing to a String cannot fail");
        text
    })
}
