//! Models.

use std::ffi::{CString, c_char, c_void};

use pollster::block_on;

use super::device::MiniftDevice;
use super::pointers::{Out, borrow, into_handle, optional_str_arg, path_arg, release, str_arg};
use super::settings::sampling;
use super::status::{Failure, MiniftStatus, Result, call, value};
use super::strings::c_string;
use crate::files::FolderWriter;
use crate::model::{CausalLm, EMBEDDED_MODEL, ModelFiles, WeightChoice};

/// A causal language model on a device. Immutable: any number of threads may use it at once.
pub struct MiniftModel {
    pub(super) model: CausalLm,
    /// Where the model came from.
    name: CString,
}

impl MiniftModel {
    fn new(model: CausalLm, name: &str) -> Self {
        let name = c_string(name);
        Self { model, name }
    }

    /// Wraps a model derived from this one, under the same name.
    pub(super) fn with(&self, model: CausalLm) -> Self {
        Self {
            model,
            name: self.name.clone(),
        }
    }

    /// Where the model came from.
    pub(super) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }
}

/// Loads the embedded model, minift-tales-360k, onto a device. Blocks. Free `*model` with
/// `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_embedded(
    device: *const MiniftDevice,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, device) = unsafe { (Out::new(model, "model")?, borrow(device, "device")?) };
        let model = CausalLm::embedded(&device.device)?;
        out.set(into_handle(MiniftModel::new(model, EMBEDDED_MODEL)));
        Ok(())
    })
}

/// Loads a Hugging Face model folder (`config.json`, `model.safetensors`, `tokenizer.json`) or a GGUF
/// file onto a device. Blocks. Free `*model` with `minift_model_free`.
///
/// `weights` is the type of the weights in memory: `auto` or NULL (as stored), `float32`, `float16`,
/// `bfloat16`, `q8_0` or `q4_0`. What is trained is float32.
///
/// The weights are memory-mapped: do not modify the file while the model, or an object created from
/// it, is in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_load(
    device: *const MiniftDevice,
    path: *const c_char,
    weights: *const c_char,
    model: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, device, path, weights) = unsafe {
            (
                Out::new(model, "model")?,
                borrow(device, "device")?,
                path_arg(path, "path")?,
                optional_str_arg(weights, "weights")?,
            )
        };
        let weights = weights.map_or(Ok(WeightChoice::Auto), |name| {
            let invalid =
                |expected| Failure::argument("weights", format!("is {name:?}: {expected}"));
            name.parse().map_err(invalid)
        })?;
        let files = ModelFiles::read(path)?;
        let model = CausalLm::from_files_as(files, weights.converted(), &device.device)?;
        let name = path.display().to_string();
        out.set(into_handle(MiniftModel::new(model, &name)));
        Ok(())
    })
}

/// Loads an adapter folder, written by this library or by PEFT, and applies it to a model. Blocks.
/// `model` is unchanged. Free `*adapted` with `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_with_adapter(
    model: *const MiniftModel,
    folder: *const c_char,
    adapted: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model, folder) = unsafe {
            (
                Out::new(adapted, "adapted")?,
                borrow(model, "model")?,
                path_arg(folder, "folder")?,
            )
        };
        let adapted = model.model.load_adapter(folder)?;
        out.set(into_handle(model.with(adapted)));
        Ok(())
    })
}

/// Merges the adapter of a model, if it has one, into its weights. Blocks. `model` is unchanged.
/// Free `*merged` with `minift_model_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_merged(
    model: *const MiniftModel,
    merged: *mut *mut MiniftModel,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model) = unsafe { (Out::new(merged, "merged")?, borrow(model, "model")?) };
        out.set(into_handle(model.with(model.model.try_merged()?)));
        Ok(())
    })
}

/// Returns where a model came from, for display, or NULL if `model` is NULL. Valid until the model
/// is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_name(model: *const MiniftModel) -> *const c_char {
    value(std::ptr::null(), || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(model, "model") }.map(|model| model.name.as_ptr())
    })
}

