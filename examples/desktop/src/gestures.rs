//! Input events of the self-test.

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};

/// Number of frames of a click or of typing.
pub const GESTURE: usize = 2;

/// Moves the mouse, then presses and releases in one frame, since a press over slow frames is not a click.
pub fn click(position: Pos2, frame: usize) -> Vec<Event> {
    let button = |pressed| Event::PointerButton {
        pos: position,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    };
    match frame {
        0 => vec![Event::PointerMoved(position)],
        _ => vec![button(true), button(false)],
    }
}

/// Selects all text and replaces it.
pub fn keys(text: &str, frame: usize) -> Vec<Event> {
    let all = |pressed| Event::Key {
        key: Key::A,
        physical_key: None,
        pressed,
        repeat: false,
        modifiers: Modifiers::COMMAND,
    };
    match frame {
        0 => vec![all(true), all(false)],
        _ => vec![Event::Text(text.to_string())],
    }
}
