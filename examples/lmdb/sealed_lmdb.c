/*
 * An environment of LMDB in a sealed stream.
 *
 *   sealed_lmdb backup ENVIRONMENT RECIPIENT SEALED        of one moment, while others read and write
 *   sealed_lmdb restore SEALED IDENTITY_FILE ENVIRONMENT   into a directory that is there and has no environment
 *
 * mdb_env_copyfd2 writes its copy into a pipe, and what comes out of the pipe is sealed: no plaintext is written to a disk, and
 * the memory that it takes does not grow with the environment.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cofferdam.h>
#include <lmdb.h>

/* A copy on its way into a pipe. */
struct copy
{
	MDB_env    *environment;
	int			ends[2];
	pthread_t	thread;
	bool		is_joined;
	/* Of LMDB, when the thread has ended. */
	int			code;
};

static int	backup(const char *environment, const char *recipient, const char *sealed);
static int	seal_copy(struct copy *copy, const char *recipient, const char *sealed);
static void *copy_main(void *argument);
static int64_t read_copy(void *context, void *buffer, size_t length);
static void join(struct copy *copy);
static int	restore(const char *sealed, const char *identity_file, const char *environment);
static int	failed(const char *what, cfd_error *error);
static int	failed_in(const char *what, int code);

int
main(int argc, char **argv)
{
	/* A seal that fails stops reading; the copy then finds a closed pipe, which is an error and no signal. */
	signal(SIGPIPE, SIG_IGN);
	if (argc == 5 && strcmp(argv[1], "backup") == 0)
		return backup(argv[2], argv[3], argv[4]);
	if (argc == 5 && strcmp(argv[1], "restore") == 0)
		return restore(argv[2], argv[3], argv[4]);
	fprintf(stderr, "usage: %s backup ENVIRONMENT RECIPIENT SEALED | restore SEALED IDENTITY_FILE ENVIRONMENT\n", argv[0]);
	return 2;
}

static int
backup(const char *environment, const char *recipient, const char *sealed)
{
	struct copy copy = {.ends = {-1, -1}};
	int			code = mdb_env_create(&copy.environment);

	if (code != 0)
		return failed_in("cannot make an environment", code);
	if ((code = mdb_env_open(copy.environment, environment, MDB_RDONLY, 0600)) != 0)
		code = failed_in("cannot open the environment", code);
	else if (pipe(copy.ends) != 0)
		code = failed_in("cannot make a pipe", errno);
	else
		code = seal_copy(&copy, recipient, sealed);
	mdb_env_close(copy.environment);
	return code;
}

static int
seal_copy(struct copy *copy, const char *recipient, const char *sealed)
{
	cfd_read_callbacks callbacks = {.context = copy, .read = read_copy};
	cfd_sealer *sealer = cfd_sealer_new();
	cfd_error  *error = NULL;
	int			code = 0;

	if (cfd_sealer_add_recipient(sealer, recipient, &error) != CFD_OK)
		code = failed("cannot seal for this recipient", error);
	else if ((code = pthread_create(&copy->thread, NULL, copy_main, copy)) != 0)
		code = failed_in("cannot start a thread", code);
	else
	{
		if (cfd_seal(sealer, cfd_source_read(&callbacks), cfd_sink_path(sealed), NULL, &error) != CFD_OK)
			code = failed("cannot seal", error);
		close(copy->ends[0]);
		join(copy);
		if (copy->code != 0)
			code = failed_in("cannot copy the environment", copy->code);
	}
	cfd_sealer_free(sealer);
	return code;
}

static void *
copy_main(void *argument)
{
	struct copy *copy = argument;

	copy->code = mdb_env_copyfd2(copy->environment, copy->ends[1], MDB_CP_COMPACT);
	close(copy->ends[1]);
	return NULL;
}

/*
 * The end of the pipe is not the end of the copy: a copy that has failed ends there, too. What was sealed of it must not become a
 * stream, so that is an error of the source.
 */
static int64_t
read_copy(void *context, void *buffer, size_t length)
{
	struct copy *copy = context;
	ssize_t		got;

	do
		got = read(copy->ends[0], buffer, length);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got > 0)
		return got;
	join(copy);
	return copy->code == 0 ? 0 : -EIO;
}

static void
join(struct copy *copy)
{
	if (!copy->is_joined)
		pthread_join(copy->thread, NULL);
	copy->is_joined = true;
}

static int
restore(const char *sealed, const char *identity_file, const char *environment)
{
	cfd_opener *opener = cfd_opener_new();
	cfd_error  *error = NULL;
	char		path[4096];
	int			code = 0;

	if (snprintf(path, sizeof(path), "%s/data.mdb", environment) >= (int) sizeof(path))
		code = failed_in("cannot restore", ENAMETOOLONG);
	else if (cfd_opener_add_identity_file(opener, identity_file, &error) != CFD_OK)
		code = failed("cannot use the identity", error);
	else if (cfd_open(opener, cfd_source_path(sealed), cfd_sink_path(path), NULL, &error) != CFD_OK)
		code = failed("cannot restore", error);
	cfd_opener_free(opener);
	return code;
}

static int
failed(const char *what, cfd_error *error)
{
	const char *advice = error != NULL ? cfd_error_advice(error) : NULL;

	fprintf(stderr, "%s: %s\n", what, error != NULL ? cfd_error_message(error) : "no memory");
	if (advice != NULL)
		fprintf(stderr, "%s\n", advice);
	cfd_error_free(error);
	return 1;
}

static int
failed_in(const char *what, int code)
{
	fprintf(stderr, "%s: %s\n", what, mdb_strerror(code));
	return 1;
}
