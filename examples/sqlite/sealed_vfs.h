/*
 * A VFS of SQLite that reads one database out of a sealed stream, and writes nothing.
 *
 * Only the pages that a query needs are read and opened, and each is authenticated at its place. No plaintext is written anywhere.
 */
#ifndef SEALED_VFS_H
#define SEALED_VFS_H

#include <cofferdam.h>
#include <sqlite3.h>

#define SEALED_VFS_NAME "cofferdam"

/*
 * Registers the VFS. Every database that is opened by it is `reader`'s, whatever its name: file:sealed?vfs=cofferdam&immutable=1. The
 * reader outlives every connection. Returns a code of SQLite.
 */
extern int	sealed_vfs_register(cfd_reader *reader);

#endif
