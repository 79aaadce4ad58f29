#include "sealed_file_system.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include <cofferdam.h>

namespace sealed {

using rocksdb::FileOptions;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSSequentialFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

const char *const ROOT = "/sealed";

namespace {

/* What the library has said of a call. It frees the error. */
IOStatus said(cfd_status status, cfd_error *error)
{
	if (status == CFD_OK)
		return IOStatus::OK();
	const char *message = cfd_error_message(error);
	std::string text = message ? message : "the sealed tree cannot be read";
	cfd_error_free(error);
	switch (status)
	{
		case CFD_DAMAGED:
		case CFD_TRUNCATED:
		case CFD_SOURCE_CHANGED:
			return IOStatus::Corruption(text);
		default:
			return IOStatus::IOError(text);
	}
}

/* The tree, as long as a file of it is open. */
class Tree
{
public:
	explicit Tree(cfd_tree *tree) : tree_(tree) {}
	~Tree() { cfd_tree_free(tree_); }
	Tree(const Tree &) = delete;
	Tree &operator=(const Tree &) = delete;

	IOStatus Find(const std::string &path, cfd_entry *entry) const
	{
		cfd_error *error = nullptr;
		bool found = false;
		IOStatus status = said(cfd_tree_find(tree_, path.c_str(), entry, &found, &error), error);

		if (status.ok() && !found)
			return IOStatus::PathNotFound(path);
		return status;
	}

	/* As FSRandomAccessFile::Read: fewer than `len` bytes only at the end. */
	IOStatus Read(uint64_t number, uint64_t offset, size_t len, Slice *result, char *scratch) const
	{
		cfd_error *error = nullptr;
		size_t count = 0;
		IOStatus status = said(cfd_tree_read_at(tree_, number, offset, scratch, len, &count, &error), error);

		*result = Slice(scratch, status.ok() ? count : 0);
		return status;
	}

	/* The names that are directly in the directory at `path`, which is "." or one that Find has found. */
	IOStatus Children(const std::string &path, std::vector<std::string> *names) const
	{
		cfd_error *error = nullptr;
		Listing listing{path == "." ? "" : path + "/", names};

		names->clear();
		return said(cfd_tree_list(tree_, path.c_str(), on_entry, &listing, &error), error);
	}

private:
	struct Listing
	{
		std::string prefix;
		std::vector<std::string> *names;
	};

	static int on_entry(void *context, const char *path, const char *, const cfd_entry *)
	{
		/* No exception may leave it. */
		try
		{
			auto *listing = static_cast<Listing *>(context);
			std::string name = path;

			if (name == "." || name.compare(0, listing->prefix.size(), listing->prefix) != 0)
				return 0;
			name.erase(0, listing->prefix.size());
			if (!name.empty() && name.find('/') == std::string::npos)
				listing->names->push_back(name);
			return 0;
		}
		catch (...)
		{
			return ENOMEM;
		}
	}

	cfd_tree *tree_;
};

class RandomAccessFile : public FSRandomAccessFile
{
public:
	RandomAccessFile(std::shared_ptr<Tree> tree, const cfd_entry &entry) : tree_(std::move(tree)), entry_(entry) {}

	IOStatus Read(uint64_t offset, size_t len, const IOOptions &, Slice *result, char *scratch, IODebugContext *) const override
	{
		return tree_->Read(entry_.number, offset, len, result, scratch);
	}

	/* Nothing is kept below RocksDB's own caches but what the tree keeps by itself. */
	IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

private:
	std::shared_ptr<Tree> tree_;
	cfd_entry entry_;
};

class SequentialFile : public FSSequentialFile
{
public:
	SequentialFile(std::shared_ptr<Tree> tree, const cfd_entry &entry) : tree_(std::move(tree)), entry_(entry) {}

	IOStatus Read(size_t len, const IOOptions &, Slice *result, char *scratch, IODebugContext *) override
	{
		IOStatus status = tree_->Read(entry_.number, at_, len, result, scratch);

		at_ += result->size();
		return status;
	}

	IOStatus Skip(uint64_t len) override
	{
		at_ = len > entry_.size - at_ ? entry_.size : at_ + len;
		return IOStatus::OK();
	}

	IOStatus PositionedRead(uint64_t offset, size_t len, const IOOptions &, Slice *result, char *scratch, IODebugContext *) override
	{
		return tree_->Read(entry_.number, offset, len, result, scratch);
	}

	IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

private:
	std::shared_ptr<Tree> tree_;
	cfd_entry entry_;
	uint64_t at_ = 0;
};

class SealedFileSystem : public rocksdb::FileSystemWrapper
{
public:
	explicit SealedFileSystem(cfd_tree *tree)
		: rocksdb::FileSystemWrapper(rocksdb::FileSystem::Default()), tree_(std::make_shared<Tree>(tree)) {}

