//! The system's dialogs for files. They are waited for on a thread of their own, and where a system has none
//! the paths can be typed.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use eframe::egui::Context;

/// A dialog that may still be open.
#[derive(Debug)]
pub struct Dialog<T> {
    /// What the path is for.
    pub purpose: T,
    chosen: Receiver<Option<PathBuf>>,
}

impl<T> Dialog<T> {
    /// Asks for a folder.
    pub fn folder(context: &Context, purpose: T, title: &str) -> Option<Self> {
        let dialog = rfd::AsyncFileDialog::new().set_title(title);
        Self::open(context, purpose, dialog.pick_folder())
    }

    /// Asks for a file.
    pub fn file(context: &Context, purpose: T, title: &str) -> Option<Self> {
        let dialog = rfd::AsyncFileDialog::new().set_title(title);
        Self::open(context, purpose, dialog.pick_file())
    }

    /// `None` where the system gives no further thread.
    fn open(
        context: &Context,
        purpose: T,
        dialog: impl Future<Output = Option<rfd::FileHandle>> + Send + 'static,
    ) -> Option<Self> {
        let (sender, chosen) = channel();
        let context = context.clone();
        let wait = move || {
            let chosen = pollster::block_on(dialog).map(|file| file.path().to_path_buf());
            // Nobody waits any more once the window is closed.
            let _ = sender.send(chosen);
            context.request_repaint();
        };
        let thread = thread::Builder::new().name("dialog".into()).spawn(wait);
        thread.ok().map(|_| Self { purpose, chosen })
    }

    /// `None` while the dialog is open, then what was chosen, if anything.
    pub fn choice(&self) -> Option<Option<PathBuf>> {
        match self.chosen.try_recv() {
            Ok(choice) => Some(choice),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        }
    }
}
