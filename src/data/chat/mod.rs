//! placeholder
use crate::error::Result;
use std::{ops::Range, path::Path};
/// A.
#[derive(Debug)]
pub struct ChatTemplate;
/// B.
#[derive(Debug)]
pub struct Rendered {
    /// t
    pub text: String,
    /// a
    pub assistant: Vec<Range<usize>>,
}
impl ChatTemplate {
    /// p
    pub fn parse(_: Option<&[u8]>, _: Option<&[u8]>, _: &Path) -> Result<Option<Self>> {
        Ok(None)
    }
    /// r
    pub fn render(
        &self,
        _: &[serde_json::Value],
        _: Option<&serde_json::Value>,
        _: bool,
    ) -> Result<String> {
        unimplemented!()
    }
    /// m
    pub fn render_marked(
        &self,
        _: &[serde_json::Value],
        _: Option<&serde_json::Value>,
    ) -> Result<Rendered> {
        unimplemented!()
    }
}
