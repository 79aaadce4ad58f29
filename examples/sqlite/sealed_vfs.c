/* Owns the VFS. Knows nothing of keys, or of where the stream lies. */
#include "sealed_vfs.h"

#include <string.h>

struct sealed_file
{
	sqlite3_file base;
	cfd_reader *reader;
};

/* What has nothing to do with files is the system's. */
static sqlite3_vfs *
of_system(sqlite3_vfs *vfs)
{
	return (sqlite3_vfs *) vfs->pAppData;
}

static int
file_close(sqlite3_file *file)
{
	(void) file;
	return SQLITE_OK;
}

static int
file_read(sqlite3_file *file, void *buffer, int amount, sqlite3_int64 offset)
{
	cfd_reader *reader = ((struct sealed_file *) file)->reader;
	uint64_t	length = cfd_reader_len(reader);
	uint64_t	from = (uint64_t) offset;
	uint64_t	there = from < length ? length - from : 0;
	size_t		wanted = (size_t) amount;
	size_t		got = wanted < there ? wanted : (size_t) there;
	size_t		count = 0;

	/* A page that is damaged is an error of its own: nothing of it reaches SQLite. */
	if (got > 0 && (cfd_reader_read_at(reader, from, buffer, got, &count, NULL) != CFD_OK || count != got))
		return SQLITE_IOERR_READ;
	/* SQLite wants zeros behind the end. */
	memset((char *) buffer + got, 0, wanted - got);
	return got == wanted ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int
file_write(sqlite3_file *file, const void *buffer, int amount, sqlite3_int64 offset)
{
	(void) file, (void) buffer, (void) amount, (void) offset;
	return SQLITE_READONLY;
}

static int
file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	(void) file, (void) size;
	return SQLITE_READONLY;
}

static int
file_sync(sqlite3_file *file, int flags)
{
	(void) file, (void) flags;
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = (sqlite3_int64) cfd_reader_len(((struct sealed_file *) file)->reader);
	return SQLITE_OK;
}

/* What never changes needs no lock. */
static int
file_lock(sqlite3_file *file, int level)
{
	(void) file, (void) level;
	return SQLITE_OK;
}

static int
file_check_reserved_lock(sqlite3_file *file, int *is_reserved)
{
	(void) file;
	*is_reserved = 0;
	return SQLITE_OK;
}

static int
file_control(sqlite3_file *file, int operation, void *argument)
{
	(void) file, (void) operation, (void) argument;
	return SQLITE_NOTFOUND;
}

static int
file_sector_size(sqlite3_file *file)
{
	(void) file;
	return 0;
}

static int
file_characteristics(sqlite3_file *file)
{
	(void) file;
	return SQLITE_IOCAP_IMMUTABLE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_check_reserved_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
};

static cfd_reader *the_reader;

/* The database alone: what SQLite sorts stays in memory (PRAGMA temp_store), since a file of it would be plaintext on a disk. */
static int
vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *opened)
{
	(void) vfs, (void) name;
	file->pMethods = NULL;
	if (!(flags & SQLITE_OPEN_MAIN_DB))
		return SQLITE_CANTOPEN;
	((struct sealed_file *) file)->reader = the_reader;
	file->pMethods = &methods;
	if (opened != NULL)
		*opened = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *name, int is_synced)
{
	(void) vfs, (void) name, (void) is_synced;
	return SQLITE_READONLY;
}

/* There is no journal beside it. */
static int
vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *is_so)
{
	(void) vfs, (void) name, (void) flags;
	*is_so = 0;
	return SQLITE_OK;
}

static int
vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void) vfs;
	sqlite3_snprintf(size, out, "%s", name);
	return SQLITE_OK;
}

static int
vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
	return of_system(vfs)->xRandomness(of_system(vfs), size, out);
}

static int
vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
	return of_system(vfs)->xSleep(of_system(vfs), microseconds);
}

static int
vfs_current_time(sqlite3_vfs *vfs, double *now)
{
	return of_system(vfs)->xCurrentTime(of_system(vfs), now);
}

static int
vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
	(void) vfs, (void) size, (void) out;
	return 0;
}

int
sealed_vfs_register(cfd_reader *reader)
{
	static sqlite3_vfs vfs = {
		.iVersion = 1,
		.szOsFile = sizeof(struct sealed_file),
		.mxPathname = 512,
		.zName = SEALED_VFS_NAME,
		.xOpen = vfs_open,
		.xDelete = vfs_delete,
		.xAccess = vfs_access,
		.xFullPathname = vfs_full_pathname,
		.xRandomness = vfs_randomness,
		.xSleep = vfs_sleep,
		.xCurrentTime = vfs_current_time,
		.xGetLastError = vfs_last_error,
	};

	the_reader = reader;
	vfs.pAppData = sqlite3_vfs_find(NULL);
	return sqlite3_vfs_register(&vfs, 0);
}
