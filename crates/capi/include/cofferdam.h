/* Draft: names and shapes are meant to stay; the final one is made by cbindgen from crates/capi/src.
 *
 * Rules that hold for every function:
 * - Ownership. What a function gives through an `X **` is the caller's, until `cfd_X_free`. A `cfd_source` or `cfd_sink` that is
 *   handed to a call is that call's from then on, whatever it returns. Everything else that is handed over is read during the call alone.
 * - Errors. `error` may be NULL. Else `*error` is NULL after success, and after a failure an object for `cfd_error_free`.
 * - Threads. Nothing here has a thread of its own before it runs a stream, so objects that have been set up before a fork can be used after it;
 *   readers and writers (`cfd_reader`, `cfd_seal_writer`) are refused in a forked child with CFD_USAGE. Threads inherit the signal mask of
 *   the caller. Callbacks are called on other threads where it is said. They return; no longjmp, no exception leaves them.
 * - Results of callbacks: 0 for success, else an `errno` value (EIO where none fits).
 */
#ifndef COFFERDAM_H
#define COFFERDAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CFD_VERSION_MAJOR 0
#define CFD_VERSION_MINOR 1
#define CFD_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cfd_status {
    CFD_OK = 0,
    CFD_IO = 1,
    CFD_USAGE = 2,
    CFD_DAMAGED = 3,
    CFD_NO_KEY = 4,
    CFD_TRUNCATED = 5,
    CFD_TARGET_EXISTS = 6,
    CFD_LIMIT = 7,
    CFD_JOURNAL_MISMATCH = 8,
    CFD_TARGET_LOCKED = 9,
    CFD_DURABILITY_UNKNOWN = 10,
    CFD_NOT_A_STREAM = 11,
    CFD_SOURCE_CHANGED = 12,
    CFD_UNPROVEN = 13,
    CFD_STALE = 14,
    CFD_NO_PROGRESS = 15,
    CFD_NOT_SIGNED = 17,
    CFD_DIGEST_MISMATCH = 18,
    CFD_UNSUPPORTED = 19,
    CFD_DENIED = 20,
    CFD_EXHAUSTED = 21,
    CFD_CANCELLED = 22,
    CFD_PANIC = 23, /* a fault of the library; the object that was in use is refused from then on */
} cfd_status;

typedef struct cfd_sealer cfd_sealer;
typedef struct cfd_opener cfd_opener;
typedef struct cfd_source cfd_source;
typedef struct cfd_sink cfd_sink;
typedef struct cfd_seal_writer cfd_seal_writer;
typedef struct cfd_reader cfd_reader;
typedef struct cfd_pairs cfd_pairs;
typedef struct cfd_cancel cfd_cancel;
typedef struct cfd_error cfd_error;

typedef struct cfd_report {
    uint8_t stream_id[16];
    uint8_t stream_digest[32]; /* a pin: fixes every byte of the stream but its key area */
    uint64_t plaintext_len;
    uint64_t sealed_len; /* of sealing and inspecting; else 0 */
    uint64_t segments;
    uint64_t sequence; /* where has_sequence */
    uint64_t resumed_bytes;
    uint64_t seeded_bytes;
    bool has_sequence;
    uint8_t reserved[63];
} cfd_report;

typedef struct cfd_progress {
    uint64_t committed; /* plaintext bytes */
    uint64_t durable;
    uint64_t total; /* where has_total */
    uint64_t segments;
    double bytes_per_second; /* 0: not known yet */
    double seconds_left;     /* negative: not known */
    bool has_total;
    uint8_t reserved[15];
} cfd_progress;

/* ---- the library ---- */
const char *cfd_version(void);

