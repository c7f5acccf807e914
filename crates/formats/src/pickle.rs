//! Reads the names in a NumPy array of Python objects, such as pandas' texts.
//!
//! Such an array is pickled, and a pickle is a program that may call any Python function. This
//! reader calls none. It interprets only the opcodes
//! (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>) that NumPy needs for a list
//! of texts, numbers, booleans and its own scalars. It recognises two calls by the function's name:
//! `numpy.dtype`, and `numpy.core.multiarray.scalar`, which makes a NumPy number or text from a
//! type and bytes. The result of any other call is [`Plain::Other`]. Any other opcode is an error.

use std::collections::BTreeMap;

use crate::npy::{Element, float_name, integer};

/// The largest number of bytes in a text: as many as the longest name may have.
const MAX_TEXT_LENGTH: usize = 400;
/// The largest number of bytes in a pickle: more than 256 such names need.
const MAX_BYTES: usize = 1 << 17;

/// A value on the stack.
#[derive(Clone)]
enum Value<'a> {
    Plain(Plain<'a>),
    /// The list of objects, or a tuple that contains it.
    List(Vec<String>),
    /// The first values of a tuple. Only a few are needed. No other value contains values, so a
    /// pickle cannot nest.
    Tuple(Vec<Plain<'a>>),
}

/// A value that contains no other value.
#[derive(Clone, Copy)]
enum Plain<'a> {
    /// A text.
    Text(&'a str),
    Integer(i128),
    Float(f64),
    Truth(bool),
    Bytes(&'a [u8]),
    /// A NumPy type, by its index in `types`.
    Type(usize),
    /// A NumPy scalar of this type.
    Scalar(Element, &'a [u8]),
    Function(Function),
    /// A value that is not a name, such as a shape or `None`.
    Other,
}

/// A recognised function.
#[derive(Clone, Copy)]
enum Function {
    Type,
    Scalar,
}

impl Function {
    fn find(module: &str, name: &str) -> Option<Self> {
        match (module, name) {
            ("numpy", "dtype") => Some(Self::Type),
            // NumPy 1, and NumPy 2.
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Some(Self::Scalar),
            _ => None,
        }
    }
}

/// A pickled scalar type: a code such as `i8`, and the byte order once it is known.
struct Type<'a> {
    code: &'a str,
    order: Option<&'a str>,
}

/// The number of tuple values to keep.
const MAX_TUPLE_VALUES: usize = 2;

impl Plain<'_> {
    /// Returns the value as Python's `str` writes it.
    fn name(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.to_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => float_name(number, false),
            Self::Truth(truth) => Some(if truth { "True" } else { "False" }.to_owned()),
            // Bytes are decoded as UTF-8.
            Self::Bytes(bytes) if bytes.len() <= MAX_TEXT_LENGTH => String::from_utf8(bytes.to_vec()).ok(),
            // A scalar has exactly one element.
            Self::Scalar(element, bytes) => element.read(bytes).ok()?.names()?.pop(),
            Self::Bytes(_) | Self::Type(_) | Self::Function(_) | Self::Other => None,
        }
    }
}