	const char *Name() const override { return "SealedFileSystem"; }

	IOStatus NewSequentialFile(const std::string &path, const FileOptions &options, std::unique_ptr<FSSequentialFile> *result,
			IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->NewSequentialFile(path, options, result, debug);
		return open<SequentialFile>(path, result);
	}

	IOStatus NewRandomAccessFile(const std::string &path, const FileOptions &options, std::unique_ptr<FSRandomAccessFile> *result,
			IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->NewRandomAccessFile(path, options, result, debug);
		return open<RandomAccessFile>(path, result);
	}

	IOStatus FileExists(const std::string &path, const IOOptions &options, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->FileExists(path, options, debug);
		cfd_entry entry;
		IOStatus status = tree_->Find(member(path), &entry);
		return status.IsPathNotFound() ? IOStatus::NotFound(path) : status;
	}

	IOStatus GetChildren(const std::string &path, const IOOptions &options, std::vector<std::string> *names, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetChildren(path, options, names, debug);
		bool is_directory = false;
		IOStatus status = IsDirectory(path, options, &is_directory, debug);
		if (status.ok() && !is_directory)
			return IOStatus::IOError(path, "no directory");
		return status.ok() ? tree_->Children(member(path), names) : status;
	}

	IOStatus GetChildrenFileAttributes(const std::string &path, const IOOptions &options, std::vector<rocksdb::FileAttributes> *result,
			IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetChildrenFileAttributes(path, options, result, debug);
		std::vector<std::string> names;
		IOStatus status = GetChildren(path, options, &names, debug);
		result->clear();
		for (size_t i = 0; status.ok() && i < names.size(); i++)
		{
			uint64_t size = 0;
			status = GetFileSize(path + "/" + names[i], options, &size, debug);
			result->push_back({names[i], size});
		}
		return status;
	}

	IOStatus GetFileSize(const std::string &path, const IOOptions &options, uint64_t *size, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetFileSize(path, options, size, debug);
		cfd_entry entry;
		IOStatus status = tree_->Find(member(path), &entry);
		*size = status.ok() ? entry.size : 0;
		return status;
	}

	IOStatus GetFileModificationTime(const std::string &path, const IOOptions &options, uint64_t *time, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetFileModificationTime(path, options, time, debug);
		cfd_entry entry;
		IOStatus status = tree_->Find(member(path), &entry);
		*time = status.ok() && entry.modified_seconds > 0 ? entry.modified_seconds : 0;
		return status;
	}

	IOStatus IsDirectory(const std::string &path, const IOOptions &options, bool *is_directory, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->IsDirectory(path, options, is_directory, debug);
		cfd_entry entry;
		IOStatus status = tree_->Find(member(path), &entry);
		*is_directory = status.ok() && entry.kind == '5';
		return status;
	}

	IOStatus AreFilesSame(const std::string &one, const std::string &other, const IOOptions &options, bool *result, IODebugContext *debug) override
	{
		if (!is_sealed(one) && !is_sealed(other))
			return target()->AreFilesSame(one, other, options, result, debug);
		*result = is_sealed(one) && is_sealed(other) && member(one) == member(other);
		return IOStatus::OK();
	}

	IOStatus GetAbsolutePath(const std::string &path, const IOOptions &options, std::string *result, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetAbsolutePath(path, options, result, debug);
		*result = path;
		return IOStatus::OK();
	}

	/* It is there, or it cannot be made. */
	IOStatus CreateDirIfMissing(const std::string &path, const IOOptions &options, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->CreateDirIfMissing(path, options, debug);
		bool is_directory = false;
		IOStatus status = IsDirectory(path, options, &is_directory, debug);
		return status.ok() && is_directory ? status : read_only(path);
	}

	IOStatus GetFreeSpace(const std::string &path, const IOOptions &options, uint64_t *free, IODebugContext *debug) override
	{
		if (!is_sealed(path))
			return target()->GetFreeSpace(path, options, free, debug);
		*free = 0;
		return IOStatus::OK();
	}

	/* What would write. */

	IOStatus NewWritableFile(const std::string &path, const FileOptions &options, std::unique_ptr<rocksdb::FSWritableFile> *result,
			IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->NewWritableFile(path, options, result, debug);
	}

	IOStatus ReopenWritableFile(const std::string &path, const FileOptions &options, std::unique_ptr<rocksdb::FSWritableFile> *result,
			IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->ReopenWritableFile(path, options, result, debug);
	}

