/* Cofferdam: sealed snapshots for C. Made from crates/capi/src; do not edit it.
 *
 * What holds for every function:
 *
 * - Pointers. Each is what its type says, or NULL. A NULL where something is needed is CFD_USAGE. Strings are UTF-8 and end with a NUL; paths are
 *   any bytes.
 * - Ownership. What a function returns or puts through an `X **` is yours, until `X_free`. A cfd_source or cfd_sink that is handed to a call is
 *   that call's from then on, whatever it returns. All else that is handed over is used until the function returns, and not after.
 * - Errors. `error` may be NULL. Else `*error` is NULL after success, and else an object that is yours. Functions without one have only
 *   CFD_USAGE to say. What would have been written through other pointers is not, after an error.
 * - Misuse. An object that has been freed, or is of another kind, is CFD_USAGE in builds for debugging; in others it is undefined, as is what the C
 *   language calls so.
 * - Threads. Each type says who may use it at once. A stream works on threads that are made when it begins and that inherit the caller's
 *   signal mask: block what they shall not get. No thread is there before the first call, so a process may fork until then; a
 *   cfd_reader and a cfd_seal_writer belong to the process that has made them.
 * - Callbacks may be called on other threads. They return: no exception and no longjmp may leave them. They may call functions of this header,
 *   with other objects than those that are calling them.
 *
 * Names and numbers stay as they are from 1.0 on. Structures have room to grow in `reserved`.
 */


#ifndef COFFERDAM_H
#define COFFERDAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this header; cfd_version has the library's. */
#define CFD_VERSION_MAJOR 0
#define CFD_VERSION_MINOR 1
#define CFD_VERSION_PATCH 0


/*
 Of a cfd_sink_callbacks: nobody sees what is written before it is published. Bytes then come as soon as their frame is authentic, before
 the digest of their segment has been compared; bytes from the last committed one on may come again, at the same offset. Without this flag
 each segment comes once it is verified, and nothing comes twice.
 */
#define CFD_SINK_PRIVATE 1

/*
 Of a cfd_sink_callbacks, with CFD_SINK_PRIVATE: `write` is **called from several threads at once**, in any order; no two ranges overlap.
 Without this flag writes come in order, one at a time. `commit` is not called.
 */
#define CFD_SINK_PARALLEL 2

/*
 Room for a recipient of an identity that is made here, in bytes, with its NUL.
 */
#define CFD_RECIPIENT_LEN 128

/*
 Room for an identity that is made here, in bytes, with its NUL.
 */
#define CFD_IDENTITY_LEN 256

/*
 Of cfd_open_tree: a process of root's gives files to the owners' numbers, and not first to whoever has their names.
 */
#define CFD_TREE_NUMERIC_OWNER 1

/*
 Of cfd_open_tree: files are this process's, root's too.
 */
#define CFD_TREE_NO_OWNER 2

/*
 Of cfd_open_tree: set-user-ID and set-group-ID bits are set. Without it they are left out, and counted.
 */
#define CFD_TREE_SET_ID 4

/*
 Of cfd_open_tree: device files are made, which takes root. Without it they are left out, and counted.
 */
#define CFD_TREE_DEVICES 8

/*
 Of cfd_open_tree: a tree that is replaced is kept beside the new one, as NAME.cofferdam-old.
 */
#define CFD_TREE_KEEP_OLD 16

/*
 What came of a call. The numbers are stable, and up to 17 those with which the command `cofferdam` exits. There will be more of them:
 treat one that you do not know as CFD_IO.
 */
typedef enum cfd_status {
    /*
     It is done.
     */
    CFD_OK = 0,
    /*
     Reading, writing, or the machine failed.
     */
    CFD_IO = 1,
    /*
     You asked for something that is not possible: a NULL, an object that has been freed, choices that exclude each other.
     */
    CFD_USAGE = 2,
    /*
     The sealed stream is damaged or was tampered with.
     */
    CFD_DAMAGED = 3,
    /*
     None of the keys that were given opens the stream.
     */
    CFD_NO_KEY = 4,
    /*
     The sealed stream ends too early.
     */
    CFD_TRUNCATED = 5,
    /*
     The target exists, and replacing it was not asked for.
     */
    CFD_TARGET_EXISTS = 6,
    /*
     A size or count is beyond a limit: of the format, of the memory that was given.
     */
    CFD_LIMIT = 7,
    /*
     What is kept beside the target of an interrupted attempt is of another stream or target, or is damaged.
     */
    CFD_JOURNAL_MISMATCH = 8,
    /*
     Another process is writing the same target.
     */
    CFD_TARGET_LOCKED = 9,
    /*
     The target has been published, but it is not known whether that survives a power cut.
     */
    CFD_DURABILITY_UNKNOWN = 10,
    /*
     The bytes are no Cofferdam stream.
     */
    CFD_NOT_A_STREAM = 11,
    /*
     The source changed while it was read.
     */
    CFD_SOURCE_CHANGED = 12,
    /*
     The stream has been opened to its end, and nothing proves that it is whole.
     */
    CFD_UNPROVEN = 13,
    /*
     The stream is older than the one that was asked for.
     */
    CFD_STALE = 14,
    /*
     Nothing has come from afar for as long as was allowed.
     */
    CFD_NO_PROGRESS = 15,
    /*
     Nobody who was named has signed the stream.
     */
    CFD_NOT_SIGNED = 17,
    /*
     The stream is not the one whose digest was given.
     */
    CFD_DIGEST_MISMATCH = 18,
    /*
     The stream is of a version or has a feature that this library does not know.
     */
    CFD_UNSUPPORTED = 19,
    /*
     The store does not let this caller read or write.
     */
    CFD_DENIED = 20,
    /*
     The system provided no thread or no memory.
     */
    CFD_EXHAUSTED = 21,
    /*
     The call was cancelled.
     */
    CFD_CANCELLED = 22,
    /*
     A fault of this library, which was caught. The objects that the call was given are refused from then on; free them.
     */
    CFD_PANIC = 23
} cfd_status;

