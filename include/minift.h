// minift: minifinetuning of small language models on any GPU, from C and whatever calls C.
//
// Generated from the library's source by cbindgen; changes are made there. examples/c/adapt.c is a
// whole program.
//
// Results. Most functions give a MiniftStatus, 0 when all went well; minift_last_error() then says in
// words why it did not. A handle or text that they make goes to where a pointer among the arguments
// leads; after a failure NULL stands there. Functions that give a value have none to give (0, NULL) where a handle is
// NULL. No function ends the program, throws, or writes to stdout; what there is to say goes to the log,
// see minift_log_to. (A fault in the library itself, MINIFT_STATUS_PANIC, also leaves words on stderr.)
//
// Handles. MiniftDevice, MiniftModel, MiniftSamples and MiniftRun are made by functions that say so, and
// each belongs to the caller until it is given to its own minift_*_free, once. They may be freed in any
// order: each keeps what it needs of the others alive. One that was freed must not be used again.
//
// Pointers. Where it is not said that NULL is allowed, it gives MINIFT_STATUS_INVALID_ARGUMENT. Texts are
// UTF-8 and end with a zero byte; they are read during the call only and stay the caller's. Texts of type
// `char *` that a function gives belong to the caller and are freed by minift_text_free; those of type
// `const char *` belong to the library.
//
// Structures. The library fills them, as far as the caller's size of them goes. Later versions may have
// more fields at their ends, and further kinds and statuses.
//
// Threads. Every handle may be used on any thread, not only on the one that made it. Devices, models and
// samples never change, and any number of threads may use one at once. A run is used by one thread at a
// time: a second call meanwhile does nothing and gives MINIFT_STATUS_BUSY; minift_run_cancel alone may be
// called at any time. Different runs may go on at once, also on one device and of one model; on a CPU
// they share its cores, and what comes out is what each gives alone. Freeing a handle must not happen
// while another thread may be beginning a call with it. Callbacks come during the call that they were
// given to, on its thread; those of the log come on any thread. Calls that block say so; all others
// return at once. minift_last_error is of the calling thread.


#ifndef MINIFT_H
#define MINIFT_H



#include <stddef.h>
#include <stdint.h>

// Version of the interface that this header declares. A library of the same version has all of it,
// and perhaps more; within a version functions, kinds and fields at the ends of structures are only
// added.
#define MINIFT_ABI_VERSION 1

// How a call ended. Later versions may have further ones: take an unknown one for a failure.
enum MiniftStatus
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // As asked.
    MINIFT_STATUS_OK = 0,
    // An argument that cannot be used: NULL where that is not allowed, text that is not UTF-8, a
    // setting that is not known or out of range.
    MINIFT_STATUS_INVALID_ARGUMENT = 1,
    // A file or folder could not be read or written.
    MINIFT_STATUS_IO = 2,
    // A model or an adapter that cannot be used.
    MINIFT_STATUS_MODEL = 3,
    // Texts that cannot be used, or none.
    MINIFT_STATUS_DATA = 4,
    // The device is not there, or failed.
    MINIFT_STATUS_DEVICE = 5,
    // The loss is no longer a number: take a smaller learning rate. The run is as it was after the
    // step before.
    MINIFT_STATUS_NON_FINITE_LOSS = 6,
    // Somebody asked the run to stop.
    MINIFT_STATUS_CANCELLED = 7,
    // Another process, or another part of this one, has it: the place to write to, or the log.
    MINIFT_STATUS_IN_USE = 8,
    // The run is in another call at the same time, in another thread or because this one is made from
    // its callback.
    MINIFT_STATUS_BUSY = 9,
    // Something stands in the place to write to.
    MINIFT_STATUS_OUTPUT_EXISTS = 10,
    // A checkpoint that the run cannot go on from.
    MINIFT_STATUS_CHECKPOINT = 11,
    // It can be had of a finished run only.
    MINIFT_STATUS_NOT_FINISHED = 12,
    // A fault in the library itself. Handles can be freed; a run in which it happened ends all further
    // calls in the same way.
    MINIFT_STATUS_PANIC = 13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum MiniftStatus MiniftStatus;
#else
typedef int32_t MiniftStatus;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// How much a line of the log matters.
enum MiniftLogLevel
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Something failed.
    MINIFT_LOG_LEVEL_ERROR = 1,
    // Something may not be as it was meant to be, such as columns of a file that are not used.
    MINIFT_LOG_LEVEL_WARN = 2,
    // Worth knowing.
    MINIFT_LOG_LEVEL_INFO = 3,
    // For whoever looks for a fault.
    MINIFT_LOG_LEVEL_DEBUG = 4,
    // Everything.
    MINIFT_LOG_LEVEL_TRACE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum MiniftLogLevel MiniftLogLevel;
