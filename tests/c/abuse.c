// Uses and misuses every function of the interface: each misuse must return its status and message, and
// each use its result. Run under sanitizers by tests/it/c_interface.rs, with a scratch folder as argument.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minift.h"

// Two epochs over 16 samples of 24 tokens, 4 samples per step.
#define STEPS 8
static const char SETTINGS[] = "{\"epochs\": 2, \"batch_size\": 4}";
static const char OPTIONS[] = "{\"max_length\": 24}";

static const char *folder;

static void fail(const char *file, int line, const char *what) {
    const char *message = minift_last_error();
    fprintf(stderr, "%s:%d: %s (last error: %s)\n", file, line, what,
            message != NULL ? message : "none");
    exit(EXIT_FAILURE);
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fail(__FILE__, __LINE__, #condition);                                                  \
        }                                                                                          \
    } while (0)

#define OK(call) CHECK((call) == MINIFT_STATUS_OK)

// The call returns a status and a message that contains some words.
#define FAILS(call, status, words)                                                                 \
    do {                                                                                           \
        CHECK((call) == (status));                                                                 \
        CHECK(strstr(minift_last_error(), (words)) != NULL);                                       \
    } while (0)

#define INVALID(call, words) FAILS(call, MINIFT_STATUS_INVALID_ARGUMENT, words)

// A path in the scratch folder. The last two results are valid.
static const char *in_folder(const char *name) {
    static char paths[2][4096];
    static int next = 0;
    next = !next;
    snprintf(paths[next], sizeof paths[next], "%s/%s", folder, name);
    return paths[next];
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK(fclose(file) == 0);
}

typedef struct {
    MiniftDevice *device;
    MiniftModel *model;
    MiniftSamples *train, *domain, *general;
} Inputs;

static Inputs inputs(void) {
    Inputs made;
    MiniftSamples *tickets, *tales, *part, *rest;
    OK(minift_device_open("cpu", &made.device));
    OK(minift_model_embedded(made.device, &made.model));
    OK(minift_samples_tickets(made.model, OPTIONS, &tickets));
    OK(minift_samples_split(tickets, 18, &part, &rest));
    OK(minift_samples_split(part, 16, &made.train, &made.domain));
    minift_samples_free(tickets);
    minift_samples_free(part);
    minift_samples_free(rest);
    OK(minift_samples_tales(made.model, OPTIONS, &tales));
    OK(minift_samples_split(tales, 2, &made.general, &rest));
    minift_samples_free(tales);
    minift_samples_free(rest);
    CHECK(minift_samples_count(made.train) == 16);
    CHECK(minift_samples_tokens(made.train) == 16 * 23);
    return made;
}

static void free_inputs(Inputs *made) {
    minift_samples_free(made->general);
    minift_samples_free(made->domain);
    minift_samples_free(made->train);
    minift_model_free(made->model);
    minift_device_free(made->device);
}

static MiniftRun *new_run(const Inputs *given, const char *settings) {
    MiniftRun *run;
    OK(minift_run_new(given->model, given->train, given->domain, given->general, NULL, NULL, settings,
                      &run));
    return run;
}

// Results of a run, compared bit for bit.
typedef struct {
    double losses[STEPS];
    MiniftOutcome outcome;
} Results;

static int same(const Results *a, const Results *b) {
    return memcmp(a->losses, b->losses, sizeof a->losses) == 0 &&
           a->outcome.domain_perplexity_before == b->outcome.domain_perplexity_before &&
           a->outcome.domain_perplexity_after == b->outcome.domain_perplexity_after &&
           a->outcome.general_perplexity_before == b->outcome.general_perplexity_before &&
           a->outcome.general_perplexity_after == b->outcome.general_perplexity_after;
}