/*
 What becomes of a target that exists.
 */
typedef enum cfd_if_exists {
    /*
     It is refused, at the start, and again at publish if one has appeared.
     */
    CFD_REFUSE = 0,
    /*
     It is replaced at publish, atomically.
     */
    CFD_REPLACE = 1
} cfd_if_exists;

/*
 What becomes of what an interrupted call has left beside the target.
 */
typedef enum cfd_on_partial {
    /*
     It is proved, and the call resumes from there.
     */
    CFD_RESUME = 0,
    /*
     It is removed unread.
     */
    CFD_DISCARD = 1
} cfd_on_partial;

/*
 The AEAD.
 */
typedef enum cfd_suite {
    /*
     AES-256-GCM.
     */
    CFD_AES_256_GCM = 1,
    /*
     ChaCha20-Poly1305.
     */
    CFD_CHACHA20_POLY1305 = 2
} cfd_suite;

/*
 What segments are digested with.
 */
typedef enum cfd_digest {
    /*
     BLAKE3.
     */
    CFD_BLAKE3 = 1,
    /*
     SHA-256.
     */
    CFD_SHA256 = 2,
    /*
     The AEAD's tags themselves: no pin, and nothing to verify without a key.
     */
    CFD_TAGS = 3
} cfd_digest;

/*
 Stops calls: each call of a sealer, opener or reader that it was set for, now and later. Any number of threads may use it at once.
 */
typedef struct cfd_cancel cfd_cancel;

/*
 What went wrong: a status, words, a place in the stream, what to do. It holds nothing secret. It does not change: any number of threads
 may read it.
 */
typedef struct cfd_error cfd_error;

/*
 How streams are opened, and with which keys. A call works with what was set when it began. Any number of threads may make calls with one
 opener at once. A cfd_opener_add_, _set_ or _on_ function wants to be alone: beside another call's beginning it is CFD_USAGE, and nothing is
 set. It has no threads, so it can be set up before a fork. Of these functions each copies what it is given; keys are wiped when it is freed.
 */
typedef struct cfd_opener cfd_opener;

/*
 The pairs of a stream, sorted by key. They do not change: any number of threads may read them.
 */
typedef struct cfd_pairs cfd_pairs;

/*
 The plaintext of a stream, read at any place. What it gives is authentic and at its place; that the whole stream is there it does not say:
 cfd_verify does. Any number of threads may use it at once. It belongs to the process that has made it: in a forked child it is CFD_USAGE,
 and freeing it there frees nothing.
 */
typedef struct cfd_reader cfd_reader;

/*
 Seals what is written to it, on threads of its own. One thread at a time may use it: another one waits. It belongs to the process that has
 made it: in a forked child it is CFD_USAGE, and freeing it there frees nothing.
 */
typedef struct cfd_seal_writer cfd_seal_writer;

/*
 How streams are sealed, and for whom. A call works with what was set when it began. Any number of threads may make calls with one sealer at
 once. A cfd_sealer_add_, _set_ or _on_ function wants to be alone: beside another call's beginning it is CFD_USAGE, and nothing is set. It
 has no threads, so it can be set up before a fork. Of these functions each copies what it is given.
 */
typedef struct cfd_sealer cfd_sealer;

/*
 Where a stream goes. It is made for one call, which takes it, whatever comes of that; nothing is created before. What is wrong with its
 arguments is the error of that call, so that a sink need not be looked at in between. Any thread may use it, one at a time.
 */
typedef struct cfd_sink cfd_sink;

/*
 Where bytes come from. It is made for one call, which takes it, whatever comes of that; nothing is opened before. What is wrong with its
 arguments is the error of that call, so that a source need not be looked at in between. Any thread may use it, one at a time.
 */
typedef struct cfd_source cfd_source;

/*
 The members of a sealed tree, each of which can be read without the others. What it gives is authentic, as a cfd_reader's is. Any number of
 threads may use it at once. It belongs to the process that has made it: in a forked child it is CFD_USAGE, and freeing it there frees
 nothing.
 */
typedef struct cfd_tree cfd_tree;

/*
 Bytes that come once, in order: from a socket, from a program's own buffers. All that is not said to be NULL is needed.

 The functions are called by the thread that made the call, and by one of the writer's where it is a cfd_seal_writer's.
 */
typedef struct cfd_read_callbacks {
    /*
     Handed to the functions.
     */
    void *context;
    /*
     Puts the next bytes into `buffer`, at most `len`, and returns how many: 0 at the end, and only there. A negative `errno` value is a
     failure, and nothing more is read; -EAGAIN and -EINTR say that there is nothing yet, and it is called again. A call that waits cannot be
     cancelled: wait for 100 ms at most, then return -EAGAIN.
     */
    int64_t (*read)(void *context, void *buffer, size_t len);
    /*
     Called once, last, whatever came of it. NULL: nothing is to be done.
     */
    void (*release)(void *context);
} cfd_read_callbacks;

/*
 Bytes that lie still, and are read at offsets: an engine's own file, a page cache.
 */
typedef struct cfd_read_at_callbacks {
    /*
     Handed to the functions.
     */
    void *context;
    /*
     How many bytes there are. It does not change.
     */
    uint64_t len;
    /*
     Fills `buffer` with the `len` bytes from `offset` on, all of which are there. Returns 0, or an `errno` value. **Called from several
     threads at once.**
     */
    int (*read_at)(void *context, uint64_t offset, void *buffer, size_t len);
    /*
     Called once, last, whatever came of it. NULL: nothing is to be done.
     */
    void (*release)(void *context);
} cfd_read_at_callbacks;

