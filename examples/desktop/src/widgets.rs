//! Shared controls.

use eframe::egui::{
    Button, CornerRadius, Frame, Margin, Response, RichText, Stroke, Ui, Vec2, vec2,
};

use crate::drive;
use crate::theme::Palette;

/// Spacing between the parts of the window, and to its edge.
pub const GAP: f32 = 12.0;

/// Shows a box with a title.
pub fn card<R>(ui: &mut Ui, title: &str, contents: impl FnOnce(&mut Ui) -> R) -> R {
    let colours = Palette::of(ui);
    let frame = Frame::new()
        .fill(colours.surface)
        .stroke(Stroke::new(1.0, colours.line))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(10, 8));
    let shown = frame.show(ui, |ui| {
        ui.set_width(ui.available_width());
        if !title.is_empty() {
            ui.label(RichText::new(title).strong());
        }
        contents(ui)
    });
    shown.inner
}

/// Shows a segmented control over the full width. Returns whether the value changed.
pub fn segments<T: PartialEq + Copy>(ui: &mut Ui, value: &mut T, choices: &[(T, &str)]) -> bool {
    let before = *value;
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        let gaps = 4.0 * (choices.len() as f32 - 1.0);
        let width = (ui.available_width() - gaps) / choices.len() as f32;
        for &(choice, label) in choices {
            let button = Button::selectable(*value == choice, label)
                .frame_when_inactive(true)
                .min_size(vec2(width, 0.0));
            if ui.add(button).clicked() {
                *value = choice;
            }
        }
    });
    *value != before
}

/// Shows a button that the self-test can find by name, with the given size, or sized to its text.
pub fn button(
    ui: &mut Ui,
    name: &'static str,
    button: Button<'_>,
    size: Vec2,
    enabled: bool,
) -> Response {
    let add = |ui: &mut Ui| {
        if size == Vec2::ZERO {
            ui.add(button)
        } else {
            ui.add_sized(size, button)
        }
    };
    let response = ui.add_enabled_ui(enabled, add).inner;
    drive::mark(name, &response);
    response
}

/// Secondary text.
pub fn small(text: impl Into<String>) -> RichText {
    RichText::new(text).small().weak()
}

/// Shows an error message.
pub fn alert(ui: &mut Ui, message: &str) {
    let colours = Palette::of(ui);
    Frame::new()
        .fill(colours.danger.gamma_multiply(0.1))
        .corner_radius(CornerRadius::same(6))
        .inner_margin(Margin::symmetric(10, 6))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.colored_label(colours.danger, message);
        });
}
