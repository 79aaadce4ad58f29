/* Reads a few bytes out of the middle of a sealed file: reader SEALED OFFSET LEN < IDENTITY */
#include <cofferdam.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char identity[CFD_IDENTITY_LEN], bytes[4096];
    cfd_error *error = NULL;
    cfd_reader *reader = NULL;
    size_t count = 0;
    if (argc != 4)
        return CFD_USAGE;
    size_t identity_len = fread(identity, 1, sizeof identity, stdin);
    uint64_t offset = strtoull(argv[2], NULL, 10);
    size_t len = strtoull(argv[3], NULL, 10);
    cfd_opener *opener = cfd_opener_new();
    cfd_status status = cfd_opener_add_identities(opener, identity, identity_len, &error);
    if (!status)
        status = cfd_reader_new(opener, cfd_source_path(argv[1]), &reader, &error);
    if (!status)
        status = cfd_reader_read_at(reader, offset, bytes, len < sizeof bytes ? len : sizeof bytes, &count, &error);
    if (!status) {
        fwrite(bytes, 1, count, stdout);
        fprintf(stderr, "of %llu\n", (unsigned long long)cfd_reader_len(reader));
    } else {
        fprintf(stderr, "%s\n", cfd_error_message(error));
    }
    cfd_reader_free(reader);
    cfd_opener_free(opener);
    cfd_error_free(error);
    return status;
}
