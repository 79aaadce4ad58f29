/*
 * What the library does for the archiver, on a thread of its own. Knows nothing of PostgreSQL.
 *
 * A piece of work is made, started, waited for through a descriptor, joined and freed, all by one thread. The thread that it starts has
 * every signal blocked, as has whatever the library starts from there: the server's handlers run on the server's thread.
 */
#ifndef COFFERDAM_ARCHIVE_WORK_H
#define COFFERDAM_ARCHIVE_WORK_H

#include <stdbool.h>
#include <stddef.h>

/* Hexadecimal digits of 32 bytes, and the zero behind them. */
#define WORK_DIGEST_SIZE 65

struct work;

enum compression
{
	COMPRESSION_NONE,
	COMPRESSION_ZSTD,
};

/*
 * Seals the file at `source` for `recipients` (with spaces or commas between them) into a new file at `target`, durably but for its name.
 * What has that name is removed, and neither followed nor written to: anybody may have put it there. `file` is its name in the archive
 * and goes into the stream's metadata. NULL: there is no memory.
 */
extern struct work *work_to_seal(const char *source, const char *target, const char *file, const char *recipients,
								 enum compression compression);

/* Reads the stream at `sealed` to its end, as whoever has no key can: every digest, the structure. NULL: there is no memory. */
extern struct work *work_to_verify(const char *sealed);

/* 0, or the errno of what prevents it; then there is nothing to join. */
extern int	work_start(struct work *work);

/* Becomes readable when the work has ended. Valid after work_start. */
extern int	work_descriptor(const struct work *work);

/* The work ends soon, without its result. */
extern void work_cancel(struct work *work);

/* Waits for its end, and says whether it is done. */
extern bool work_join(struct work *work);

/*
 * After work_join, if it has sealed: a descriptor of the file that it made, until work_free. The name `target` may be another file's by
 * then.
 */
extern int	work_sealed(const struct work *work);

/* After work_join: the stream's digest, if it is done; else what was wrong, and what to do, which may be empty. */
extern const char *work_digest(const struct work *work);
extern const char *work_message(const struct work *work);
extern const char *work_hint(const struct work *work);

extern void work_free(struct work *work);

#endif
