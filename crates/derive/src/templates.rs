//! Files to begin with: a model, and what must be derived of it.

/// A derivation whose right sides are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// The name of the model.
    pub name: &'static str,
    /// The text of the file.
    pub text: &'static str,
}

/// All templates.
pub const TEMPLATES: [Template; 5] = [
    Template { name: "logistic", text: include_str!("../assets/templates/logistic.md") },
    Template { name: "softmax", text: include_str!("../assets/templates/softmax.md") },
    Template { name: "l2", text: include_str!("../assets/templates/l2.md") },
    Template { name: "linear", text: include_str!("../assets/templates/linear.md") },
    Template { name: "mlp", text: include_str!("../assets/templates/mlp.md") },
];