/*
 Where a stream goes, piece by piece. `write` is needed. The functions return 0, or an `errno` value: after that no call begins but that of
 `abort` and that of `release`. Which thread calls them is not said; where CFD_SINK_PARALLEL is not set it is one at a time.
 */
typedef struct cfd_sink_callbacks {
    /*
     Handed to the functions.
     */
    void *context;
    /*
     CFD_SINK_PRIVATE, CFD_SINK_PARALLEL, or 0.
     */
    uint32_t flags;
    /*
     Takes the `len` bytes at `bytes`, all of them, as those from `offset` on. They are tentative.
     */
    int (*write)(void *context, uint64_t offset, const void *bytes, size_t len);
    /*
     The first `len` bytes of the stream are verified, and stay as they are. NULL: nobody wants to know.
     */
    int (*commit)(void *context, uint64_t len);
    /*
     The stream is complete and proved, `len` bytes of it: make it so. Called once. An `errno` value says that this did not happen, a negative
     number that it is not known whether it did: the call then returns CFD_DURABILITY_UNKNOWN, and `abort` is not called. NULL: nothing is to be done.
     */
    int (*publish)(void *context, uint64_t len);
    /*
     The stream was not published: take back what has come, if any. NULL: nothing is to be done.
     */
    void (*abort)(void *context);
    /*
     Called once, last, whatever came of it. NULL: nothing is to be done.
     */
    void (*release)(void *context);
} cfd_sink_callbacks;

/*
 How far a stream is. Counts plaintext bytes that are verified and committed, and never goes back.
 */
typedef struct cfd_progress {
    /*
     Plaintext bytes committed.
     */
    uint64_t committed;
    /*
     Plaintext bytes that are known to survive a power cut; 0 until publish for targets that are durable only then.
     */
    uint64_t durable;
    /*
     Plaintext bytes in all, where `has_total`.
     */
    uint64_t total;
    /*
     Segments committed.
     */
    uint64_t segments;
    /*
     Plaintext bytes per second of late; 0 where it is not known yet.
     */
    double bytes_per_second;
    /*
     Estimated seconds left; negative where it is not known.
     */
    double seconds_left;
    /*
     Whether `total` is known.
     */
    bool has_total;
    /*
     Zeros, for later.
     */
    uint8_t reserved[15];
} cfd_progress;

/*
 Told of progress, on the thread that runs the stream: the caller's, or the one of a cfd_seal_writer. It returns quickly.
 */
typedef void (*cfd_on_progress)(void *context, const struct cfd_progress *progress);

/*
 Told of something that is wrong and does not stop the stream: `message` is one line, and stays until it returns. On the thread that runs the
 stream.
 */
typedef void (*cfd_on_warning)(void *context, const char *message);

/*
 What was sealed, opened, verified or inspected.
 */
typedef struct cfd_report {
    /*
     Names the stream.
     */
    uint8_t stream_id[16];
    /*
     Fixes every byte of the stream but its key area, whose recipients may change: a pin for cfd_opener_expect_digest. From cfd_inspect it
     is what the stream says of itself.
     */
    uint8_t stream_digest[32];
    /*
     Length of the plaintext in bytes.
     */
    uint64_t plaintext_len;
    /*
     Length of the sealed stream in bytes, from sealing and from cfd_inspect; else 0.
     */
    uint64_t sealed_len;
    /*
     How many segments it has.
     */
    uint64_t segments;
    /*
     The number of cfd_sealer_set_sequence, where `has_sequence`.
     */
    uint64_t sequence;
    /*
     Plaintext bytes that an interrupted call had left, and that proved right.
     */
    uint64_t resumed_bytes;
    /*
     Plaintext bytes that a seed had, and that proved right.
     */
    uint64_t seeded_bytes;
    /*
     Whether the stream has a number, and it could be read.
     */
    bool has_sequence;
    /*
     Zeros, for later.
     */
    uint8_t reserved[63];
} cfd_report;

/*
 What a member of a tree is.
 */
typedef struct cfd_entry {
    /*
     Names it in this tree: for cfd_tree_read_at.
     */
    uint64_t number;
    /*
     Bytes of a file's contents; of a hard link those of the file that it is another name of.
     */
    uint64_t size;
    /*
     When its contents last changed: seconds since 1970, which may be negative.
     */
    int64_t modified_seconds;
    /*
     Nanoseconds of that second.
     */
    uint32_t modified_nanos;
    /*
     Permission bits, with set-id and sticky bits.
     */
    uint32_t mode;
    /*
     The owner's number.
     */
    uint32_t uid;
    /*
     The group's number.
     */
    uint32_t gid;
    /*
     What it is, as tar writes it: '0' a file, '1' a hard link, '2' a symbolic link, '3' a character device, '4' a block device, '5' a
     directory, '6' a FIFO.
     */
    uint8_t kind;
    /*
     Whether the file changed while it was sealed: its bytes may be of several moments.
     */
    bool changed;
    /*
     Whether the file was gone when it was read, and zeros stand for it, or for the rest of it; then it has changed as well.
     */
    bool gone;
    /*
     Zeros, for later.
     */
    uint8_t reserved[29];
} cfd_entry;

/*
 Is told of one member: its path, without "./" before it ("." is the tree's own directory); of a hard link the path of the file, of a symbolic
 link its target, of others NULL; and what it is. All three stay until it returns. 0, or an errno value, which ends the list.
 */
typedef int (*cfd_on_entry)(void *context, const char *path, const char *link, const struct cfd_entry *entry);

