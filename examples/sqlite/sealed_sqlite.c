/*
 * A database of SQLite in a sealed stream.
 *
 *   sealed_sqlite backup DATABASE RECIPIENT SEALED      a copy of a database that may be in use, sealed
 *   sealed_sqlite restore SEALED IDENTITY_FILE DATABASE
 *   sealed_sqlite query SEALED IDENTITY_FILE SQL        out of the stream itself: nothing is restored
 *
 * The backup is SQLite's own online backup: of one moment, while others read and write. It goes into a database in memory, since SQLite
 * does not write its pages in order; so it takes memory for the database, up to twice its length, and no plaintext is written to a
 * disk. Its longest database in memory has 2 GiB.
 */
#include <stdio.h>
#include <string.h>

#include "sealed_vfs.h"

static int	backup(const char *database, const char *recipient, const char *sealed);
static int	copy(sqlite3 *from, sqlite3 *to);
static int	seal(const unsigned char *bytes, size_t length, const char *recipient, const char *sealed);
static int	restore(const char *sealed, const char *identity_file, const char *database);
static int	query(const char *sealed, const char *identity_file, const char *sql);
static int	print_row(void *context, int count, char **values, char **names);
static int	failed(const char *what, cfd_error *error);
static int	failed_in(sqlite3 *database, const char *what);

/* Pages that are copied at a time; between two lots the database is free for others. */
#define PAGES_PER_STEP 256
/* Bytes of a database in memory: as much as SQLite allocates at once. Unless it is told, it stops at 1 GiB. */
#define LENGTH_MAX 0x7ffffe00
/* How long to wait for one who writes. */
#define BUSY_MILLISECONDS 10000

int
main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "backup") == 0)
		return backup(argv[2], argv[3], argv[4]);
	if (argc == 5 && strcmp(argv[1], "restore") == 0)
		return restore(argv[2], argv[3], argv[4]);
	if (argc == 5 && strcmp(argv[1], "query") == 0)
		return query(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: %s backup DATABASE RECIPIENT SEALED | restore SEALED IDENTITY_FILE DATABASE | query SEALED IDENTITY_FILE SQL\n",
			argv[0]);
	return 2;
}

static int
backup(const char *database, const char *recipient, const char *sealed)
{
	sqlite3    *from = NULL;
	sqlite3    *to = NULL;
	unsigned char *bytes;
	sqlite3_int64 length = 0;
	sqlite3_int64 length_max = LENGTH_MAX;
	int			code = 1;

	if (sqlite3_open_v2(database, &from, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		failed_in(from, "cannot open the database");
	else if (sqlite3_open_v2("file:backup?vfs=memdb", &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, NULL) != SQLITE_OK)
		failed_in(to, "cannot make a database in memory");
	else if (sqlite3_file_control(to, "main", SQLITE_FCNTL_SIZE_LIMIT, &length_max) != SQLITE_OK)
		failed_in(to, "cannot make a long database in memory");
	else if (copy(from, to) != SQLITE_DONE)
		failed_in(to, "cannot copy the database");
	else if ((bytes = sqlite3_serialize(to, "main", &length, SQLITE_SERIALIZE_NOCOPY)) == NULL)
		/* One that nothing was ever written to has no page. */
		code = length == 0 ? seal((const unsigned char *) "", 0, recipient, sealed) : failed_in(to, "cannot read the copy");
	else
		code = seal(bytes, (size_t) length, recipient, sealed);
	sqlite3_close(to);
	sqlite3_close(from);
	return code;
}

/* SQLITE_DONE if all of it is there, as it was at one moment. */
static int
copy(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *work = sqlite3_backup_init(to, "main", from, "main");
	int			code = SQLITE_ERROR;
	int			waited = 0;

	if (work == NULL)
		return code;
	while ((code = sqlite3_backup_step(work, PAGES_PER_STEP)) == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED)
	{
		if (code != SQLITE_OK && (waited += 10) > BUSY_MILLISECONDS)
			break;
		if (code != SQLITE_OK)
			sqlite3_sleep(10);
	}
	/* The code of a failure is the copy's too, where its words are. */
	return sqlite3_backup_finish(work) == SQLITE_OK ? code : SQLITE_ERROR;
}

static int
seal(const unsigned char *bytes, size_t length, const char *recipient, const char *sealed)
{
	cfd_sealer *sealer = cfd_sealer_new();
	cfd_error  *error = NULL;
	int			code = 0;

	if (cfd_sealer_add_recipient(sealer, recipient, &error) != CFD_OK)
		code = failed("cannot seal for this recipient", error);
	else if (cfd_seal(sealer, cfd_source_memory(bytes, length), cfd_sink_path(sealed), NULL, &error) != CFD_OK)
		code = failed("cannot seal", error);
	cfd_sealer_free(sealer);
	return code;
}

static int
restore(const char *sealed, const char *identity_file, const char *database)
{
	cfd_opener *opener = cfd_opener_new();
	cfd_error  *error = NULL;
	int			code = 0;

	if (cfd_opener_add_identity_file(opener, identity_file, &error) != CFD_OK)
		code = failed("cannot use the identity", error);
	else if (cfd_open(opener, cfd_source_path(sealed), cfd_sink_path(database), NULL, &error) != CFD_OK)
		code = failed("cannot restore", error);
	cfd_opener_free(opener);
	return code;
}

static int
query(const char *sealed, const char *identity_file, const char *sql)
{
	cfd_opener *opener = cfd_opener_new();
	cfd_reader *reader = NULL;
	cfd_error  *error = NULL;
	sqlite3    *database = NULL;
	int			code = 0;

	if (cfd_opener_add_identity_file(opener, identity_file, &error) != CFD_OK)
		code = failed("cannot use the identity", error);
	else if (cfd_reader_new(opener, cfd_source_path(sealed), &reader, &error) != CFD_OK)
		code = failed("cannot open the stream", error);
	else if (sealed_vfs_register(reader) != SQLITE_OK ||
			 sqlite3_open_v2("file:sealed?vfs=" SEALED_VFS_NAME "&immutable=1", &database,
							 SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL) != SQLITE_OK ||
			 sqlite3_exec(database, "PRAGMA temp_store = MEMORY", NULL, NULL, NULL) != SQLITE_OK ||
			 sqlite3_exec(database, sql, print_row, NULL, NULL) != SQLITE_OK)
		code = failed_in(database, "cannot query");
	sqlite3_close(database);
	cfd_reader_free(reader);
	cfd_opener_free(opener);
	return code;
}

static int
print_row(void *context, int count, char **values, char **names)
{
	(void) context, (void) names;
	for (int at = 0; at < count; at++)
		printf("%s%s", at == 0 ? "" : "|", values[at] != NULL ? values[at] : "");
	puts("");
	return 0;
}

static int
failed(const char *what, cfd_error *error)
{
	const char *advice = error != NULL ? cfd_error_advice(error) : NULL;

	fprintf(stderr, "%s: %s\n", what, error != NULL ? cfd_error_message(error) : "no memory");
	if (advice != NULL)
		fprintf(stderr, "%s\n", advice);
	cfd_error_free(error);
	return 1;
}

static int
failed_in(sqlite3 *database, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(database));
	return 1;
}