/* ---- errors ---- */
cfd_status cfd_error_status(const cfd_error *error);
const char *cfd_error_message(const cfd_error *error); /* what happened, where, and the causes; until the error is freed */
const char *cfd_error_advice(const cfd_error *error);  /* what to do, a sentence, or NULL */
bool cfd_error_segment(const cfd_error *error, uint64_t *segment);
bool cfd_error_frame(const cfd_error *error, uint32_t *frame);
bool cfd_error_position(const cfd_error *error, uint64_t *position);          /* bytes into the sealed stream */
bool cfd_error_resumable_bytes(const cfd_error *error, uint64_t *bytes);      /* kept beside the target */
int cfd_error_os_code(const cfd_error *error);                                /* errno underneath, or 0 */
cfd_status cfd_error_free(cfd_error *error);
const char *cfd_status_name(cfd_status status); /* "target-exists" and so on; static */

/* ---- cancelling ---- */
cfd_cancel *cfd_cancel_new(void);
void cfd_cancel_now(const cfd_cancel *cancel); /* from any thread, and from a signal handler */
bool cfd_cancel_is_cancelled(const cfd_cancel *cancel);
cfd_status cfd_cancel_free(cfd_cancel *cancel);

/* ---- sources: where bytes come from. NULL where an argument is NULL; a call that is given that says so. ---- */
cfd_source *cfd_source_path(const char *path); /* a file (read by all threads), a FIFO, a device; opened by the call */
cfd_source *cfd_source_fd(int fd);             /* a duplicate is made: yours stays yours. A pipe, a socket, or a file from its start */
cfd_source *cfd_source_memory(const void *bytes, size_t len); /* yours, untouched until the call ends (or the reader is freed) */

typedef struct cfd_read_callbacks {
    void *context;
    /* The next bytes: how many (at most len), 0 at the end, or a negative errno. -EAGAIN: nothing yet, ask again; wait up to
     * 100 ms yourself before you say so. One thread at a time. */
    int64_t (*read)(void *context, void *buffer, size_t len);
    void (*release)(void *context); /* once, last; may be NULL */
} cfd_read_callbacks;
cfd_source *cfd_source_read(const cfd_read_callbacks *callbacks);

typedef struct cfd_read_at_callbacks {
    void *context;
    uint64_t len; /* bytes in all; does not change */
    /* Fills all of buffer from offset. From several threads at once. 0 or an errno. */
    int (*read_at)(void *context, uint64_t offset, void *buffer, size_t len);
    void (*release)(void *context);
} cfd_read_at_callbacks;
cfd_source *cfd_source_read_at(const cfd_read_at_callbacks *callbacks);

/* ---- sinks: where bytes go ---- */
/* A file, all or nothing: written beside its name, synced, renamed (with its directory synced). cfd_*_set_if_exists says what happens where
 * there is one. A FIFO is written in order. */
cfd_sink *cfd_sink_path(const char *path);
cfd_sink *cfd_sink_fd(int fd); /* in order, each segment once it is verified; a duplicate is made. Nothing is synced. */
/* Your memory, in place, no copy. Tentative until the call returns CFD_OK; after an error there may be anything in it. */
cfd_sink *cfd_sink_memory(void *memory, size_t capacity);

#define CFD_SINK_PRIVATE 1u  /* nobody sees what is written before publish: bytes come as soon as their frame is authentic, before their
                              * segment's digest is compared. Without it each segment comes once it is verified. */
#define CFD_SINK_PARALLEL 2u /* write is called from several threads at once, in any order, over disjoint ranges. Else in order, by one. */

typedef struct cfd_sink_callbacks {
    void *context;
    uint32_t flags;
    /* Takes all of bytes, at offset. Required. Without CFD_SINK_PARALLEL each write begins where the one before ended. */
    int (*write)(void *context, uint64_t offset, const void *bytes, size_t len);
    /* The first `len` bytes are verified. May be NULL. One thread at a time, no write of that segment running. */
    int (*commit)(void *context, uint64_t len);
    /* The stream is complete, `len` bytes: make it so, once. May be NULL. An errno: it did not happen. A negative number: it is not known
     * whether it did (the call says CFD_DURABILITY_UNKNOWN). */
    int (*publish)(void *context, uint64_t len);
    /* Not published: take it back. May be NULL. */
    void (*abort)(void *context);
    void (*release)(void *context); /* once, last; may be NULL */
} cfd_sink_callbacks;
cfd_sink *cfd_sink_write(const cfd_sink_callbacks *callbacks);

