//! The results: perplexities, specialization and degeneralization, and the strength of a finished run.

use eframe::egui::{Align, Color32, Grid, Layout, RichText, Ui, vec2};
use minift::eval::{Metrics, Perplexities};

use crate::dial::{self, Moved};
use crate::format;
use crate::session::{Row, Session};
use crate::theme::Palette;
use crate::widgets::{card, small};

const COLUMNS: [(&str, &str, &str); 7] = [
    (
        "Domain",
        "perplexity",
        "On held-out domain text: lower is better",
    ),
    ("General", "perplexity", "On general text: lower is better"),
    (
        "S",
        "gained",
        "Domain perplexity before − after: higher is better",
    ),
    (
        "DG",
        "forgotten",
        "General perplexity after − before: lower is better",
    ),
    (
        "S/DG",
        "ratio",
        "Specialization per degeneralization: higher is better",
    ),
    (
        "Δ domain",
        "nats/token",
        "Change of the domain loss: lower is better",
    ),
    (
        "Δ general",
        "nats/token",
        "Change of the general loss: lower is better",
    ),
];

/// Column widths; the ratio column may contain text instead of a number.
const WIDTHS: [f32; 7] = [70.0, 70.0, 70.0, 70.0, 122.0, 74.0, 74.0];

/// Row height.
const ROW: f32 = 20.0;

/// Shows the table, or an explanation before the first results, and the strength of a finished run. Returns a strength
/// when it is moved.
pub fn show(ui: &mut Ui, session: &Session) -> Option<Moved> {
    card(ui, "Gained and forgotten", |ui| {
        let Some(original) = session.original() else {
            ui.label(small(
                "Specialization S, degeneralization DG and S/DG appear here after the first \
                 evaluations.",
            ));
            return None;
        };
        if let Some(verdict) = session.verdict() {
            ui.label(RichText::new(verdict).size(15.0));
        }
        let colours = Palette::of(ui);
        ui.spacing_mut().interact_size.y = ROW;
        Grid::new("results")
            .num_columns(8)
            .spacing([10.0, 3.0])
            .min_row_height(ROW)
            .show(ui, |ui| {
                ui.label("");
                for ((title, unit, help), width) in COLUMNS.into_iter().zip(WIDTHS) {
                    let heading = ui.vertical(|ui| {
                        ui.set_width(width);
                        ui.spacing_mut().item_spacing.y = 0.0;
                        for text in [RichText::new(title).strong(), small(unit)] {
                            ui.with_layout(Layout::top_down(Align::Max), |ui| ui.label(text));
                        }
                    });
                    heading.response.on_hover_text(help);
                }
                ui.end_row();
                ui.label(RichText::new("Original").color(colours.general));
                numbers(
                    ui,
                    [original.domain, original.general].map(format::perplexity),
                );
                ui.end_row();
                for row in session.rows() {
                    line(ui, &row, colours.method(row.method));
                }
                if let Some(row) = session.outcome() {
                    at_strength(ui, row, colours.method(row.method));
                }
            });
        session
            .strengths()
            .and_then(|strengths| dial::show(ui, strengths))
    })
}

/// The finished run at the chosen strength, if that is not full strength.
fn at_strength(ui: &mut Ui, row: &Row, colour: Color32) {
    let strengths = &row.strengths;
    let weight = strengths.chosen;
    if weight == 1.0 {
        return;
    }
    let name = format!("at strength {weight}");
    ui.label(RichText::new(name).color(colour));
    let about = match strengths.measured(weight) {
        Some(_) => "",
        None => "≈ ",
    };
    numbers(
        ui,
        cells(row.before, strengths.at(weight)).map(|cell| format!("{about}{cell}")),
    );
    ui.end_row();
}

fn line(ui: &mut Ui, row: &Row, colour: Color32) {
    ui.horizontal(|ui| {
        ui.set_min_width(110.0);
        ui.label(RichText::new(&row.name).color(colour).strong());
        if let Some(step) = row.so_far {
            ui.label(small(format!("step {}", format::count(step))));
        }
    });
    numbers(ui, cells(row.before, row.after));
    ui.end_row();
}

fn cells(before: Perplexities, after: Perplexities) -> [String; 7] {
    let metrics = Metrics::new(before, after);
    let nats = |after: f64, before: f64| format::signed((after / before).ln());
    [
        format::perplexity(after.domain),
        format::perplexity(after.general),
        format::decimal(metrics.specialization),
        format::decimal(metrics.degeneralization),
        metrics.ratio_in_words(),
        nats(after.domain, before.domain),
        nats(after.general, before.general),
    ]
}

fn numbers(ui: &mut Ui, texts: impl IntoIterator<Item = String>) {
    for (text, width) in texts.into_iter().zip(WIDTHS) {
        cell(ui, width, |ui| drop(ui.label(text)));
    }
}

fn cell(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    let layout = Layout::right_to_left(Align::Center);
    ui.allocate_ui_with_layout(vec2(width, ROW), layout, contents);
}