#else
typedef int32_t MiniftLogLevel;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What happened in a run. Later versions may have further kinds: let unknown ones pass.
enum MiniftEventKind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Nothing is left to do; given by `minift_run_next` only.
    MINIFT_EVENT_KIND_FINISHED = 0,
    // A batch of an evaluation is done: `moment`, and batches in `done` and `total`.
    MINIFT_EVENT_KIND_EVALUATING = 1,
    // An evaluation is done: `moment`, `step`, `domain_perplexity`, `general_perplexity`.
    MINIFT_EVENT_KIND_EVALUATED = 2,
    // A text is taken into the weights' importance (`ewc`): texts in `done` and `total`.
    MINIFT_EVENT_KIND_CONSOLIDATING = 3,
    // A training step is done: steps in `done` and `total`, `step`, and every field after it up to
    // `seconds_left`.
    MINIFT_EVENT_KIND_STEP = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum MiniftEventKind MiniftEventKind;
#else
typedef int32_t MiniftEventKind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where in a training an evaluation is.
enum MiniftMoment
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // The untouched model.
    MINIFT_MOMENT_BEFORE = 0,
    // The model in the middle of its training.
    MINIFT_MOMENT_DURING = 1,
    // The trained model.
    MINIFT_MOMENT_AFTER = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum MiniftMoment MiniftMoment;
#else
typedef int32_t MiniftMoment;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A device to compute on. It never changes: several threads may use it at once.
typedef struct MiniftDevice MiniftDevice;

// A causal language model on a device. It never changes: several threads may use it at once.
typedef struct MiniftModel MiniftModel;

// A training of a model. It may go from thread to thread, but is in one call at a time: a second one
// gives `MINIFT_STATUS_BUSY`. Only `minift_run_cancel` may be called at any time.
typedef struct MiniftRun MiniftRun;

// Texts as the tokens of a model. They never change: several threads may use them at once.
typedef struct MiniftSamples MiniftSamples;

// Gets a line of the log: its level, the part of the library or of a library below that it comes from,
// and its text, both valid during the call only. It is called on whichever thread has something to
// say, several at once, often in the middle of something: it must call no function of this library, and
// neither throw nor call `longjmp`.
typedef void (*MiniftLogCallback)(MiniftLogLevel level,
                                  const char *origin,
                                  const char *message,
                                  void *user_data);

// Gets a piece of a text (UTF-8), valid during the call only, on the thread that asked for the text. It
// must neither throw nor call `longjmp`.
typedef void (*MiniftTextCallback)(const char *piece, void *user_data);

// Something that happened in a run. Fields that the kind does not name are 0.
typedef struct MiniftEvent {
    // What happened.
    MiniftEventKind kind;
    // In an evaluation: of which model.
    MiniftMoment moment;
    // Of the work under way, what is done.
    uint64_t done;
    // Of the work under way, all.
    uint64_t total;
    // Steps that the model was trained.
    uint64_t step;
    // Epoch of the step, from 1.
    uint64_t epoch;
    // Mean loss over the step's predicted tokens, before the step.
    double loss;
    // Norm of the whole gradient, before it is cut to the greatest norm.
    double gradient_norm;
    // Learning rate of the step.
    double learning_rate;
    // Predicted tokens trained on, a second, over the run so far.
    double tokens_per_second;
    // Seconds until the last step, as far as the run so far tells.
    double seconds_left;
    // Perplexity on the held-out domain set.
    double domain_perplexity;
    // Perplexity on the general set.
    double general_perplexity;
} MiniftEvent;

// Gets an event of a run that is driven, valid during the call only. It is called on the thread that
// called `minift_run_drive`, and may call every function but those that use the same run, which give
// `MINIFT_STATUS_BUSY`; freeing the run is allowed. 0 goes on, anything else stops. It must neither
// throw nor call `longjmp`.
typedef int32_t (*MiniftEventCallback)(const struct MiniftEvent *event, void *user_data);

