/* Owns the calls of the library, and the thread that they are made on. Knows nothing of PostgreSQL. */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cofferdam.h>

/* Room for a path, and for what is said of it. */
#define FAILURE_SIZE 2048

enum kind
{
	KIND_SEAL,
	KIND_VERIFY,
};

/* What the thread needs is the work's own: who waits for it may be gone first. */
struct work
{
	enum kind	kind;
	char	   *source;
	char	   *target;
	char	   *file;
	char	   *recipients;
	enum compression compression;

	pthread_t	thread;
	/* Of a pipe: the thread closes the second when it ends, so that the first becomes readable. */
	int			ends[2];
	cfd_cancel *cancel;

	/* Written by the thread, read after it was joined. */
	bool		is_done;
	int			sealed;
	char		digest[WORK_DIGEST_SIZE];
	cfd_error  *error;
	/* What was wrong with a system call of ours; empty if it was something else. */
	char		failure[FAILURE_SIZE];
};

static struct work *new_work(enum kind kind, const char *source);
static void *thread_main(void *argument);
static bool seal(struct work *work);
static bool create_target(struct work *work);
static bool add_recipients(struct work *work, cfd_sealer *sealer);
static bool sync_target(struct work *work);
static bool failed_to(struct work *work, const char *action);
static bool verify(struct work *work);
static void write_digest(struct work *work, const cfd_report *report);

/* The name of the file in the stream's metadata. */
#define FILE_KEY "postgresql.file"

/* One thread, this one: a server has its processors for other work. A segment takes it some milliseconds. */
#define THREADS 1

#define ZSTD_LEVEL 3

struct work *
work_to_seal(const char *source, const char *target, const char *file, const char *recipients, enum compression compression)
{
	struct work *work = new_work(KIND_SEAL, source);

	if (work == NULL)
		return NULL;
	work->target = strdup(target);
	work->file = strdup(file);
	work->recipients = strdup(recipients);
	work->compression = compression;
	if (work->target != NULL && work->file != NULL && work->recipients != NULL)
		return work;
	work_free(work);
	return NULL;
}

struct work *
work_to_verify(const char *sealed)
{
	return new_work(KIND_VERIFY, sealed);
}

int
work_start(struct work *work)
{
	sigset_t	all;
	sigset_t	before;
	int			failed;

	if (pipe2(work->ends, O_CLOEXEC) != 0)
		return errno;
	sigfillset(&all);
	failed = pthread_sigmask(SIG_SETMASK, &all, &before);
	if (failed == 0)
	{
		failed = pthread_create(&work->thread, NULL, thread_main, work);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return failed;
}

int
work_descriptor(const struct work *work)
{
	return work->ends[0];
}

void
work_cancel(struct work *work)
{
	cfd_cancel_now(work->cancel);
}

bool
work_join(struct work *work)
{
	pthread_join(work->thread, NULL);
	return work->is_done;
}

int
work_sealed(const struct work *work)
{
	return work->sealed;
}

const char *
work_digest(const struct work *work)
{
	return work->digest;
}

const char *
work_message(const struct work *work)
{
	if (work->failure[0] != '\0')
		return work->failure;
	return work->error != NULL ? cfd_error_message(work->error) : "there is no memory";
}

const char *
work_hint(const struct work *work)
{
	const char *remedy = work->error != NULL ? cfd_error_advice(work->error) : NULL;

	return remedy != NULL ? remedy : "";
}

void
work_free(struct work *work)
{
	if (work == NULL)
		return;
	for (int end = 0; end < 2; end++)
		if (work->ends[end] >= 0)
			close(work->ends[end]);
	if (work->sealed >= 0)
		close(work->sealed);
	cfd_cancel_free(work->cancel);
	cfd_error_free(work->error);
	free(work->source);
	free(work->target);
	free(work->file);
	free(work->recipients);
	free(work);
}

static struct work *
new_work(enum kind kind, const char *source)
{
	struct work *work = calloc(1, sizeof(struct work));

	if (work == NULL)
		return NULL;
	work->kind = kind;
	work->ends[0] = work->ends[1] = -1;
	work->sealed = -1;
	work->source = strdup(source);
	work->cancel = cfd_cancel_new();
	if (work->source != NULL && work->cancel != NULL)
		return work;
	work_free(work);
	return NULL;
}

static void *
thread_main(void *argument)
{
	struct work *work = argument;
	int			end = work->ends[1];

	work->is_done = work->kind == KIND_SEAL ? seal(work) : verify(work);
	work->ends[1] = -1;
	close(end);
	return NULL;
}

static bool
seal(struct work *work)
{
	cfd_sealer *sealer = cfd_sealer_new();
	cfd_report	report;
	bool		is_done;

	if (sealer == NULL)
		return false;
	is_done = cfd_sealer_set_threads(sealer, THREADS) == CFD_OK &&
		cfd_sealer_set_cancel(sealer, work->cancel) == CFD_OK &&
		cfd_sealer_add_pair(sealer, FILE_KEY, strlen(FILE_KEY), work->file, strlen(work->file)) == CFD_OK &&
		(work->compression != COMPRESSION_ZSTD || cfd_sealer_set_compression(sealer, ZSTD_LEVEL) == CFD_OK) &&
		add_recipients(work, sealer) &&
		create_target(work) &&
		cfd_seal(sealer, cfd_source_path(work->source), cfd_sink_fd(work->sealed), &report, &work->error) == CFD_OK &&
		sync_target(work);
	if (is_done)
		write_digest(work, &report);
	cfd_sealer_free(sealer);
	return is_done;
}

/* A file that is nobody else's: not the one that an earlier try has left, nor a link or a FIFO that somebody has put there. */
static bool
create_target(struct work *work)
{
	if (unlink(work->target) != 0 && errno != ENOENT)
		return failed_to(work, "remove");
	work->sealed = open(work->target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
	return work->sealed >= 0 || failed_to(work, "create");
}

static bool
sync_target(struct work *work)
{
	return fsync(work->sealed) == 0 || failed_to(work, "sync");
}

static bool
failed_to(struct work *work, const char *action)
{
	char		words[256];

	snprintf(work->failure, sizeof(work->failure), "could not %s \"%s\": %s", action, work->target,
			 strerror_r(errno, words, sizeof(words)));
	return false;
}

static bool
add_recipients(struct work *work, cfd_sealer *sealer)
{
	char	   *rest = NULL;

	for (char *one = strtok_r(work->recipients, ", \t\n", &rest); one != NULL; one = strtok_r(NULL, ", \t\n", &rest))
		if (cfd_sealer_add_recipient(sealer, one, &work->error) != CFD_OK)
			return false;
	return true;
}

static bool
verify(struct work *work)
{
	cfd_opener *opener = cfd_opener_new();
	cfd_report	report;
	bool		is_done;

	if (opener == NULL)
		return false;
	is_done = cfd_opener_set_threads(opener, THREADS) == CFD_OK &&
		cfd_opener_set_cancel(opener, work->cancel) == CFD_OK &&
		cfd_verify(opener, cfd_source_path(work->source), &report, &work->error) == CFD_OK;
	if (is_done)
		write_digest(work, &report);
	cfd_opener_free(opener);
	return is_done;
}

static void
write_digest(struct work *work, const cfd_report *report)
{
	for (size_t at = 0; at < sizeof(report->stream_digest); at++)
		snprintf(work->digest + 2 * at, 3, "%02x", report->stream_digest[at]);
}