/*
 What came of a tree.
 */
typedef struct cfd_tree_report {
    /*
     The stream that it is.
     */
    struct cfd_report stream;
    /*
     Members that it has, directories among them.
     */
    uint64_t entries;
    /*
     From sealing: files that changed while they were read. They are flagged in the stream, and their bytes may be of several moments.
     */
    uint64_t changed;
    /*
     From opening: files whose owner could not be set.
     */
    uint64_t owners_left_out;
    /*
     From opening: extended attributes that could not be set.
     */
    uint64_t xattrs_left_out;
    /*
     From opening: files whose set-ID bits were left out.
     */
    uint64_t set_id_left_out;
    /*
     From opening: device files that were not made.
     */
    uint64_t devices_left_out;
    /*
     From sealing: of the files that changed, those that were gone. Zeros stand for what was not read of them.
     */
    uint64_t gone;
    /*
     From opening: files whose time the file system cannot hold.
     */
    uint64_t times_left_out;
    /*
     Zeros, for later.
     */
    uint64_t reserved[6];
} cfd_tree_report;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The name of a status, as the command prints it with `--json`: "target-exists", for example. A static string; "unknown" for a number that
 is none.
 */
const char *cfd_status_name(int status);

/*
 The library's version that runs, for example "0.1.0": `CFD_VERSION_MAJOR` and the others are the header's. A static string.
 */
const char *cfd_version(void);

/*
 What kind of failure it was. CFD_OK where `error` is NULL.
 */
enum cfd_status cfd_error_status(const struct cfd_error *error);

/*
 What happened, where, and what caused it: one line in English, UTF-8. It stays until the error is freed. "" where `error` is NULL.
 */
const char *cfd_error_message(const struct cfd_error *error);

/*
 What can be done about it, a sentence; NULL where there is nothing to say. It stays until the error is freed.
 */
const char *cfd_error_advice(const struct cfd_error *error);

/*
 Whether it happened in a segment of the stream, and in which, from 0. `segment` may be NULL.
 */
bool cfd_error_segment(const struct cfd_error *error, uint64_t *segment);

/*
 Whether it happened in a frame, and in which of its segment, from 0. `frame` may be NULL.
 */
bool cfd_error_frame(const struct cfd_error *error, uint32_t *frame);

/*
 Whether it is known where in the sealed stream it happened, and at which byte, from 0. `position` may be NULL.
 */
bool cfd_error_position(const struct cfd_error *error, uint64_t *position);

/*
 Whether something is kept beside the target, from which the same call resumes, and how many bytes of it: 0 where that is not known.
 `bytes` may be NULL.
 */
bool cfd_error_resumable_bytes(const struct cfd_error *error,
                               uint64_t *bytes);

/*
 The `errno` value of the system call, or of the callback, that caused it; 0 where there is none.
 */
int cfd_error_os_code(const struct cfd_error *error);

/*
 Frees an error. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
 */
enum cfd_status cfd_error_free(struct cfd_error *error);

/*
 A cancel object that has not been used. Yours, until cfd_cancel_free.
 */
struct cfd_cancel *cfd_cancel_new(void);

/*
 Has every call that it was set for end with CFD_CANCELLED, soon, and with its target as it was. A call that has begun to publish is not
 stopped. It cannot be taken back. From any thread, and from a signal handler. NULL does nothing.
 */
void cfd_cancel_now(const struct cfd_cancel *cancel);

/*
 Whether it has been used. From any thread, and from a signal handler.
 */
bool cfd_cancel_is_cancelled(const struct cfd_cancel *cancel);

/*
 Frees a cancel object; those that it was set for keep what they need of it. NULL is no error. CFD_USAGE: it has been freed (found in builds
 for debugging).
 */
enum cfd_status cfd_cancel_free(struct cfd_cancel *cancel);

/*
 The file at `path`, which all threads read at once; a FIFO or a character device, which is read in order; a block device. The path is
 copied. Yours, until a call takes it or cfd_source_free.
 */
struct cfd_source *cfd_source_path(const char *path);

/*
 What the descriptor `fd` is open on: a file from where it stands, a pipe, a socket. It is duplicated, and yours stays open. Of a pipe it
 reads all there is: keep no other copy of its writing end, or the end never comes.
 */
struct cfd_source *cfd_source_fd(int fd);

/*
 The `len` bytes at `bytes`. They stay yours; nobody may write or free them until the call that takes the source has returned, or until
 the reader is freed that it is given to.
 */
struct cfd_source *cfd_source_memory(const void *bytes,
                                     size_t len);

/*
 What `callbacks` read in order. The structure is copied; its `context` has to stay until `release` is called, which is before the call
 returns that the source is given to, or before cfd_source_free does.
 */
struct cfd_source *cfd_source_read(const struct cfd_read_callbacks *callbacks);

/*
 What `callbacks` read at offsets, from several threads at once. The structure is copied; its `context` has to stay until `release` is
 called, which is before the call returns that the source is given to, or before cfd_reader_free or cfd_source_free does.
 */
struct cfd_source *cfd_source_read_at(const struct cfd_read_at_callbacks *callbacks);

/*
 Frees a source that no call was given. NULL is no error. CFD_USAGE: it has been freed or taken (found in builds for debugging).
 */
enum cfd_status cfd_source_free(struct cfd_source *source);

/*
 A file at `path`, all or nothing: it is written beside its name, synced, renamed to it, and its directory is synced. A file that is there
 is refused before the first byte, unless cfd_sealer_set_if_exists or cfd_opener_set_if_exists says otherwise. A FIFO is written in
 order, each segment once it is verified. A symbolic link is refused, or followed where replacing was asked for: what it leads to is replaced.
 So where others may write to the directory, make the file yourself (O_EXCL) and use cfd_sink_fd. The path is copied. Yours, until a call
 takes it or cfd_sink_free.
 */
