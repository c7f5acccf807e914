//! Files to begin with: a model, and what must be derived of it. And the derivations that a report
//! has.

/// A derivation of the project. The right sides of a template are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// The name of the model.
    pub name: &'static str,
    /// The text of the file.
    pub text: &'static str,
}

/// The derivations of the course report, step by step as it has them.
pub const DERIVATIONS: [Template; 3] = [
    Template { name: "logistic", text: include_str!("../configs/logistic.md") },
    Template { name: "softmax", text: include_str!("../configs/softmax.md") },
    Template { name: "l2", text: include_str!("../configs/l2.md") },
];

/// What a machine read in the course report, where it looks misprinted.
pub const MISPRINTS: Template = Template { name: "misprints", text: include_str!("../configs/misprints.md") };

/// All templates.
pub const TEMPLATES: [Template; 5] = [
    Template { name: "logistic", text: include_str!("../assets/templates/logistic.md") },
    Template { name: "softmax", text: include_str!("../assets/templates/softmax.md") },
    Template { name: "l2", text: include_str!("../assets/templates/l2.md") },
    Template { name: "linear", text: include_str!("../assets/templates/linear.md") },
    Template { name: "mlp", text: include_str!("../assets/templates/mlp.md") },
];
