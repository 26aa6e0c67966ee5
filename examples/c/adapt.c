// Adapts the embedded model to texts, prints perplexities before and after, and writes the adapted model:
//
//     adapt OUT_FOLDER [TEXT_FILE [DEVICE [SETTINGS]]]
//
// TEXT_FILE defaults to the embedded tickets of a bicycle workshop. DEVICE is auto, cpu, gpu or gpu:N,
// SETTINGS is JSON such as '{"epochs": 1}'. Ctrl-C stops after the current step and writes
// OUT_FOLDER.checkpoint, from which the same command resumes.
//
// See README.md for building and linking the library, and include/minift.h for the functions.

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "minift.h"

static const char PROMPT[] = "Bike: city bike, 7-speed hub, back-pedal brake\nComplaint:";
static const size_t GENERAL_TALES = 200;

static volatile sig_atomic_t interrupted = 0;

static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

// All resources, freed in one place.
typedef struct {
    MiniftDevice *device;
    MiniftModel *model;
    MiniftSamples *texts, *train, *domain, *tales, *general, *rest;
    MiniftRun *run;
    MiniftModel *adapted;
    char *checkpoint;
} Work;

static void free_work(Work *work) {
    free(work->checkpoint);
    minift_model_free(work->adapted);
    minift_run_free(work->run);
    minift_samples_free(work->rest);
    minift_samples_free(work->general);
    minift_samples_free(work->tales);
    minift_samples_free(work->domain);
    minift_samples_free(work->train);
    minift_samples_free(work->texts);
    minift_model_free(work->model);
    minift_device_free(work->device);
}

// Prints an event. A nonzero result stops the run.
static int32_t on_event(const MiniftEvent *event, void *user_data) {
    (void)user_data;
    switch (event->kind) {
    case MINIFT_EVENT_KIND_EVALUATED:
        fprintf(stderr, "\nafter %llu steps: perplexity %.2f on the domain, %.2f on general text\n",
                (unsigned long long)event->step, event->domain_perplexity,
                event->general_perplexity);
        break;
    case MINIFT_EVENT_KIND_STEP:
        fprintf(stderr, "\rstep %llu of %llu: loss %.3f, %.0f s left ", (unsigned long long)event->done,
                (unsigned long long)event->total, event->loss, event->seconds_left);
        break;
    default: // other kinds, including those of later versions
        break;
    }
    return interrupted != 0;
}

static void on_log(MiniftLogLevel level, const char *origin, const char *message, void *user_data) {
    (void)user_data;
    fprintf(stderr, "%s: %s: %s\n", level == MINIFT_LOG_LEVEL_ERROR ? "error" : "warning", origin, message);
}

// OUT_FOLDER.checkpoint
static char *checkpoint_path(const char *folder) {
    static const char ENDING[] = ".checkpoint";
    size_t size = strlen(folder) + sizeof ENDING;
    char *path = (char *)malloc(size);
    if (path != NULL) {
        snprintf(path, size, "%s%s", folder, ENDING);
    }
    return path;
}

static int exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    fclose(file);
    return 1;
}

// Prints the continuation of the prompt on one line.
static MiniftStatus show_continuation(const char *title, const MiniftModel *model) {
    char *text = NULL;
    MiniftStatus status = minift_model_generate(model, PROMPT, 32, NULL, NULL, NULL, &text);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\n') {
            *c = ' ';
        }
    }
    printf("%s: ...%s\n", title, text);
    minift_text_free(text);
    return MINIFT_STATUS_OK;
}

