/* SPDX-License-Identifier: MIT */
/*
 * The kernel's own: pipe, Unix socket (SOCK_SEQPACKET), POSIX message queue,
 * eventfd.  All are polled without sleeping, as the rings are: a sleep and a
 * wake-up take ten to a hundred times as long as what is measured here.  Where
 * just that is measured (BENCH_WAKE), they block.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "play.h"

#define KERNEL_PIPE_SIZE	(1 << 20)
#define KERNEL_READ		65536u
#define KERNEL_QUEUE_MESSAGES	10	/* what any user may have */

struct kernel_state {
	int fds[2][2];	/* [there, back][reading, writing] */
};

struct kernel_port {
	int send, receive;
	size_t size;		/* of a message */
	unsigned char *buffer;
	size_t buffer_size;
	size_t begin, end;	/* pipe: bytes that were read but not looked at */
};

static void kernel_tear_down(struct bench_job *job)
{
	struct kernel_state *state = job->state;

	for (int i = 0; i < 2; i++) {
		for (int end = 0; end < 2; end++)
			if (state->fds[i][end] >= 0)
				close(state->fds[i][end]);
	}
	free(state);
	job->state = NULL;
}

static struct kernel_state *kernel_state_new(void)
{
	struct kernel_state *state = malloc(sizeof(*state));

	if (state)
		for (int i = 0; i < 2; i++)
			state->fds[i][0] = state->fds[i][1] = -1;
	return state;
}

static void kernel_open(struct bench_job *job, struct kernel_port *port,
			enum bench_role role)
{
	const struct kernel_state *state = job->state;
	bool echo = job->mode == BENCH_RTT && role == BENCH_SUBSCRIBER;
	bool ping = job->mode == BENCH_RTT && role == BENCH_PUBLISHER;

	port->send = state->fds[echo][1];
	port->receive = state->fds[ping][0];
	port->size = job->size;
	port->buffer_size = job->size > KERNEL_READ ? job->size : KERNEL_READ;
	port->buffer = malloc(port->buffer_size);
	if (!port->buffer)
		bench_die(job, "no memory for messages");
}

static void kernel_play(struct bench_job *job, const struct bench_ops *ops,
			enum bench_role role, int index)
{
	struct kernel_port port = { 0 };

	kernel_open(job, &port, role);
	bench_play(job, ops, &port, role, index);
}

static int kernel_release(void *port)
{
	(void)port;
	return 0;
}

/* Of a call that failed. */
static int kernel_error(void)
{
	return errno > 0 ? -errno : -EIO;
}

/* A transfer that was one message, or the reason why not. */
static int kernel_result(ssize_t n, size_t size)
{
	if (n == (ssize_t)size)
		return 0;
	return n < 0 ? kernel_error() : -EIO;
}

/* What a transfer of one message into the buffer returned is what peek() does. */
static int kernel_received(const struct kernel_port *port, ssize_t n,
			   struct torc_message *ret)
{
	if (n < 0)
		return kernel_error();
	ret->data = port->buffer;
	ret->length = (size_t)n;
	return 1;
}

/* ---- Pipe ----------------------------------------------------------------- */

static const char *pipe_refuses(const struct bench_job *job)
{
	return job->mode == BENCH_MPSC && job->size > PIPE_BUF ?
		       "writes over 4096 bytes mix" :
		       NULL;
}

static int pipe_set_up(struct bench_job *job)
{
	struct kernel_state *state = kernel_state_new();

	if (!state)
		return -ENOMEM;
	job->state = state;
	for (int i = 0; i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		if (pipe2(state->fds[i],
			  job->mode == BENCH_WAKE ? O_CLOEXEC :
						    O_CLOEXEC | O_NONBLOCK)) {
			int r = -errno;

			kernel_tear_down(job);
			return r;
		}
		fcntl(state->fds[i][1], F_SETPIPE_SZ, KERNEL_PIPE_SIZE);
	}
	return 0;
}

static int pipe_send(void *port, const void *data, size_t size)
{
	const struct kernel_port *p = port;
	const unsigned char *from = data;
	size_t done = 0;

	/* Beyond PIPE_BUF a part may be written: finish it. */
	do {
		ssize_t n = write(p->send, from + done, size - done);

		if (n >= 0)
			done += (size_t)n;
		else if (!done || errno != EAGAIN)
			return kernel_error();
	} while (done < size);
	return 0;
}