/// Returns the number of parameters of a model, without those of its adapter, or 0 if `model` is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_parameters(model: *const MiniftModel) -> usize {
    value(0, || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(model, "model") }.map(|model| model.model.parameter_count())
    })
}

/// Returns the maximum sequence length of a model in tokens, or 0 if `model` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_max_length(model: *const MiniftModel) -> usize {
    value(0, || {
        // SAFETY: NULL or a live handle, as the header requires.
        unsafe { borrow(model, "model") }.map(|model| model.model.config().decoder.max_length)
    })
}

/// Receives a piece of generated text (UTF-8), valid during the call only, on the thread that
/// called `minift_model_generate`. The callback must not throw or call `longjmp`.
pub type MiniftTextCallback =
    Option<unsafe extern "C" fn(piece: *const c_char, user_data: *mut c_void)>;

/// Generates up to `max_new_tokens` tokens after `prompt`. Stops early at the end-of-text token or
/// at the maximum sequence length.
///
/// `options` is NULL for greedy decoding, or a JSON object of `temperature` (default 0: greedy),
/// `top_k` (default 0: off), `top_p` (default 1: off) and `seed` (default 0).
///
/// Blocks. `on_text`, which may be NULL, receives each piece of text as it is generated, and
/// `user_data`. `text`, which may be NULL, receives the whole continuation; free `*text` with
/// `minift_text_free`. NUL characters in the text are replaced with U+FFFD.
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
        // SAFETY: the caller follows the pointer rules of the header.
        let (out, model, prompt, options) = unsafe {
            (
                match text.is_null() {
                    true => None,
                    false => Some(Out::new(text, "text")?),
                },
                borrow(model, "model")?,
                str_arg(prompt, "prompt")?,
                optional_str_arg(options, "options")?,
            )
        };
        let sampling = sampling(options)?;
        let on_piece = |piece: &str| {
            if let Some(on_text) = on_text {
                // SAFETY: a callback of this type with its own `user_data`.
                unsafe { on_text(c_string(piece).as_ptr(), user_data) };
            }
        };
        let model = &model.model;
        let generated = block_on(model.generate(prompt, max_new_tokens, &sampling, on_piece))?;
        if let Some(out) = out {
            out.set(c_string(&generated).into_raw());
        }
        Ok(())
    })
}

/// Writes a model to `folder` in the Hugging Face format, which `transformers` can load. The weights
/// have the types of the files that the model was loaded from. Of a model with an adapter, only the
/// adapter is written, in the PEFT format. Blocks.
///
/// The folder is written to a temporary location and renamed once complete. An existing one is
/// replaced only if `replace` is nonzero; otherwise the call returns `MINIFT_STATUS_OUTPUT_EXISTS`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_write(
    model: *const MiniftModel,
    folder: *const c_char,
    replace: i32,
) -> MiniftStatus {
    call(|| {
        // SAFETY: the caller follows the pointer rules of the header.
        let (model, folder) = unsafe { (borrow(model, "model")?, path_arg(folder, "folder")?) };
        let writer = begin(folder, replace)?;
        block_on(model.model.write(&writer, ""))?;
        Ok(writer.finish()?)
    })
}

/// Starts writing an output folder.
pub(super) fn begin(folder: &std::path::Path, replace: i32) -> Result<FolderWriter> {
    FolderWriter::new(folder, replace != 0).map_err(|error| match error {
        // The message of the library suggests a command-line flag.
        crate::Error::OutputExists { path } => Failure::new(
            MiniftStatus::OutputExists,
            format!(
                "{} exists and is not empty: choose another folder, or pass a nonzero `replace`",
                path.display()
            ),
        ),
        error => error.into(),
    })
}

/// Frees a model. `model` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn minift_model_free(model: *mut MiniftModel) {
    // SAFETY: NULL or a live handle, as the header requires.
    unsafe { release(model) }
}