// Drives a run to its end with minift_run_next.
static Results poll(MiniftRun *run) {
    Results results;
    MiniftEvent event;
    size_t evaluations = 0, step = 0, done = 0, total = 0;
    memset(&results, 0, sizeof results);
    do {
        OK(minift_run_next(run, &event, sizeof event));
        if (event.kind == MINIFT_EVENT_KIND_STEP) {
            CHECK(step < STEPS);
            results.losses[step++] = event.loss;
            CHECK(event.done == step && event.step == step && event.total == STEPS);
            CHECK(event.epoch == (step <= STEPS / 2 ? 1 : 2));
            CHECK(event.learning_rate > 0 && event.gradient_norm > 0);
            CHECK(event.domain_perplexity == 0);
        } else if (event.kind == MINIFT_EVENT_KIND_EVALUATED) {
            CHECK(event.moment == (evaluations++ == 0 ? MINIFT_MOMENT_BEFORE : MINIFT_MOMENT_AFTER));
            CHECK(event.domain_perplexity > 1 && event.general_perplexity > 1 && event.loss == 0);
        } else if (event.kind == MINIFT_EVENT_KIND_EVALUATING) {
            CHECK(event.done > 0 && event.done <= event.total);
        }
    } while (event.kind != MINIFT_EVENT_KIND_FINISHED);
    CHECK(step == STEPS && evaluations == 2);
    OK(minift_run_next(run, &event, sizeof event));
    CHECK(event.kind == MINIFT_EVENT_KIND_FINISHED);
    OK(minift_run_steps(run, &done, &total));
    CHECK(done == STEPS && total == STEPS);
    OK(minift_run_outcome(run, &results.outcome, sizeof results.outcome));
    CHECK(results.outcome.steps == STEPS);
    CHECK(results.outcome.domain_perplexity_after < results.outcome.domain_perplexity_before);
    CHECK(results.losses[STEPS - 1] < results.losses[0]);
    return results;
}