static int pipe_peek(void *port, struct torc_message *ret, int max)
{
	struct kernel_port *p = port;
	int n;

	if (p->end - p->begin < p->size) {
		ssize_t got;

		memmove(p->buffer, p->buffer + p->begin, p->end - p->begin);
		p->end -= p->begin;
		p->begin = 0;
		got = read(p->receive, p->buffer + p->end,
			   p->buffer_size - p->end);
		if (got < 0)
			return kernel_error();
		p->end += (size_t)got;
	}
	for (n = 0; n < max && p->end - p->begin >= p->size; n++) {
		ret[n].data = p->buffer + p->begin;
		ret[n].length = p->size;
		p->begin += p->size;
	}
	return n ? n : -EAGAIN;
}

static const struct bench_ops pipe_ops = {
	.send = pipe_send,
	.peek = pipe_peek,
	.release = kernel_release,
};

static void pipe_run(struct bench_job *job, enum bench_role role, int index)
{
	kernel_play(job, &pipe_ops, role, index);
}

const struct bench_system bench_pipe = {
	.name = "pipe",
	.what = "a pipe of 1 MiB, polled (wake: read)",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_MPSC) | BENCH_BIT(BENCH_WAKE),
	.refuses = pipe_refuses,
	.set_up = pipe_set_up,
	.run = pipe_run,
	.tear_down = kernel_tear_down,
};

/* ---- Unix socket ---------------------------------------------------------- */

static const char *unix_refuses(const struct bench_job *job)
{
	return job->size > 131072 ? "longer than a socket takes" : NULL;
}

static int unix_set_up(struct bench_job *job)
{
	struct kernel_state *state = kernel_state_new();
	int type = SOCK_SEQPACKET | SOCK_CLOEXEC, fds[2];

	if (!state)
		return -ENOMEM;
	job->state = state;
	if (job->mode != BENCH_WAKE)
		type |= SOCK_NONBLOCK;
	for (int i = 0; i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		if (socketpair(AF_UNIX, type, 0, fds)) {
			int r = -errno;

			kernel_tear_down(job);
			return r;
		}
		state->fds[i][0] = fds[0];
		state->fds[i][1] = fds[1];
	}
	return 0;
}

static int unix_send(void *port, const void *data, size_t size)
{
	const struct kernel_port *p = port;
	ssize_t n = send(p->send, data, size, MSG_NOSIGNAL);

	return kernel_result(n, size);
}

static int unix_peek(void *port, struct torc_message *ret, int max)
{
	struct kernel_port *p = port;
	ssize_t n = recv(p->receive, p->buffer, p->buffer_size, 0);

	(void)max;
	return kernel_received(p, n, ret);
}

static const struct bench_ops unix_ops = {
	.send = unix_send,
	.peek = unix_peek,
	.release = kernel_release,
};

static void unix_run(struct bench_job *job, enum bench_role role, int index)
{
	kernel_play(job, &unix_ops, role, index);
}

const struct bench_system bench_unix = {
	.name = "unix",
	.what = "a Unix socket pair, SOCK_SEQPACKET, polled (wake: read)",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_MPSC) | BENCH_BIT(BENCH_WAKE),
	.refuses = unix_refuses,
	.set_up = unix_set_up,
	.run = unix_run,
	.tear_down = kernel_tear_down,
};

/* ---- POSIX message queue -------------------------------------------------- */

/* The queue's name is gone before its descriptors are used. */
static int mq_make(size_t size, int fds[2])
{
	struct mq_attr attributes = {
		.mq_maxmsg = KERNEL_QUEUE_MESSAGES,
		.mq_msgsize = (long)size,
	};
	char name[64];
	int r;

	snprintf(name, sizeof(name), "/torc-bench-%ld", (long)getpid());
	fds[1] = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600,
			 &attributes);
	r = fds[1] < 0 ? -errno : 0;
	if (!r)
		mq_unlink(name);
	return r;
}

static const char *mq_refuses(const struct bench_job *job)
{
	int fds[2];
	int r = mq_make(job->size, fds);

	if (r == -EINVAL || r == -EMFILE || r == -ENOMEM)
		return "longer than /proc/sys/fs/mqueue/msgsize_max allows";
	if (r)
		return "the kernel has no message queues, or none for us";
	mq_close(fds[1]);
	return NULL;
}

