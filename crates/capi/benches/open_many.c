/* Opens a sealed file into its own memory, many times, and prints the processor time per call: open_many SEALED LEN CALLS */
#include <cofferdam.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double processor_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv) {
    static const uint8_t key[32] = {7};
    cfd_error *error = NULL;
    if (argc != 4)
        return CFD_USAGE;
    size_t len = strtoull(argv[2], NULL, 10);
    unsigned long calls = strtoul(argv[3], NULL, 10);
    unsigned char *memory = malloc(len);
    memset(memory, 1, len);
    cfd_opener *opener = cfd_opener_new();
    cfd_status status = cfd_opener_add_key(opener, key, &error);
    if (!status)
        status = cfd_open(opener, cfd_source_path(argv[1]), cfd_sink_memory(memory, len), NULL, &error);
    double before = processor_seconds();
    for (unsigned long call = 0; !status && call < calls; call++)
        status = cfd_open(opener, cfd_source_path(argv[1]), cfd_sink_memory(memory, len), NULL, &error);
    if (status)
        fprintf(stderr, "%s\n", cfd_error_message(error));
    else
        printf("%.9f\n", (processor_seconds() - before) / (double)calls);
    cfd_opener_free(opener);
    cfd_error_free(error);
    free(memory);
    return status;
}