// What a finished run has to show.
typedef struct MiniftOutcome {
    // Of the untouched model on the held-out domain set.
    double domain_perplexity_before;
    // Of the trained model on the same.
    double domain_perplexity_after;
    // Of the untouched model on the general set.
    double general_perplexity_before;
    // Of the trained model on the same.
    double general_perplexity_after;
    // S, what was gained: domain perplexity before - after.
    double specialization;
    // DG, what was forgotten: general perplexity after - before.
    double degeneralization;
    // S/DG; NaN where nothing was forgotten.
    double ratio;
    // Steps taken.
    uint64_t steps;
    // Seconds of training, without evaluation.
    double seconds;
    // Predicted tokens trained on, a second.
    double tokens_per_second;
} MiniftOutcome;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the interface that the library has. Compare it with `MINIFT_ABI_VERSION` before anything
// else where the library is loaded at run time.
uint32_t minift_abi_version(void);

// Version of the library, such as "0.1.0". Never NULL, and never freed.
const char *minift_version(void);

// Why the last call on this thread that failed did, in English; NULL where none has. It is valid
// until a call on this thread fails again or the thread ends, and is never freed.
const char *minift_last_error(void);

// Sends the log, of which otherwise nothing is seen, to `callback`, from `most` (a `MiniftLogLevel`) on
// upwards in weight. `user_data` is handed on to it and must be valid, and usable from any thread, until
// the process ends. A process has one log: a second call gives `MINIFT_STATUS_IN_USE` and changes
// nothing, so that no part of a program takes it from another.
MiniftStatus minift_log_to(MiniftLogCallback callback,
                           void *user_data,
                           int32_t most);

// Opens a device. `choice` is "auto" (a hardware GPU if there is one, else the CPU), "cpu", "gpu" (the
// best adapter, a software one too) or "gpu:N" (the adapter of that number in `minift_adapters`).
// Blocks, up to seconds where a GPU's driver is loaded. `*device` is to be freed by
// `minift_device_free`; what was made on a device stays usable after that. Opening a GPU takes memory
// that is kept until the process ends: open it once and use it for all runs.
MiniftStatus minift_device_open(const char *choice,
                                struct MiniftDevice **device);

// Name of a device for people. Valid as long as the handle; NULL where that is NULL.
const char *minift_device_name(const struct MiniftDevice *device);

// Why this device was taken, for people. Valid as long as the handle; NULL where that is NULL.
const char *minift_device_reason(const struct MiniftDevice *device);

// The GPU adapters of this machine as a JSON list of objects with `index`, `name`, `backend`, `kind`,
// `driver` and `limits`, in the order of their numbers. Blocks, up to seconds. `*json` is to be freed
// by `minift_text_free`.
MiniftStatus minift_adapters(char **json);

// Frees a device. NULL is allowed.
void minift_device_free(struct MiniftDevice *device);

// The embedded model, minift-tales-360k, on a device. Blocks. `*model` is to be freed by
// `minift_model_free`.
MiniftStatus minift_model_embedded(const struct MiniftDevice *device, struct MiniftModel **model);

// Reads a Hugging Face folder (UTF-8) with `config.json`, `model.safetensors` and `tokenizer.json` onto
// a device. Blocks while it reads. The weights file is mapped into memory, and must not be changed
// while the model or what was made of it is in use. `*model` is to be freed by `minift_model_free`.
MiniftStatus minift_model_load(const struct MiniftDevice *device,
                               const char *folder,
                               struct MiniftModel **model);

// The same model with the adapter of a folder (UTF-8) that the library or Python's PEFT wrote. Blocks
// while it reads. `model` stays as it is; `*adapted` is to be freed by `minift_model_free`.
MiniftStatus minift_model_with_adapter(const struct MiniftModel *model,
                                       const char *folder,
                                       struct MiniftModel **adapted);

// The model with its adapter, if it has one, folded into the weights. Blocks. `model` stays as it is;
// `*merged` is to be freed by `minift_model_free`.
MiniftStatus minift_model_merged(const struct MiniftModel *model,
                                 struct MiniftModel **merged);

// Where a model came from, for people. Valid as long as the handle; NULL where that is NULL.
const char *minift_model_name(const struct MiniftModel *model);

// Number of a model's values, without its adapter's; 0 where `model` is NULL.
size_t minift_model_parameters(const struct MiniftModel *model);

// Tokens of the longest text that a model takes; 0 where `model` is NULL.
size_t minift_model_max_length(const struct MiniftModel *model);

// Continues a prompt (UTF-8) by up to `max_new_tokens` tokens, until the model ends the text or its
// greatest length is reached. `options` is NULL for the most likely token each time, or a JSON object
// of `temperature` (0: the most likely one), `top_k` (0: all), `top_p` (1: all) and `seed` (0).
//
// Blocks. `on_text` gets each piece as it comes, with `user_data`; NULL for none. `*text` gets the whole
// continuation, which is to be freed by `minift_text_free`; `text` may be NULL where that is not
// wanted. A zero byte in the text becomes U+FFFD.
MiniftStatus minift_model_generate(const struct MiniftModel *model,
                                   const char *prompt,
                                   size_t max_new_tokens,
                                   const char *options,
                                   MiniftTextCallback on_text,
                                   void *user_data,
                                   char **text);