struct cfd_sink *cfd_sink_path(const char *path);

/*
 The descriptor `fd`, written in order from where it stands, each segment once it is verified. What is out stays out: whoever reads it has
 to wait for the call's CFD_OK. Nothing is synced. Where its reader is gone the system raises SIGPIPE, as of write(2): in a thread that ignores or blocks it, the call is
 CFD_IO. It is duplicated, and yours stays open; the duplicate is closed when the stream ends.
 */
struct cfd_sink *cfd_sink_fd(int fd);

/*
 The `capacity` bytes at `memory`: the stream is opened in place there, by all threads, and not copied. The memory is the call's alone
 until it returns. **Only after CFD_OK is what it holds the stream's**, cfd_report.plaintext_len bytes of it; after an error there may be
 anything in it, also bytes that nobody has verified. A stream that is known to be longer is refused with CFD_LIMIT before the first byte.
 */
struct cfd_sink *cfd_sink_memory(void *memory,
                                 size_t capacity);

/*
 What `callbacks` take. The structure is copied; its `context` has to stay until `release` is called, which is before the call returns that
 the sink is given to, or before cfd_seal_writer_finish, cfd_seal_writer_free or cfd_sink_free does.
 */
struct cfd_sink *cfd_sink_write(const struct cfd_sink_callbacks *callbacks);

/*
 Frees a sink that no call was given; its `abort` and `release` are called. NULL is no error. CFD_USAGE: it has been freed or taken (found
 in builds for debugging).
 */
enum cfd_status cfd_sink_free(struct cfd_sink *sink);

/*
 Draws a new identity, `AGE-SECRET-KEY-1…`, into `identity`, and its recipient, `age1…`, into `recipient`, both with a NUL. The identity is
 secret: it opens what is sealed for the recipient. Errors: CFD_USAGE where there is too little room; CFD_IO without random numbers.
 From any thread.
 */
enum cfd_status cfd_identity_generate(char *identity,
                                      size_t identity_capacity,
                                      char *recipient,
                                      size_t recipient_capacity,
                                      struct cfd_error **error);

/*
 How many pairs there are. 0 where `pairs` is NULL.
 */
size_t cfd_pairs_count(const struct cfd_pairs *pairs);

/*
 The pair number `index`, from 0: whether there is one. Key and value are bytes, without a NUL, and stay until the pairs are freed. Each of
 the four places for them may be NULL.
 */
bool cfd_pairs_at(const struct cfd_pairs *pairs,
                  size_t index,
                  const uint8_t **key,
                  size_t *key_len,
                  const uint8_t **value,
                  size_t *value_len);

/*
 The value of the key of `key_len` bytes at `key`: whether there is one. The value stays until the pairs are freed; both places for it may
 be NULL.
 */
bool cfd_pairs_find(const struct cfd_pairs *pairs,
                    const void *key,
                    size_t key_len,
                    const uint8_t **value,
                    size_t *value_len);

/*
 Frees the pairs. NULL is no error. CFD_USAGE: they have been freed (found in builds for debugging).
 */
enum cfd_status cfd_pairs_free(struct cfd_pairs *pairs);

/*
 A sealer with everything at its default, and for nobody yet. Yours, until cfd_sealer_free.
 */
struct cfd_sealer *cfd_sealer_new(void);

/*
 Frees a sealer that no call uses. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
 */
enum cfd_status cfd_sealer_free(struct cfd_sealer *sealer);

/*
 Seals for `recipient` too: `age1…`, `ssh-ed25519 …`, `ssh-rsa …`. Errors: CFD_USAGE where it is none.
 */
enum cfd_status cfd_sealer_add_recipient(struct cfd_sealer *sealer, const char *recipient, struct cfd_error **error);

/*
 Seals for the recipients in the file at `path` too: one a line, `#` before a comment. Errors: CFD_IO, and CFD_USAGE where a line is none.
 */
enum cfd_status cfd_sealer_add_recipients_file(struct cfd_sealer *sealer,
                                               const char *path,
                                               struct cfd_error **error);

/*
 Seals for `passphrase` too. Errors: CFD_USAGE where it cannot be one.
 */
enum cfd_status cfd_sealer_add_passphrase(struct cfd_sealer *sealer, const char *passphrase, struct cfd_error **error);

/*
 Seals for the holder of the 32 bytes at `key` too: a wrapping key, which a key service or a key file keeps.
 */
enum cfd_status cfd_sealer_add_key(struct cfd_sealer *sealer, const uint8_t *key, struct cfd_error **error);

/*
 Adds a pair to the streams, encrypted with them: bytes, 64 KiB in all. What is not possible is the error of the call that seals.
 */
enum cfd_status cfd_sealer_add_pair(struct cfd_sealer *sealer,
                                    const void *key,
                                    size_t key_len,
                                    const void *value,
                                    size_t value_len);

/*
 Numbers the streams, for cfd_opener_set_min_sequence.
 */
enum cfd_status cfd_sealer_set_sequence(struct cfd_sealer *sealer, uint64_t sequence);

/*
 The AEAD, a cfd_suite. Default: AES-256-GCM where the processor has instructions for it, else ChaCha20-Poly1305.
 */
enum cfd_status cfd_sealer_set_suite(struct cfd_sealer *sealer, int suite);

/*
 What segments are digested with, a cfd_digest. Default: BLAKE3.
 */
enum cfd_status cfd_sealer_set_digest(struct cfd_sealer *sealer, int digest);

/*
 Compresses with zstd at `level`, 1 to 19, what gets shorter by it. The lengths then tell how well it did. Default: no compression.
 */
