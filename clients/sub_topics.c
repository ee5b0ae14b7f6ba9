/* SPDX-License-Identifier: MIT */
/*
 * torc-sub: finds topics, joins and leaves them.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "sub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define TOPICS_FIRST	16

/* ---- Names -------------------------------------------------------------- */

static unsigned long hash(const void *object, unsigned long seed)
{
	const struct sub_topic *topic = object;
	uint64_t h = 0xcbf29ce484222325u ^ seed;	/* FNV-1a */

	for (const char *p = topic->name; *p; p++)
		h = (h ^ (unsigned char)*p) * 0x100000001b3u;
	return (unsigned long)h;
}

static bool same_name(const void *a, const void *b)
{
	return !strcmp(((const struct sub_topic *)a)->name,
		       ((const struct sub_topic *)b)->name);
}

static void *hs_malloc(size_t size)
{
	return malloc(size);
}

/* One thread: there is nobody to wait for. */
static void hs_free(void *p, size_t size, bool defer)
{
	(void)size;
	(void)defer;
	free(p);
}

static struct ck_malloc hs_memory = { .malloc = hs_malloc, .free = hs_free };

static struct sub_topic *find(struct sub *sub, const char *name)
{
	struct sub_topic key = { .name = (char *)(uintptr_t)name };

	if (!sub->topics_count)
		return NULL;
	return ck_hs_get(&sub->names, CK_HS_HASH(&sub->names, hash, &key),
			 &key);
}

static void add(struct sub *sub, const char *name, int globbed)
{
	size_t count = (size_t)sub->topics_count + 1;
	struct sub_topic **topics, *topic = calloc(1, sizeof(*topic));
	char *copy = strdup(name);

	topics = realloc(sub->topics, count * sizeof(struct sub_topic *));
	if (!copy || !topics || !topic ||
	    (count == 1 && !ck_hs_init(&sub->names,
				       CK_HS_MODE_OBJECT | CK_HS_MODE_SPMC,
				       hash, same_name, &hs_memory,
				       TOPICS_FIRST, 0)))
		cli_no_memory();
	topic->name = copy;
	topic->globbed = globbed;
	topic->late = sub->started;
	topic->batch = SUB_BATCH_MAX;
	sub->topics = topics;
	topics[sub->topics_count++] = topic;
	if (!ck_hs_put(&sub->names, CK_HS_HASH(&sub->names, hash, topic),
		       topic))
		cli_no_memory();
}

/* ---- Joining ------------------------------------------------------------ */

/* A name on the bus, for torc_bus_list(). */
static int add_if_matching(const char *name, void *context)
{
	struct sub *sub = context;

	for (int i = 0; i < sub->patterns_count; i++) {
		if (cli_matches(sub->patterns[i], name) && !find(sub, name))
			add(sub, name, 1);
	}
	return 0;
}

/* What is not there may come, or come again: is that to be waited for? */
static int is_awaited(struct sub *sub, struct sub_topic *topic)
{
	const char *why = torc_errmsg();
	const char *end = why + strlen(why);
	int brackets;

	topic->late = 1;
	if (topic->globbed || sub->wait)
		return 1;
	/* If the library's words end in brackets, ours belong into them. */
	brackets = end > why && end[-1] == ')';
	cli_note("%.*s; --wait waits for one%s", (int)(end - why) - brackets, why,
		 brackets ? ")" : "");
	sub->status = CLI_FAILED;
	return 0;
}

/* 0; -ENOENT if it is not there, or was removed meanwhile; or another error. */
static int try_to_join(struct sub *sub, struct sub_topic *topic)
{
	struct torc_sub_options options = { .flags = sub->flags };
	int r = torc_topic_open(sub->bus, topic->name, &sub->topic_options,
				&topic->topic);

	if (r)
		return r;
	cli_tell_reopened(topic->topic);
	/* All of what came after we did. */
	if (topic->late)
		options.flags |= TORC_SUB_OLDEST;
	r = torc_sub_open(topic->topic, &options, &topic->sub);
	return r ? r : torc_set_add(sub->set, topic->sub, topic);
}

/* 0; 1 if it is not there yet; -1 to end the program. */
static int join(struct sub *sub, struct sub_topic *topic)
{
	int r = try_to_join(sub, topic);

	if (!r) {
		cli_tell_memory(topic->topic, sub->topic_options.memory);
		sub->joined++;
		return 0;
	}
	if (r != -ENOENT)
		sub->status = cli_failed(r);
	topic->done = r != -ENOENT || !is_awaited(sub, topic);
	topic->sub = torc_sub_close(topic->sub);
	topic->topic = torc_topic_close(topic->topic);
	return topic->done && !topic->globbed ? -1 : 1;
}

