//! The table: perplexities, gain and cost, and what they say.

use eframe::egui::{Align, Color32, Grid, Layout, RichText, Ui};

use crate::format;
use crate::session::{Row, Session};
use crate::theme::Palette;
use crate::widgets::{card, small};

const COLUMNS: [(&str, &str, &str); 7] = [
    (
        "Domain",
        "perplexity",
        "On held-out text of the domain: lower is better",
    ),
    (
        "General",
        "perplexity",
        "On text that should still be known: lower is better",
    ),
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
        "gain for each point",
        "Gain for each point forgotten: higher is better",
    ),
    (
        "Δ domain",
        "nats a token",
        "Change of the loss on the domain: lower is better",
    ),
    (
        "Δ general",
        "nats a token",
        "Change of the loss on general text: lower is better",
    ),
];

/// The table, also while it is still empty.
pub fn show(ui: &mut Ui, session: &Session) {
    card(ui, "Gained and forgotten", |ui| {
        let Some(untouched) = session.untouched() else {
            ui.label(small(
                "S, the domain's perplexity gained; DG, general perplexity lost; and S/DG, as soon as the run \
                 has measured them.",
            ));
            return;
        };
        if let Some(verdict) = session.verdict() {
            ui.label(RichText::new(verdict).size(15.0));
        }
        let colours = Palette::of(ui);
        let width = (ui.available_width() - 150.0) / COLUMNS.len() as f32 - 10.0;
        Grid::new("results")
            .num_columns(8)
            .spacing([10.0, 3.0])
            .show(ui, |ui| {
                ui.label("");
                for (title, unit, help) in COLUMNS {
                    cell(ui, width, |ui| {
                        ui.vertical(|ui| {
                            ui.spacing_mut().item_spacing.y = 0.0;
                            right(ui, RichText::new(title).strong());
                            right(ui, small(unit));
                        })
                        .response
                        .on_hover_text(help);
                    });
                }
                ui.end_row();
                ui.label(RichText::new("Untouched").color(colours.general));
                number(ui, width, format::perplexity(untouched.domain));
                number(ui, width, format::perplexity(untouched.general));
                ui.end_row();
                for row in session.rows() {
                    line(ui, width, &row, colours.method(row.method));
                }
            });
    });
}

fn line(ui: &mut Ui, width: f32, row: &Row, colour: Color32) {
    ui.horizontal(|ui| {
        ui.set_min_width(140.0);
        ui.label(RichText::new(&row.name).color(colour).strong());
        if let Some(step) = row.so_far {
            ui.label(small(format!("step {}", format::count(step))));
        }
    });
    let metrics = row.metrics();
    let nats = |after: f64, before: f64| format::signed((after / before).ln());
    for text in [
        format::perplexity(row.after.domain),
        format::perplexity(row.after.general),
        format::decimal(metrics.specialization),
        format::decimal(metrics.degeneralization),
        metrics.ratio_in_words(),
        nats(row.after.domain, row.before.domain),
        nats(row.after.general, row.before.general),
    ] {
        number(ui, width, text);
    }
    ui.end_row();
}

fn number(ui: &mut Ui, width: f32, text: String) {
    cell(ui, width, |ui| right(ui, RichText::new(text)));
}

fn cell(ui: &mut Ui, width: f32, contents: impl FnOnce(&mut Ui)) {
    ui.vertical(|ui| {
        ui.set_width(width);
        contents(ui);
    });
}

fn right(ui: &mut Ui, text: RichText) {
    ui.with_layout(Layout::top_down(Align::Max), |ui| ui.label(text));
}
