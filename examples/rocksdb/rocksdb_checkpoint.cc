/*
 * A database of RocksDB as a sealed tree.
 *
 *   rocksdb_checkpoint checkpoint DATABASE DIRECTORY   of one moment, while others read and write; the directory is made
 *   rocksdb_checkpoint compare DATABASE OTHER          every key and value of the two, which are only read
 *   rocksdb_checkpoint fill DATABASE BYTES             about so many, in pairs of 1 KiB, half of which compresses away
 *   rocksdb_checkpoint gets DATABASE COUNT             of keys that fill has made, at random; says how many microseconds each took
 *
 * A checkpoint is a directory: seal it, and remove it.
 *
 *   rocksdb_checkpoint checkpoint db checkpoint
 *   cofferdam seal -r age1… -o db.cfd checkpoint
 *   cofferdam mount -i key.txt db.cfd /mnt/db          read-only, without restoring it
 *   rocksdb_checkpoint compare db /mnt/db
 *
 * OpenForReadOnly takes no lock and writes nothing, so it works on a file system that cannot be written.
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

#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

namespace {

using rocksdb::DB;
using rocksdb::Status;

constexpr size_t VALUE_LEN = 1000;

/* Ends the program with what went wrong. */
void must(const Status &status, const std::string &what)
{
	if (status.ok())
		return;
	std::cerr << what << ": " << status.ToString() << "\n";
	std::exit(1);
}

std::unique_ptr<DB> open_to_read(const std::string &directory, size_t cache_len = 8 << 20)
{
	rocksdb::Options options;
	rocksdb::BlockBasedTableOptions table;
	DB *database = nullptr;

	table.block_cache = rocksdb::NewLRUCache(cache_len);
	options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
	must(DB::OpenForReadOnly(options, directory, &database), "cannot open " + directory);
	return std::unique_ptr<DB>(database);
}

int checkpoint(const std::string &from, const std::string &to)
{
	rocksdb::Options options;
	rocksdb::Checkpoint *made = nullptr;
	DB *opened = nullptr;

	must(DB::Open(options, from, &opened), "cannot open " + from);
	std::unique_ptr<DB> database(opened);
	must(rocksdb::Checkpoint::Create(database.get(), &made), "cannot make a checkpoint");
	std::unique_ptr<rocksdb::Checkpoint> owned(made);
	/* 0: what is in memory is written out first, so that the checkpoint needs no log. */
	must(owned->CreateCheckpoint(to, 0), "cannot make " + to);
	return 0;
}

int compare(const std::string &one, const std::string &other)
{
	std::unique_ptr<DB> databases[2] = {open_to_read(one), open_to_read(other)};
	std::unique_ptr<rocksdb::Iterator> at[2];
	uint64_t count = 0;
	rocksdb::ReadOptions options;

	options.verify_checksums = true;
	options.fill_cache = false;
	for (int i = 0; i < 2; i++)
	{
		at[i].reset(databases[i]->NewIterator(options));
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

int gets(const std::string &directory, uint64_t times)
{
	/* Little is kept by RocksDB itself: what is compared is where the bytes come from. */
	std::unique_ptr<DB> database = open_to_read(directory, 1 << 20);
	std::mt19937_64 random(17);
	std::string value;

	must(database->Get(rocksdb::ReadOptions(), "count", &value), "cannot read the count");
	uint64_t count = std::stoull(value);
	std::chrono::duration<double, std::micro> took{0};
	for (uint64_t i = 0; i < times; i++)
	{
		uint64_t number = random() % count;
		std::string key = key_of(number);
		auto begun = std::chrono::steady_clock::now();
		must(database->Get(rocksdb::ReadOptions(), key, &value), "cannot read " + key);
		took += std::chrono::steady_clock::now() - begun;
		if (value != value_of(number))
		{
			std::cerr << "the value of " << key << " is another\n";
			return 1;
		}
	}
	std::cout << took.count() / times << "\n";
	return 0;
}

}

int main(int argc, char **argv)
{
	std::string command = argc == 4 ? argv[1] : "";

	if (command == "checkpoint")
		return checkpoint(argv[2], argv[3]);
	if (command == "compare")
		return compare(argv[2], argv[3]);
	if (command == "fill")
		return fill(argv[2], std::strtoull(argv[3], nullptr, 10));
	if (command == "gets")
		return gets(argv[2], std::strtoull(argv[3], nullptr, 10));
	std::cerr << "usage: " << argv[0] << " checkpoint DATABASE DIRECTORY | compare DATABASE OTHER | fill DATABASE BYTES | gets DATABASE COUNT\n";
	return 2;
}