enum cfd_status cfd_sealer_set_compression(struct cfd_sealer *sealer,
                                           int level);

/*
 Plaintext bytes of a frame: a multiple of 4096, at most 4 MiB. Default: 64 KiB, 256 KiB with compression.
 */
enum cfd_status cfd_sealer_set_frame_len(struct cfd_sealer *sealer, uint32_t bytes);

/*
 Plaintext bytes of a segment: a multiple of the frame's, at most 1 GiB. Default: 8 MiB; 1 MiB for an input of at most 8 MiB.
 */
enum cfd_status cfd_sealer_set_segment_len(struct cfd_sealer *sealer,
                                           uint64_t bytes);

/*
 What becomes of a cfd_sink_path that exists, a cfd_if_exists. Default: CFD_REFUSE.
 */
enum cfd_status cfd_sealer_set_if_exists(struct cfd_sealer *sealer, int if_exists);

/*
 What becomes of what an interrupted call has left, with cfd_sealer_set_state_dir: a cfd_on_partial. Default: CFD_RESUME.
 */
enum cfd_status cfd_sealer_set_on_partial(struct cfd_sealer *sealer,
                                          int on_partial);

/*
 Has calls of cfd_seal from a path to a path keep what they have sealed when they are interrupted; the same call then resumes. What it needs
 for that is kept in the directory at `path`, which is made if it is missing and which nobody else may write: **it holds the key of the
 unfinished stream**. Other calls of cfd_seal are CFD_USAGE then. Default: NULL, nothing is kept.
 */
enum cfd_status cfd_sealer_set_state_dir(struct cfd_sealer *sealer,
                                         const char *path);

/*
 How many threads work on a stream, the caller's among them: 1 to 1024. They are made by the call and end with it. Default: as many as the
 machine runs at once.
 */
enum cfd_status cfd_sealer_set_threads(struct cfd_sealer *sealer,
                                       size_t threads);

/*
 The most bytes of frames in memory, in all the calls of this sealer together; in a process that is forked later, in each of
 its calls. Default: 32 MiB a call, less where memory is short.
 */
enum cfd_status cfd_sealer_set_memory(struct cfd_sealer *sealer,
                                      size_t bytes);

/*
 Stops this sealer's calls when `cancel` is used. It may be freed before the sealer.
 */
enum cfd_status cfd_sealer_set_cancel(struct cfd_sealer *sealer, const struct cfd_cancel *cancel);

/*
 Has `progress` called after each segment, with `context`, which has to stay as long as calls of this sealer run. NULL: nobody is told.
 */
enum cfd_status cfd_sealer_on_progress(struct cfd_sealer *sealer,
                                       cfd_on_progress progress,
                                       void *context);

/*
 Has `warning` called for what is wrong and does not stop a stream, with `context`, which has to stay as long as calls of this sealer run.
 NULL: nobody is told.
 */
enum cfd_status cfd_sealer_on_warning(struct cfd_sealer *sealer,
                                      cfd_on_warning warning,
                                      void *context);

/*
 Seals all of `source` into `sink`, and publishes it: all, or nothing. It takes both, whatever it returns. From a path to a path the file's
 mode and time are kept in the stream, and the two must not be one file. `report` may be NULL; it is written on success alone.

 It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are but those of opening; after CFD_DURABILITY_UNKNOWN the
 target may be the new one.
 */
enum cfd_status cfd_seal(const struct cfd_sealer *sealer,
                         struct cfd_source *source,
                         struct cfd_sink *sink,
                         struct cfd_report *report,
                         struct cfd_error **error);

/*
 A writer that seals into `sink` as `sealer` says, into `*writer`. It takes the sink, whatever it returns. Yours, until cfd_seal_writer_free.
 Its threads inherit the caller's signal mask. Errors: CFD_USAGE, CFD_EXHAUSTED where there is no thread; what else goes wrong is the error
 of a later write, or of cfd_seal_writer_finish.
 */
enum cfd_status cfd_seal_writer_new(const struct cfd_sealer *sealer,
                                    struct cfd_sink *sink,
                                    struct cfd_seal_writer **writer,
                                    struct cfd_error **error);

/*
 Seals the `len` bytes at `bytes`, all of them, after those that came before. They are copied. It may block until others have been
 sealed. Errors: what the sealing has come to; after one, nothing but freeing the writer is of use.
 */
enum cfd_status cfd_seal_writer_write(struct cfd_seal_writer *writer,
                                      const void *bytes,
                                      size_t len,
                                      struct cfd_error **error);

/*
 Seals what is left, and publishes. The writer takes nothing more, and is still to be freed. `report` may be NULL; it is written on success
 alone. Errors: as of cfd_seal.
 */
enum cfd_status cfd_seal_writer_finish(struct cfd_seal_writer *writer,
                                       struct cfd_report *report,
                                       struct cfd_error **error);

/*
 Frees a writer. One that was not finished publishes nothing: this waits until it is rolled back. NULL is no error. CFD_USAGE: it has been
 freed (found in builds for debugging).
 */
enum cfd_status cfd_seal_writer_free(struct cfd_seal_writer *writer);

/*
 An opener with everything at its default, and without a key: so it verifies that a stream is consistent, and nothing more. Yours, until
 cfd_opener_free.
 */
struct cfd_opener *cfd_opener_new(void);

/*
 Frees an opener that no call uses. NULL is no error. CFD_USAGE: it has been freed (found in builds for debugging).
 */
enum cfd_status cfd_opener_free(struct cfd_opener *opener);

/*
 Opens with the identities in the `len` bytes at `text` too: one a line, `#` before a comment; or one private SSH key. Errors: CFD_USAGE where
 they are none, or need a passphrase.
 */
