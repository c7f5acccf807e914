//! Starts the service on a free port, and calls it over HTTP from several threads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use chainrule::{Fitted, formats::Hints};
use chainrule_service::service;
use serde_json::{Value, json};

const ELEMENTS: &[u8] = include_bytes!("../../../crates/chainrule/examples/elements.json");

/// Returns the status and the body of the response.
fn post(address: SocketAddr, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let length = body.len();
    let head = "POST /predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n{body}").expect("a request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), body.to_owned())
}

fn start() -> SocketAddr {
    let model = Fitted::from_bytes(ELEMENTS, &Hints::default()).expect("a model");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            sender.send(listener.local_addr().expect("an address")).expect("a receiver");
            axum::serve(listener, service(model).expect("a table")).await
        })
    });
    receiver.recv().expect("an address")
}

#[test]
fn rows_are_answered_over_http() {
    let address = start();
    let row = json!({
        "symbol": "Pb", "mass": 207.2, "period": 6, "block": "p", "electronegativity": 2.33, "melting": 600.61,
        "density": 11.3, "structure": "FCC", "discovered": null,
    });
    let mut new = row.clone();
    new["structure"] = json!("SC");
    new["density"] = Value::Null;
    let mut wrong = row.clone();
    wrong["mass"] = json!("heavy");
    let rows = json!([row, new, wrong, {"mass": 1}]).to_string();

    let model = Fitted::from_bytes(ELEMENTS, &Hints::default()).expect("a model");
    let predictor = model.raw_predictor().expect("a table");
    let expected = [&row, &new].map(|row| predictor.predict(row).expect("a prediction"));
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(|| post(address, &rows))).collect();
        let answers = calls.into_iter().map(|call| call.join().expect("no panic"));
        answers
            .map(|(status, body)| (status, serde_json::from_str(&body).expect("JSON")))
            .map(|(status, body)| {
                assert_eq!(status, 200);
                body
            })
            .collect()
    });
    for answer in &answers {
        for (i, expected) in expected.iter().enumerate() {
            assert_eq!(answer[i]["class"], "metal");
            let probabilities = answer[i]["probabilities"].as_object().expect("a map");
            let by_class = model.classes().iter().map(|class| probabilities[&class.to_string()].as_f64());
            let by_class: Option<Vec<f64>> = by_class.collect();
            let probabilities = expected.prediction.probabilities.clone();
            assert_eq!(by_class, Some(probabilities), "bit for bit");
        }
        assert_eq!(answer[0]["unseen"], json!([]));
        assert_eq!(answer[1]["unseen"].as_array().map(Vec::len), Some(2), "{answer}");
        assert!(answer[1]["unseen"].to_string().contains("SC"), "{answer}");
        let error = answer[2]["error"].as_str().expect("an error");
        assert!(error.starts_with("column \"mass\": \"heavy\" is not a number"), "{error}");
        assert!(answer[3]["error"].as_str().is_some_and(|error| error.contains("no column")), "{answer}");
    }
    assert_eq!(post(address, "[{").0, 400);
}