static void null_arguments(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, NULL);
    MiniftDevice *device = given.device;
    MiniftModel *model = given.model;
    MiniftSamples *samples = given.train, *other = given.train;
    MiniftEvent event;
    MiniftOutcome outcome;
    char *text;

    INVALID(minift_device_open(NULL, &device), "choice is NULL");
    CHECK(device == NULL);
    INVALID(minift_device_open("cpu", NULL), "device is NULL");
    INVALID(minift_adapters(NULL), "json is NULL");
    INVALID(minift_default_settings(NULL), "json is NULL");
    CHECK(minift_device_name(NULL) == NULL && minift_device_reason(NULL) == NULL);

    INVALID(minift_model_embedded(NULL, &model), "device is NULL");
    CHECK(model == NULL);
    INVALID(minift_model_embedded(given.device, NULL), "model is NULL");
    INVALID(minift_model_load(NULL, "x", NULL, &model), "device is NULL");
    INVALID(minift_model_load(given.device, NULL, NULL, &model), "path is NULL");
    INVALID(minift_model_load(given.device, "x", NULL, NULL), "model is NULL");
    INVALID(minift_model_with_adapter(NULL, "x", &model), "model is NULL");
    INVALID(minift_model_with_adapter(given.model, NULL, &model), "folder is NULL");
    INVALID(minift_model_with_adapter(given.model, "x", NULL), "adapted is NULL");
    INVALID(minift_model_merged(NULL, &model), "model is NULL");
    INVALID(minift_model_merged(given.model, NULL), "merged is NULL");
    CHECK(minift_model_name(NULL) == NULL);
    CHECK(minift_model_parameters(NULL) == 0 && minift_model_max_length(NULL) == 0);
    INVALID(minift_model_generate(NULL, "x", 1, NULL, NULL, NULL, &text), "model is NULL");
    INVALID(minift_model_generate(given.model, NULL, 1, NULL, NULL, NULL, &text), "prompt is NULL");
    CHECK(text == NULL);
    INVALID(minift_model_write(NULL, "x", 0), "model is NULL");
    INVALID(minift_model_write(given.model, NULL, 0), "folder is NULL");

    INVALID(minift_samples_read(NULL, NULL, 0, NULL, &samples), "model is NULL");
    CHECK(samples == NULL);
    INVALID(minift_samples_read(given.model, NULL, 1, NULL, &samples), "paths is NULL");
    INVALID(minift_samples_read(given.model, NULL, 1, NULL, NULL), "samples is NULL");
    INVALID(minift_samples_from_texts(NULL, NULL, 0, NULL, &samples), "model is NULL");
    INVALID(minift_samples_from_texts(given.model, NULL, 2, NULL, &samples), "texts is NULL");
    INVALID(minift_samples_from_texts(given.model, NULL, 2, NULL, NULL), "samples is NULL");
    INVALID(minift_samples_tickets(NULL, NULL, &samples), "model is NULL");
    INVALID(minift_samples_tickets(given.model, NULL, NULL), "samples is NULL");
    INVALID(minift_samples_tales(NULL, NULL, &samples), "model is NULL");
    INVALID(minift_samples_tales(given.model, NULL, NULL), "samples is NULL");
    CHECK(minift_samples_count(NULL) == 0 && minift_samples_tokens(NULL) == 0);
    INVALID(minift_samples_split(NULL, 1, &samples, &other), "samples is NULL");
    CHECK(other == NULL);
    INVALID(minift_samples_split(given.train, 1, NULL, &other), "first is NULL");
    INVALID(minift_samples_split(given.train, 1, &samples, NULL), "others is NULL");
    INVALID(minift_samples_hold_out(NULL, 1, 0, &samples, &other), "samples is NULL");
    INVALID(minift_samples_hold_out(given.train, 1, 0, NULL, &other), "kept is NULL");
    INVALID(minift_samples_hold_out(given.train, 1, 0, &samples, NULL), "held_out is NULL");

    MiniftRun *none = run;
    INVALID(minift_run_new(NULL, given.train, given.domain, given.general, NULL, NULL, NULL, &none),
            "model is NULL");
    CHECK(none == NULL);
    INVALID(minift_run_new(given.model, NULL, given.domain, given.general, NULL, NULL, NULL, &none),
            "train is NULL");
    INVALID(minift_run_new(given.model, given.train, NULL, given.general, NULL, NULL, NULL, &none),
            "domain is NULL");
    INVALID(minift_run_new(given.model, given.train, given.domain, NULL, NULL, NULL, NULL, &none),
            "general is NULL");
    INVALID(minift_run_new(given.model, given.train, given.domain, given.general, NULL, NULL, NULL, NULL),
            "run is NULL");
    INVALID(minift_run_next(NULL, &event, sizeof event), "run is NULL");
    INVALID(minift_run_next(run, NULL, sizeof event), "event is NULL");
    INVALID(minift_run_next(run, &event, 0), "sizeof(*event)");
    INVALID(minift_run_drive(NULL, NULL, NULL, NULL, 0), "run is NULL");
    INVALID(minift_run_steps(NULL, NULL, NULL), "run is NULL");
    OK(minift_run_steps(run, NULL, NULL));
    INVALID(minift_run_save(NULL, "x"), "run is NULL");
    INVALID(minift_run_save(run, NULL), "checkpoint is NULL");
    INVALID(minift_run_restore(NULL, "x"), "run is NULL");
    INVALID(minift_run_restore(run, NULL), "checkpoint is NULL");
    INVALID(minift_run_outcome(NULL, &outcome, sizeof outcome), "run is NULL");
    INVALID(minift_run_model(NULL, &model), "run is NULL");
    INVALID(minift_run_model(run, NULL), "model is NULL");
    INVALID(minift_run_write(NULL, "x", 0), "run is NULL");
    INVALID(minift_run_write(run, NULL, 0), "folder is NULL");
    size_t count = 0;
    INVALID(minift_run_set_dial(NULL, 0.5), "run is NULL");
    INVALID(minift_run_front(NULL, NULL, 0, 0, &count), "run is NULL");
    INVALID(minift_run_front(run, NULL, 0, 0, NULL), "count is NULL");

    minift_run_cancel(NULL);
    minift_run_free(NULL);
    minift_samples_free(NULL);
    minift_model_free(NULL);
    minift_device_free(NULL);
    minift_text_free(NULL);

    // None of these calls took a step.
    size_t done = 1;
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 0);
    minift_run_free(run);
    free_inputs(&given);
}

