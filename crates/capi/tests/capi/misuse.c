/* Misuse, callbacks that fail, memory, forks, cancellation: misuse DIRECTORY. Each check that fails ends the program with its line. */
#include <cofferdam.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(what)                                              \
    do {                                                         \
        if (!(what)) {                                           \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what);   \
            exit(1);                                             \
        }                                                        \
    } while (0)

enum { LEN = 3 << 20 };
static const uint8_t key[32] = {1, 2, 3};
static unsigned char plain[LEN], opened[LEN];
static char sealed[4096];

static cfd_sealer *new_sealer(void) {
    cfd_sealer *sealer = cfd_sealer_new();
    CHECK(cfd_sealer_add_key(sealer, key, NULL) == CFD_OK);
    CHECK(cfd_sealer_add_pair(sealer, "host", 4, "db1", 3) == CFD_OK);
    return sealer;
}

static cfd_opener *new_opener(void) {
    cfd_opener *opener = cfd_opener_new();
    CHECK(cfd_opener_add_key(opener, key, NULL) == CFD_OK);
    return opener;
}

/* An error says what it is, and is freed. */
static void expect(cfd_status status, cfd_status wanted, cfd_error **place) {
    cfd_error *error = *place;
    if (status != wanted)
        fprintf(stderr, "%s instead of %s: %s\n", cfd_status_name(status), cfd_status_name(wanted), cfd_error_message(error));
    CHECK(status == wanted);
    CHECK((error != NULL) == (status != CFD_OK));
    CHECK(cfd_error_status(error) == status);
    CHECK(status == CFD_OK || strlen(cfd_error_message(error)) > 10);
    CHECK(cfd_error_free(error) == CFD_OK);
}

static void nulls_are_errors(void) {
    cfd_error *error = NULL;
    cfd_sealer *sealer = new_sealer();
    cfd_opener *opener = new_opener();
    expect(cfd_seal(NULL, cfd_source_path("a"), cfd_sink_path("b"), NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, NULL, cfd_sink_path("b"), NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, cfd_source_path("a"), NULL, NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, cfd_source_path(NULL), cfd_sink_path("b"), NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, cfd_source_memory(NULL, 1), cfd_sink_memory(opened, LEN), NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, cfd_source_fd(-1), cfd_sink_memory(opened, LEN), NULL, &error), CFD_USAGE, &error);
    expect(cfd_seal(sealer, cfd_source_fd(1000), cfd_sink_memory(opened, LEN), NULL, &error), CFD_IO, &error);
    expect(cfd_seal(sealer, cfd_source_read(NULL), cfd_sink_write(NULL), NULL, &error), CFD_USAGE, &error);
    expect(cfd_sealer_add_recipient(sealer, NULL, &error), CFD_USAGE, &error);
    expect(cfd_sealer_add_recipient(sealer, "age1nonsense", &error), CFD_USAGE, &error);
    expect(cfd_opener_add_identity_file(opener, "/nowhere/at/all", &error), CFD_IO, &error);
    expect(cfd_reader_new(opener, cfd_source_path(sealed), NULL, &error), CFD_USAGE, &error);
    CHECK(cfd_seal(NULL, NULL, NULL, NULL, NULL) == CFD_USAGE);
    CHECK(cfd_sealer_set_if_exists(sealer, 7) == CFD_USAGE && cfd_sealer_set_suite(sealer, 0) == CFD_USAGE);
    CHECK(cfd_sealer_set_compression(sealer, 0) == CFD_USAGE && cfd_sealer_set_threads(sealer, 0) == CFD_USAGE);
    CHECK(cfd_sealer_set_threads(sealer, 1025) == CFD_USAGE && cfd_sealer_set_threads(sealer, 1024) == CFD_OK);
    CHECK(cfd_sealer_set_threads(sealer, 1) == CFD_OK);
    CHECK(cfd_reader_len(NULL) == 0 && cfd_pairs_count(NULL) == 0 && cfd_error_os_code(NULL) == 0);
    CHECK(cfd_error_free(NULL) == CFD_OK && cfd_sealer_free(NULL) == CFD_OK && cfd_reader_free(NULL) == CFD_OK);
    cfd_cancel_now(NULL);
    CHECK(cfd_sealer_free(sealer) == CFD_OK && cfd_opener_free(opener) == CFD_OK);
}