// Opens the device, loads model and texts, and creates the run.
static MiniftStatus prepare(Work *work, const char *file, const char *device, const char *settings) {
    MiniftStatus status = minift_device_open(device, &work->device);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    printf("device: %s (%s)\n", minift_device_name(work->device), minift_device_reason(work->device));
    status = minift_model_embedded(work->device, &work->model);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    if (file == NULL) {
        status = minift_samples_tickets(work->model, NULL, &work->texts);
    } else {
        status = minift_samples_read(work->model, &file, 1, NULL, &work->texts);
    }
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    // Hold out a tenth of the texts, rounded up.
    size_t texts = minift_samples_count(work->texts);
    status = minift_samples_hold_out(work->texts, (texts + 9) / 10, 0, &work->train, &work->domain);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    status = minift_samples_tales(work->model, NULL, &work->tales);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    status = minift_samples_split(work->tales, GENERAL_TALES, &work->general, &work->rest);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    printf("%zu texts to train on, %zu held out\n", minift_samples_count(work->train),
           minift_samples_count(work->domain));
    return minift_run_new(work->model, work->train, work->domain, work->general, NULL, NULL, settings,
                          &work->run);
}

// Trains the model, prints the results and writes the model.
static MiniftStatus adapt(Work *work, const char *folder) {
    MiniftStatus status;
    if (exists(work->checkpoint)) {
        size_t done = 0, total = 0;
        status = minift_run_restore(work->run, work->checkpoint);
        if (status == MINIFT_STATUS_OK) {
            status = minift_run_steps(work->run, &done, &total);
        }
        if (status != MINIFT_STATUS_OK) {
            return status;
        }
        printf("resuming after step %zu of %zu\n", done, total);
    }
    status = minift_run_drive(work->run, on_event, NULL, work->checkpoint, 100);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }

    MiniftOutcome outcome;
    status = minift_run_outcome(work->run, &outcome, sizeof outcome);
    if (status != MINIFT_STATUS_OK) {
        return status;
    }
    printf("domain perplexity %.2f -> %.2f, general perplexity %.2f -> %.2f\n",
           outcome.domain_perplexity_before, outcome.domain_perplexity_after,
           outcome.general_perplexity_before, outcome.general_perplexity_after);
    printf("S %.2f, DG %.2f", outcome.specialization, outcome.degeneralization);
    if (isnan(outcome.ratio)) {
        printf(": nothing forgotten\n");
    } else {
        printf(", S/DG %.1f\n", outcome.ratio);
    }
    status = minift_run_model(work->run, &work->adapted);
    if (status == MINIFT_STATUS_OK) {
        status = show_continuation("original", work->model);
    }
    if (status == MINIFT_STATUS_OK) {
        status = show_continuation("adapted", work->adapted);
    }
    if (status == MINIFT_STATUS_OK) {
        status = minift_run_write(work->run, folder, 0);
    }
    if (status == MINIFT_STATUS_OK) {
        remove(work->checkpoint);
        printf("written to %s\n", folder);
    }
    return status;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: adapt OUT_FOLDER [TEXT_FILE [DEVICE [SETTINGS]]]\n");
        return EXIT_FAILURE;
    }
    const char *folder = argv[1];
    const char *file = argc > 2 && argv[2][0] != '\0' ? argv[2] : NULL;
    const char *device = argc > 3 ? argv[3] : "auto";
    const char *settings = argc > 4 ? argv[4] : NULL;
    if (minift_abi_version() != MINIFT_ABI_VERSION) {
        fprintf(stderr, "minift has ABI version %u, expected %u\n", (unsigned)minift_abi_version(),
                (unsigned)MINIFT_ABI_VERSION);
        return EXIT_FAILURE;
    }
    minift_log_to(on_log, NULL, MINIFT_LOG_LEVEL_WARN);
    signal(SIGINT, on_interrupt);

    Work work;
    memset(&work, 0, sizeof work);
    work.checkpoint = checkpoint_path(folder);
    if (work.checkpoint == NULL) {
        fprintf(stderr, "out of memory\n");
        return EXIT_FAILURE;
    }
    MiniftStatus status = prepare(&work, file, device, settings);
    if (status == MINIFT_STATUS_OK) {
        status = adapt(&work, folder);
    }
    if (status == MINIFT_STATUS_CANCELLED) {
        fprintf(stderr, "\nstopped; the same command resumes from %s\n", work.checkpoint);
    } else if (status != MINIFT_STATUS_OK) {
        fprintf(stderr, "\nerror %d: %s\n", (int)status, minift_last_error());
    }
    free_work(&work);
    return status == MINIFT_STATUS_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