static void invalid_strings(void) {
    Inputs given = inputs();
    MiniftDevice *device;
    MiniftModel *model;
    MiniftSamples *samples;
    MiniftRun *run;
    char *text;
    static const char BROKEN[] = "ab\xff";

    INVALID(minift_device_open(BROKEN, &device), "choice is not UTF-8: invalid byte at offset 2");
    INVALID(minift_device_open("tpu", &device), "expected auto, cpu, gpu or gpu:N");
    INVALID(minift_model_load(given.device, BROKEN, NULL, &model), "path is not UTF-8");
    INVALID(minift_model_load(given.device, "", NULL, &model), "path is empty");
    INVALID(minift_model_load(given.device, "x", "q5", &model), "expected auto, float32");
    INVALID(minift_model_generate(given.model, BROKEN, 1, NULL, NULL, NULL, &text), "prompt is not UTF-8");
    INVALID(minift_model_generate(given.model, "x", 1, "{\"heat\": 1}", NULL, NULL, &text), "`heat`");
    char prompt[8192];
    memset(prompt, '7', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = '\0';
    INVALID(minift_model_generate(given.model, prompt, 1, NULL, NULL, NULL, &text), "prompt: ");
    const char *texts[] = {"Once upon a time", BROKEN, NULL};
    INVALID(minift_samples_from_texts(given.model, texts, 2, NULL, &samples), "texts[1] is not UTF-8");
    texts[1] = NULL;
    INVALID(minift_samples_from_texts(given.model, texts, 2, NULL, &samples), "texts[1] is NULL");
    FAILS(minift_samples_from_texts(given.model, texts, 0, NULL, &samples), MINIFT_STATUS_DATA,
          "no usable sample in texts of the application");
    INVALID(minift_samples_from_texts(given.model, texts, 1, "{\"length\": 1}", &samples), "`length`");
    INVALID(minift_samples_from_texts(given.model, texts, 1, "{\"max_length\": 1}", &samples),
            "max_length: 1");
    INVALID(minift_samples_from_texts(given.model, texts, 1, "{\"column\": \"x\"}", &samples), "column: x");
    INVALID(minift_samples_from_texts(given.model, texts, 1, "{\"train_on\": \"x\"}", &samples),
            "answers or all");
    INVALID(minift_samples_from_texts(given.model, texts, 1, "max_length", &samples), "a JSON object");
    FAILS(minift_samples_split(given.train, 17, &samples, &samples), MINIFT_STATUS_DATA,
          "17 samples requested");

    static const char *const wrong[][2] = {
        {"{\"epoch\": 1}", "\"epoch\""},
        {"{\"objective\": {\"tou\": 1}}", "\"objective.tou\""},
        {"{\"epochs\": 0}", "epochs: 0"},
        {"{\"epochs\": \"two\"}", "\"epochs\""},
        {"{\"epochs\": 1", "EOF"},
        {"{\"adapter\": {\"kind\": \"lora\", \"range\": 1}}", "adapter.range"},
        {BROKEN, "settings is not UTF-8"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        INVALID(minift_run_new(given.model, given.train, given.domain, given.general, NULL, NULL,
                               wrong[i][0], &run),
                wrong[i][1]);
        CHECK(run == NULL);
    }
    FAILS(minift_run_new(given.model, given.train, given.domain, given.general, NULL, NULL,
                         "{\"replay_ratio\": 0.25}", &run),
          MINIFT_STATUS_DATA, "no usable sample in the text to replay");
    FAILS(minift_run_new(given.model, given.train, given.domain, given.general, NULL, NULL,
                         "{\"ewc\": 1}", &run),
          MINIFT_STATUS_DATA, "the text for elastic weight consolidation");

    // The default settings are valid settings.
    OK(minift_default_settings(&text));
    CHECK(strstr(text, "\"batch_size\": 8") != NULL);
    OK(minift_run_new(given.model, given.train, given.domain, given.general, given.general, given.general,
                      text, &run));
    minift_text_free(text);
    minift_run_free(run);
    free_inputs(&given);
}

// Number of log messages about unused keys.
static int unused_keys = 0;

static void on_log(MiniftLogLevel level, const char *origin, const char *message, void *user_data) {
    if (level == MINIFT_LOG_LEVEL_WARN && strstr(origin, "minift") != NULL &&
        strstr(message, "mood") != NULL) {
        ++*(int *)user_data;
    }
}

static void files_and_the_log(void) {
    Inputs given = inputs();
    MiniftModel *model;
    MiniftSamples *samples;
    INVALID(minift_log_to(NULL, NULL, MINIFT_LOG_LEVEL_WARN), "callback is NULL");
    INVALID(minift_log_to(on_log, &unused_keys, 9), "max_level = 9");
    OK(minift_log_to(on_log, &unused_keys, MINIFT_LOG_LEVEL_WARN));
    FAILS(minift_log_to(on_log, NULL, MINIFT_LOG_LEVEL_ERROR), MINIFT_STATUS_IN_USE, "already has a logger");

    const char *paths[] = {in_folder("texts.jsonl"), in_folder("more.txt")};
    write_text(paths[0], "{\"text\": \"Once upon a time\", \"mood\": \"glad\"}\n{\"text\": \"The end\"}\n");
    write_text(paths[1], "One day\n\nLater\n\nAt last\n");
    OK(minift_samples_read(given.model, paths, 2, NULL, &samples));
    CHECK(minift_samples_count(samples) == 5);
    CHECK(unused_keys == 1);
    minift_samples_free(samples);

    paths[0] = in_folder("broken.jsonl");
    write_text(paths[0], "{\"text\": \"Once\"}\n{\"text\": 5}\n");
    FAILS(minift_samples_read(given.model, paths, 1, NULL, &samples), MINIFT_STATUS_DATA, "broken.jsonl:2");
    paths[0] = in_folder("nowhere.txt");
    FAILS(minift_samples_read(given.model, paths, 1, NULL, &samples), MINIFT_STATUS_IO, "cannot read");
    FAILS(minift_model_load(given.device, folder, NULL, &model), MINIFT_STATUS_MODEL, "is missing config.json");
    FAILS(minift_model_with_adapter(given.model, folder, &model), MINIFT_STATUS_IO, "adapter_config.json");
    FAILS(minift_model_write(given.model, folder, 0), MINIFT_STATUS_OUTPUT_EXISTS, "not empty");
    OK(minift_model_write(given.model, in_folder("copy"), 0));
    OK(minift_model_write(given.model, in_folder("copy"), 1));
    OK(minift_model_load(given.device, in_folder("copy"), "q8_0", &model));
    CHECK(minift_model_parameters(model) == 361280 && minift_model_parameters(given.model) == 361280);
    CHECK(minift_model_max_length(model) == minift_model_max_length(given.model));
    CHECK(strcmp(minift_model_name(model), in_folder("copy")) == 0);
    minift_model_free(model);
    free_inputs(&given);
}

static void on_text(const char *piece, void *user_data) {
    strcat((char *)user_data, piece);
}

static void models_generate(void) {
    Inputs given = inputs();
    char pieces[1024] = "", *whole, *sampled, *again;
    static const char PROMPT[] = "Once upon a time, there was a little";
    OK(minift_model_generate(given.model, PROMPT, 16, NULL, on_text, pieces, &whole));
    CHECK(strlen(whole) > 16 && strcmp(whole, pieces) == 0);
    OK(minift_model_generate(given.model, PROMPT, 16, NULL, NULL, NULL, NULL));
    static const char SAMPLING[] = "{\"temperature\": 1, \"top_k\": 40, \"top_p\": 0.9, \"seed\": 3}";
    OK(minift_model_generate(given.model, PROMPT, 16, SAMPLING, NULL, NULL, &sampled));
    OK(minift_model_generate(given.model, PROMPT, 16, SAMPLING, NULL, NULL, &again));
    CHECK(strcmp(sampled, again) == 0 && strcmp(sampled, whole) != 0);
    minift_text_free(whole);
    minift_text_free(sampled);
    minift_text_free(again);
    free_inputs(&given);
}

// A run on its own thread.
typedef struct {
    const Inputs *given;
    Results results;
    int no_previous_error;
} Job;

static void *work(void *argument) {
    Job *job = (Job *)argument;
    job->no_previous_error = minift_last_error() == NULL;
    MiniftRun *run = new_run(job->given, SETTINGS);
    job->results = poll(run);
    minift_run_free(run);
    return NULL;
}

static Results sequential_and_concurrent_runs(void) {
    Inputs given = inputs(), others = inputs();
    Job alone = {&given, {{0}, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, 0};
    work(&alone);
    Job after = alone;
    work(&after);
    CHECK(same(&alone.results, &after.results));

    // Concurrent runs on one model and on another, alongside text generation.
    Job jobs[3] = {alone, alone, alone};
    jobs[2].given = &others;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        memset(&jobs[i].results, 0, sizeof jobs[i].results);
        CHECK(pthread_create(&threads[i], NULL, work, &jobs[i]) == 0);
    }
    OK(minift_model_generate(given.model, "One day", 32, NULL, NULL, NULL, NULL));
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(jobs[i].no_previous_error);
        CHECK(same(&jobs[i].results, &alone.results));
    }
    free_inputs(&others);
    free_inputs(&given);
    return alone.results;
}

// State of an event callback that misuses its run.
typedef struct {
    MiniftRun *run;
    uint64_t stop_after;
    size_t events;
    int frees;
} Listener;

static int32_t on_event(const MiniftEvent *event, void *user_data) {
    Listener *listener = (Listener *)user_data;
    MiniftEvent other;
    MiniftModel *model;
    listener->events++;
    FAILS(minift_run_next(listener->run, &other, sizeof other), MINIFT_STATUS_BUSY, "another call");
    FAILS(minift_run_drive(listener->run, NULL, NULL, NULL, 0), MINIFT_STATUS_BUSY, "another call");
    FAILS(minift_run_model(listener->run, &model), MINIFT_STATUS_BUSY, "another call");
    int stops = event->kind == MINIFT_EVENT_KIND_STEP && event->step == listener->stop_after;
    if (stops && listener->frees) {
        minift_run_free(listener->run);
    }
    return stops;
}

static void compare_files(const char *left, const char *right) {
    FILE *files[2] = {fopen(left, "rb"), fopen(right, "rb")};
    CHECK(files[0] != NULL && files[1] != NULL);
    int bytes[2];
    size_t size = 0;
    do {
        bytes[0] = getc(files[0]);
        bytes[1] = getc(files[1]);
        CHECK(bytes[0] == bytes[1]);
        size++;
    } while (bytes[0] != EOF);
    // 361,280 parameters, saved as float16 as they are stored.
    CHECK(size > 361280 * sizeof(uint16_t));
    fclose(files[0]);
    fclose(files[1]);
}

static void runs_stop_and_resume(const Results *uninterrupted) {
    Inputs given = inputs();
    char checkpoint[4096];
    snprintf(checkpoint, sizeof checkpoint, "%s", in_folder("checkpoint"));

    // Driven to the end.
    MiniftRun *run = new_run(&given, SETTINGS);
    Results results = *uninterrupted;
    OK(minift_run_drive(run, NULL, NULL, NULL, 0));
    OK(minift_run_outcome(run, &results.outcome, sizeof results.outcome));
    CHECK(same(&results, uninterrupted));
    OK(minift_run_write(run, in_folder("straight"), 0));
    FAILS(minift_run_write(run, in_folder("straight"), 0), MINIFT_STATUS_OUTPUT_EXISTS, "not empty");
    OK(minift_run_write(run, in_folder("straight"), 1));
    minift_run_free(run);

    // Stopped by the callback, continued by another call.
    run = new_run(&given, SETTINGS);
    Listener listener = {run, 3, 0, 0};
    FAILS(minift_run_drive(run, on_event, &listener, NULL, 0), MINIFT_STATUS_CANCELLED, "was cancelled");
    size_t done = 0;
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 3);
    FAILS(minift_run_outcome(run, &results.outcome, sizeof results.outcome), MINIFT_STATUS_NOT_FINISHED,
          "3 of 8 steps");
    FAILS(minift_run_write(run, in_folder("early"), 0), MINIFT_STATUS_NOT_FINISHED, "not finished");
    listener.stop_after = 0;
    listener.events = 0;
    OK(minift_run_drive(run, on_event, &listener, NULL, 0));
    CHECK(listener.events == STEPS - 3 + 2); // and two evaluation events
    OK(minift_run_outcome(run, &results.outcome, sizeof results.outcome));
    CHECK(same(&results, uninterrupted));
    minift_run_free(run);

    // Stopped with a checkpoint by a callback that frees the run, resumed by another run.
    run = new_run(&given, SETTINGS);
    listener = (Listener){run, 5, 0, 1};
    FAILS(minift_run_drive(run, on_event, &listener, checkpoint, 2), MINIFT_STATUS_CANCELLED,
          "was cancelled");
    run = new_run(&given, SETTINGS);
    OK(minift_run_restore(run, checkpoint));
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 5);
    OK(minift_run_drive(run, NULL, NULL, NULL, 0));
    OK(minift_run_outcome(run, &results.outcome, sizeof results.outcome));
    CHECK(same(&results, uninterrupted));
    OK(minift_run_write(run, in_folder("resumed"), 0));
    compare_files(in_folder("straight/model.safetensors"), in_folder("resumed/model.safetensors"));
    minift_run_free(run);

    // Saved explicitly between two steps.
    run = new_run(&given, SETTINGS);
    MiniftEvent event;
    do {
        OK(minift_run_next(run, &event, sizeof event));
    } while (event.step < 2);
    OK(minift_run_save(run, checkpoint));
    minift_run_free(run);
    run = new_run(&given, SETTINGS);
    OK(minift_run_restore(run, checkpoint));
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 2);
    minift_run_free(run);

    // Invalid checkpoints for this run.
    run = new_run(&given, "{\"epochs\": 2, \"batch_size\": 2}");
    FAILS(minift_run_restore(run, checkpoint), MINIFT_STATUS_CHECKPOINT, "batch_size: 4 in the checkpoint, 2 now");
    write_text(checkpoint, "nothing");
    FAILS(minift_run_restore(run, checkpoint), MINIFT_STATUS_CHECKPOINT, "damaged checkpoint");
    FAILS(minift_run_restore(run, in_folder("nowhere")), MINIFT_STATUS_IO, "nowhere");
    FAILS(minift_run_save(run, in_folder("nowhere/checkpoint")), MINIFT_STATUS_IO, "nowhere");
    minift_run_free(run);
    free_inputs(&given);
}

