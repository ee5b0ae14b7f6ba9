/* SPDX-License-Identifier: MIT */
/**
 * DOC: Subscribers on a libev loop
 *
 *	static void on_message(struct torc_ev *watcher,
 *			       const struct torc_message *message);
 *
 *	static struct torc_ev watcher;
 *
 *	torc_ev_init(&watcher, on_message);
 *	torc_ev_start(loop, &watcher, sub);
 *	ev_run(loop, 0);
 *
 * Header-only: the program links with libtorc and libev.  All is called by the
 * loop's thread.
 */
#ifndef TORC_TORC_EV_H
#define TORC_TORC_EV_H

#include <errno.h>

#include <ev.h>
#include <torc/torc.h>

/* Messages before the loop's other watchers have their turn. */
#define TORC_EV_TURN 64

struct torc_ev {
	void *data;			/* the program's */
	/* the program's to read */
	struct ev_loop *loop;
	struct torc_subscriber *sub;
	int error;			/* why it stopped by itself; 0: it did not */
	/* its own */
	ev_io io;
	void (*each)(struct torc_ev *watcher,
		     const struct torc_message *message);
};

/**
 * torc_ev_init() - prepare a watcher
 * @watcher:	of static, or any other, memory; may be zero
 * @each:	called with each message, in the ring (a copy if the subscriber is
 *		lossy), and with NULL when the watcher has stopped because of
 *		@watcher->error (-ESTALE, -EPROTO)
 *
 * @each may call torc_ev_stop(), but close the subscriber only when it gets NULL.
 */
static inline void torc_ev_init(struct torc_ev *watcher,
				void (*each)(struct torc_ev *watcher,
					     const struct torc_message *message))
{
	watcher->loop = NULL;
	watcher->sub = NULL;
	watcher->error = 0;
	watcher->each = each;
}

/* Before the subscriber is closed. */
static inline void torc_ev_stop(struct torc_ev *watcher)
{
	if (!watcher->loop)
		return;
	ev_io_stop(watcher->loop, &watcher->io);
	watcher->loop = NULL;
}

static inline int torc_ev_each(const struct torc_message *message, void *context)
{
	struct torc_ev *watcher = (struct torc_ev *)context;

	watcher->each(watcher, message);
	return watcher->loop ? 0 : 1;	/* 1: stopped meanwhile */
}

static inline void torc_ev_io(struct ev_loop *loop, ev_io *io, int events)
{
	struct torc_ev *watcher = (struct torc_ev *)io->data;
	int r;

	(void)loop;
	(void)events;
	r = torc_sub_dispatch(watcher->sub, torc_ev_each, watcher, TORC_EV_TURN);
	if (r >= 0 || r == -EAGAIN)
		return;
	torc_ev_stop(watcher);
	watcher->error = r;
	watcher->each(watcher, NULL);
}

/**
 * torc_ev_start() - call the watcher's function from now on
 * @loop:	the loop
 * @watcher:	prepared, and not started
 * @sub:	the subscriber; stays the caller's, and is received from by nothing
 *		else
 *
 * Return: 0, or as torc_sub_fd().
 */
static inline int torc_ev_start(struct ev_loop *loop, struct torc_ev *watcher,
				struct torc_subscriber *sub)
{
	int fd = torc_sub_fd(sub);

	if (fd < 0)
		return fd;
	watcher->loop = loop;
	watcher->sub = sub;
	watcher->error = 0;
	ev_io_init(&watcher->io, torc_ev_io, fd, EV_READ);
	watcher->io.data = watcher;
	ev_io_start(loop, &watcher->io);
	return 0;
}

#endif /* TORC_TORC_EV_H */
