/*
 * A database of RocksDB as a sealed tree.
 *
 *   rocksdb_checkpoint checkpoint DATABASE DIRECTORY     of one moment, while others read and write; the directory is made
 *   rocksdb_checkpoint compare DATABASE OTHER            every key and value of the two, which are only read
 *   rocksdb_checkpoint fill DATABASE BYTES               about so many, in pairs of 1 KiB, half of which compresses away
 *   rocksdb_checkpoint gets DATABASE COUNT [THREADS]     of keys that fill has made, at random, by each thread; says how many microseconds each took
 *
 * A checkpoint is a directory: seal it, and remove it.
 *
 *   rocksdb_checkpoint checkpoint db checkpoint
 *   cofferdam seal -r age1… -o db.cfd checkpoint
 *   IDENTITY=key.txt rocksdb_checkpoint compare db db.cfd   read where it is sealed, through sealed_file_system.h
 *   cofferdam mount -i key.txt db.cfd /mnt/db               read-only, without restoring it
 *   rocksdb_checkpoint compare db /mnt/db
 *
 * OpenForReadOnly takes no lock and writes nothing, so it works on a file system that cannot be written. `compare` and `gets` take for a sealed tree what
 * ends with .cfd; IDENTITY names the file with its key then, and SEALED_MEMORY the bytes that are kept of it opened (256 MiB).
 */
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include "sealed_file_system.h"