static void *cancel(void *run) {
    minift_run_cancel((MiniftRun *)run);
    return NULL;
}

// Cancels the run from another thread.
static int32_t on_second_step(const MiniftEvent *event, void *user_data) {
    if (event->kind == MINIFT_EVENT_KIND_STEP && event->step == 2) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, cancel, user_data) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return 0;
}

static void runs_are_cancelled(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, SETTINGS);
    MiniftEvent event;
    FAILS(minift_run_drive(run, on_second_step, run, NULL, 0), MINIFT_STATUS_CANCELLED, "was cancelled");
    size_t done = 0;
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 2);
    FAILS(minift_run_next(run, &event, sizeof event), MINIFT_STATUS_CANCELLED, "was cancelled");
    FAILS(minift_run_drive(run, NULL, NULL, NULL, 0), MINIFT_STATUS_CANCELLED, "was cancelled");
    // The partially trained model is available.
    MiniftModel *model;
    OK(minift_run_model(run, &model));
    OK(minift_model_write(model, in_folder("cancelled"), 0));
    minift_model_free(model);
    minift_run_free(run);

    // Cancelled before the first step.
    run = new_run(&given, SETTINGS);
    minift_run_cancel(run);
    FAILS(minift_run_drive(run, NULL, NULL, NULL, 0), MINIFT_STATUS_CANCELLED, "was cancelled");
    OK(minift_run_steps(run, &done, NULL));
    CHECK(done == 0);
    minift_run_free(run);
    free_inputs(&given);
}

