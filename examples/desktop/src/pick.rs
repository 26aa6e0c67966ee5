//! Native file dialogs. Each is awaited on its own thread. On systems without dialogs, paths can be
//! typed.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;

use eframe::egui::Context;

/// A file dialog that may still be open.
#[derive(Debug)]
pub struct Dialog<T> {
    /// Purpose of the path.
    pub purpose: T,
    chosen: Receiver<Option<PathBuf>>,
}

impl<T> Dialog<T> {
    /// Opens a folder dialog.
    pub fn folder(context: &Context, purpose: T, title: &str) -> Option<Self> {
        let dialog = rfd::AsyncFileDialog::new().set_title(title);
        Self::open(context, purpose, dialog.pick_folder())
    }

    /// Opens a file dialog.
    pub fn file(context: &Context, purpose: T, title: &str) -> Option<Self> {
        let dialog = rfd::AsyncFileDialog::new().set_title(title);
        Self::open(context, purpose, dialog.pick_file())
    }

    /// Returns `None` if the system cannot start a thread.
    fn open(
        context: &Context,
        purpose: T,
        dialog: impl Future<Output = Option<rfd::FileHandle>> + Send + 'static,
    ) -> Option<Self> {
        let (sender, chosen) = channel();
        let context = context.clone();
        let wait = move || {
            let chosen = pollster::block_on(dialog).map(|file| file.path().to_path_buf());
            // Fails only after the window has closed.
            let _ = sender.send(chosen);
            context.request_repaint();
        };
        let thread = thread::Builder::new().name("dialog".into()).spawn(wait);
        thread.ok().map(|_| Self { purpose, chosen })
    }

    /// Returns `None` while the dialog is open, then the selected path, if any.
    pub fn choice(&self) -> Option<Option<PathBuf>> {
        match self.chosen.try_recv() {
            Ok(choice) => Some(choice),
            Err(TryRecvError::Disconnected) => Some(None),
            Err(TryRecvError::Empty) => None,
        }
    }
}