enum cfd_status cfd_opener_add_identities(struct cfd_opener *opener,
                                          const char *text,
                                          size_t len,
                                          struct cfd_error **error);

/*
 Opens with the identities in the file at `path` too. Errors: as of cfd_opener_add_identities, and CFD_IO.
 */
enum cfd_status cfd_opener_add_identity_file(struct cfd_opener *opener, const char *path, struct cfd_error **error);

/*
 Opens with `passphrase` too.
 */
enum cfd_status cfd_opener_add_passphrase(struct cfd_opener *opener, const char *passphrase, struct cfd_error **error);

/*
 Opens with the 32 bytes at `key` too, a wrapping key.
 */
enum cfd_status cfd_opener_add_key(struct cfd_opener *opener, const uint8_t *key, struct cfd_error **error);

/*
 Refuses every stream but the one whose digest is the 32 bytes at `digest`, with CFD_DIGEST_MISMATCH: cfd_report.stream_digest, from a place
 that you trust. Without a key, cfd_verify then proves every byte of the stream.
 */
enum cfd_status cfd_opener_expect_digest(struct cfd_opener *opener,
                                         const uint8_t *digest);

/*
 Refuses streams with a lower number, or none, with CFD_STALE: see cfd_sealer_set_sequence. Whoever knows a recipient can seal a stream with
 any number.
 */
enum cfd_status cfd_opener_set_min_sequence(struct cfd_opener *opener,
                                            uint64_t sequence);

/*
 Takes over from the file at `path` what it has of the plaintext at the same places, after proving it, and reads only the rest of the
 stream. For a cfd_sink_path.
 */
enum cfd_status cfd_opener_set_seed(struct cfd_opener *opener,
                                    const char *path);

/*
 What becomes of a cfd_sink_path that exists, a cfd_if_exists. Default: CFD_REFUSE.
 */
enum cfd_status cfd_opener_set_if_exists(struct cfd_opener *opener, int if_exists);

/*
 What becomes of what an interrupted call has left beside a cfd_sink_path, a cfd_on_partial. Default: CFD_RESUME.
 */
enum cfd_status cfd_opener_set_on_partial(struct cfd_opener *opener, int on_partial);

/*
 How many threads work on a stream, the caller's among them: 1 to 1024. They are made by the call and end with it. Default: as many as the
 machine runs at once.
 */
enum cfd_status cfd_opener_set_threads(struct cfd_opener *opener,
                                       size_t threads);

/*
 The most bytes of frames in memory, in all the calls of this opener together; in a process that is forked later, in each of
 its calls. Default: 32 MiB a call, less where memory is short.
 */
enum cfd_status cfd_opener_set_memory(struct cfd_opener *opener,
                                      size_t bytes);

/*
 Stops this opener's calls when `cancel` is used. It may be freed before the opener.
 */
enum cfd_status cfd_opener_set_cancel(struct cfd_opener *opener, const struct cfd_cancel *cancel);

/*
 Has `progress` called after each segment, with `context`, which has to stay as long as calls of this opener run. NULL: nobody is told.
 */
enum cfd_status cfd_opener_on_progress(struct cfd_opener *opener,
                                       cfd_on_progress progress,
                                       void *context);

/*
 Has `warning` called for what is wrong and does not stop a stream, with `context`, which has to stay as long as calls of this opener run.
 NULL: nobody is told.
 */
enum cfd_status cfd_opener_on_warning(struct cfd_opener *opener,
                                      cfd_on_warning warning,
                                      void *context);

/*
 Opens all of `source` into `sink`, and publishes it: all, or nothing. It takes both, whatever it returns. `report` may be NULL; it is
 written on success alone. After an error the target is as it was, but for CFD_DURABILITY_UNKNOWN; what a cfd_sink_path had got is kept beside it,
 and the same call resumes from there (cfd_error_resumable_bytes).

 It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are.
 */
enum cfd_status cfd_open(const struct cfd_opener *opener,
                         struct cfd_source *source,
                         struct cfd_sink *sink,
                         struct cfd_report *report,
                         struct cfd_error **error);

/*
 Checks all of `source`, and writes nothing. It takes the source, whatever it returns. With a key every tag, MAC and digest is checked. Without
 one it proves that the stream is consistent, and not who made it; with cfd_opener_expect_digest, that it is that very stream. `report` may be
 NULL. It blocks, as cfd_open does. From any thread.
 */
enum cfd_status cfd_verify(const struct cfd_opener *opener,
                           struct cfd_source *source,
                           struct cfd_report *report,
                           struct cfd_error **error);

/*
 The pairs of the stream in `source`, into `*pairs`: yours, until cfd_pairs_free. It takes the source, whatever it returns. It needs a key, and
 reads no segment: that the stream is whole is not said. From any thread. Errors: those of cfd_verify, and CFD_USAGE with
 cfd_opener_expect_digest.
 */
enum cfd_status cfd_metadata(const struct cfd_opener *opener,
                             struct cfd_source *source,
                             struct cfd_pairs **pairs,
                             struct cfd_error **error);

/*
 What the stream in `source` says of itself, without a key. **A claim**: structure and checksums are checked, and no digest, so that anybody
 can have written it. It takes the source, whatever it returns; that needs offsets (no pipe). `report` may be NULL. From any thread. Errors:
 CFD_TRUNCATED where it does not end with a footer; CFD_DAMAGED, CFD_NOT_A_STREAM, CFD_IO.
 */
enum cfd_status cfd_inspect(struct cfd_source *source,
                            struct cfd_report *report,
                            struct cfd_error **error);