static void non_finite_losses(void) {
    Inputs given = inputs();
    char checkpoint[4096];
    snprintf(checkpoint, sizeof checkpoint, "%s", in_folder("diverged"));
    MiniftRun *run = new_run(&given, "{\"learning_rate\": 1e30, \"warmup_steps\": 0}");
    FAILS(minift_run_drive(run, NULL, NULL, checkpoint, 0), MINIFT_STATUS_NON_FINITE_LOSS,
          "lower the learning rate; step");
    OK(minift_run_restore(run, checkpoint));
    minift_run_free(run);
    free_inputs(&given);
}

static void handles_are_freed_in_any_order(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, SETTINGS);
    MiniftEvent event;
    MiniftModel *early, *trained;
    OK(minift_run_model(run, &early));
    minift_device_free(given.device);
    minift_samples_free(given.train);
    OK(minift_run_next(run, &event, sizeof event));
    minift_model_free(given.model);
    minift_samples_free(given.general);
    minift_samples_free(given.domain);
    poll(run);
    OK(minift_run_model(run, &trained));
    minift_run_free(run);
    // Later steps did not change the earlier model.
    char *texts[2];
    OK(minift_model_generate(early, "Bike:", 12, NULL, NULL, NULL, &texts[0]));
    OK(minift_model_generate(trained, "Bike:", 12, NULL, NULL, NULL, &texts[1]));
    CHECK(strcmp(texts[0], texts[1]) != 0);
    minift_text_free(texts[1]);
    minift_text_free(texts[0]);
    minift_model_free(early);
    minift_model_free(trained);
}

