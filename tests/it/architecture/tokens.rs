//! Rust sources as tokens.

/// A token and its line.
#[derive(Debug)]
pub struct Token {
    pub line: usize,
    pub text: String,
}

/// Returns whether a token is an identifier or keyword.
pub fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Splits a source into names, strings, `::` and single characters. Comments and spaces are skipped.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let begin = at;
        let rest = &chars[at..];
        let is = |prefix: &str| rest.iter().copied().take(prefix.len()).eq(prefix.chars());
        if is("//") {
            at += rest.iter().take_while(|&&c| c != '\n').count();
        } else if is("/*") {
            let mut depth = 0;
            while at < chars.len() {
                match (chars[at], chars.get(at + 1)) {
                    ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
                    ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
                    _ => at += 1,
                }
                if depth == 0 {
                    break;
                }
            }
        } else if let Some(length) = string(rest) {
            at += length;
        } else if is("::") {
            at += 2;
        } else if rest[0].is_alphanumeric() || rest[0] == '_' {
            at += rest
                .iter()
                .take_while(|c| c.is_alphanumeric() || **c == '_')
                .count();
        } else {
            at += 1;
        }
        let token: String = chars[begin..at].iter().collect();
        if !token.trim().is_empty() && !token.starts_with("//") && !token.starts_with("/*") {
            tokens.push(Token {
                line,
                text: token.clone(),
            });
        }
        line += token.matches('\n').count();
    }
    tokens
}

/// Returns the length of the string or character that starts here, if any. Of a lifetime, only `'` counts.
fn string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| "brc".contains(**c)).count();
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let (open, body) = (rest.get(prefix + hashes)?, &rest[prefix + hashes + 1..]);
    let head = prefix + hashes + 1;
    if *open == '\'' && hashes == 0 && prefix < 2 {
        let length = if body.first() == Some(&'\\') {
            1 + body[1..].iter().skip(1).take_while(|c| **c != '\'').count() + 1
        } else {
            1
        };
        return Some(
            head + if body.get(length) == Some(&'\'') {
                length + 1
            } else {
                0
            },
        );
    }
    if *open != '"' || prefix > 2 {
        return None;
    }
    if rest[..prefix].contains(&'r') {
        let end = |at: &usize| {
            body[*at] == '"' && body[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
        };
        return Some(head + (0..body.len()).find(end)? + 1 + hashes);
    }
    if hashes > 0 {
        return None;
    }
    let mut at = 0;
    while at < body.len() && body[at] != '"' {
        at += if body[at] == '\\' { 2 } else { 1 };
    }
    Some(head + at + 1)
}
