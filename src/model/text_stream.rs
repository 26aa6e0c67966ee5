//! Incremental decoding of generated tokens.

use crate::error::Result;

/// Decodes a stream of tokens piece by piece.
///
/// What a token decodes to depends on the tokens around it: a character can take several tokens, and a
/// tokenizer may treat the start of a text differently. Each step therefore decodes the last piece
/// together with the tokens after it, and returns the text that these add.
#[derive(Debug, Default)]
pub(super) struct TextStream {
    tokens: Vec<u32>,
    /// Index of the first token of the last piece.
    context: usize,
    /// Index of the first token after the last piece.
    pending: usize,
}

impl TextStream {
    /// Adds a token and returns the text that it completes, if any.
    pub(super) fn push(
        &mut self,
        token: u32,
        decode: impl Fn(&[u32]) -> Result<String>,
    ) -> Result<Option<String>> {
        self.tokens.push(token);
        let known = decode(&self.tokens[self.context..self.pending])?;
        let text = decode(&self.tokens[self.context..])?;
        let piece = text.get(known.len()..).unwrap_or_default();
        if piece.is_empty() || text.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(None);
        }
        self.context = self.pending;
        self.pending = self.tokens.len();
        Ok(Some(piece.to_string()))
    }

    /// Returns the tokens so far.
    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::TextReader;
    use crate::model::files::ModelFiles;

    fn pieces(ids: &[u32], decode: impl Fn(&[u32]) -> Result<String>) -> Vec<String> {
        let mut stream = TextStream::default();
        let pushed = ids
            .iter()
            .filter_map(|&id| stream.push(id, &decode).unwrap());
        pushed.collect()
    }

    #[test]
    fn pieces_make_up_the_text_and_split_no_character() {
        let reader = TextReader::new(ModelFiles::embedded()).unwrap();
        let tokenizer = reader.tokenizer();
        for text in [
            "Once upon a time, there was a little girl.",
            " ½ €5, naïve 😀😀 – 北京!\n\n  two  spaces ",
        ] {
            let ids = tokenizer.encode(text).unwrap();
            let pieces = pieces(&ids, |ids| tokenizer.decode(ids));
            assert_eq!(pieces.concat(), tokenizer.decode(&ids).unwrap());
            assert!(pieces.len() > 3, "{pieces:?}");
            assert!(!pieces.concat().contains(char::REPLACEMENT_CHARACTER));
        }
    }

    /// A tokenizer that strips the space before the first word.
    #[test]
    fn spaces_between_words_stay() {
        let decode = |ids: &[u32]| {
            let words = ids.iter().map(|id| format!(" w{id}"));
            Ok(words.collect::<String>().trim_start().to_string())
        };
        assert_eq!(pieces(&[1, 2, 3], decode).concat(), "w1 w2 w3");
    }

    #[test]
    fn each_step_decodes_a_few_tokens() {
        let longest = Cell::new(0);
        let decode = |ids: &[u32]| {
            longest.set(longest.get().max(ids.len()));
            Ok("word ".repeat(ids.len()))
        };
        let pieces = pieces(&vec![7; 1000], decode);
        assert_eq!(pieces.len(), 1000);
        assert!(longest.get() <= 2, "{} tokens at once", longest.get());
    }
}
