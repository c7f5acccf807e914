//! Reads other tools' files of weights without executing anything in them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use chainrule_core::Precision;
use chainrule_formats::{Layout, Weights};
use files::{npy, npz, safetensors};

#[test]
fn a_square_matrix_needs_its_orientation() {
    let square = safetensors(&[("weight", &[2, 2], vec![1.0, 2.0, 3.0, 4.0]), ("bias", &[2], vec![0.0, 0.0])]);
    let problem = Weights::read(&square, None).unwrap_err().to_string();
    assert!(problem.ends_with("their layout must be named"), "{problem}");
    let weights = |layout| Weights::read(&square, Some(layout)).unwrap().parameters.weight;
    assert_eq!(weights(Layout::RowPerFeature), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(weights(Layout::RowPerClass), [1.0, 3.0, 2.0, 4.0]);
    // Without a bias it is zero, and the result says so.
    let alone = safetensors(&[("weight", &[3, 2], vec![1.0; 6])]);
    let actual = Weights::read(&alone, Some(Layout::RowPerClass)).unwrap();
    assert_eq!((actual.parameters.bias.as_slice(), actual.has_bias), ([0.0; 3].as_slice(), false));
}

#[test]
fn json_classes_may_be_integers() {
    let document = |classes: &str| {
        format!(
            r#"{{"format":"chainrule model 1","kind":"softmax","classes":{classes},"row":{{"numbers":{{"names":["x"]}}}},
               "mean":[0],"scale":[1],"weight":[[1],[0],[-1]],"bias":[0,0.1,0]}}"#
        )
    };
    let read = |text: &str| Weights::read(text.as_bytes(), None);
    let weights = read(&document(r#"[250, "300", -1]"#)).unwrap();
    assert_eq!(weights.about.classes, Some(["250", "300", "-1"].map(str::to_owned).into()));
    assert_eq!((weights.parameters.weight, weights.precision), (vec![1.0, 0.0, -1.0], Precision::F64));
    for (text, expected) in [
        (document("[1.5, 2, 3]"), "it is no JSON that export wrote"),
        (document("[1, 2, 3]").replace("model 1", "model 9"), "of the format chainrule model 9"),
        (document("[1, 2, 3]").replace("[0],[-1]", "[0],[-1,2]"), "weight[2] has 2 numbers, and weight[0] 1"),
        (r#"{"coef": [1, 2]}"#.to_owned(), "missing field `format`"),
    ] {
        let problem = read(&text).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem:?} does not say {expected:?}");
    }
}

/// A file that NumPy wrote: `fixtures/numpy_objects.py`.
const OBJECTS: &[u8] = include_bytes!("fixtures/numpy_objects.npz");

/// Returns the classes of a file.
fn names(file: &[u8]) -> Result<Vec<String>, String> {
    Weights::read(file, None).map(|weights| weights.about.classes.unwrap()).map_err(|problem| problem.to_string())
}

/// Returns the end of the pickle of an array of objects: the list in the tuple of its state.
fn list(objects: &[u8]) -> Vec<u8> {
    [b"\x80\x02cnumpy\nndarray\n(K\x01](", objects, b"etb."].concat()
}

#[test]
fn numpy_object_classes_are_read() {
    assert_eq!(names(OBJECTS).unwrap(), ["no", "yes, but", "möglich"]);
    assert_eq!(of_classes(3, "|O", &list(b"X\x01\0\0\0aq\x07h\x07\x88")).unwrap(), ["a", "a", "True"]);
    assert_eq!(of_classes(3, "|O", &list(b"K\x07J\xff\xff\xff\xffG\x3f\xe0\0\0\0\0\0\0")).unwrap(), ["7", "-1", "0.5"]);
}

#[test]
fn pickles_are_not_executed() {
    for (pickle, expected) in [
        (list(b"X\x01\0\0\0a"), "not what its 1 objects are"),
        (list(b"X\x01\0\0\0aN"), "objects other than"),
        // A call of os.system("touch here").
        (list(b"X\x01\0\0\0acos\nsystem\nX\x0a\0\0\0touch here\x85R"), "objects other than"),
        (list(&[&b"X\xff\xff\xff\x7f"[..], &[b'a'; 100]].concat()), "objects other than"),
        ([b"\x80\x02](".to_vec(), vec![0x85; 100_000], b".".to_vec()].concat(), "objects other than"),
        (list(&b"X\x01\0\0\0a".repeat(1 << 15)), "objects other than"),
        (b"\x80\x02](ee.".to_vec(), "objects other than"),
        (b"\x80\x02".to_vec(), "objects other than"),
    ] {
        let problem = of_classes(2, "|O", &pickle).unwrap_err();
        assert!(problem.starts_with("classes: ") || problem.contains(expected), "{problem}");
        assert!(problem.contains(expected), "{problem:?} does not say {expected:?}");
    }
}

#[test]
fn damaged_pickles_do_not_panic() {
    let valid = list(b"X\x01\0\0\0a\x94\x8c\x01bh\x00");
    for place in 0..valid.len() {
        for byte in
            [0, 1, 0x28, 0x2e, 0x42, 0x4a, 0x52, 0x58, 0x5d, 0x61, 0x62, 0x65, 0x68, 0x71, 0x74, 0x87, 0x8a, 0xff]
        {
            let mut damaged = valid.clone();
            damaged[place] = byte;
            let _ = of_classes(3, "|O", &damaged);
        }
    }
}

/// Reads weights of 1 with these classes.
fn of_classes(count: usize, descr: &str, classes: &[u8]) -> Result<Vec<String>, String> {
    let floats = |number: f64| number.to_le_bytes().repeat(count);
    let header =
        |descr: &str, shape: &str| format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let file = npz(&[
        ("coef.npy", npy(&header("<f8", &format!("({count}, 1)")), &floats(1.0))),
        ("intercept.npy", npy(&header("<f8", &format!("({count},)")), &floats(0.0))),
        ("classes_.npy", npy(&header(descr, &format!("({count},)")), classes)),
    ]);
    names(&file)
}

#[test]
fn numpy_integer_and_bytes_classes_are_read() {
    for (descr, bytes, expected) in [
        ("<u8", [[0u8; 8], [255; 8]].concat(), ["0", "18446744073709551615"]),
        ("<i8", [[255u8; 8], [0, 1, 0, 0, 0, 0, 0, 0]].concat(), ["-1", "256"]),
        (">i4", vec![255, 255, 255, 254, 0, 0, 1, 0], ["-2", "256"]),
        (">u2", vec![1, 0, 255, 255], ["256", "65535"]),
        ("|u1", vec![0, 255], ["0", "255"]),
        ("|i1", vec![128, 127], ["-128", "127"]),
        ("|b1", vec![0, 1], ["False", "True"]),
        (">f4", vec![0x3f, 0, 0, 0, 0x40, 0, 0, 0], ["0.5", "2.0"]),
        ("|S1", b"ab".to_vec(), ["a", "b"]),
        ("|S3", b"a\0\0\xc3\xa9\0".to_vec(), ["a", "é"]),
        (">U1", vec![0, 0, 0, b'a', 0, 0, 0, 0xe9], ["a", "é"]),
    ] {
        assert_eq!(of_classes(2, descr, &bytes).unwrap(), expected, "{descr}");
    }
    assert!(of_classes(2, "|S1", b"a\xff").unwrap_err().contains("a text in it is none"));
    for descr in ["<i3", "|i8", "=i8", "<f2", "<i08", "<i+8", "|S0", "|V1", "<M8", "<i", "é", ""] {
        let problem = of_classes(2, descr, &[0; 16]).unwrap_err();
        assert!(problem.contains("is not known; save it as") || problem.contains("not what NumPy writes"), "{problem}");
    }
}

/// Returns a pickled call of NumPy's function for a scalar, as NumPy writes it among objects.
fn call(module: &str, code: &str, order: &str, bytes: &[u8]) -> Vec<u8> {
    let functions = format!("c{module}\nscalar\ncnumpy\ndtype\n").into_bytes();
    let state = [&b"\x89\x88\x87R(K\x03"[..], &text(order), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"].concat();
    [&functions, &text(code), &state, &[b'C', bytes.len() as u8][..], bytes, b"\x86R"].concat()
}

/// Returns a pickled string.
fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Returns the pickle of an array of these objects.
fn pickled(objects: &[u8]) -> Vec<u8> {
    [b"\x80\x03cnumpy\nndarray\n(K\x01](", objects, b"etb."].concat()
}

/// Returns the class names in these objects.
fn of_objects(objects: &[Vec<u8>]) -> Result<Vec<String>, String> {
    of_classes(objects.len(), "|O", &pickled(&objects.concat()))
}

/// The modules of that function in NumPy 1 and NumPy 2.
const ONE: &str = "numpy.core.multiarray";
const TWO: &str = "numpy._core.multiarray";

#[test]
fn numpy_scalar_objects_are_read() {
    let actual = of_objects(&[
        call(TWO, "U2", "<", b"n\0\0\0o\0\0\0"),
        call(ONE, "U1", ">", b"\0\0\0n"),
        call(TWO, "i8", "<", &(-300i64).to_le_bytes()),
        call(TWO, "u8", "<", &u64::MAX.to_le_bytes()),
        call(ONE, "i2", ">", &[1, 0]),
        call(TWO, "b1", "|", &[1]),
        call(TWO, "f4", "<", &0.1f32.to_le_bytes()),
        call(TWO, "S1", "|", b"a"),
        b"C\x02it".to_vec(),
        b"\x8a\x09\0\0\0\0\0\0\0\0\x01".to_vec(),
    ]);
    let expected = ["no", "n", "-300", "18446744073709551615", "256", "True", "0.1", "a", "it", "18446744073709551616"];
    assert_eq!(actual.unwrap(), expected);
}

/// NumPy memoizes a dtype before it sets the byte order.
#[test]
fn a_memoised_dtype_keeps_its_byte_order() {
    let remembered = call(TWO, "i2", ">", &[1, 0]);
    let at = remembered.windows(2).position(|bytes| bytes == b"\x87R").unwrap() + 2;
    let again = format!("c{TWO}\nscalar\nh\x05C\x02").into_bytes();
    let remembered = [&remembered[..at], b"q\x05", &remembered[at..], &again, &[0, 1], b"\x86R"].concat();
    assert_eq!(of_classes(2, "|O", &pickled(&remembered)).unwrap(), ["256", "1"]);
}

#[test]
fn other_pickle_calls_are_refused() {
    let functions = format!("c{TWO}\nscalar\ncnumpy\ndtype\n").into_bytes();
    let no_order = [&functions[..], &text("i8"), b"\x89\x88\x87RC\x01a\x86R"].concat();
    for object in [
        call("os", "i8", "<", &[0; 8]),
        call("numpy.core", "i8", "<", &[0; 8]),
        call(TWO, "i8", "<", &[0; 7]),
        call(TWO, "i8", "=", &[0; 8]),
        call(TWO, "O8", "|", &[0; 8]),
        call(TWO, "M8", "<", &[0; 8]),
        call(TWO, "U1", "<", &[0, 0xd8, 0, 0]),
        call(TWO, "S1", "|", b"\xff"),
        call(TWO, "f8", "<", &f64::NAN.to_le_bytes()),
        no_order,
        format!("c{TWO}\nscalar\n)R").into_bytes(),
        b"cnumpy\ndtype\n".to_vec(),
        b"C\x01\xff".to_vec(),
    ] {
        let problem = of_objects(&[b"K\x01".to_vec(), object.clone()]).unwrap_err();
        assert!(problem.contains("objects other than"), "{}: {problem}", String::from_utf8_lossy(&object));
    }
}

#[test]
fn damaged_scalar_objects_do_not_panic() {
    let valid = pickled(&call(TWO, "U1", "<", b"a\0\0\0"));
    for place in 0..valid.len() {
        for byte in
            [0, 1, 0x28, 0x29, 0x2e, 0x43, 0x52, 0x58, 0x5d, 0x62, 0x65, 0x68, 0x71, 0x74, 0x85, 0x87, 0x93, 0xff]
        {
            let mut damaged = valid.clone();
            damaged[place] = byte;
            let _ = of_classes(1, "|O", &damaged);
        }
    }
}

#[test]
fn a_scaler_may_only_centre_or_only_scale() {
    let floats = |shape: &str, numbers: &[f64]| {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        npy(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"), &bytes)
    };
    let model = |more: &[(&str, Vec<u8>)]| {
        let binary = [("coef.npy", floats("(1, 2)", &[1.0, -1.0])), ("intercept.npy", floats("(1,)", &[0.5]))];
        npz(&[&binary[..], more].concat())
    };
    let statistics = |more: &[(&str, Vec<u8>)]| Weights::read(&model(more), None).unwrap().about.mean_and_scale;
    let [mean, scale] = [("mean_.npy", floats("(2,)", &[3.0, 4.0])), ("scale_.npy", floats("(2,)", &[5.0, 6.0]))];
    assert_eq!(statistics(std::slice::from_ref(&mean)), Some([vec![3.0, 4.0], vec![1.0, 1.0]]));
    assert_eq!(statistics(std::slice::from_ref(&scale)), Some([vec![0.0, 0.0], vec![5.0, 6.0]]));
    let least = ("min_.npy", floats("(2,)", &[0.0, 0.0]));
    let problem = Weights::read(&model(&[scale, least]), None).unwrap_err().to_string();
    assert!(problem.contains("MinMaxScaler"), "{problem}");
}