static void a_double_free_and_another_kind_are_errors(void) {
    cfd_sealer *sealer = new_sealer();
    cfd_opener *opener = new_opener();
    CHECK(cfd_sealer_free((cfd_sealer *)opener) == CFD_USAGE);
    CHECK(cfd_sealer_free(sealer) == CFD_OK);
    CHECK(cfd_sealer_free(sealer) == CFD_USAGE);
    CHECK(cfd_sealer_set_sequence(sealer, 1) == CFD_USAGE);
    cfd_source *source = cfd_source_path("a");
    CHECK(cfd_verify(opener, source, NULL, NULL) == CFD_IO);
    CHECK(cfd_source_free(source) == CFD_USAGE);
    CHECK(cfd_opener_free(opener) == CFD_OK);
}

/* Callbacks that count, and fail where they are told to. */
struct callbacks {
    int fail_read, fail_write, fail_publish;
    size_t at;
    int published, aborted, released;
};

static int64_t read_some(void *context, void *buffer, size_t len) {
    struct callbacks *callbacks = context;
    if (callbacks->fail_read && callbacks->at > LEN / 2)
        return -callbacks->fail_read;
    size_t count = len < 10007 ? len : 10007;
    count = count < LEN - callbacks->at ? count : LEN - callbacks->at;
    memcpy(buffer, plain + callbacks->at, count);
    callbacks->at += count;
    return (int64_t)count;
}

static int read_at(void *context, uint64_t offset, void *buffer, size_t len) {
    struct callbacks *callbacks = context;
    if (callbacks->fail_read && offset > LEN / 2)
        return callbacks->fail_read;
    memcpy(buffer, plain + offset, len);
    return 0;
}

static int write_at(void *context, uint64_t offset, const void *bytes, size_t len) {
    struct callbacks *callbacks = context;
    if (callbacks->fail_write && offset > LEN / 2)
        return callbacks->fail_write;
    CHECK(offset + len <= LEN);
    memcpy(opened + offset, bytes, len);
    return 0;
}

static int publish(void *context, uint64_t len) {
    struct callbacks *callbacks = context;
    CHECK(len == LEN);
    callbacks->published++;
    return callbacks->fail_publish;
}

static void aborted(void *context) {
    ((struct callbacks *)context)->aborted++;
}

static void released(void *context) {
    ((struct callbacks *)context)->released++;
}

static cfd_sink *sink_of(struct callbacks *callbacks, uint32_t flags) {
    cfd_sink_callbacks sink = {callbacks, flags, write_at, NULL, publish, aborted, released};
    return cfd_sink_write(&sink);
}

static void callbacks_seal_and_open_and_their_errors_come_back(void) {
    cfd_sealer *sealer = new_sealer();
    cfd_opener *opener = new_opener();
    cfd_report report;
    cfd_error *error = NULL;
    CHECK(cfd_sealer_set_if_exists(sealer, CFD_REPLACE) == CFD_OK);
    for (int way = 0; way < 2; way++) {
        for (int fails = 1; fails >= 0; fails--) {
            struct callbacks source = {.fail_read = fails ? ENODATA : 0};
            cfd_read_callbacks in_order = {&source, read_some, released};
            cfd_read_at_callbacks placed = {&source, LEN, read_at, released};
            cfd_source *from = way ? cfd_source_read_at(&placed) : cfd_source_read(&in_order);
            cfd_status status = cfd_seal(sealer, from, cfd_sink_path(sealed), &report, &error);
            CHECK(source.released == 1);
            CHECK(!fails || cfd_error_os_code(error) == ENODATA);
            expect(status, fails ? CFD_IO : CFD_OK, &error);
            CHECK((access(sealed, F_OK) == 0) == (way == 1 || !fails));
        }
        CHECK(report.plaintext_len == LEN);
    }
    uint32_t flags[] = {0, CFD_SINK_PRIVATE, CFD_SINK_PRIVATE | CFD_SINK_PARALLEL};
    for (int way = 0; way < 3; way++) {
        struct callbacks right = {0}, full = {.fail_write = ENOSPC}, refused = {.fail_publish = EEXIST}, unknown = {.fail_publish = -EIO};
        memset(opened, 0, LEN);
        expect(cfd_open(opener, cfd_source_path(sealed), sink_of(&right, flags[way]), &report, &error), CFD_OK, &error);
        CHECK(right.published == 1 && right.aborted == 0 && right.released == 1 && !memcmp(plain, opened, LEN));
        cfd_status status = cfd_open(opener, cfd_source_path(sealed), sink_of(&full, flags[way]), NULL, &error);
        CHECK(cfd_error_os_code(error) == ENOSPC);
        expect(status, CFD_IO, &error);
        CHECK(full.published == 0 && full.aborted == 1 && full.released == 1);
        status = cfd_open(opener, cfd_source_path(sealed), sink_of(&refused, flags[way]), NULL, &error);
        CHECK(status != CFD_OK && status != CFD_DURABILITY_UNKNOWN);
        expect(status, status, &error);
        CHECK(refused.published == 1 && refused.aborted == 1 && refused.released == 1);
        expect(cfd_open(opener, cfd_source_path(sealed), sink_of(&unknown, flags[way]), NULL, &error), CFD_DURABILITY_UNKNOWN, &error);
        CHECK(unknown.published == 1 && unknown.aborted == 0 && unknown.released == 1);
    }
    CHECK(cfd_open(opener, cfd_source_path(sealed), sink_of(&(struct callbacks){0}, CFD_SINK_PARALLEL), NULL, NULL) == CFD_USAGE);
    cfd_sealer_free(sealer);
    cfd_opener_free(opener);
}

