/* SPDX-License-Identifier: MIT */
/*
 * torc-pub: sending, and what to do without room.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "pub.h"

#include <errno.h>

/* Say who holds us up. */
static void full_failed(struct pub *pub, const char *why)
{
	struct torc_participant participants[256];
	const struct torc_participant *slowest = NULL;
	int n = torc_topic_participants(pub->topic, participants, 256);

	pub->status = CLI_FAILED;
	for (int i = 0; i < n && i < 256; i++) {
		const struct torc_participant *p = &participants[i];

		if (p->role == TORC_SUBSCRIBER && p->lossless == 1 &&
		    (!slowest || (int64_t)(p->cursor - slowest->cursor) < 0))
			slowest = p;
	}
	if (!slowest)
		cli_note("%s: no room: %s", pub->name, why);
	else
		cli_note("%s: no room: %s, and the subscriber with pid %d has "
			 "not read on (--full says what to do then)",
			 pub->name, why, (int)slowest->pid);
}

/* There was no room: 0 to try again, -1 to end. */
static int stuck(struct pub *pub, int error, int64_t *since)
{
	int64_t now = cli_now();

	switch (error) {
	case -EINTR:
		if (cli_stopping())
			return -1;
		pub->retries++;
		return 0;
	case -ETIMEDOUT:
		/* Ours is a tick, that a signal may be noticed. */
		if (!*since)
			*since = now - CLI_TICK;
		if (cli_stopping())
			return -1;
		if (pub->full_timeout_ns < 0 ||
		    now - *since < pub->full_timeout_ns) {
			pub->retries++;
			return 0;
		}
		full_failed(pub, "--full-timeout ran out");
		return -1;
	case -EAGAIN:
		full_failed(pub, "--full=fail");
		return -1;
	}
	pub->status = cli_failed(error);
	return -1;
}

/* Was what was just handed over dropped?  A drop is of one message. */
static int was_dropped(struct pub *pub)
{
	struct torc_pub_stats stats;
	int more;

	if (pub->pub_options.full != TORC_FULL_DROP)
		return 0;
	torc_pub_get_stats(pub->publisher, &stats);
	more = stats.dropped != pub->dropped;
	pub->dropped = stats.dropped;
	return more;
}

int pub_send(struct pub *pub, const struct torc_span *spans, int count)
{
	int64_t since = 0;
	int n;

	while (count > 0) {
		n = torc_pub_publish_batch(pub->publisher, spans, count);
		if (n <= 0) {
			if (stuck(pub, n, &since))
				return -1;
			continue;
		}
		if (!was_dropped(pub))
			for (int i = 0; i < n; i++)
				pub->bytes += spans[i].length;
		pub->messages += (uint64_t)n;
		spans += n;
		count -= n;
		since = 0;
	}
	return 0;
}
