//! HTML pages that contain all they show.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::plot;

const STYLE: &str = include_str!("page.css");

/// A plot with title and caption.
pub(crate) struct Figure {
    /// The title.
    pub title: &'static str,
    /// The caption, with how to read the plot.
    pub caption: String,
    /// The plot as SVG.
    pub svg: String,
}

/// Returns a page.
pub(crate) fn page(title: &str, body: Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// Returns plots beside each other.
pub(crate) fn figures(figures: &[Figure]) -> Markup {
    html! {
        div.figures { @for figure in figures {
            figure {
                h3 { (figure.title) }
                div role="img" aria-label=(format!("{}. The table has the values.", figure.title)) {
                    (PreEscaped(&figure.svg))
                }
                figcaption { (figure.caption) }
            }
        } }
    }
}

/// Returns the names of lines in the colours of their numbers.
pub(crate) fn legend<'a>(names: impl IntoIterator<Item = (&'a str, String)>) -> Markup {
    html! {
        ul.legend { @for (number, (name, note)) in names.into_iter().enumerate() {
            li {
                span.swatch style={
                    "border-top-color:" (plot::colour(number))
                    ";border-top-style:" (plot::Stroke::of(number).css())
                } {}
                (name) " " small { (note) }
            }
        } }
    }
}

/// Formats a number with at least three digits.
pub(crate) fn format_number(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    };
    // No minus sign for what rounds to 0.
    match text.as_str() {
        "-0.00" => "0.00".to_string(),
        _ => text,
    }
}
