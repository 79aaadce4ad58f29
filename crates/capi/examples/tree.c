/* Seals a directory, lists it, prints one of its files, and restores it: tree DIRECTORY SEALED STATE_DIR MEMBER RESTORED */
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

static int list(void *context, const char *path, const char *link, const cfd_entry *entry) {
    (void)context;
    printf("%c %04o %llu %s%s%s\n", entry->kind, entry->mode, (unsigned long long)entry->size, path, link ? " -> " : "", link ? link : "");
    return 0;
}

/* Any file of the tree, a piece at a time; nothing else of the stream is opened. */
static cfd_status print(const cfd_tree *tree, const char *path, cfd_error **error) {
    cfd_entry entry;
    bool found;
    char buffer[65536];
    cfd_status status = cfd_tree_find(tree, path, &entry, &found, error);
    for (uint64_t at = 0; !status && found && at < entry.size;) {
        size_t count;
        status = cfd_tree_read_at(tree, entry.number, at, buffer, sizeof buffer, &count, error);
        if (!status)
            at += fwrite(buffer, 1, count, stdout);
    }
    return status;
}

int main(int argc, char **argv) {
    char identity[CFD_IDENTITY_LEN], recipient[CFD_RECIPIENT_LEN];
    cfd_error *error = NULL;
    cfd_tree_report report;
    cfd_tree *tree = NULL;
    if (argc != 6)
        return CFD_USAGE;
    cfd_sealer *sealer = cfd_sealer_new();
    cfd_opener *opener = cfd_opener_new();
    cfd_status status = cfd_identity_generate(identity, sizeof identity, recipient, sizeof recipient, &error);
    if (!status)
        status = cfd_sealer_add_recipient(sealer, recipient, &error);
    if (!status)
        status = cfd_sealer_set_state_dir(sealer, argv[3]);
    if (!status)
        status = cfd_opener_add_identities(opener, identity, strlen(identity), &error);
    if (!status)
        status = cfd_seal_tree(sealer, argv[1], argv[2], &report, &error);
    if (!status)
        status = cfd_tree_new(opener, cfd_source_path(argv[2]), &tree, &error);
    if (!status)
        status = cfd_tree_list(tree, NULL, list, NULL, &error);
    if (!status)
        status = print(tree, argv[4], &error);
    if (!status)
        status = cfd_open_tree(opener, cfd_source_path(argv[2]), argv[5], 0, &report, &error);
    if (!status)
        printf("%llu entries restored\n", (unsigned long long)report.entries);
    cfd_tree_free(tree);
    cfd_sealer_free(sealer);
    cfd_opener_free(opener);
    return status ? failed(error) : 0;
}
