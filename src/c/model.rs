//! Models for C.

use std::ffi::{CString, c_char, c_void};

use pollster::block_on;

use super::device::MiniftDevice;
use super::pointers::{Place, borrow, c_text, handle, optional_text, path, release, text};
use super::settings::sampling;
use super::status::{Failure, MiniftStatus, Result, call, value};
use crate::files::FolderWriter;
use crate::model::{CausalLm, EMBEDDED_MODEL};

/// A causal language model on a device. It never changes: several threads may use it at once.
pub struct MiniftModel {
    pub(super) model: CausalLm,
    /// Where it came from, for people.
    name: CString,
}

impl MiniftModel {
    fn new(model: CausalLm, name: &str) -> Self {
        let name = c_text(name);
        Self { model, name }
    }

    /// Another model of the same origin.
    pub(super) fn with(&self, model: CausalLm) -> Self {
        Self {
            model,
            name: self.name.clone(),
        }
    }

    /// Where it came from, for people.
    pub(super) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// The embedded model, minift-tales-360k, on a device. Blocks. `*model` is to be freed by
/// `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_embedded(
    device: *const MiniftDevice,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, device) = unsafe { (Place::new(model, "model")?, borrow(device, "device")?) };
        let model = CausalLm::embedded(&device.device)?;
        place.put(handle(MiniftModel::new(model, EMBEDDED_MODEL)));
        Ok(())
    })
}

/// Reads a Hugging Face folder (UTF-8) with `config.json`, `model.safetensors` and `tokenizer.json` onto
/// a device. Blocks while it reads. The weights file is mapped into memory, and must not be changed
/// while the model or what was made of it is in use. `*model` is to be freed by `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_load(
    device: *const MiniftDevice,
    folder: *const c_char,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, device, folder) = unsafe {
            (
                Place::new(model, "model")?,
                borrow(device, "device")?,
                path(folder, "folder")?,
            )
        };
        let model = CausalLm::load(folder, &device.device)?;
        let name = folder.display().to_string();
        place.put(handle(MiniftModel::new(model, &name)));
        Ok(())
    })
}

/// The same model with the adapter of a folder (UTF-8) that the library or Python's PEFT wrote. Blocks
/// while it reads. `model` stays as it is; `*adapted` is to be freed by `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_with_adapter(
    model: *const MiniftModel,
    folder: *const c_char,
    adapted: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, model, folder) = unsafe {
            (
                Place::new(adapted, "adapted")?,
                borrow(model, "model")?,
                path(folder, "folder")?,
            )
        };
        let adapted = model.model.load_adapter(folder)?;
        place.put(handle(model.with(adapted)));
        Ok(())
    })
}

/// The model with its adapter, if it has one, folded into the weights. Blocks. `model` stays as it is;
/// `*merged` is to be freed by `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_merged(
    model: *const MiniftModel,
    merged: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, model) = unsafe { (Place::new(merged, "merged")?, borrow(model, "model")?) };
        place.put(handle(model.with(model.model.merged())));
        Ok(())
    })
}

/// Where a model came from, for people. Valid as long as the handle; NULL where that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_name(model: *const MiniftModel) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(model, "model") }.map(|model| model.name.as_ptr())
    })
}

/// Number of a model's values, without its adapter's; 0 where `model` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_parameters(model: *const MiniftModel) -> usize {
    value(0, || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(model, "model") }.map(|model| model.model.parameter_count())
    })
}

/// Tokens of the longest text that a model takes; 0 where `model` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_max_length(model: *const MiniftModel) -> usize {
    value(0, || {
        // SAFETY: a handle, as the header asks.
        unsafe { borrow(model, "model") }.map(|model| model.model.config().decoder.max_length)
    })
}

/// Gets a piece of a text (UTF-8), valid during the call only, on the thread that asked for the text. It
/// must neither throw nor call `longjmp`.
pub type MiniftTextCallback =
    Option<unsafe extern "C" fn(piece: *const c_char, user_data: *mut c_void)>;

/// Continues a prompt (UTF-8) by up to `max_new_tokens` tokens, until the model ends the text or its
/// greatest length is reached. `options` is NULL for the most likely token each time, or a JSON object
/// of `temperature` (0: the most likely one), `top_k` (0: all), `top_p` (1: all) and `seed` (0).
///
/// Blocks. `on_text` gets each piece as it comes, with `user_data`; NULL for none. `*text` gets the whole
/// continuation, which is to be freed by `minift_text_free`; `text` may be NULL where that is not
/// wanted. A zero byte in the text becomes U+FFFD.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_generate(
    model: *const MiniftModel,
    prompt: *const c_char,
    max_new_tokens: usize,
    options: *const c_char,
    on_text: MiniftTextCallback,
    user_data: *mut c_void,
    text: *mut *mut c_char,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (place, model, prompt, options) = unsafe {
            (
                match text.is_null() {
                    true => None,
                    false => Some(Place::new(text, "text")?),
                },
                borrow(model, "model")?,
                self::text(prompt, "prompt")?,
                optional_text(options, "options")?,
            )
        };
        let sampling = sampling(options)?;
        let on_piece = |piece: &str| {
            if let Some(on_text) = on_text {
                // SAFETY: a function of that type, and its own data.
                unsafe { on_text(c_text(piece).as_ptr(), user_data) };
            }
        };
        let model = &model.model;
        let generated = block_on(model.generate(prompt, max_new_tokens, &sampling, on_piece))?;
        if let Some(place) = place {
            place.put(c_text(&generated).into_raw());
        }
        Ok(())
    })
}

/// Writes a model as a Hugging Face folder (UTF-8) with float32 weights, which Python's `transformers`
/// loads; where it has an adapter, that alone, as Python's PEFT does. The folder is written beside its
/// place and appears when it is complete. What stands there is replaced only where `replace` is not 0,
/// else the call gives `MINIFT_STATUS_OUTPUT_EXISTS`. Blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_write(
    model: *const MiniftModel,
    folder: *const c_char,
    replace: i32,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the pointers are as the header asks.
        let (model, folder) = unsafe { (borrow(model, "model")?, path(folder, "folder")?) };
        let writer = begin(folder, replace)?;
        block_on(model.model.write(&writer, ""))?;
        Ok(writer.finish()?)
    })
}

/// Begins a folder.
pub(super) fn begin(folder: &std::path::Path, replace: i32) -> Result<FolderWriter> {
    FolderWriter::new(folder, replace != 0).map_err(|error| match error {
        // The command line's word for it is no help here.
        crate::Error::OutputExists { path } => Failure::new(
            MiniftStatus::OutputExists,
            format!(
                "{} exists and is not empty: choose another folder, or have it replaced",
                path.display()
            ),
        ),
        error => error.into(),
    })
}

/// Frees a model. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_free(model: *mut MiniftModel) {
    // SAFETY: a handle, as the header asks.
    unsafe { release(model) }
}
