//! The predictions of a model as an HTTP service: `POST /predict` takes a list of rows, each a map
//! of column names to values, and answers with a list.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router, routing::post};
use chainrule::{Error, Fitted, data::Unseen};
use serde_json::{Map, Value, json};

/// Returns the service of a model of a table.
///
/// # Errors
/// Returns an error if the model takes images.
pub fn service(model: Fitted) -> Result<Router, Error> {
    model.raw_predictor()?; // Prepared before the first request.
    Ok(Router::new().route("/predict", post(predict)).with_state(Arc::new(model)))
}

/// A row that cannot be predicted is an error in its place. The others are predicted.
async fn predict(State(model): State<Arc<Fitted>>, Json(rows): Json<Vec<Value>>) -> Json<Vec<Value>> {
    let answer = |row| answer(&model, row).unwrap_or_else(|error| json!({ "error": error.to_string() }));
    Json(rows.iter().map(answer).collect())
}

fn answer(model: &Fitted, row: &Value) -> Result<Value, Error> {
    let answer = model.raw_predictor()?.predict(row)?;
    let names = model.classes().iter().map(ToString::to_string);
    let probabilities: Map<String, Value> =
        names.zip(&answer.prediction.probabilities).map(|(class, &p)| (class, p.into())).collect();
    let unseen: Vec<String> = answer.unseen().iter().filter_map(Unseen::message).collect();
    let class = model.classes()[answer.prediction.class].to_string();
    Ok(json!({ "class": class, "probabilities": probabilities, "unseen": unseen }))
}
