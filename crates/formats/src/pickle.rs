//! The names in a NumPy array of Python objects, as pandas' texts come.
//!
//! Such an array is pickled, and a pickle is a program that may call whatever Python knows. Here
//! none of it is called: of the opcodes
//! (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>) those that NumPy needs for a
//! list of texts, numbers and truth values put these on a stack, what a call would give is
//! [`Value::Other`], and every other opcode ends the reading.

use std::collections::BTreeMap;

/// Bytes of a text, at most: as many as the longest name may have.
const LONGEST_TEXT: usize = 400;
/// Bytes of a pickle, at most: more than those of 256 such names.
const MOST_BYTES: usize = 1 << 17;

/// What lies on the stack. Nothing lies in anything else, so that no pickle can nest them.
#[derive(Clone)]
enum Value {
    /// A text, a number or a truth value, as Python's `str` writes it.
    Name(String),
    /// The list of objects, and each tuple that it is in.
    List(Vec<String>),
    /// What is no name: types, shapes, `None`.
    Other,
}

/// Reads the objects of an array, as their names.
///
/// # Errors
/// Where the pickle is damaged, or holds what is no name.
pub(crate) fn names(bytes: &[u8]) -> Result<Vec<String>, String> {
    let machine = Machine { rest: bytes, stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    let names = if bytes.len() > MOST_BYTES { None } else { machine.run() };
    names.ok_or_else(|| {
        "it holds Python objects other than short texts, numbers, True and False, which only Python can read, and which may run code".to_owned()
    })
}

struct Machine<'a> {
    rest: &'a [u8],
    stack: Vec<Value>,
    /// Lengths of the stack.
    marks: Vec<usize>,
    memo: BTreeMap<usize, Value>,
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
                0x88 => self.push("True"),
                0x89 => self.push("False"),
                b'N' => self.stack.push(Value::Other),
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.integer(1, false)?,
                b'M' => self.integer(2, false)?,
                b'J' => self.integer(4, true)?,
                0x8a => {
                    let size = self.size(1).filter(|size| (1..=8).contains(size))?;
                    self.integer(size, true)?;
                }
                // BINFLOAT
                b'G' => {
                    let number = f64::from_be_bytes(self.take(8)?.try_into().ok()?);
                    self.push(&float_name(number, false)?);
                }
                // GLOBAL, STACK_GLOBAL: a module's and a thing's name.
                b'c' => {
                    self.line()?;
                    self.line()?;
                    self.stack.push(Value::Other);
                }
                0x93 => self.replace(2)?,
                // REDUCE: a call, of a function and its arguments. BUILD: an object and its state.
                b'R' => {
                    self.pop()?;
                    self.pop()?;
                    self.stack.push(Value::Other);
                }
                b'b' => self.replace(2)?,
                // MARK, EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
                b'(' => self.marks.push(self.stack.len()),
                b')' => self.stack.push(Value::Other),
                0x85 => self.replace(1)?,
                0x86 => self.replace(2)?,
                0x87 => self.replace(3)?,
                b't' => {
                    let count = self.count_to_mark()?;
                    self.replace(count)?;
                }
                // EMPTY_LIST, APPEND, APPENDS
                b']' => self.stack.push(Value::List(Vec::new())),
                b'a' => self.append(1)?,
                b'e' => {
                    let count = self.count_to_mark()?;
                    self.append(count)?;
                }
                // MEMOIZE, BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                0x94 => self.remember(self.memo.len())?,
                op @ (b'q' | b'r') => {
                    let key = self.size(if op == b'q' { 1 } else { 4 })?;
                    self.remember(key)?;
                }
                op @ (b'h' | b'j') => {
                    let key = self.size(if op == b'h' { 1 } else { 4 })?;
                    self.stack.push(self.memo.get(&key)?.clone());
                }
                // STOP
                b'.' => {
                    return match self.pop()? {
                        Value::List(names) => Some(names),
                        Value::Name(_) | Value::Other => None,
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

    /// A length of so many bytes.
    fn size(&mut self, bytes: usize) -> Option<usize> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |size, &byte| (size << 8) | usize::from(byte)))
    }

    fn line(&mut self) -> Option<()> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        self.skip(end + 1)
    }

    fn text(&mut self, length: usize) -> Option<()> {
        let size = self.size(length).filter(|&size| size <= LONGEST_TEXT)?;
        let text = std::str::from_utf8(self.take(size)?).ok()?;
        self.push(text);
        Some(())
    }

    fn bytes(&mut self, length: usize) -> Option<()> {
        let size = self.size(length)?;
        self.skip(size)?;
        self.stack.push(Value::Other);
        Some(())
    }

    fn integer(&mut self, size: usize, is_signed: bool) -> Option<()> {
        let taken = self.take(size)?;
        let is_negative = is_signed && taken.last().is_some_and(|last| *last >= 0x80);
        let filled =
            taken.iter().rev().fold(if is_negative { -1 } else { 0 }, |n: i64, &byte| (n << 8) | i64::from(byte));
        self.push(&filled.to_string());
        Some(())
    }

    fn push(&mut self, name: &str) {
        self.stack.push(Value::Name(name.to_owned()));
    }

    /// Nothing is taken from below a mark.
    fn pop(&mut self) -> Option<Value> {
        if self.marks.last().is_some_and(|&mark| self.stack.len() <= mark) { None } else { self.stack.pop() }
    }

    fn count_to_mark(&mut self) -> Option<usize> {
        let mark = self.marks.pop()?;
        self.stack.len().checked_sub(mark)
    }

    /// Puts one value in the place of several: the list, where it is one of them.
    fn replace(&mut self, count: usize) -> Option<()> {
        let mut value = Value::Other;
        for _ in 0..count {
            if let list @ Value::List(_) = self.pop()? {
                value = list;
            }
        }
        self.stack.push(value);
        Some(())
    }

    fn append(&mut self, count: usize) -> Option<()> {
        let place = self.stack.len().checked_sub(count)?;
        let mut names = Vec::new();
        for value in self.stack.drain(place..) {
            let Value::Name(name) = value else { return None };
            names.push(name);
        }
        let Some(Value::List(list)) = self.stack.last_mut() else { return None };
        list.extend(names);
        Some(())
    }

    fn remember(&mut self, key: usize) -> Option<()> {
        let value = match self.stack.last()? {
            Value::Name(name) => Value::Name(name.clone()),
            Value::List(_) | Value::Other => Value::Other,
        };
        self.memo.insert(key, value);
        Some(())
    }
}

/// `1.0`, `0.5`: what Python's `str` makes of a number of usual size; none of what is not finite.
pub(crate) fn float_name(number: f64, is_f32: bool) -> Option<String> {
    number.is_finite().then(|| if is_f32 { format!("{:?}", number as f32) } else { format!("{number:?}") })
}
