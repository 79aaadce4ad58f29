/*
 * What the server knows of a file that it has archived: what was in it, and which stream it became.
 *
 * It is kept in the data directory, so under the server's control: the storage that has the streams cannot change it. Without the
 * secret key nobody can compare a stream with a segment; this is what answers whether a stream in the archive is that segment.
 */
#ifndef COFFERDAM_ARCHIVE_RECORD_H
#define COFFERDAM_ARCHIVE_RECORD_H

#include "postgres.h"

/* Hexadecimal digits of 32 bytes, and the zero behind them. */
#define DIGEST_SIZE 65

typedef struct Record
{
	uint64		length;					/* bytes of the file */
	char		sha256[DIGEST_SIZE];	/* of the file */
	char		stream[DIGEST_SIZE];	/* the digest of the stream that it was sealed into */
} Record;

/* Fills length and sha256 from the file at path. false: it cannot be read, and a warning says why. */
extern bool record_of_file(const char *path, Record *record);

/* Whether there is a record of the file of this name, and it is whole. One that is not counts as none. */
extern bool record_read(const char *file, Record *record);

/* Writes it, durably, in place of an older one. false: it is not there for certain, and a warning says why. */
extern bool record_write(const char *file, const Record *record);

/* Removes the records of files that the server has no more, and will not offer again. */
extern void records_prune(void);

#endif
