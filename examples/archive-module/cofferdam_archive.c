/*
 * An archive module of PostgreSQL: it seals each file of the write-ahead log for public keys, so that the database host has no secret
 * that opens its archive. README.md says how to use it.
 *
 * Owns the settings, what is done with a file that the server offers, and the wait for the library. The library works on a thread that
 * is made for each file, after the fork; nothing of the server is called there, and no error of the server passes through it.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "postmaster/pgarch.h"
#if PG_VERSION_NUM >= 160000
#include "archive/archive_module.h"
#endif
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "record.h"
#include "work.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

static bool is_configured(void);
static bool archive_file(const char *file, const char *path);
static bool seal(const char *file, const char *path, const char *target, Record *record);
static bool publish(int sealed, const char *staged, const char *target);
static void remove_staged(const char *staged);
static bool is_plain(const char *target, const struct stat *found);
static bool is_archived(const char *file, const char *target, const Record *record, const Record *known);
static bool run(struct work *work, const char *target);
static void wait_for_end(struct work *work, const char *target);

static char *directory;
static char *recipients;
static int	compression = COMPRESSION_NONE;
static int	timeout_seconds;

static const struct config_enum_entry compressions[] = {
	{"none", COMPRESSION_NONE, false},
	{"zstd", COMPRESSION_ZSTD, false},
	{NULL, 0, false},
};

/* What is behind the name of the archived file. */
#define SEALED ".cfd"
#define STAGED SEALED ".sealing"

/* How long the library has to end once it was told to. It looks between two frames. */
#define CANCEL_SECONDS 10

/* Files that are archived between two looks for records that are not needed any more. */
#define FILES_PER_PRUNE 256

void
_PG_init(void)
{
	DefineCustomStringVariable("cofferdam.directory", "Directory of the sealed archive.",
							   "An absolute path. No other server archives there.",
							   &directory, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("cofferdam.recipients", "Public keys that the archive is sealed for.",
							   "Each of them opens it: age1..., with commas between them.",
							   &recipients, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("cofferdam.compression", "Compression of the archive before it is encrypted.", NULL,
							 &compression, COMPRESSION_NONE, compressions, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("cofferdam.timeout", "How long one file may take; 0 is forever.",
							"Then it is given up, and tried again by the server.",
							&timeout_seconds, 60, 0, 24 * 60 * 60, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	MarkGUCPrefixReserved("cofferdam");
}

static bool
is_configured(void)
{
	return directory[0] != '\0' && recipients[0] != '\0';
}

/*
 * Archives the file `file`, which is at `path`. true: it is in the archive, durably, and the server may remove it. false: it is not; a
 * warning has said why, and the server offers it again.
 */
static bool
archive_file(const char *file, const char *path)
{
	static int	files_until_prune = 0;
	char		target[MAXPGPATH];
	Record		record;
	Record		known;
	bool		is_known;
	struct stat found;

	/* Not refused when it is set: after a reload the archiver would keep the old value, and say so to nobody. */
	if (directory[0] != '/')
	{
		ereport(WARNING, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						  errmsg("cofferdam.directory is no absolute path: \"%s\"", directory)));
		return false;
	}
	if (files_until_prune-- == 0)
	{
		records_prune();
		files_until_prune = FILES_PER_PRUNE;
	}
	if (snprintf(target, sizeof(target), "%s/%s" STAGED, directory, file) >= (int) sizeof(target))
	{
		ereport(WARNING, (errcode(ERRCODE_NAME_TOO_LONG), errmsg("cofferdam.directory is too long: \"%s\"", directory)));
		return false;
	}
	snprintf(target, sizeof(target), "%s/%s" SEALED, directory, file);
	if (!record_of_file(path, &record))
		return false;
	is_known = record_read(file, &known);
	if (lstat(target, &found) == 0)
		return is_plain(target, &found) && is_archived(file, target, &record, is_known ? &known : NULL);
	if (errno != ENOENT)
	{
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not look for \"%s\": %m", target)));
		return false;
	}
	return seal(file, path, target, &record);
}

