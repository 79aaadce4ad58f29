/* Seals what is pushed, and opens it into a sink of this program's own, which shows nothing before it is published: sink SEALED */
#include <cofferdam.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A table that grows, and what is visible of it. */
struct table {
    unsigned char *bytes;
    size_t len, capacity;
    size_t visible;
    int released;
};

static int table_write(void *context, uint64_t offset, const void *bytes, size_t len) {
    struct table *table = context;
    if (offset + len > table->capacity) {
        size_t capacity = 2 * (size_t)(offset + len);
        unsigned char *grown = realloc(table->bytes, capacity);
        if (!grown)
            return ENOMEM;
        table->bytes = grown;
        table->capacity = capacity;
    }
    memcpy(table->bytes + offset, bytes, len);
    table->len = (size_t)(offset + len);
    return 0;
}

static int table_publish(void *context, uint64_t len) {
    struct table *table = context;
    if (table->len != len)
        return EIO;
    table->visible = table->len;
    return 0;
}

static void table_abort(void *context) {
    struct table *table = context;
    table->len = 0;
}

static void table_release(void *context) {
    struct table *table = context;
    table->released++;
}

static int failed(cfd_error *error) {
    fprintf(stderr, "%s\n", cfd_error_message(error));
    int status = (int)cfd_error_status(error);
    cfd_error_free(error);
    return status;
}

int main(int argc, char **argv) {
    static const uint8_t key[32] = {7}; /* in earnest: 32 random bytes that a key service keeps */
    enum { ROWS = 100000 };
    struct table table = {0};
    cfd_error *error = NULL;
    cfd_seal_writer *writer = NULL;
    if (argc != 2)
        return CFD_USAGE;
    cfd_sealer *sealer = cfd_sealer_new();
    cfd_opener *opener = cfd_opener_new();
    cfd_status status = cfd_sealer_add_key(sealer, key, &error);
    if (!status)
        status = cfd_opener_add_key(opener, key, &error);
    if (!status)
        status = cfd_seal_writer_new(sealer, cfd_sink_path(argv[1]), &writer, &error);
    for (uint32_t row = 0; !status && row < ROWS; row++)
        status = cfd_seal_writer_write(writer, &row, sizeof row, &error);
    if (!status)
        status = cfd_seal_writer_finish(writer, NULL, &error);
    cfd_seal_writer_free(writer);
    cfd_sink_callbacks callbacks = {
        .context = &table,
        .flags = CFD_SINK_PRIVATE,
        .write = table_write,
        .publish = table_publish,
        .abort = table_abort,
        .release = table_release,
    };
    if (!status)
        status = cfd_open(opener, cfd_source_path(argv[1]), cfd_sink_write(&callbacks), NULL, &error);
    cfd_sealer_free(sealer);
    cfd_opener_free(opener);
    if (status)
        return failed(error);
    for (uint32_t row = 0; row < ROWS; row++)
        if (memcmp(table.bytes + row * sizeof row, &row, sizeof row) != 0)
            return 99;
    printf("%zu rows, released %d time\n", table.visible / sizeof(uint32_t), table.released);
    free(table.bytes);
    return 0;
}
