//! Completions of a prompt by both models.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    Align, Button, Color32, Frame, Layout, RichText, ScrollArea, TextEdit, TextStyle, Ui, Vec2,
};
use minift::demo::{DOMAIN_PROMPT, GENERAL_PROMPT};

use crate::drive;
use crate::session::{Answers, Session};
use crate::setup::Method;
use crate::theme::Palette;
use crate::widgets::{alert, button, card, small};

/// Maximum prompt length in characters.
const MAX_PROMPT: usize = 2000;

/// Shows the prompt and both completions. Returns the prompt when it is submitted.
pub fn show(ui: &mut Ui, prompt: &mut String, session: &Session, method: Method) -> Option<String> {
    let mut submitted = None;
    card(ui, "Before and after", |ui| {
        let answers = &session.answers;
        ui.horizontal(|ui| {
            let buttons = 252.0;
            let field = TextEdit::multiline(prompt)
                .char_limit(MAX_PROMPT)
                .desired_rows(2)
                .hint_text("A prompt for both models to complete")
                .desired_width(ui.available_width() - buttons);
            let field = ui.add(field);
            drive::mark("prompt", &field);
            let ready = session.has_models() && !answers.busy && !prompt.trim().is_empty();
            let ask = button(ui, "ask", Button::new("Continue"), Vec2::ZERO, ready);
            let ask = ask.on_disabled_hover_text("Requires a model trained for at least one step.");
            if ask.clicked() {
                submitted = Some(prompt.clone());
            }
            for (label, example) in [("A ticket", DOMAIN_PROMPT), ("A tale", GENERAL_PROMPT)] {
                if ui.button(label).on_hover_text(example).clicked() {
                    *prompt = example.to_string();
                }
            }
        });
        if let Some(error) = &answers.error {
            alert(ui, error);
        }
        if answers.prompt.is_empty() {
            ui.label(small("Compare how both models complete the same prompt."));
            return;
        }
        let colours = Palette::of(ui);
        ui.columns_const(|[left, right]| {
            voice(
                left,
                "Original",
                colours.general,
                answers,
                &answers.original,
            );
            voice(
                right,
                "Trained",
                colours.method(method),
                answers,
                &answers.trained,
            );
        });
    });
    submitted
}

fn voice(ui: &mut Ui, name: &str, colour: Color32, answers: &Answers, text: &str) {
    let colours = Palette::of(ui);
    ui.label(RichText::new(name).color(colour).strong());
    Frame::new()
        .fill(colours.paper)
        .corner_radius(6)
        .inner_margin(8)
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            let area = ScrollArea::vertical()
                .id_salt(name)
                .auto_shrink([false, true])
                .max_height(66.0);
            area.show(ui, |ui| {
                let font = TextStyle::Body.resolve(ui.style());
                let mut job = LayoutJob::default();
                job.append(
                    &answers.prompt,
                    0.0,
                    TextFormat::simple(font.clone(), colours.muted),
                );
                job.append(text, 0.0, TextFormat::simple(font, colours.ink));
                // Columns justify their text by default.
                ui.with_layout(Layout::top_down(Align::Min), |ui| ui.label(job));
            });
        });
}