static void memory_is_filled_in_place_and_too_little_is_refused(void) {
    cfd_opener *opener = new_opener();
    cfd_report report;
    cfd_error *error = NULL;
    unsigned char *exact = malloc(LEN);
    expect(cfd_open(opener, cfd_source_path(sealed), cfd_sink_memory(exact, LEN), &report, &error), CFD_OK, &error);
    CHECK(report.plaintext_len == LEN && !memcmp(exact, plain, LEN));
    expect(cfd_open(opener, cfd_source_path(sealed), cfd_sink_memory(exact, LEN - 1), &report, &error), CFD_LIMIT, &error);
    expect(cfd_inspect(cfd_source_path(sealed), &report, &error), CFD_OK, &error);
    CHECK(report.plaintext_len == LEN && report.sealed_len > LEN);
    /* Sealed in memory, opened from memory, and verified without a key by its digest. */
    cfd_sealer *sealer = new_sealer();
    size_t capacity = LEN + LEN / 2;
    unsigned char *wire = malloc(capacity);
    expect(cfd_seal(sealer, cfd_source_memory(plain, LEN), cfd_sink_memory(wire, capacity), &report, &error), CFD_OK, &error);
    size_t wire_len = (size_t)report.sealed_len;
    cfd_opener *keyless = cfd_opener_new();
    expect(cfd_open(keyless, cfd_source_memory(wire, wire_len), cfd_sink_memory(exact, LEN), NULL, &error), CFD_USAGE, &error);
    CHECK(cfd_opener_expect_digest(keyless, report.stream_digest) == CFD_OK);
    expect(cfd_verify(keyless, cfd_source_memory(wire, wire_len), NULL, &error), CFD_OK, &error);
    wire[wire_len / 2] ^= 1;
    expect(cfd_verify(keyless, cfd_source_memory(wire, wire_len), NULL, &error), CFD_DAMAGED, &error);
    uint64_t segment = 99;
    cfd_status status = cfd_open(opener, cfd_source_memory(wire, wire_len), cfd_sink_memory(exact, LEN), NULL, &error);
    CHECK(cfd_error_segment(error, &segment));
    CHECK(segment == 1);
    CHECK(cfd_error_position(error, NULL));
    CHECK(cfd_error_advice(error) != NULL);
    expect(status, CFD_DAMAGED, &error);
    expect(cfd_verify(opener, cfd_source_memory("none", 4), NULL, &error), CFD_NOT_A_STREAM, &error);
    expect(cfd_verify(opener, cfd_source_memory(NULL, 0), NULL, &error), CFD_TRUNCATED, &error);
    free(wire);
    free(exact);
    cfd_sealer_free(sealer);
    cfd_opener_free(opener);
    cfd_opener_free(keyless);
}