/*
 * Seals beside the target, records which stream that gave, and only then gives it its name. So wherever this ends, what has the name is
 * in the records: a stream that is not, somebody else has put there.
 */
static bool
seal(const char *file, const char *path, const char *target, Record *record)
{
	char		staged[MAXPGPATH];
	struct work *work;
	bool		is_done;

	snprintf(staged, sizeof(staged), "%s/%s" STAGED, directory, file);
	work = work_to_seal(path, staged, file, recipients, (enum compression) compression);
	is_done = run(work, staged);
	if (is_done)
		strlcpy(record->stream, work_digest(work), sizeof(record->stream));
	is_done = is_done && record_write(file, record) && publish(work_sealed(work), staged, target);
	/* Also where it failed: a full disk needs the room. */
	if (work != NULL && work_sealed(work) >= 0)
		remove_staged(staged);
	work_free(work);
	if (!is_done)
		return false;
	ereport(LOG, (errmsg("archived \"%s\" as a stream with the digest %s", file, record->stream)));
	return true;
}

/*
 * Gives the file that was sealed its name, never over what is there. It is taken by its descriptor: the name beside the target may be
 * another file's by now, of another server in this directory, and the record is of this one.
 */
static bool
publish(int sealed, const char *staged, const char *target)
{
	char		opened[64];

	snprintf(opened, sizeof(opened), "/proc/self/fd/%d", sealed);
	if (linkat(AT_FDCWD, opened, AT_FDCWD, target, AT_SYMLINK_FOLLOW) != 0)
	{
		/* It has lost its own name where it is missing. */
		bool		is_there = errno == EEXIST || errno == ENOENT;

		ereport(WARNING, (errcode_for_file_access(), errmsg("could not link \"%s\" to \"%s\": %m", staged, target),
						  is_there ? errhint("Does another server archive into this directory?") : 0));
		return false;
	}
	if (fsync_fname_ext(directory, true, false, WARNING) == 0)
		return true;
	/* A second sync may succeed although this one has lost something, so the next try begins anew. */
	(void) unlink(target);
	return false;
}

static void
remove_staged(const char *staged)
{
	if (unlink(staged) != 0 && errno != ENOENT)
		ereport(WARNING, (errcode_for_file_access(), errmsg("could not remove \"%s\": %m", staged)));
}

/* A FIFO or a link has somebody put there, and what it leads to is not the archive's. */
static bool
is_plain(const char *target, const struct stat *found)
{
	if (S_ISREG(found->st_mode))
		return true;
	ereport(WARNING, (errcode(ERRCODE_DUPLICATE_FILE), errmsg("\"%s\" exists, and is no plain file", target),
					  errhint("Somebody has put it there. Move it away, and the file is sealed.")));
	return false;
}

/*
 * The server offers a file that the archive has, as it does after a crash. It is archived if it is what was archived under this name,
 * and the archive still has the very stream that it was sealed into.
 */
static bool
is_archived(const char *file, const char *target, const Record *record, const Record *known)
{
	char		staged[MAXPGPATH];
	struct work *work;
	bool		is_same;

	if (known == NULL)
	{
		ereport(WARNING, (errcode(ERRCODE_DUPLICATE_FILE),
						  errmsg("\"%s\" exists, and this server has no record of having archived it", target),
						  errhint("Does another server archive into this directory? Where the key is, compare it with \"%s\"; "
								  "then move it away.", file)));
		return false;
	}
	if (record->length != known->length || strcmp(record->sha256, known->sha256) != 0)
	{
		ereport(WARNING, (errcode(ERRCODE_DUPLICATE_FILE),
						  errmsg("\"%s\" was archived from another \"%s\" than the server has now", target, file),
						  errhint("Was the server restored without a new timeline? Give it a directory of its own.")));
		return false;
	}
	work = work_to_verify(target);
	if (!run(work, target))
	{
		work_free(work);
		return false;
	}
	is_same = strcmp(work_digest(work), known->stream) == 0;
	work_free(work);
	if (!is_same)
	{
		ereport(WARNING, (errcode(ERRCODE_DUPLICATE_FILE),
						  errmsg("\"%s\" is another stream than the one that \"%s\" was sealed into", target, file),
						  errdetail("The digest of that one is %s.", known->stream),
						  errhint("Somebody has replaced it, or another server archives into this directory and it is that one's: "
								  "keep it until you know. Move it away, and the file is sealed again.")));
		return false;
	}
	/* Its bytes were synced before it had its name; the name may not have been. */
	if (fsync_fname_ext(directory, true, false, WARNING) != 0)
		return false;
	/* A crash may have left the other name. */
	snprintf(staged, sizeof(staged), "%s/%s" STAGED, directory, file);
	remove_staged(staged);
	ereport(LOG, (errmsg("\"%s\" is archived already", file)));
	return true;
}