/* Of those that were not handed to a call. */
cfd_status cfd_source_free(cfd_source *source);
cfd_status cfd_sink_free(cfd_sink *sink);

/* ---- keys ---- */
#define CFD_RECIPIENT_LEN 128 /* bytes that a recipient or identity text needs at most, with its NUL */
#define CFD_IDENTITY_LEN 256
/* A new identity (`AGE-SECRET-KEY-1…`) and its recipient (`age1…`), with NULs. */
cfd_status cfd_identity_generate(char *identity, size_t identity_capacity, char *recipient, size_t recipient_capacity,
                                 cfd_error **error);

/* ---- sealing ---- */
typedef enum cfd_if_exists { CFD_REFUSE = 0, CFD_REPLACE = 1 } cfd_if_exists;
typedef enum cfd_on_partial { CFD_RESUME = 0, CFD_DISCARD = 1, CFD_REFUSE_PARTIAL = 2 } cfd_on_partial;
typedef enum cfd_suite { CFD_AES_256_GCM = 1, CFD_CHACHA20_POLY1305 = 2 } cfd_suite;
typedef enum cfd_digest { CFD_BLAKE3 = 1, CFD_SHA256 = 2, CFD_TAGS = 3 } cfd_digest;

cfd_sealer *cfd_sealer_new(void);
cfd_status cfd_sealer_free(cfd_sealer *sealer);
cfd_status cfd_sealer_add_recipient(cfd_sealer *sealer, const char *recipient, cfd_error **error); /* age1…, ssh-ed25519 … */
cfd_status cfd_sealer_add_recipients_file(cfd_sealer *sealer, const char *path, cfd_error **error); /* one a line, # comments */
cfd_status cfd_sealer_add_passphrase(cfd_sealer *sealer, const char *passphrase, cfd_error **error);
cfd_status cfd_sealer_add_key(cfd_sealer *sealer, const uint8_t key[32], cfd_error **error); /* a wrapping key that you hold */
cfd_status cfd_sealer_add_pair(cfd_sealer *sealer, const void *key, size_t key_len, const void *value, size_t value_len);
cfd_status cfd_sealer_set_sequence(cfd_sealer *sealer, uint64_t sequence);
cfd_status cfd_sealer_set_suite(cfd_sealer *sealer, cfd_suite suite);
cfd_status cfd_sealer_set_digest(cfd_sealer *sealer, cfd_digest digest);
cfd_status cfd_sealer_set_compression(cfd_sealer *sealer, int level); /* zstd */
cfd_status cfd_sealer_set_frame_len(cfd_sealer *sealer, uint32_t bytes);
cfd_status cfd_sealer_set_segment_len(cfd_sealer *sealer, uint64_t bytes);
cfd_status cfd_sealer_set_if_exists(cfd_sealer *sealer, cfd_if_exists if_exists);
cfd_status cfd_sealer_set_threads(cfd_sealer *sealer, size_t threads);
cfd_status cfd_sealer_set_memory(cfd_sealer *sealer, size_t bytes);
cfd_status cfd_sealer_set_cancel(cfd_sealer *sealer, const cfd_cancel *cancel);
cfd_status cfd_sealer_on_progress(cfd_sealer *sealer, void (*progress)(void *context, const cfd_progress *progress), void *context);
cfd_status cfd_sealer_on_warning(cfd_sealer *sealer, void (*warning)(void *context, const char *message), void *context);

/* Seals all of source into sink and publishes it. From a path to a path it keeps the file's mode and time. report may be NULL. */
cfd_status cfd_seal(const cfd_sealer *sealer, cfd_source *source, cfd_sink *sink, cfd_report *report, cfd_error **error);

/* The other direction: a thread of its own seals what is written. */
cfd_status cfd_seal_writer_new(const cfd_sealer *sealer, cfd_sink *sink, cfd_seal_writer **writer, cfd_error **error);
cfd_status cfd_seal_writer_write(cfd_seal_writer *writer, const void *bytes, size_t len, cfd_error **error);
/* Seals what is left and publishes. The writer is still to be freed; it takes nothing more. */
cfd_status cfd_seal_writer_finish(cfd_seal_writer *writer, cfd_report *report, cfd_error **error);
/* Without a finish before, nothing is published: it waits until that is rolled back. */
cfd_status cfd_seal_writer_free(cfd_seal_writer *writer);