// Writes a model as a Hugging Face folder (UTF-8) with float32 weights, which Python's `transformers`
// loads; where it has an adapter, that alone, as Python's PEFT does. The folder is written beside its
// place and appears when it is complete. What stands there is replaced only where `replace` is not 0,
// else the call gives `MINIFT_STATUS_OUTPUT_EXISTS`. Blocks.
MiniftStatus minift_model_write(const struct MiniftModel *model,
                                const char *folder,
                                int32_t replace);

// Frees a model. NULL is allowed.
void minift_model_free(struct MiniftModel *model);

// Reads samples for a model out of `count` paths (UTF-8): files (.txt with samples separated by blank
// lines, .md, .jsonl, .ndjson, .json, .csv, .tsv, each also with .gz or .zst, .parquet), folders of
// texts, patterns such as "*.jsonl".
//
// `options` is NULL or a JSON object of: `max_length`, the tokens that samples have at most (256, or
// the model's greatest length if that is less); `column`, the name of the column or key that holds the
// text (`text`, or `prompt` and `completion`, or `messages`, whichever there is); `long_texts`, "cut" or
// "windows" (windows for .md files and files of folders, else cut); `overlap`, the tokens that a window
// repeats (0); `train_on`, "answers" of prompts and conversations or "all" ("answers").
//
// Blocks while it reads. What of the files is not used goes to the log. `*samples` is to be freed by
// `minift_samples_free`.
MiniftStatus minift_samples_read(const struct MiniftModel *model,
                                 const char *const *paths,
                                 size_t count,
                                 const char *options,
                                 struct MiniftSamples **samples);

// Makes samples for a model of `count` texts (UTF-8), with the `options` of `minift_samples_read`, but
// for `column`. Blocks while it makes tokens of them. `*samples` is to be freed by `minift_samples_free`.
MiniftStatus minift_samples_from_texts(const struct MiniftModel *model,
                                       const char *const *texts,
                                       size_t count,
                                       const char *options,
                                       struct MiniftSamples **samples);

// The embedded domain: 660 tickets of a bicycle workshop, with the `options` of
// `minift_samples_from_texts`. Blocks as that does. `*samples` is to be freed by `minift_samples_free`.
MiniftStatus minift_samples_tickets(const struct MiniftModel *model,
                                    const char *options,
                                    struct MiniftSamples **samples);

// The embedded general text: 240 tiny stories in the language that the embedded model knows, with the
// `options` of `minift_samples_from_texts`. Blocks as that does. `*samples` is to be freed by
// `minift_samples_free`.
MiniftStatus minift_samples_tales(const struct MiniftModel *model,
                                  const char *options,
                                  struct MiniftSamples **samples);

// Texts that the samples were made of; 0 where `samples` is NULL.
size_t minift_samples_count(const struct MiniftSamples *samples);

// Tokens in the samples that are to be predicted; 0 where `samples` is NULL.
size_t minift_samples_tokens(const struct MiniftSamples *samples);

// Makes two of one: the samples of the first `count` texts, and those of the others. `samples` stays
// as it is; `*first` and `*others` are to be freed by `minift_samples_free`.
MiniftStatus minift_samples_split(const struct MiniftSamples *samples,
                                  size_t count,
                                  struct MiniftSamples **first,
                                  struct MiniftSamples **others);

// Makes two of one: the samples of `count` texts that `seed` chooses, held out, and those of the
// others, kept. The command line holds out a tenth, rounded up. `samples` stays as it is; `*kept` and
// `*held_out` are to be freed by `minift_samples_free`.
MiniftStatus minift_samples_hold_out(const struct MiniftSamples *samples,
                                     size_t count,
                                     uint64_t seed,
                                     struct MiniftSamples **kept,
                                     struct MiniftSamples **held_out);

// Frees samples. NULL is allowed.
void minift_samples_free(struct MiniftSamples *samples);

// All settings of a training with their usual values, as JSON: what `minift_run_new` takes, and what
// `run.json` has under `settings`. `*json` is to be freed by `minift_text_free`.
MiniftStatus minift_default_settings(char **json);

