//! Input events of the self-test.

use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};

/// Number of frames of a gesture.
pub const GESTURE: usize = 2;

fn button(position: Pos2, pressed: bool) -> Event {
    Event::PointerButton {
        pos: position,
        button: PointerButton::Primary,
        pressed,
        modifiers: Modifiers::NONE,
    }
}

/// Moves the mouse, then presses and releases in one frame, since a press over slow frames is not a click.
pub fn click(position: Pos2, frame: usize) -> Vec<Event> {
    match frame {
        0 => vec![Event::PointerMoved(position)],
        _ => vec![button(position, true), button(position, false)],
    }
}

/// Presses, then releases in the next frame, since a slider takes its value while the mouse is down.
pub fn slide(position: Pos2, frame: usize) -> Vec<Event> {
    match frame {
        0 => vec![Event::PointerMoved(position), button(position, true)],
        _ => vec![button(position, false)],
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