	IOStatus ReuseWritableFile(const std::string &path, const std::string &old, const FileOptions &options,
			std::unique_ptr<rocksdb::FSWritableFile> *result, IODebugContext *debug) override
	{
		if (is_sealed(path) || is_sealed(old))
			return read_only(path);
		return target()->ReuseWritableFile(path, old, options, result, debug);
	}

	IOStatus NewRandomRWFile(const std::string &path, const FileOptions &options, std::unique_ptr<rocksdb::FSRandomRWFile> *result,
			IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->NewRandomRWFile(path, options, result, debug);
	}

	IOStatus NewMemoryMappedFileBuffer(const std::string &path, std::unique_ptr<rocksdb::MemoryMappedFileBuffer> *result) override
	{
		return is_sealed(path) ? IOStatus::NotSupported(path) : target()->NewMemoryMappedFileBuffer(path, result);
	}

	IOStatus NewDirectory(const std::string &path, const IOOptions &options, std::unique_ptr<rocksdb::FSDirectory> *result,
			IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->NewDirectory(path, options, result, debug);
	}

	IOStatus DeleteFile(const std::string &path, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->DeleteFile(path, options, debug);
	}

	IOStatus Truncate(const std::string &path, size_t size, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->Truncate(path, size, options, debug);
	}

	IOStatus CreateDir(const std::string &path, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->CreateDir(path, options, debug);
	}

	IOStatus DeleteDir(const std::string &path, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->DeleteDir(path, options, debug);
	}

	IOStatus RenameFile(const std::string &from, const std::string &to, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(from) || is_sealed(to) ? read_only(from) : target()->RenameFile(from, to, options, debug);
	}

	IOStatus LinkFile(const std::string &from, const std::string &to, const IOOptions &options, IODebugContext *debug) override
	{
		return is_sealed(from) || is_sealed(to) ? read_only(from) : target()->LinkFile(from, to, options, debug);
	}

	IOStatus NumFileLinks(const std::string &path, const IOOptions &options, uint64_t *count, IODebugContext *debug) override
	{
		return is_sealed(path) ? IOStatus::NotSupported(path) : target()->NumFileLinks(path, options, count, debug);
	}

	IOStatus LockFile(const std::string &path, const IOOptions &options, rocksdb::FileLock **lock, IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->LockFile(path, options, lock, debug);
	}

	IOStatus NewLogger(const std::string &path, const IOOptions &options, std::shared_ptr<rocksdb::Logger> *result,
			IODebugContext *debug) override
	{
		return is_sealed(path) ? read_only(path) : target()->NewLogger(path, options, result, debug);
	}

private:
	static bool is_sealed(const std::string &path)
	{
		size_t len = std::strlen(ROOT);

		return path.compare(0, len, ROOT) == 0 && (path.size() == len || path[len] == '/');
	}

	/* The path within the tree. RocksDB joins with one '/' more than needed at times. */
	static std::string member(const std::string &path)
	{
		std::string found;

		for (char c : path.substr(std::strlen(ROOT)))
			if (c != '/' || (!found.empty() && found.back() != '/'))
				found += c;
		while (!found.empty() && found.back() == '/')
			found.pop_back();
		return found.empty() ? "." : found;
	}

	static IOStatus read_only(const std::string &path) { return IOStatus::IOError(path, "a sealed tree is not written to"); }

	template <typename Opened, typename File>
	IOStatus open(const std::string &path, std::unique_ptr<File> *result)
	{
		cfd_entry entry;
		IOStatus status = tree_->Find(member(path), &entry);

		result->reset();
		if (status.ok() && entry.kind != '0' && entry.kind != '1')
			return IOStatus::IOError(path, "no file");
		if (status.ok())
			result->reset(new Opened(tree_, entry));
		return status;
	}

	std::shared_ptr<Tree> tree_;
};

}

rocksdb::Status NewSealedFileSystem(const std::string &sealed, const std::string &identity, size_t memory,
		std::shared_ptr<rocksdb::FileSystem> *result)
{
	cfd_opener *opener = cfd_opener_new();
	cfd_error *error = nullptr;
	cfd_tree *tree = nullptr;
	cfd_status status = cfd_opener_set_memory(opener, memory);

	if (status == CFD_OK)
		status = cfd_opener_add_identity_file(opener, identity.c_str(), &error);
	if (status == CFD_OK)
		status = cfd_tree_new(opener, cfd_source_path(sealed.c_str()), &tree, &error);
	/* The tree keeps what it needs of it. */
	cfd_opener_free(opener);
	if (status == CFD_OK)
		*result = std::make_shared<SealedFileSystem>(tree);
	return said(status, error);
}

}