namespace {

using rocksdb::DB;
using rocksdb::Status;

constexpr size_t VALUE_LEN = 1000;

/* Ends the program with what went wrong. */
void must(const Status &status, const std::string &what)
{
	if (status.ok())
		return;
	std::cerr << what << ": " << status.ToString() << std::endl;
	/* Other threads may be reading: nothing is torn down under them. */
	std::_Exit(1);
}

bool is_sealed(const std::string &path)
{
	return path.size() > 4 && path.compare(path.size() - 4, 4, ".cfd") == 0;
}

/* A database, and where its files are: the database is closed first. */
struct Opened
{
	std::unique_ptr<rocksdb::Env> env;
	std::unique_ptr<DB> database;
	/* What RocksDB is told, and by which name. */
	rocksdb::Options options;
	std::string name;
};

/* How the database at `path` is opened, which is a directory or a sealed tree. */
Opened to_open(const std::string &path)
{
	Opened opened;

	opened.name = path;
	if (is_sealed(path))
	{
		std::shared_ptr<rocksdb::FileSystem> files;
		const char *identity = std::getenv("IDENTITY"), *memory = std::getenv("SEALED_MEMORY");
		size_t kept = memory ? std::strtoull(memory, nullptr, 10) : 256 << 20;

		must(sealed::NewSealedFileSystem(path, identity ? identity : "", kept, &files), "cannot open " + path);
		opened.env = rocksdb::NewCompositeEnv(files);
		opened.options.env = opened.env.get();
		opened.name = sealed::ROOT;
	}
	return opened;
}

Opened open_to_read(const std::string &path, size_t cache_len = 8 << 20)
{
	rocksdb::BlockBasedTableOptions table;
	DB *database = nullptr;
	Opened opened = to_open(path);

	table.block_cache = rocksdb::NewLRUCache(cache_len);
	opened.options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
	must(DB::OpenForReadOnly(opened.options, opened.name, &database), "cannot open " + path);
	opened.database.reset(database);
	return opened;
}

int checkpoint(const std::string &from, const std::string &to)
{
	Opened opened = to_open(from);
	rocksdb::Checkpoint *made = nullptr;
	DB *database = nullptr;

	/* As its own, with a lock and a log: a sealed tree refuses that. */
	must(DB::Open(opened.options, opened.name, &database), "cannot open " + from);
	opened.database.reset(database);
	must(rocksdb::Checkpoint::Create(opened.database.get(), &made), "cannot make a checkpoint");
	std::unique_ptr<rocksdb::Checkpoint> owned(made);
	/* 0: what is in memory is written out first, so that the checkpoint needs no log. */
	must(owned->CreateCheckpoint(to, 0), "cannot make " + to);
	return 0;
}

int compare(const std::string &one, const std::string &other)
{
	Opened databases[2] = {open_to_read(one), open_to_read(other)};
	std::unique_ptr<rocksdb::Iterator> at[2];
	uint64_t count = 0;
	rocksdb::ReadOptions options;

	options.verify_checksums = true;
	options.fill_cache = false;
	for (int i = 0; i < 2; i++)
	{
		at[i].reset(databases[i].database->NewIterator(options));
		at[i]->SeekToFirst();
	}
	for (; at[0]->Valid() && at[1]->Valid(); at[0]->Next(), at[1]->Next(), count++)
		if (at[0]->key() != at[1]->key() || at[0]->value() != at[1]->value())
		{
			std::cerr << "pair " << count << " differs: " << at[0]->key().ToString(true) << "\n";
			return 1;
		}
	must(at[0]->status(), "cannot read " + one);
	must(at[1]->status(), "cannot read " + other);
	if (at[0]->Valid() || at[1]->Valid())
	{
		std::cerr << "one has more than " << count << " pairs, the other has not\n";
		return 1;
	}
	std::cout << count << "\n";
	return 0;
}

std::string key_of(uint64_t number)
{
	char text[32];

	std::snprintf(text, sizeof(text), "key %016llx", (unsigned long long) (number * 0x9e3779b97f4a7c15u));
	return text;
}

std::string value_of(uint64_t number)
{
	std::mt19937_64 random(number);
	std::string value(VALUE_LEN, '.');

	for (size_t at = 0; at + 8 <= VALUE_LEN / 2; at += 8)
	{
		uint64_t word = random();
		std::memcpy(&value[at], &word, 8);
	}
	return value;
}

int fill(const std::string &directory, uint64_t bytes)
{
	rocksdb::Options options;
	DB *opened = nullptr;
	uint64_t count = bytes / (VALUE_LEN + 24);

	options.create_if_missing = true;
	options.compression = rocksdb::kNoCompression;
	must(DB::Open(options, directory, &opened), "cannot make " + directory);
	std::unique_ptr<DB> database(opened);
	for (uint64_t number = 0; number < count; number++)
		must(database->Put(rocksdb::WriteOptions(), key_of(number), value_of(number)), "cannot write");
	must(database->Put(rocksdb::WriteOptions(), "count", std::to_string(count)), "cannot write");
	std::cout << count + 1 << "\n";
	return 0;
}

/* Gets keys at random, and puts how long that took into `took`. */
void get_some(DB *database, uint64_t count, uint64_t times, uint64_t seed, std::chrono::duration<double, std::micro> *took)
{
	std::mt19937_64 random(seed);
	std::string value;

	for (uint64_t i = 0; i < times; i++)
	{
		uint64_t number = random() % count;
		std::string key = key_of(number);
		auto begun = std::chrono::steady_clock::now();
		must(database->Get(rocksdb::ReadOptions(), key, &value), "cannot read " + key);
		*took += std::chrono::steady_clock::now() - begun;
		if (value != value_of(number))
		{
			std::cerr << "the value of " << key << " is another\n";
			std::_Exit(1);
		}
	}
}

int gets(const std::string &path, uint64_t times, uint64_t threads)
{
	/* Little is kept by RocksDB itself: what is compared is where the bytes come from. */
	Opened opened = open_to_read(path, 1 << 20);
	std::vector<std::chrono::duration<double, std::micro>> took(threads);
	std::vector<std::thread> running;
	std::string value;

	must(opened.database->Get(rocksdb::ReadOptions(), "count", &value), "cannot read the count");
	uint64_t count = std::stoull(value);
	for (uint64_t i = 0; i < threads; i++)
		running.emplace_back(get_some, opened.database.get(), count, times, 17 + i, &took[i]);
	for (uint64_t i = 0; i < threads; i++)
		running[i].join();
	double sum = 0;
	for (uint64_t i = 0; i < threads; i++)
		sum += took[i].count();
	std::cout << sum / (times * threads) << "\n";
	return 0;
}

}

int main(int argc, char **argv)
{
	std::string command = argc == 4 || argc == 5 ? argv[1] : "";
	uint64_t threads = argc == 5 ? std::strtoull(argv[4], nullptr, 10) : 1;

	if (command == "gets" && threads >= 1)
		return gets(argv[2], std::strtoull(argv[3], nullptr, 10), threads);
	if (command == "checkpoint" && argc == 4)
		return checkpoint(argv[2], argv[3]);
	if (command == "compare" && argc == 4)
		return compare(argv[2], argv[3]);
	if (command == "fill" && argc == 4)
		return fill(argv[2], std::strtoull(argv[3], nullptr, 10));
	std::cerr << "usage: " << argv[0]
			  << " checkpoint DATABASE DIRECTORY | compare DATABASE OTHER | fill DATABASE BYTES | gets DATABASE COUNT [THREADS]\n";
	return 2;
}