// A run that trains `model` on `train` and measures it on `domain` (held out of the same texts) and on
// `general` (what the model should not forget). `replay` is general text that is trained on again, and
// is needed where the settings have a `replay_ratio`; `consolidation` says how much each weight matters
// and is needed where they have `ewc`; else both may be NULL. All samples must be made for this model.
//
// `settings` is NULL for minifinetuning as usual, or a JSON object of those that are to be otherwise,
// by the names of `minift_default_settings`: {"objective": {"tau": 0.5}, "epochs": 1}. `adapter` is
// {"kind": "lora"} with `rank`, `alpha`, `rank_stabilized`, `dropout`, `decomposed` (DoRA) and
// `target_modules`, or {"kind": "ia3"} with `target_modules`; the usual `learning_rate` is then the
// adapter's. A name that is not known is refused.
//
// Blocks while the samples are looked through. The run keeps what it needs of its arguments, which may
// be freed at once. `*run` is to be freed by `minift_run_free`.
MiniftStatus minift_run_new(const struct MiniftModel *model,
                            const struct MiniftSamples *train,
                            const struct MiniftSamples *domain,
                            const struct MiniftSamples *general,
                            const struct MiniftSamples *replay,
                            const struct MiniftSamples *consolidation,
                            const char *settings,
                            struct MiniftRun **run);

// Does the next piece of work, a batch of an evaluation or a training step, and says what came of it:
// `MINIFT_EVENT_KIND_FINISHED` when nothing is left. Not calling it pauses the run. `size` is
// `sizeof *event`. Blocks for as long as the piece takes.
//
// Gives `MINIFT_STATUS_CANCELLED` after `minift_run_cancel`.
MiniftStatus minift_run_next(struct MiniftRun *run,
                             struct MiniftEvent *event,
                             size_t size);

// Drives a run until it is finished, or cancelled, which gives `MINIFT_STATUS_CANCELLED`: by
// `minift_run_cancel`, or by `on_event`, which gets every event with `user_data` and may be NULL. A run
// that `on_event` stopped goes on where it was by another call.
//
// With a `checkpoint`, the path of a file (UTF-8), the run's state is kept there every
// `checkpoint_every` steps (0: not meanwhile), when training ends, when it is cancelled, and when the
// loss is no longer a number. The file is whole at any moment, and stays when the run is finished.
// NULL for none. Blocks until the end.
MiniftStatus minift_run_drive(struct MiniftRun *run,
                              MiniftEventCallback on_event,
                              void *user_data,
                              const char *checkpoint,
                              size_t checkpoint_every);

// Asks a run to stop at its next event, for good: every later `minift_run_next` and `minift_run_drive`
// gives `MINIFT_STATUS_CANCELLED`, and everything else can still be had of the run. Never blocks, and
// may be called from any thread and from a signal handler, as long as the run is not freed. NULL is
// allowed.
void minift_run_cancel(const struct MiniftRun *run);

// Steps done and steps of the whole run. `done` and `total` may be NULL.
MiniftStatus minift_run_steps(struct MiniftRun *run, size_t *done, size_t *total);

// Writes everything needed to go on later to a file (UTF-8), which replaces the one of that name when it
// is complete. Gives `MINIFT_STATUS_DEVICE` of a run whose device failed, and then writes nothing. Blocks.
MiniftStatus minift_run_save(struct MiniftRun *run,
                             const char *checkpoint);

// Goes on from a checkpoint (UTF-8) of the same settings, model and data as if nothing had happened; on
// the CPU that is so bit for bit. Blocks while it reads.
MiniftStatus minift_run_restore(struct MiniftRun *run,
                                const char *checkpoint);

// What a finished run has to show; `MINIFT_STATUS_NOT_FINISHED` of another one. `size` is
// `sizeof *outcome`.
MiniftStatus minift_run_outcome(struct MiniftRun *run, struct MiniftOutcome *outcome, size_t size);

// The model as the run has it now, at any moment; later steps do not change it. `*model` is to be
// freed by `minift_model_free`.
MiniftStatus minift_run_model(struct MiniftRun *run, struct MiniftModel **model);

// Writes what a finished run made to a folder, as `minift_model_write` does, and beside it `run.json`
// with every setting and figure: what `minift train` writes. `MINIFT_STATUS_NOT_FINISHED` of another
// run. Blocks.
MiniftStatus minift_run_write(struct MiniftRun *run,
                              const char *folder,
                              int32_t replace);

// Frees a run, at any moment: what it was doing is then lost, but for checkpoints. NULL is allowed.
void minift_run_free(struct MiniftRun *run);

// Frees a text that a function gave: those of type `char *` without `const`. NULL is allowed.
void minift_text_free(char *text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MINIFT_H */
