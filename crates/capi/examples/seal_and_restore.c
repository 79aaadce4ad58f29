/* Seals a file for a new identity, and restores it: seal_and_restore INPUT SEALED RESTORED */
#include <cofferdam.h>
#include <stdio.h>
#include <string.h>

static int failed(cfd_error *error) {
    const char *advice = cfd_error_advice(error);
    fprintf(stderr, "%s\n%s\n", cfd_error_message(error), advice ? advice : "");
    int status = (int)cfd_error_status(error);
    cfd_error_free(error);
    return status;
}

int main(int argc, char **argv) {
    char identity[CFD_IDENTITY_LEN], recipient[CFD_RECIPIENT_LEN];
    cfd_error *error = NULL;
    cfd_report report;
    if (argc != 4)
        return CFD_USAGE;
    cfd_sealer *sealer = cfd_sealer_new();
    cfd_opener *opener = cfd_opener_new();
    cfd_status status = cfd_identity_generate(identity, sizeof identity, recipient, sizeof recipient, &error);
    if (!status)
        status = cfd_sealer_add_recipient(sealer, recipient, &error);
    if (!status)
        status = cfd_opener_add_identities(opener, identity, strlen(identity), &error);
    if (!status)
        status = cfd_seal(sealer, cfd_source_path(argv[1]), cfd_sink_path(argv[2]), &report, &error);
    if (!status)
        status = cfd_open(opener, cfd_source_path(argv[2]), cfd_sink_path(argv[3]), &report, &error);
    if (!status)
        printf("%llu bytes restored\n", (unsigned long long)report.plaintext_len);
    cfd_sealer_free(sealer);
    cfd_opener_free(opener);
    return status ? failed(error) : 0;
}