static int mq_set_up(struct bench_job *job)
{
	struct kernel_state *state = kernel_state_new();

	if (!state)
		return -ENOMEM;
	job->state = state;
	for (int i = 0; i < (job->mode == BENCH_RTT ? 2 : 1); i++) {
		int r = mq_make(job->size, state->fds[i]);

		if (!r) {
			state->fds[i][0] = dup(state->fds[i][1]);
			r = state->fds[i][0] < 0 ? -errno : 0;
		}
		if (r) {
			kernel_tear_down(job);
			return r;
		}
	}
	return 0;
}

static int mq_put(void *port, const void *data, size_t size)
{
	const struct kernel_port *p = port;

	return mq_send(p->send, data, size, 0) ? kernel_error() : 0;
}

static int mq_peek(void *port, struct torc_message *ret, int max)
{
	struct kernel_port *p = port;
	ssize_t n = mq_receive(p->receive, (char *)p->buffer, p->buffer_size,
			       NULL);

	(void)max;
	return kernel_received(p, n, ret);
}

static const struct bench_ops mq_ops = {
	.send = mq_put,
	.peek = mq_peek,
	.release = kernel_release,
};

static void mq_run(struct bench_job *job, enum bench_role role, int index)
{
	kernel_play(job, &mq_ops, role, index);
}

const struct bench_system bench_mq = {
	.name = "mq",
	.what = "a POSIX message queue of 10 messages, polled",
	.modes = BENCH_BIT(BENCH_RTT) | BENCH_BIT(BENCH_THROUGHPUT) |
		 BENCH_BIT(BENCH_MPSC),
	.refuses = mq_refuses,
	.set_up = mq_set_up,
	.run = mq_run,
	.tear_down = kernel_tear_down,
};

/* ---- eventfd -------------------------------------------------------------- */

/* A wake-up without a message: what it counts is the message's number. */
static int eventfd_set_up(struct bench_job *job)
{
	struct kernel_state *state = kernel_state_new();
	int fd;

	if (!state)
		return -ENOMEM;
	job->state = state;
	fd = eventfd(0, EFD_CLOEXEC);
	state->fds[0][0] = fd;
	state->fds[0][1] = fd < 0 ? -1 : dup(fd);
	if (state->fds[0][1] < 0) {
		int r = -errno;

		kernel_tear_down(job);
		return r;
	}
	return 0;
}

static const char *eventfd_refuses(const struct bench_job *job)
{
	return job->size == sizeof(uint64_t) ? NULL : "an eventfd has 8 bytes";
}

struct eventfd_port {
	struct kernel_port port;
	uint64_t number;
};

/* Its counter takes no 0, nor all bits: the number plus 1, or 2^62. */
static int eventfd_send(void *port, const void *data, size_t size)
{
	const struct eventfd_port *p = port;
	uint64_t word = bench_word(data);

	word = word == BENCH_STOP ? 1ull << 62 : word + 1;
	return kernel_result(write(p->port.send, &word, size), size);
}

static int eventfd_peek(void *port, struct torc_message *ret, int max)
{
	struct eventfd_port *p = port;
	uint64_t word;

	(void)max;
	if (read(p->port.receive, &word, sizeof(word)) != sizeof(word))
		return kernel_error();
	p->number = word == 1ull << 62 ? BENCH_STOP : word - 1;
	ret->data = &p->number;
	ret->length = sizeof(p->number);
	return 1;
}

static const struct bench_ops eventfd_ops = {
	.send = eventfd_send,
	.peek = eventfd_peek,
	.release = kernel_release,
};

static void eventfd_run(struct bench_job *job, enum bench_role role, int index)
{
	struct eventfd_port port = { 0 };

	kernel_open(job, &port.port, role);
	bench_play(job, &eventfd_ops, &port, role, index);
}

const struct bench_system bench_eventfd = {
	.name = "eventfd",
	.what = "an eventfd, read",
	.modes = BENCH_BIT(BENCH_WAKE),
	.refuses = eventfd_refuses,
	.set_up = eventfd_set_up,
	.run = eventfd_run,
	.tear_down = kernel_tear_down,
};
