//! Types of plain scalars: the core schema of YAML 1.2.2, chapter 10.3.
//!
//! `yes`, `no`, `on` and `off` are text here, and `012` is twelve: the rules of YAML 1.1 are what
//! made country codes false.

use super::node::Value;

/// The value of a plain scalar.
pub(super) fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    if let Some(whole) = integer(text) {
        return Value::Int(whole);
    }
    float(text).map_or_else(|| Value::String(text.to_owned()), Value::Float)
}

fn integer(text: &str) -> Option<i128> {
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return digits(hexadecimal, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

fn digits(text: &str, radix: u32) -> Option<i128> {
    // from_str_radix would also take a sign, which the schema does not allow after a prefix.
    let sound = !text.is_empty() && text.chars().all(|digit| digit.is_digit(radix));
    sound.then(|| i128::from_str_radix(text, radix).ok()).flatten()
}

fn float(text: &str) -> Option<f64> {
    let (unsigned, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1.0),
        None => (text.strip_prefix('+').unwrap_or(text), 1.0),
    };
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Some(sign * f64::INFINITY);
    }
    // Rust would also take `inf`, `nan` and `infinity`: only digits, a point and an exponent pass.
    let numeric = unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    let starts = unsigned.strip_prefix('.').unwrap_or(unsigned).bytes().next()?.is_ascii_digit();
    (numeric && starts).then(|| unsigned.parse::<f64>().ok()).flatten().map(|number| sign * number)
}