/* ---- opening ---- */
cfd_opener *cfd_opener_new(void); /* without a key it verifies consistency, and nothing more */
cfd_status cfd_opener_free(cfd_opener *opener);
cfd_status cfd_opener_add_identities(cfd_opener *opener, const char *text, size_t len, cfd_error **error); /* an identity file's text */
cfd_status cfd_opener_add_identity_file(cfd_opener *opener, const char *path, cfd_error **error);
cfd_status cfd_opener_add_passphrase(cfd_opener *opener, const char *passphrase, cfd_error **error);
cfd_status cfd_opener_add_key(cfd_opener *opener, const uint8_t key[32], cfd_error **error);
cfd_status cfd_opener_expect_digest(cfd_opener *opener, const uint8_t digest[32]); /* refuses every other stream */
cfd_status cfd_opener_set_min_sequence(cfd_opener *opener, uint64_t sequence);
cfd_status cfd_opener_set_seed(cfd_opener *opener, const char *path);
cfd_status cfd_opener_set_if_exists(cfd_opener *opener, cfd_if_exists if_exists);
cfd_status cfd_opener_set_on_partial(cfd_opener *opener, cfd_on_partial on_partial);
cfd_status cfd_opener_set_threads(cfd_opener *opener, size_t threads);
cfd_status cfd_opener_set_memory(cfd_opener *opener, size_t bytes);
cfd_status cfd_opener_set_cancel(cfd_opener *opener, const cfd_cancel *cancel);
cfd_status cfd_opener_on_progress(cfd_opener *opener, void (*progress)(void *context, const cfd_progress *progress), void *context);
cfd_status cfd_opener_on_warning(cfd_opener *opener, void (*warning)(void *context, const char *message), void *context);

/* Opens all of source into sink and publishes it: all of it, or nothing. */
cfd_status cfd_open(const cfd_opener *opener, cfd_source *source, cfd_sink *sink, cfd_report *report, cfd_error **error);
/* Checks all of it and writes nothing. Without a key: that it is consistent; with cfd_opener_expect_digest too: that it is that stream. */
cfd_status cfd_verify(const cfd_opener *opener, cfd_source *source, cfd_report *report, cfd_error **error);
/* The pairs; needs a key, reads no segment. */
cfd_status cfd_metadata(const cfd_opener *opener, cfd_source *source, cfd_pairs **pairs, cfd_error **error);
/* What a sealed file says of itself, without a key. Claims: nothing is authenticated. Needs offsets (no pipe). */
cfd_status cfd_inspect(cfd_source *source, cfd_report *report, cfd_error **error);

size_t cfd_pairs_count(const cfd_pairs *pairs);
bool cfd_pairs_at(const cfd_pairs *pairs, size_t index, const uint8_t **key, size_t *key_len, const uint8_t **value, size_t *value_len);
bool cfd_pairs_find(const cfd_pairs *pairs, const void *key, size_t key_len, const uint8_t **value, size_t *value_len);
cfd_status cfd_pairs_free(cfd_pairs *pairs);

/* ---- any byte of a stream ---- */
cfd_status cfd_reader_new(const cfd_opener *opener, cfd_source *source, cfd_reader **reader, cfd_error **error);
uint64_t cfd_reader_len(const cfd_reader *reader); /* of the plaintext, in bytes */
/* From any number of threads at once. *count is less than len only at the end. */
cfd_status cfd_reader_read_at(const cfd_reader *reader, uint64_t offset, void *buffer, size_t len, size_t *count, cfd_error **error);
cfd_status cfd_reader_metadata(const cfd_reader *reader, cfd_pairs **pairs, cfd_error **error);
cfd_status cfd_reader_free(cfd_reader *reader);

#ifdef __cplusplus
}
#endif
#endif