/// Reads the objects of an array as names.
///
/// # Errors
/// Fails if the pickle is damaged or contains an object that is not a name.
pub(crate) fn names(bytes: &[u8]) -> Result<Vec<String>, String> {
    let machine =
        Machine { rest: bytes, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new(), types: Vec::new() };
    let names = if bytes.len() > MAX_BYTES { None } else { machine.run() };
    names.ok_or_else(|| {
        "it holds Python objects other than short texts, numbers, True and False, which only Python can read, and which may run code".to_owned()
    })
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// Stack lengths at the marks.
    marks: Vec<usize>,
    memo: BTreeMap<usize, Value<'a>>,
    types: Vec<Type<'a>>,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Option<Vec<String>> {
        loop {
            match self.byte()? {
                // PROTO, FRAME
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                // SHORT_BINUNICODE, BINUNICODE
                0x8c => self.text(1)?,
                b'X' => self.text(4)?,
                // SHORT_BINBYTES, BINBYTES
                b'C' => self.bytes(1)?,
                b'B' => self.bytes(4)?,
                // NEWTRUE, NEWFALSE, NONE
                0x88 => self.push(Plain::Truth(true)),
                0x89 => self.push(Plain::Truth(false)),
                b'N' => self.push(Plain::Other),
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.integer(1, false)?,
                b'M' => self.integer(2, false)?,
                b'J' => self.integer(4, true)?,
                0x8a => {
                    let size = self.size(1).filter(|size| (1..=16).contains(size))?;
                    self.integer(size, true)?;
                }
                // BINFLOAT
                b'G' => {
                    let number = f64::from_be_bytes(self.take(8)?.try_into().ok()?);
                    self.push(Plain::Float(number));
                }
                // GLOBAL, STACK_GLOBAL: the names of a module and of its member.
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.global(module, name);
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Plain(Plain::Text(name)), Value::Plain(Plain::Text(module))) => self.global(module, name),
                    _ => return None,
                },
                // REDUCE: a call, of a function and its arguments. BUILD: an object and its state.
                b'R' => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    let made = self.call(&function, &arguments)?;
                    self.push(made);
                }
                b'b' => {
                    let (state, object) = (self.pop()?, self.pop()?);
                    let object = self.build(object, state)?;
                    self.stack.push(object);
                }
                // MARK, EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.tuple(0)?,
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let count = self.count_to_mark()?;
                    self.tuple(count)?;
                }
                // EMPTY_LIST, APPEND, APPENDS
                b']' => self.stack.push(Value::List(Vec::new())),
                b'a' => self.append(1)?,
                b'e' => {
                    let count = self.count_to_mark()?;
                    self.append(count)?;
                }
                // MEMOIZE, BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                0x94 => self.memoize(self.memo.len())?,
                op @ (b'q' | b'r') => {
                    let key = self.size(if op == b'q' { 1 } else { 4 })?;
                    self.memoize(key)?;
                }
                op @ (b'h' | b'j') => {
                    let key = self.size(if op == b'h' { 1 } else { 4 })?;
                    self.stack.push(self.memo.get(&key)?.clone());
                }
                // STOP
                b'.' => {
                    return match self.pop()? {
                        Value::List(names) => Some(names),
                        Value::Plain(_) | Value::Tuple(_) => None,
                    };
                }
                _ => return None,
            }
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    /// Reads a length of `bytes` bytes.
    fn size(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |size, &byte| (size << 8) | usize::from(byte)))
    }

    fn line(&mut self) -> Option<&'a str> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line = self.take(end)?;
        self.skip(1)?;
        std::str::from_utf8(line).ok()
    }

    fn text(&mut self, length: usize) -> Option<()> {
        let size = self.size(length).filter(|&size| size <= MAX_TEXT_LENGTH)?;
        let text = std::str::from_utf8(self.take(size)?).ok()?;
        self.push(Plain::Text(text));
        Some(())
    }

    fn bytes(&mut self, length: usize) -> Option<()> {
        let size = self.size(length)?;
        let bytes = self.take(size)?;
        self.push(Plain::Bytes(bytes));
        Some(())
    }

    fn integer(&mut self, size: usize, is_signed: bool) -> Option<()> {
        let taken = self.take(size)?;
        self.push(Plain::Integer(integer(taken.iter().rev(), is_signed)));
        Some(())
    }

    fn push(&mut self, plain: Plain<'a>) {
        self.stack.push(Value::Plain(plain));
    }

    fn global(&mut self, module: &str, name: &str) {
        self.push(Function::find(module, name).map_or(Plain::Other, Plain::Function));
    }

    /// Returns the result of a call. Returns `None` if a recognised function has invalid arguments.
    fn call(&mut self, function: &Value, arguments: &Value<'a>) -> Option<Plain<'a>> {
        let Value::Plain(Plain::Function(function)) = function else { return Some(Plain::Other) };
        match (function, arguments) {
            (Function::Type, Value::Tuple(arguments)) => {
                let Some(&Plain::Text(code)) = arguments.first() else { return None };
                self.types.push(Type { code, order: None });
                Some(Plain::Type(self.types.len() - 1))
            }
            (Function::Scalar, Value::Tuple(arguments)) => {
                let &[Plain::Type(number), Plain::Bytes(bytes)] = arguments.as_slice() else { return None };
                let Type { code, order } = &self.types[number];
                let element = Element::parse(&format!("{}{code}", (*order)?))?;
                let has_valid_size = element.size() == bytes.len() && bytes.len() <= MAX_TEXT_LENGTH;
                has_valid_size.then_some(Plain::Scalar(element, bytes))
            }
            _ => None,
        }
    }

    /// Applies the state to an object: the byte order to a type, the list to an array.
    fn build(&mut self, object: Value<'a>, state: Value<'a>) -> Option<Value<'a>> {
        match (object, state) {
            (Value::Plain(Plain::Type(number)), Value::Tuple(state)) => {
                let &[_, Plain::Text(order)] = state.as_slice() else { return None };
                self.types[number].order = Some(order);
                Some(Value::Plain(Plain::Type(number)))
            }
            (list @ Value::List(_), _) | (_, list @ Value::List(_)) => Some(list),
            _ => Some(Value::Plain(Plain::Other)),
        }
    }

    /// Pops a value, but never one below a mark.
    fn pop(&mut self) -> Option<Value<'a>> {
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) { None } else { self.stack.pop() }
    }

    fn count_to_mark(&mut self) -> Option<usize> {
        let mark = self.marks.pop()?;
        self.stack.len().checked_sub(mark)
    }

    /// Replaces the top `count` values by a tuple, or by the list if it is one of them.
    fn tuple(&mut self, count: usize) -> Option<()> {
        let (mut values, mut list) = (Vec::new(), None);
        for place in (0..count).rev() {
            match self.pop()? {
                found @ Value::List(_) => list = Some(found),
                Value::Plain(plain) if place < MAX_TUPLE_VALUES => values.push(plain),
                Value::Tuple(_) if place < MAX_TUPLE_VALUES => values.push(Plain::Other),
                Value::Plain(_) | Value::Tuple(_) => {}
            }
        }
        values.reverse();
        self.stack.push(list.unwrap_or(Value::Tuple(values)));
        Some(())
    }

    fn append(&mut self, count: usize) -> Option<()> {
        let place = self.stack.len().checked_sub(count)?;
        let mut names = Vec::new();
        for value in self.stack.drain(place..) {
            let Value::Plain(plain) = value else { return None };
            names.push(plain.name()?);
        }
        let Some(Value::List(list)) = self.stack.last_mut() else { return None };
        list.extend(names);
        Some(())
    }

    fn memoize(&mut self, key: usize) -> Option<()> {
        let value = match self.stack.last()? {
            // The list may be large, so it is not copied.
            Value::List(_) => Value::Plain(Plain::Other),
            other => other.clone(),
        };
        self.memo.insert(key, value);
        Some(())
    }
}