// Structures of older programs are shorter, those of newer ones longer.
static void structure_sizes(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, SETTINGS);
    struct {
        MiniftEvent event;
        unsigned char more[16];
    } place;
    memset(&place, 0xAA, sizeof place);
    OK(minift_run_next(run, &place.event, offsetof(MiniftEvent, done)));
    CHECK(place.event.kind == MINIFT_EVENT_KIND_EVALUATING);
    unsigned char *bytes = (unsigned char *)&place;
    for (size_t i = offsetof(MiniftEvent, done); i < sizeof place; i++) {
        CHECK(bytes[i] == 0xAA);
    }
    OK(minift_run_next(run, &place.event, sizeof place));
    CHECK(place.event.kind == MINIFT_EVENT_KIND_EVALUATED && place.event.domain_perplexity > 1);
    for (size_t i = 0; i < sizeof place.more; i++) {
        CHECK(place.more[i] == 0);
    }
    minift_run_free(run);
    free_inputs(&given);
}

// Adapters are trained, written, loaded and merged.
static void adapters(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, "{\"epochs\": 1, \"adapter\": {\"kind\": \"lora\", \"rank\": 4}}");
    MiniftModel *read, *merged;
    OK(minift_run_drive(run, NULL, NULL, NULL, 0));
    OK(minift_run_write(run, in_folder("adapter"), 0));
    OK(minift_model_with_adapter(given.model, in_folder("adapter"), &read));
    OK(minift_model_merged(read, &merged));
    char *texts[2];
    OK(minift_model_generate(read, "Bike:", 12, NULL, NULL, NULL, &texts[0]));
    OK(minift_model_generate(merged, "Bike:", 12, NULL, NULL, NULL, &texts[1]));
    CHECK(strcmp(texts[0], texts[1]) == 0);
    minift_text_free(texts[0]);
    minift_text_free(texts[1]);
    minift_model_free(read);
    minift_model_free(merged);
    minift_run_free(run);
    free_inputs(&given);
}