static void pairs_come_back(void) {
    cfd_opener *opener = new_opener();
    cfd_error *error = NULL;
    cfd_pairs *pairs = NULL;
    const uint8_t *value = NULL;
    size_t len = 0;
    expect(cfd_metadata(opener, cfd_source_path(sealed), &pairs, &error), CFD_OK, &error);
    CHECK(cfd_pairs_count(pairs) == 1 && cfd_pairs_find(pairs, "host", 4, &value, &len) && len == 3 && !memcmp(value, "db1", 3));
    CHECK(!cfd_pairs_find(pairs, "user", 4, &value, &len) && !cfd_pairs_at(pairs, 1, NULL, NULL, NULL, NULL));
    CHECK(cfd_pairs_free(pairs) == CFD_OK);
    cfd_opener_free(opener);
}

#ifndef __SANITIZE_ADDRESS__
static void a_forked_child_gets_an_error_and_can_begin_anew(void) {
    cfd_opener *opener = new_opener();
    cfd_sealer *sealer = new_sealer();
    cfd_reader *reader = NULL;
    cfd_seal_writer *writer = NULL;
    cfd_error *error = NULL;
    size_t count = 0;
    struct callbacks sink = {0};
    expect(cfd_reader_new(opener, cfd_source_path(sealed), &reader, &error), CFD_OK, &error);
    expect(cfd_seal_writer_new(sealer, sink_of(&sink, 0), &writer, &error), CFD_OK, &error);
    expect(cfd_reader_read_at(reader, LEN - 3, opened, 10, &count, &error), CFD_OK, &error);
    CHECK(count == 3 && !memcmp(opened, plain + LEN - 3, 3));
    pid_t child = fork();
    if (child == 0) {
        alarm(120);
        expect(cfd_reader_read_at(reader, 0, opened, 10, &count, &error), CFD_USAGE, &error);
        expect(cfd_seal_writer_write(writer, "a", 1, &error), CFD_USAGE, &error);
        CHECK(cfd_reader_free(reader) == CFD_OK && cfd_seal_writer_free(writer) == CFD_OK);
        memset(opened, 0, LEN);
        expect(cfd_open(opener, cfd_source_path(sealed), cfd_sink_memory(opened, LEN), NULL, &error), CFD_OK, &error);
        CHECK(!memcmp(opened, plain, LEN));
        /* Not _exit: valgrind would count what belongs to the threads that this process does not have. */
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(cfd_reader_free(reader) == CFD_OK);
    CHECK(cfd_seal_writer_free(writer) == CFD_OK);
    CHECK(sink.published == 0 && sink.aborted == 1 && sink.released == 1);
    cfd_opener_free(opener);
    cfd_sealer_free(sealer);
}
#endif

static void cancel_after_some(void *context, const cfd_progress *progress) {
    CHECK(progress->committed > 0 && progress->committed <= LEN);
    cfd_cancel_now(context);
}

static void a_cancelled_call_says_so_and_leaves_the_target(void) {
    cfd_opener *opener = new_opener();
    cfd_cancel *cancel = cfd_cancel_new();
    cfd_error *error = NULL;
    struct callbacks sink = {0};
    CHECK(cfd_opener_set_cancel(opener, cancel) == CFD_OK && !cfd_cancel_is_cancelled(cancel));
    CHECK(cfd_opener_on_progress(opener, cancel_after_some, cancel) == CFD_OK);
    expect(cfd_open(opener, cfd_source_path(sealed), sink_of(&sink, CFD_SINK_PRIVATE), NULL, &error), CFD_CANCELLED, &error);
    CHECK(sink.published == 0 && sink.aborted == 1 && sink.released == 1 && cfd_cancel_is_cancelled(cancel));
    CHECK(cfd_cancel_free(cancel) == CFD_OK);
    cfd_opener_free(opener);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    snprintf(sealed, sizeof sealed, "%s/sealed", argv[1]);
    srand(7);
    for (size_t i = 0; i < LEN; i++)
        plain[i] = (unsigned char)rand();
    nulls_are_errors();
    a_double_free_and_another_kind_are_errors();
    callbacks_seal_and_open_and_their_errors_come_back();
    memory_is_filled_in_place_and_too_little_is_refused();
    pairs_come_back();
#ifndef __SANITIZE_ADDRESS__ /* Its allocator may be locked by another thread when a process forks, and is then for ever in the child. */
    a_forked_child_gets_an_error_and_can_begin_anew();
#endif
    a_cancelled_call_says_so_and_leaves_the_target();
    puts("all checks passed");
    return 0;
}
