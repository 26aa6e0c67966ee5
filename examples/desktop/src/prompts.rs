//! The conversation with both models.

use eframe::egui::text::{LayoutJob, TextFormat};
use eframe::egui::{
    Align, Button, Color32, Frame, Layout, RichText, ScrollArea, TextEdit, TextStyle, Ui, Vec2,
};
use minift::demo::{DOMAIN_PROMPT, GENERAL_PROMPT};

use crate::drive;
use crate::session::{Session, Turn};
use crate::setup::Method;
use crate::theme::Palette;
use crate::widgets::{alert, button, card, small};

/// Maximum prompt length in characters.
const MAX_PROMPT: usize = 2000;

/// Height of what a model that continues texts said.
const TEXT_HEIGHT: f32 = 66.0;
/// Height of a chat.
const CHAT_HEIGHT: f32 = 220.0;

/// What was asked for.
pub enum Asked {
    /// An answer to a prompt.
    Answer(String),
    /// The end of the answers in progress.
    Stop,
    /// A new conversation.
    Clear,
}

/// Shows the prompt and what both models said.
pub fn show(ui: &mut Ui, prompt: &mut String, session: &Session, method: Method) -> Option<Asked> {
    let mut asked = None;
    let title = match session.can_chat() {
        true => "Chat",
        false => "Before and after",
    };
    card(ui, title, |ui| {
        let answers = &session.answers;
        ui.horizontal(|ui| {
            let buttons = 252.0;
            let hint = match session.can_chat() {
                true => "A question for both models to answer",
                false => "A text for both models to continue",
            };
            let field = TextEdit::multiline(prompt)
                .char_limit(MAX_PROMPT)
                .desired_rows(2)
                .hint_text(hint)
                .desired_width(ui.available_width() - buttons);
            let field = ui.add(field);
            drive::mark("prompt", &field);
            asked = buttons_of(ui, prompt, session);
        });
        if let Some(error) = &answers.error {
            alert(ui, error);
        }
        if answers.turns.is_empty() {
            ui.label(small("Compare what both models say to the same prompt."));
            return;
        }
        let colours = Palette::of(ui);
        ui.columns_const(|[left, right]| {
            let original = |turn: &Turn| turn.original.clone();
            voice(left, "Original", colours.general, session, original);
            let trained = |turn: &Turn| turn.trained.clone();
            voice(right, "Trained", colours.method(method), session, trained);
        });
    });
    asked
}

fn buttons_of(ui: &mut Ui, prompt: &mut String, session: &Session) -> Option<Asked> {
    if session.answers.busy.is_some() {
        let stop = button(ui, "stop", Button::new("Stop"), Vec2::ZERO, true);
        return stop.clicked().then_some(Asked::Stop);
    }
    let can_chat = session.can_chat();
    let name = if can_chat { "Send" } else { "Continue" };
    let ready = session.has_models() && !prompt.trim().is_empty();
    let ask = button(ui, "ask", Button::new(name), Vec2::ZERO, ready);
    let ask = ask.on_disabled_hover_text("Requires a model trained for at least one step.");
    if ask.clicked() {
        let text = match can_chat {
            true => std::mem::take(prompt),
            false => prompt.clone(),
        };
        return Some(Asked::Answer(text));
    }
    if can_chat {
        let clear = Button::new("New chat");
        let clear = button(
            ui,
            "clear",
            clear,
            Vec2::ZERO,
            !session.answers.turns.is_empty(),
        );
        return clear.clicked().then_some(Asked::Clear);
    }
    for (label, example) in [("A ticket", DOMAIN_PROMPT), ("A tale", GENERAL_PROMPT)] {
        if ui.button(label).on_hover_text(example).clicked() {
            *prompt = example.to_string();
        }
    }
    None
}

fn voice(
    ui: &mut Ui,
    name: &str,
    colour: Color32,
    session: &Session,
    said: impl Fn(&Turn) -> String,
) {
    let colours = Palette::of(ui);
    ui.label(RichText::new(name).color(colour).strong());
    let can_chat = session.can_chat();
    let frame = Frame::new()
        .fill(colours.paper)
        .corner_radius(6)
        .inner_margin(8);
    frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        let area = ScrollArea::vertical()
            .id_salt(name)
            .auto_shrink([false, true])
            .stick_to_bottom(can_chat)
            .max_height(if can_chat { CHAT_HEIGHT } else { TEXT_HEIGHT });
        area.show(ui, |ui| {
            let font = TextStyle::Body.resolve(ui.style());
            let mut job = LayoutJob::default();
            let mut append = |text: &str, colour| {
                job.append(text, 0.0, TextFormat::simple(font.clone(), colour));
            };
            for (index, turn) in session.answers.turns.iter().enumerate() {
                if index > 0 {
                    append("\n\n", colours.ink);
                }
                append(&turn.prompt, colours.muted);
                if can_chat {
                    append("\n", colours.ink);
                }
                append(&said(turn), colours.ink);
            }
            // Columns justify their text by default.
            ui.with_layout(Layout::top_down(Align::Min), |ui| ui.label(job));
        });
    });
}
