/*
 * Owns the records in the data directory, one small file for each archived file. Knows nothing of streams.
 */
#include "postgres.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xlog_internal.h"
#include "common/cryptohash.h"
#include "common/file_perm.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "postmaster/pgarch.h"
#include "storage/fd.h"

#include "record.h"

/* In the data directory, which is the server's working directory. */
#define RECORDS "cofferdam_archive"

/* A record is shorter than this. */
#define RECORD_SIZE_MAX 512

#define BLOCK_SIZE (128 * 1024)

static int	format_record(char *text, const Record *record);
static bool make_folder(void);
static bool is_file_name(const char *name);
static bool is_offered(const char *file);

bool
record_of_file(const char *path, Record *record)
{
	static uint8 block[BLOCK_SIZE];
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash;
	bool		hashed;
	ssize_t		got;
	int			fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
	{
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not open \"%s\": %m", path)));
		return false;
	}
	hash = pg_cryptohash_create(PG_SHA256);
	hashed = hash != NULL && pg_cryptohash_init(hash) == 0;
	record->length = 0;
	while ((got = read(fd, block, sizeof(block))) != 0)
	{
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		hashed = hashed && pg_cryptohash_update(hash, block, (size_t) got) == 0;
		record->length += (uint64) got;
	}
	if (got < 0)
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not read \"%s\": %m", path)));
	close(fd);
	hashed = hashed && pg_cryptohash_final(hash, digest, sizeof(digest)) == 0;
	if (!hashed)
		ereport(WARNING, (errmsg("could not compute the SHA-256 of \"%s\"", path)));
	if (hash != NULL)
		pg_cryptohash_free(hash);
	if (got < 0 || !hashed)
		return false;
	for (size_t at = 0; at < sizeof(digest); at++)
		snprintf(record->sha256 + 2 * at, 3, "%02x", digest[at]);
	return true;
}

bool
record_read(const char *file, Record *record)
{
	char		path[MAXPGPATH];
	char		text[RECORD_SIZE_MAX];
	char		again[RECORD_SIZE_MAX];
	unsigned long long length;
	ssize_t		got;
	int			fd;

	snprintf(path, sizeof(path), RECORDS "/%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	if (sscanf(text, "length=%llu sha256=%64[0-9a-f] stream=%64[0-9a-f]", &length, record->sha256, record->stream) != 3)
		return false;
	record->length = length;
	/* What was cut off, or is longer, is none. */
	return format_record(again, record) == got && memcmp(text, again, (size_t) got) == 0 &&
		strlen(record->sha256) == DIGEST_SIZE - 1 && strlen(record->stream) == DIGEST_SIZE - 1;
}

bool
record_write(const char *file, const Record *record)
{
	char		path[MAXPGPATH];
	char		new_path[MAXPGPATH];
	char		text[RECORD_SIZE_MAX];
	int			length = format_record(text, record);
	ssize_t		written;
	int			fd;

	if (!make_folder())
		return false;
	snprintf(path, sizeof(path), RECORDS "/%s", file);
	snprintf(new_path, sizeof(new_path), RECORDS "/%s.new", file);
	fd = open(new_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, pg_file_create_mode);
	if (fd < 0)
	{
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not create \"%s\": %m", new_path)));
		return false;
	}
	errno = 0;
	written = write(fd, text, (size_t) length);
	if (written != length)
	{
		/* A short write to a file says that the disk is full. */
		if (errno == 0)
			errno = ENOSPC;
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not write \"%s\": %m", new_path)));
		close(fd);
		return false;
	}
	close(fd);
	/* Syncs the file, its name and the folder. */
	return durable_rename(new_path, path, WARNING) == 0;
}

void
records_prune(void)
{
	DIR		   *folder = opendir(RECORDS);
	struct dirent *entry;

	if (folder == NULL)
		return;
	while ((entry = readdir(folder)) != NULL)
	{
		char		path[MAXPGPATH];

		/* Whatever else lies here is not ours: streams, where this is the archive, too. */
		if (!is_file_name(entry->d_name) || is_offered(entry->d_name))
			continue;
		/* One that stays does no harm: it says what was so. */
		if (snprintf(path, sizeof(path), RECORDS "/%s", entry->d_name) < (int) sizeof(path))
			(void) unlink(path);
	}
	closedir(folder);
}

static int
format_record(char *text, const Record *record)
{
	return snprintf(text, RECORD_SIZE_MAX, "length=%llu\nsha256=%s\nstream=%s\n",
					(unsigned long long) record->length, record->sha256, record->stream);
}

/* Whether the server may offer a file of this name. */
static bool
is_file_name(const char *name)
{
	size_t		length = strlen(name);

	return length >= MIN_XFN_CHARS && length <= MAX_XFN_CHARS && strspn(name, VALID_XFN_CHARS) == length;
}

/* Whether the server still has the file of this name. */
static bool
is_offered(const char *file)
{
	char		path[MAXPGPATH];
	struct stat found;

	snprintf(path, sizeof(path), XLOGDIR "/%s", file);
	return lstat(path, &found) == 0 || errno != ENOENT;
}

static bool
make_folder(void)
{
	if (MakePGDirectory(RECORDS) == 0)
		return fsync_fname_ext(".", true, false, WARNING) == 0;
	if (errno == EEXIST)
		return true;
	ereport(WARNING, (errcode_for_file_access(), errmsg("could not create the directory \"%s\": %m", RECORDS)));
	return false;
}