static void a_dial_chooses_the_strength(void) {
    Inputs given = inputs();
    MiniftRun *run = new_run(&given, SETTINGS);
    size_t count = 0;
    FAILS(minift_run_set_dial(run, 0.5), MINIFT_STATUS_NOT_FINISHED, "not finished");
    FAILS(minift_run_front(run, NULL, 0, 0, &count), MINIFT_STATUS_NOT_FINISHED, "not finished");
    OK(minift_run_drive(run, NULL, NULL, NULL, 0));
    MiniftOutcome full, half;
    OK(minift_run_outcome(run, &full, sizeof full));
    INVALID(minift_run_set_dial(run, 1.5), "0 to 1");
    OK(minift_run_set_dial(run, 0.5));
    OK(minift_run_outcome(run, &half, sizeof half));
    CHECK(half.specialization > 0 && half.specialization < full.specialization);
    MiniftModel *model;
    OK(minift_run_model(run, &model));
    OK(minift_model_write(model, in_folder("half_model"), 0));
    minift_model_free(model);
    OK(minift_run_write(run, in_folder("half"), 0));
    compare_files(in_folder("half_model/model.safetensors"), in_folder("half/model.safetensors"));
    OK(minift_run_set_dial(run, 0));
    OK(minift_run_outcome(run, &half, sizeof half));
    CHECK(half.specialization == 0 && half.degeneralization == 0);
    OK(minift_run_set_dial(run, 1));
    OK(minift_run_outcome(run, &half, sizeof half));
    CHECK(half.general_perplexity_after == full.general_perplexity_after);

    OK(minift_run_front(run, NULL, 0, 0, &count));
    CHECK(count == 7);
    MiniftFrontPoint points[8];
    INVALID(minift_run_front(run, NULL, 8, sizeof *points, &count), "points is NULL");
    INVALID(minift_run_front(run, points, 8, 0, &count), "sizeof");
    OK(minift_run_front(run, points, 8, sizeof *points, &count));
    CHECK(points[0].weight == 0 && points[6].weight == 1 && count == 7);
    CHECK(points[6].domain_perplexity == full.domain_perplexity_after);
    CHECK(points[0].specialization == 0);
    minift_run_free(run);

    // Measured by the run itself, with events.
    run = new_run(&given, "{\"epochs\": 2, \"batch_size\": 4, \"dial\": \"uniform\"}");
    MiniftEvent event;
    int measured = 0;
    do {
        OK(minift_run_next(run, &event, sizeof event));
        measured += event.kind == MINIFT_EVENT_KIND_FRONT_POINT;
    } while (event.kind != MINIFT_EVENT_KIND_FINISHED);
    CHECK(measured == 5);
    OK(minift_run_front(run, points, 1, sizeof *points, &count));
    CHECK(count == 7 && points[0].weight == 0);
    minift_run_free(run);
    free_inputs(&given);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    folder = argv[1];
    CHECK(minift_abi_version() == MINIFT_ABI_VERSION);
    CHECK(strchr(minift_version(), '.') != NULL);
    CHECK(minift_last_error() == NULL);
    null_arguments();
    invalid_strings();
    files_and_the_log();
    models_generate();
    Results results = sequential_and_concurrent_runs();
    runs_stop_and_resume(&results);
    runs_are_cancelled();
    non_finite_losses();
    handles_are_freed_in_any_order();
    structure_sizes();
    adapters();
    a_dial_chooses_the_strength();
    printf("all checks passed\n");
    return EXIT_SUCCESS;
}