/* Does the work, and says whether it is done. If it is not, a warning has said why. */
static bool
run(struct work *work, const char *target)
{
	int			failed = work == NULL ? ENOMEM : work_start(work);

	if (failed != 0)
	{
		errno = failed;
		ereport(WARNING, (errmsg("could not begin to work on \"%s\": %m", target)));
		return false;
	}
	wait_for_end(work, target);
	if (work_join(work))
		return true;
	ereport(WARNING, (errmsg("could not archive: %s", work_message(work)),
					  errdetail("It was to be \"%s\".", target),
					  work_hint(work)[0] != '\0' ? errhint("%s", work_hint(work)) : 0));
	return false;
}

/*
 * Waits as a process of the server does: signals and barriers are answered meanwhile. The work is given up when the server wants to stop,
 * when the server's main process is gone, and after the timeout. If it then does not end, as where a network file system hangs, this process does:
 * the server starts another, or stops.
 */
static void
wait_for_end(struct work *work, const char *target)
{
	int			events = WL_LATCH_SET | WL_SOCKET_READABLE | WL_TIMEOUT | WL_POSTMASTER_DEATH;
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout_seconds * INT64CONST(1000));
	bool		is_endless = timeout_seconds == 0;
	bool		is_cancelled = false;
	bool		latch_was_set = false;

	for (;;)
	{
		long		left = is_endless ? 60 * 1000 : TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		int			happened = WaitLatchOrSocket(MyLatch, events, work_descriptor(work), left, PG_WAIT_EXTENSION);
		bool		is_late = !is_endless && GetCurrentTimestamp() >= end;

		if (happened & WL_SOCKET_READABLE)
			break;
		if (happened & WL_LATCH_SET)
		{
			ResetLatch(MyLatch);
			latch_was_set = true;
		}
		CHECK_FOR_INTERRUPTS();
		if (is_cancelled && is_late)
			ereport(FATAL, (errmsg("\"%s\" does not answer", target),
							errhint("Look whether its file system can be read and written.")));
		if (!is_cancelled && (is_late || ShutdownRequestPending || (happened & WL_POSTMASTER_DEATH)))
		{
			work_cancel(work);
			is_cancelled = true;
			is_endless = false;
			events &= ~WL_POSTMASTER_DEATH;
			end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), CANCEL_SECONDS * INT64CONST(1000));
		}
	}
	/* It was set for the archiver's main loop, which sleeps for a minute if it does not see that. */
	if (latch_was_set)
		SetLatch(MyLatch);
}

#if PG_VERSION_NUM >= 160000

static bool
is_configured_16(ArchiveModuleState *state)
{
	(void) state;
	return is_configured();
}

static bool
archive_file_16(ArchiveModuleState *state, const char *file, const char *path)
{
	(void) state;
	return archive_file(file, path);
}

/* Its declaration is the server's. */
const ArchiveModuleCallbacks *
_PG_archive_module_init(void)
{
	static const ArchiveModuleCallbacks callbacks = {
		.check_configured_cb = is_configured_16,
		.archive_file_cb = archive_file_16,
	};

	return &callbacks;
}

#else

extern PGDLLEXPORT void _PG_archive_module_init(ArchiveModuleCallbacks *callbacks);

void
_PG_archive_module_init(ArchiveModuleCallbacks *callbacks)
{
	callbacks->check_configured_cb = is_configured;
	callbacks->archive_file_cb = archive_file;
}

#endif