/*
 A reader of the stream in `source`, into `*reader`. It takes the source, whatever it returns. Yours, until cfd_reader_free. It holds a share
 of the opener's memory, at most half of it; where cfd_opener_set_memory has said how much that is, and others hold it, this waits until
 one of them is freed, or the opener's cancel is used. Errors: those of opening, and CFD_USAGE where the source has no offsets (a pipe, cfd_source_read).
 */
enum cfd_status cfd_reader_new(const struct cfd_opener *opener,
                               struct cfd_source *source,
                               struct cfd_reader **reader,
                               struct cfd_error **error);

/*
 Length of the plaintext in bytes. 0 where `reader` is none.
 */
uint64_t cfd_reader_len(const struct cfd_reader *reader);

/*
 Fills `buffer` with the `len` bytes of plaintext from `offset` on. `*count` says how many it is: fewer only at the stream's end, 0 behind it.
 After an error the buffer holds nothing of use. Errors: CFD_DAMAGED and its kin, with the place; CFD_IO; CFD_SOURCE_CHANGED. A frame
 that is damaged fails the reads that need it, and no others.
 */
enum cfd_status cfd_reader_read_at(const struct cfd_reader *reader,
                                   uint64_t offset,
                                   void *buffer,
                                   size_t len,
                                   size_t *count,
                                   struct cfd_error **error);

/*
 The pairs of the stream, into `*pairs`: a copy, yours until cfd_pairs_free.
 */
enum cfd_status cfd_reader_metadata(const struct cfd_reader *reader,
                                    struct cfd_pairs **pairs,
                                    struct cfd_error **error);

/*
 Frees a reader that no call uses, and waits until nobody reads its source. NULL is no error. CFD_USAGE: it has been freed (found in builds for
 debugging).
 */
enum cfd_status cfd_reader_free(struct cfd_reader *reader);

/*
 The tree that the stream in `source` is, into `*tree`. It takes the source, whatever it returns. Yours, until cfd_tree_free. It holds a share
 of the opener's memory, as a cfd_reader does. Errors: those of cfd_reader_new; CFD_USAGE where the stream is no tree, or is one without a catalog;
 CFD_DAMAGED where it says that it is one, and is none.
 */
enum cfd_status cfd_tree_new(const struct cfd_opener *opener,
                             struct cfd_source *source,
                             struct cfd_tree **tree,
                             struct cfd_error **error);

/*
 How many members there are. 0 where `tree` is none.
 */
uint64_t cfd_tree_count(const struct cfd_tree *tree);

/*
 Tells `on_entry` of `path` and of all that is below it, in the order of their paths, where '/' comes before every other byte; of the whole tree
 where `path` is NULL. Nothing is told where nothing is there. It is called on this thread. Errors: CFD_USAGE where `path` can be none; CFD_IO
 with what `on_entry` returned; those of cfd_reader_read_at.
 */
enum cfd_status cfd_tree_list(const struct cfd_tree *tree,
                              const char *path,
                              cfd_on_entry on_entry,
                              void *context,
                              struct cfd_error **error);

/*
 Looks for the member at `path`. `*found` says whether there is one, and `*entry` then what it is. Errors: CFD_USAGE where `path` can be none;
 those of cfd_reader_read_at.
 */
enum cfd_status cfd_tree_find(const struct cfd_tree *tree,
                              const char *path,
                              struct cfd_entry *entry,
                              bool *found,
                              struct cfd_error **error);

/*
 Fills `buffer` with the `len` bytes from `offset` on of the file that is the entry `number`, or that it is a hard link to. `*count` says how many
 it is: fewer only at the file's end, 0 behind it. After an error the buffer holds nothing of use. Errors: CFD_USAGE where it is no
 file; CFD_DAMAGED where the file's own header says something else than the catalog; those of cfd_reader_read_at.
 */
enum cfd_status cfd_tree_read_at(const struct cfd_tree *tree,
                                 uint64_t number,
                                 uint64_t offset,
                                 void *buffer,
                                 size_t len,
                                 size_t *count,
                                 struct cfd_error **error);

/*
 Frees a tree that no call uses, and waits until nobody reads its source. NULL is no error. CFD_USAGE: it has been freed (found in builds for
 debugging).
 */
enum cfd_status cfd_tree_free(struct cfd_tree *tree);

/*
 Seals the directory at `directory` into a file at `output`, as a tree: all, or nothing. Its plan, which names its files, is kept until then in
 the directory of cfd_sealer_set_state_dir, which has to be set; an interrupted call leaves it there with what was sealed, and the same call then
 resumes. Other file systems that are mounted in it are left out. `report` may be NULL; it is written on success alone.

 It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: as of cfd_seal.
 */
enum cfd_status cfd_seal_tree(const struct cfd_sealer *sealer,
                              const char *directory,
                              const char *output,
                              struct cfd_tree_report *report,
                              struct cfd_error **error);

/*
 Restores the tree that the stream in `source` is to a directory at `target`, in one step: all, or nothing. It takes the source, whatever it
 returns. What the opener says of existing targets and of interrupted attempts holds for the directory. `flags` are CFD_TREE_ flags, joined by `|`.
 `report` may be NULL; it is written on success alone. After an error the target is as it was, but for CFD_DURABILITY_UNKNOWN; what was
 restored is kept beside it, and the same call resumes from there.

 It blocks, and works on threads of its own as well, which inherit the caller's signal mask. From any thread. Errors: all there are; CFD_USAGE
 where the stream is no tree, or its file lies in the directory that would be removed: CFD_TREE_KEEP_OLD keeps that.
 */
enum cfd_status cfd_open_tree(const struct cfd_opener *opener,
                              struct cfd_source *source,
                              const char *target,
                              uint32_t flags,
                              struct cfd_tree_report *report,
                              struct cfd_error **error);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COFFERDAM_H */
