/* What comes at the edges of a call: memory that is too little, a reader that has gone, forks beside streams, calls in callbacks: edges DIRECTORY.
 * Each check that fails ends the program with its line. */
#include <cofferdam.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                            \
    do {                                                       \
        if (!(what)) {                                         \
            fprintf(stderr, "line %d: %s\n", __LINE__, #what); \
            exit(1);                                           \
        }                                                      \
    } while (0)

enum { LEN = 3 << 20 };
static const uint8_t key[32] = {9, 8, 7};
static unsigned char plain[LEN], opened[LEN];
static char sealed[4096];

static cfd_sealer *new_sealer(void) {
    cfd_sealer *sealer = cfd_sealer_new();
    CHECK(cfd_sealer_add_key(sealer, key, NULL) == CFD_OK);
    CHECK(cfd_sealer_set_if_exists(sealer, CFD_REPLACE) == CFD_OK);
    return sealer;
}

static cfd_opener *new_opener(void) {
    cfd_opener *opener = cfd_opener_new();
    CHECK(cfd_opener_add_key(opener, key, NULL) == CFD_OK);
    return opener;
}

/* What was wrong is `wanted`, with `code` underneath. */
static void expect(cfd_status status, cfd_status wanted, int code, cfd_error **place) {
    cfd_error *error = *place;
    if (status != wanted)
        fprintf(stderr, "%s instead of %s: %s\n", cfd_status_name(status), cfd_status_name(wanted), cfd_error_message(error));
    CHECK(status == wanted);
    CHECK(cfd_error_os_code(error) == code);
    CHECK(cfd_error_free(error) == CFD_OK);
}

#ifndef __SANITIZE_ADDRESS__
static void pause_shortly(void) {
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}
#endif

static int open_descriptors(void) {
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

struct counts {
    atomic_int writes, aborted, released, waits;
};

#ifndef __SANITIZE_ADDRESS__
static int write_when_told(void *context, uint64_t offset, const void *bytes, size_t len) {
    struct counts *counts = context;
    (void)offset, (void)bytes, (void)len;
    counts->writes++;
    while (counts->waits)
        pause_shortly();
    return 0;
}
#endif

static void aborted(void *context) {
    ((struct counts *)context)->aborted++;
}

static void released(void *context) {
    ((struct counts *)context)->released++;
}

static void callbacks_that_are_refused_are_released_once(void) {
    cfd_opener *opener = new_opener();
    struct counts counts = {0};
    cfd_read_callbacks in_order = {&counts, NULL, released};
    cfd_read_at_callbacks placed = {&counts, 3, NULL, released};
    cfd_sink_callbacks nothing = {.context = &counts, .abort = aborted, .release = released};
    CHECK(cfd_verify(opener, cfd_source_read(&in_order), NULL, NULL) == CFD_USAGE && counts.released == 1);
    CHECK(cfd_verify(opener, cfd_source_read_at(&placed), NULL, NULL) == CFD_USAGE && counts.released == 2);
    cfd_sink *sink = cfd_sink_write(&nothing);
    CHECK(counts.aborted == 0 && counts.released == 2);
    CHECK(cfd_open(opener, cfd_source_path(sealed), sink, NULL, NULL) == CFD_USAGE);
    CHECK(counts.aborted == 1 && counts.released == 3);
    CHECK(cfd_source_free(cfd_source_read(&in_order)) == CFD_OK && counts.released == 4);
    cfd_opener_free(opener);
}

struct seen {
    uint64_t end, committed;
};

static int see_write(void *context, uint64_t offset, const void *bytes, size_t len) {
    struct seen *seen = context;
    CHECK(offset == seen->end && !memcmp(bytes, plain + offset, len));
    seen->end = offset + len;
    return 0;
}

static int see_commit(void *context, uint64_t len) {
    struct seen *seen = context;
    CHECK(len > seen->committed && len == seen->end);
    seen->committed = len;
    return 0;
}

/* Of 3 MiB, each segment has 1 MiB. */
static void a_sink_that_anybody_may_look_at_gets_no_byte_of_a_damaged_segment(void) {
    cfd_opener *opener = new_opener();
    cfd_error *error = NULL;
    struct seen seen = {0};
    cfd_sink_callbacks callbacks = {.context = &seen, .write = see_write, .commit = see_commit};
    int file = open(sealed, O_RDONLY);
    size_t len = (size_t)lseek(file, 0, SEEK_END);
    unsigned char *wire = malloc(len);
    CHECK(pread(file, wire, len, 0) == (ssize_t)len);
    close(file);
    wire[len / 2 + 200000] ^= 1;
    cfd_status status = cfd_open(opener, cfd_source_memory(wire, len), cfd_sink_write(&callbacks), NULL, &error);
    expect(status, CFD_DAMAGED, 0, &error);
    CHECK(seen.end == 1 << 20 && seen.committed == 1 << 20);
    free(wire);
    cfd_opener_free(opener);
}

static void memory_that_is_too_little_is_a_limit_where_the_length_was_not_known(void) {
    cfd_opener *opener = new_opener();
    cfd_sealer *sealer = new_sealer();
    cfd_error *error = NULL;
    for (size_t capacity = LEN; capacity + 1 >= LEN; capacity--) {
        int ends[2];
        CHECK(pipe(ends) == 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            dup2(ends[1], STDOUT_FILENO);
            execlp("cat", "cat", sealed, (char *)NULL);
            _exit(1);
        }
        close(ends[1]);
        cfd_status status = cfd_open(opener, cfd_source_fd(ends[0]), cfd_sink_memory(opened, capacity), NULL, &error);
        close(ends[0]);
        CHECK(waitpid(child, NULL, 0) == child);
        expect(status, capacity == LEN ? CFD_OK : CFD_LIMIT, 0, &error);
    }
    CHECK(!memcmp(opened, plain, LEN - 1));
    expect(cfd_seal(sealer, cfd_source_memory(plain, LEN), cfd_sink_memory(opened, LEN), NULL, &error), CFD_LIMIT, 0, &error);
    cfd_opener_free(opener);
    cfd_sealer_free(sealer);
}

/* Told by the first call that comes to it, and by each one after. */
static void memory_that_is_too_little_for_what_is_written_is_a_limit(void) {
    cfd_sealer *sealer = new_sealer();
    for (int writes_on = 0; writes_on < 2; writes_on++) {
        cfd_seal_writer *writer = NULL;
        cfd_error *error = NULL;
        cfd_status status = CFD_OK;
        CHECK(cfd_seal_writer_new(sealer, cfd_sink_memory(opened, 100000), &writer, NULL) == CFD_OK);
        CHECK(cfd_seal_writer_write(writer, plain, 100000, NULL) == CFD_OK);
        for (int again = 0; writes_on && status == CFD_OK && again < 100; again++)
            status = cfd_seal_writer_write(writer, plain, LEN, &error);
        if (writes_on)
            expect(status, CFD_LIMIT, 0, &error);
        expect(cfd_seal_writer_finish(writer, NULL, &error), CFD_LIMIT, 0, &error);
        CHECK(cfd_seal_writer_free(writer) == CFD_OK);
    }
    cfd_sealer_free(sealer);
}

static void a_pipe_that_nobody_reads_is_an_error(void) {
    cfd_opener *opener = new_opener();
    cfd_error *error = NULL;
    int ends[2];
    CHECK(pipe(ends) == 0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    cfd_status status = cfd_open(opener, cfd_source_path(sealed), cfd_sink_fd(ends[1]), NULL, &error);
    expect(status, CFD_IO, EPIPE, &error);
    signal(SIGPIPE, SIG_DFL);
    close(ends[1]);
    cfd_opener_free(opener);
}

static void files_of_keys_have_a_bound_and_no_error_shows_a_key(void) {
    static const char secret[] = "AGE-SECRET-KEY-1QQPQQ";
    cfd_opener *opener = new_opener();
    cfd_sealer *sealer = new_sealer();
    cfd_error *error = NULL;
    expect(cfd_opener_add_identity_file(opener, "/dev/zero", &error), CFD_USAGE, 0, &error);
    expect(cfd_sealer_add_recipients_file(sealer, "/dev/zero", &error), CFD_USAGE, 0, &error);
    cfd_status status = cfd_opener_add_identity_file(opener, secret, &error);
    CHECK(strstr(cfd_error_message(error), secret) == NULL);
    expect(status, CFD_IO, ENOENT, &error);
    status = cfd_opener_add_identities(opener, secret, strlen(secret), &error);
    CHECK(strstr(cfd_error_message(error), secret) == NULL);
    expect(status, CFD_USAGE, 0, &error);
    cfd_opener_free(opener);
    cfd_sealer_free(sealer);
}

#ifndef __SANITIZE_ADDRESS__
static cfd_opener *in_use;
static struct counts waiting = {.waits = 1};

static void *open_and_wait(void *nothing) {
    cfd_sink_callbacks callbacks = {.context = &waiting, .write = write_when_told};
    CHECK(cfd_open(in_use, cfd_source_path(sealed), cfd_sink_write(&callbacks), NULL, NULL) == CFD_OK);
    return nothing;
}

/* The child has a copy of the memory's accounts, in which the stream of the other thread never ends. */
static void a_fork_beside_a_stream_that_holds_the_memory_can_open(void) {
    pthread_t thread;
    cfd_error *error = NULL;
    in_use = new_opener();
    CHECK(cfd_opener_set_memory(in_use, 2 << 20) == CFD_OK);
    CHECK(pthread_create(&thread, NULL, open_and_wait, NULL) == 0);
    while (!waiting.writes)
        pause_shortly();
    pid_t child = fork();
    if (child == 0) {
        alarm(40);
        memset(opened, 0, LEN);
        expect(cfd_open(in_use, cfd_source_path(sealed), cfd_sink_memory(opened, LEN), NULL, &error), CFD_OK, 0, &error);
        CHECK(!memcmp(opened, plain, LEN));
        execlp("true", "true", (char *)NULL);
        _exit(1);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    waiting.waits = 0;
    CHECK(pthread_join(thread, NULL) == 0);
    cfd_opener_free(in_use);
}
#endif

struct nested {
    cfd_sealer *sealer;
    cfd_status status;
    int calls;
};

static void seal_within(void *context, const cfd_progress *progress) {
    struct nested *nested = context;
    static unsigned char wire[200000];
    CHECK(progress->committed <= LEN);
    if (nested->calls++ == 0)
        nested->status = cfd_seal(nested->sealer, cfd_source_memory(plain, 100000), cfd_sink_memory(wire, sizeof wire), NULL, NULL);
}

static void a_callback_may_make_calls(void) {
    cfd_sealer *sealer = new_sealer();
    struct nested nested = {sealer, CFD_PANIC, 0};
    CHECK(cfd_sealer_on_progress(sealer, seal_within, &nested) == CFD_OK);
    CHECK(cfd_seal(sealer, cfd_source_memory(plain, LEN), cfd_sink_path(sealed), NULL, NULL) == CFD_OK);
    CHECK(nested.calls > 1 && nested.status == CFD_OK);
    cfd_sealer_free(sealer);
}

static atomic_int sealed_file, has_failed;

static int read_sealed(void *context, uint64_t offset, void *buffer, size_t len) {
    (void)context;
    if (has_failed)
        return ESTALE;
    return pread(sealed_file, buffer, len, (off_t)offset) == (ssize_t)len ? 0 : EIO;
}

static void *read_here_and_there(void *reader) {
    unsigned char bytes[70000];
    for (size_t i = 0; i < 20; i++) {
        size_t count = 0;
        uint64_t offset = i * 7919 * 23 % LEN;
        CHECK(cfd_reader_read_at(reader, offset, bytes, sizeof bytes, &count, NULL) == CFD_OK);
        CHECK(count == (sizeof bytes < LEN - offset ? sizeof bytes : LEN - offset) && !memcmp(bytes, plain + offset, count));
    }
    return NULL;
}

static void a_reader_over_callbacks_serves_many_threads(void) {
    cfd_opener *opener = new_opener();
    cfd_error *error = NULL;
    struct counts counts = {0};
    pthread_t threads[4];
    sealed_file = open(sealed, O_RDONLY);
    cfd_read_at_callbacks callbacks = {&counts, (uint64_t)lseek(sealed_file, 0, SEEK_END), read_sealed, released};
    for (int fails = 0; fails < 2; fails++) {
        cfd_reader *reader = NULL;
        CHECK(cfd_reader_new(opener, cfd_source_read_at(&callbacks), &reader, &error) == CFD_OK);
        if (fails) {
            size_t count = 99;
            has_failed = 1;
            expect(cfd_reader_read_at(reader, LEN / 2, opened, 10, &count, &error), CFD_IO, ESTALE, &error);
            CHECK(count == 99);
            has_failed = 0;
        }
        for (size_t i = 0; i < 4; i++)
            CHECK(pthread_create(&threads[i], NULL, read_here_and_there, reader) == 0);
        for (size_t i = 0; i < 4; i++)
            CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(counts.released == fails);
        CHECK(cfd_reader_free(reader) == CFD_OK && counts.released == fails + 1);
    }
    close(sealed_file);
    cfd_opener_free(opener);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    snprintf(sealed, sizeof sealed, "%s/sealed", argv[1]);
    srand(11);
    for (size_t i = 0; i < LEN; i++)
        plain[i] = (unsigned char)rand();
    int descriptors = open_descriptors();
    a_callback_may_make_calls();
    callbacks_that_are_refused_are_released_once();
    a_sink_that_anybody_may_look_at_gets_no_byte_of_a_damaged_segment();
    memory_that_is_too_little_is_a_limit_where_the_length_was_not_known();
    memory_that_is_too_little_for_what_is_written_is_a_limit();
    a_pipe_that_nobody_reads_is_an_error();
    files_of_keys_have_a_bound_and_no_error_shows_a_key();
    a_reader_over_callbacks_serves_many_threads();
#ifndef __SANITIZE_ADDRESS__ /* Its allocator may be locked by another thread when a process forks, and is then for ever in the child. */
    a_fork_beside_a_stream_that_holds_the_memory_can_open();
#endif
    CHECK(open_descriptors() == descriptors);
    puts("all checks passed");
    return 0;
}
