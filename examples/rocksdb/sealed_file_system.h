/*
 * A file system of RocksDB over a sealed tree: a database in it is read where it is, without being restored or mounted.
 *
 *   std::shared_ptr<rocksdb::FileSystem> files;
 *   rocksdb::Status status = sealed::NewSealedFileSystem("db.cfd", "key.txt", 256 << 20, &files);
 *   std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(files);
 *   options.env = env.get();
 *   rocksdb::DB::OpenForReadOnly(options, sealed::ROOT, &database);
 *
 * The tree is at ROOT; other paths are those of the file system below, so that an info log, or whatever else is written, can go there. Nothing below
 * ROOT can be written. The env has to live as long as the database.
 *
 * What is read is authentic, at its place, and of one stream: what is damaged is Corruption. That the whole stream is there, `cofferdam verify` says.
 * Any number of threads may read at once.
 */
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <rocksdb/file_system.h>

namespace sealed {

/* Where the tree is. */
extern const char *const ROOT;

/* Opens the sealed tree in the file `sealed` with the identities in the file `identity`. It keeps what it has opened in `memory` bytes. */
rocksdb::Status NewSealedFileSystem(const std::string &sealed, const std::string &identity, size_t memory,
		std::shared_ptr<rocksdb::FileSystem> *result);

}
