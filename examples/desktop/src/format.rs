//! Number formatting.

/// A true minus sign, as wide as a plus.
const MINUS: char = '−';

/// Formats an integer with thousands separators: 361,280.
pub fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a perplexity with a precision that suits its magnitude.
pub fn perplexity(value: f64) -> String {
    if !value.is_finite() {
        "not a number".to_string()
    } else if value < 1000.0 {
        format!("{value:.2}")
    } else {
        count(value.round() as usize)
    }
}

/// Formats a number with two decimals and a true minus sign.
pub fn decimal(value: f64) -> String {
    format!("{value:.2}").replace('-', &MINUS.to_string())
}

/// Formats a number with two decimals and an explicit sign.
pub fn signed(value: f64) -> String {
    format!("{value:+.2}").replace('-', &MINUS.to_string())
}

/// Formats a duration: 42 s, 1 min 20 s, 2 h 5 min.
pub fn duration(seconds: f64) -> String {
    // NaN before the first step; clamped to keep the conversion in range.
    let whole = seconds.clamp(0.0, 1e9).round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Formats bytes as mebibytes.
pub fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", count(bytes.div_ceil(1 << 20) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted() {
        assert_eq!(count(7), "7");
        assert_eq!(count(1234), "1,234");
        assert_eq!(count(361_280), "361,280");
        assert_eq!(perplexity(530.8), "530.80");
        assert_eq!(perplexity(12_345.6), "12,346");
        assert_eq!(perplexity(f64::INFINITY), "not a number");
        assert_eq!(signed(-0.5), "−0.50");
        assert_eq!(signed(0.5), "+0.50");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(80.0), "1 min 20 s");
        assert_eq!(duration(7500.0), "2 h 5 min");
        assert_eq!(duration(f64::NAN), "0 s");
        assert_eq!(mebibytes(1), "1 MiB");
    }
}