int sub_join(struct sub *sub)
{
	int r, globs = 0;

	for (int i = 0; i < sub->patterns_count; i++) {
		if (cli_is_glob(sub->patterns[i]))
			globs = 1;
		else if (!sub->started && !find(sub, sub->patterns[i]))
			add(sub, sub->patterns[i], 0);
	}
	r = globs ? torc_bus_list(sub->bus, add_if_matching, sub) : 0;
	if (r) {
		sub->status = cli_failed(r);
		return -1;
	}
	for (int i = 0; i < sub->topics_count; i++) {
		struct sub_topic *topic = sub->topics[i];

		if (!topic->sub && !topic->done && join(sub, topic) < 0)
			return -1;
	}
	sub->started = 1;
	return 0;
}

int sub_missing(const struct sub *sub)
{
	int missing = 0;

	for (int i = 0; i < sub->topics_count; i++) {
		const struct sub_topic *topic = sub->topics[i];

		missing += !topic->sub && !topic->done && !topic->globbed;
	}
	return missing;
}

/* ---- Leaving ------------------------------------------------------------ */

static void leave_topic(struct sub *sub, struct sub_topic *topic)
{
	if (topic->sub) {
		sub->lost += torc_sub_lost(topic->sub);
		sub->joined--;
	}
	topic->sub = torc_sub_close(topic->sub);
	topic->topic = torc_topic_close(topic->topic);
}

void sub_leave(struct sub *sub)
{
	for (int i = 0; i < sub->topics_count; i++) {
		leave_topic(sub, sub->topics[i]);
		free(sub->topics[i]->name);
		free(sub->topics[i]);
	}
	if (sub->topics_count)
		ck_hs_destroy(&sub->names);
	free(sub->topics);
	free(sub->buffer);
	free(sub->out.data);
	sub->out = (struct text){ 0 };
	sub->topics_count = 0;
	sub->set = torc_set_close(sub->set);
	sub->bus = torc_bus_close(sub->bus);
}

int sub_all_ended(struct sub *sub)
{
	int open = 0, ended = 0;

	for (int i = 0; i < sub->topics_count; i++) {
		struct sub_topic *topic = sub->topics[i];

		if (topic->sub && torc_sub_ended(topic->sub) == 1) {
			leave_topic(sub, topic);
			topic->done = 1;
		}
		if (topic->done)
			ended++;
		else if (topic->sub || !topic->globbed)
			open++;
	}
	return ended && !open;
}

uint64_t sub_lost(const struct sub *sub)
{
	uint64_t lost = sub->lost;

	for (int i = 0; i < sub->topics_count; i++)
		if (sub->topics[i]->sub)
			lost += torc_sub_lost(sub->topics[i]->sub);
	return lost;
}

/* ---- Watching the bus --------------------------------------------------- */

/* Is the topic of this name another ring than that we joined? */
static int is_another(struct sub *sub, const struct sub_topic *topic)
{
	struct torc_topic_info old, now;
	struct torc_topic *opened;
	int differs;

	if (torc_topic_open(sub->bus, topic->name, NULL, &opened))
		return 0;
	/* One that is not there any more cannot be looked at. */
	differs = !torc_topic_get_info(opened, &now) &&
		  (torc_topic_get_info(topic->topic, &old) ||
		   old.created_ns != now.created_ns);
	torc_topic_close(opened);
	return differs;
}

/*
 * One that was removed goes on for those who take part.  When another comes under
 * its name, take the rest, and join that.
 */
static void appeared(struct sub *sub, const char *file)
{
	char name[NAME_MAX + 1];
	struct sub_topic *topic;
	size_t i;

	for (i = 0; file[i] && i < NAME_MAX; i++)
		name[i] = file[i] == ':' ? '/' : file[i];
	name[i] = '\0';
	topic = find(sub, name);
	if (!topic || !topic->sub || !is_another(sub, topic))
		return;
	while (sub_take(sub, topic) > 0)
		;
	leave_topic(sub, topic);
	topic->late = 1;
}

static void on_change(struct ev_loop *loop, ev_io *watcher, int events)
{
	char buffer[4096] __attribute__((aligned(8)));
	struct sub *sub = watcher->data;
	const struct inotify_event *event;
	ssize_t n, at;

	(void)loop;
	(void)events;
	while ((n = read(watcher->fd, buffer, sizeof(buffer))) > 0)
		for (at = 0; at < n; at += (ssize_t)(sizeof(*event) +
						     event->len)) {
			event = (const void *)(buffer + at);
			/* Parts of topics are hidden; so are bells. */
			if (event->len && event->name[0] == '.')
				continue;
			if (event->len)
				appeared(sub, event->name);
			sub->changed = 1;
		}
}

void sub_watch(struct sub *sub)
{
	static ev_io watcher;
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0)
		return;
	if (inotify_add_watch(fd, torc_bus_path(sub->bus),
			      IN_CREATE | IN_MOVED_TO) < 0) {
		close(fd);
		return;
	}
	ev_io_init(&watcher, on_change, fd, EV_READ);
	watcher.data = sub;
	ev_io_start(cli_loop(), &watcher);
	sub->watched = 1;
}
