/* SPDX-License-Identifier: MIT */
#include "stage.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

void stage_fail(const struct stage *stage, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	give_up("%s, boundary %llu: %s", stage->name,
		(unsigned long long)stage->boundary, text);
}

#define EXPECT(condition, ...)                               \
	do {                                                 \
		if (!(condition))                            \
			stage_fail(stage, __VA_ARGS__);      \
	} while (0)

/* ---- Messages ----------------------------------------------------------- */

static uint64_t name_of(uint32_t who, uint32_t number, size_t length)
{
	return (uint64_t)who << 40 | (uint64_t)length << 24 | number;
}

static unsigned char fill_of(uint64_t name, size_t i)
{
	return (unsigned char)((name >> 40) * 7 + name * 13 + i);
}

void speech(void *payload, uint32_t who, uint32_t number, size_t length)
{
	uint64_t name = name_of(who, number, length);
	unsigned char *bytes = payload;

	memcpy(bytes, &name, sizeof(name));
	for (size_t i = sizeof(name); i < length; i++)
		bytes[i] = fill_of(name, i);
}

static uint64_t digest(const struct torc_message *message)
{
	const unsigned char *bytes = message->data;
	uint64_t hash = 0xcbf29ce484222325u ^ message->length;

	for (size_t i = 0; i < message->length; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	return hash;
}

static uint64_t chained(uint64_t chain, uint64_t link)
{
	return (chain ^ link) * 0x100000001b3u;
}

/* ---- Hearing ------------------------------------------------------------ */

/* Each speaker's messages come whole, each once and in order. */
static void check(struct stage *stage, const struct torc_message *message)
{
	const unsigned char *bytes = message->data;
	uint64_t name;
	uint32_t who, number;

	EXPECT(message->sequence == stage->sequence, "message %llu, not %llu",
	       (unsigned long long)message->sequence,
	       (unsigned long long)stage->sequence);
	EXPECT(message->length >= sizeof(name), "a message that nobody sent");
	memcpy(&name, bytes, sizeof(name));
	who = (uint32_t)(name >> 40);
	number = (uint32_t)name & 0xffffff;
	EXPECT((name >> 24 & 0xffff) == message->length, "a wrong length");
	for (size_t i = sizeof(name); i < message->length; i++)
		EXPECT(bytes[i] == fill_of(name, i), "a wrong byte");
	if (!who) {
		EXPECT(number == (stage->heard & 0xffffff),
		       "our message %u, not %u", number, stage->heard);
		stage->heard++;
		return;
	}
	who -= stage->who;
	EXPECT(who < VICTIMS, "a message of a victim long dead");
	EXPECT(number == stage->victim_heard[who],
	       "message %u of victim %u, not %u", number, who,
	       stage->victim_heard[who]);
	stage->victim_heard[who]++;
}

static void note(struct stage *stage, const struct torc_message *message)
{
	uint64_t link = digest(message);

	stage->log[stage->sequence++ % 4096] = link;
	stage->chain = chained(stage->chain, link);
	stage->tail = message->position + torc_record_size(message->length);
	if (stage->killed_at) {
		uint64_t stall = torc_now_ns() - stage->killed_at;

		if (stall > stage->stall_ns)
			stage->stall_ns = stall;
		stage->killed_at = 0;
	}
}

/* Another subscriber hears what the first has heard, all of it. */
static void compare(struct stage *stage, struct torc_subscriber *sub,
		    const char *whose)
{
	static unsigned char buffer[CAPACITY];
	struct torc_message message;
	uint64_t next = 0;
	int r;

	while (next != stage->sequence) {
		r = torc_sub_receive(sub, buffer, sizeof(buffer), &message);
		if (r == -EAGAIN) {
			r = torc_sub_wait(sub, HUNG_NS);
			EXPECT(!r, "the %s subscriber hangs: %d", whose, r);
			continue;
		}
		EXPECT(!r, "the %s subscriber: %d", whose, r);
		EXPECT(message.sequence < stage->sequence &&
			       digest(&message) ==
				       stage->log[message.sequence % 4096],
		       "the %s subscriber hears something else", whose);
		next = message.sequence + 1;
	}
	r = torc_sub_peek(sub, &message);
	EXPECT(r == -EAGAIN, "the %s subscriber hears more: %d", whose, r);
	EXPECT(!torc_sub_lost(sub), "the %s subscriber lost something", whose);
}

void stage_hear(struct stage *stage)
{
	uint64_t before = stage->sequence;
	struct torc_message message;
	int r;

	while (!(r = torc_sub_peek(stage->sub, &message))) {
		check(stage, &message);
		note(stage, &message);
		STAGE_MUST(stage, torc_sub_release(stage->sub));
	}
	EXPECT(r == -EAGAIN, "the lossless subscriber: %d", r);
	if (stage->sequence != before)
		compare(stage, stage->lossy, "lossy");
}

void stage_await(struct stage *stage)
{
	STAGE_MUST(stage, torc_sub_wait(stage->sub, HUNG_NS));
	stage_hear(stage);
}

/* Until it may have heard something. */
static int wait_by(struct torc_subscriber *sub, bool descriptor)
{
	struct pollfd poll_fd = { .events = POLLIN };

	if (!descriptor)
		return torc_sub_wait(sub, -1);
	poll_fd.fd = torc_sub_fd(sub);
	return poll_fd.fd < 0 ? poll_fd.fd : poll(&poll_fd, 1, -1) < 0;
}

/* In a process of its own. */
static int listen_on(struct stage *stage)
{
	struct torc_sub_options options = { .wait = TORC_WAIT_SLEEP };
	struct stage_report *report = stage->report;
	struct torc_message message;
	struct torc_subscriber *sub;
	uint64_t chain = 0;

	STAGE_MUST(stage, torc_sub_open(stage->topic, &options, &sub));
	torc_store_release(&report->heard, 0u);
	for (;;) {
		int r = wait_by(sub, stage->ringing);

		EXPECT(!r || r == -EINTR, "the listener waits: %d", r);
		r = torc_sub_peek(sub, &message);
		if (r == -EAGAIN && stage->ringing)
			continue;
		EXPECT(!r, "the listener: %d (%s)", r, torc_errmsg());
		chain = chained(chain, digest(&message));
		EXPECT(message.sequence == report->heard, "the listener: "
		       "out of sequence");
		STAGE_MUST(stage, torc_sub_release(sub));
		torc_store_relaxed(&report->chain, chain);
		torc_store_release(&report->heard, report->heard + 1);
	}
}

static void await_listener(struct stage *stage, uint64_t heard)
{
	uint64_t deadline = torc_now_ns() + HUNG_NS;

	while (torc_distance(torc_load_acquire(&stage->report->heard),
			     heard) < 0) {
		EXPECT(torc_now_ns() < deadline, "the listener hangs");
		EXPECT(waitpid(stage->listener, NULL, WNOHANG) == 0,
		       "the listener gave up");
		sched_yield();
	}
}

void stage_await_listener(struct stage *stage)
{
	await_listener(stage, stage->sequence);
}

void stage_await_sleep(struct stage *stage)
{
	const uint32_t *word = &stage->view.ring.cursors->data_word;
	uint64_t deadline = torc_now_ns() + HUNG_NS;

	while (!torc_word_armed(word, false)) {
		EXPECT(torc_now_ns() < deadline, "the listener does not sleep");
		sched_yield();
	}
}

void stage_settle(struct stage *stage)
{
	struct torc_sub_options options = { .flags = TORC_SUB_OLDEST };
	struct torc_subscriber *late;

	stage_hear(stage);
	EXPECT(stage->heard == stage->said, "%u of ours have not come",
	       stage->said - stage->heard);
	stage_await_listener(stage);
	EXPECT(torc_load_relaxed(&stage->report->chain) == stage->chain,
	       "the listener has heard something else");
	STAGE_MUST(stage, torc_sub_open(stage->topic, &options, &late));
	compare(stage, late, "late");
	torc_sub_close(late);
}

/* ---- Saying ------------------------------------------------------------- */

/* It waits for room, but not for us, who read by turns. */
void stage_open_pub(struct stage *stage)
{
	struct torc_pub_options options = { .timeout_ns = 1000000 };

	STAGE_MUST(stage, torc_pub_open(stage->topic, &options, &stage->pub));
}

static int say_one(struct stage *stage, size_t length)
{
	unsigned char bytes[LENGTH_MAX];
	int r;

	speech(bytes, 0, stage->said & 0xffffff, length);
	r = torc_pub_publish(stage->pub, bytes, length);
	stage->said += !r;
	return r;
}

/* Read on until there is room. */
static void say_patiently(struct stage *stage, size_t length)
{
	uint64_t deadline = torc_now_ns() + HUNG_NS;
	int r;

	while ((r = say_one(stage, length)) == -ETIMEDOUT) {
		EXPECT(torc_now_ns() < deadline, "the publisher hangs");
		stage_hear(stage);
	}
	EXPECT(!r, "publishing: %d (%s)", r, torc_errmsg());
}

void stage_say(struct stage *stage, uint64_t bytes)
{
	uint64_t said = 0, heard = 0;

	while (said < bytes) {
		size_t length = 8 + stage->said * 13 % 200;

		say_patiently(stage, length);
		said += torc_record_size(length);
		if (said - heard > CAPACITY / 8) {
			stage_hear(stage);
			heard = said;
		}
	}
}

/* By another publisher, which does not wait for room; all read what they can. */
bool stage_fill(struct stage *stage)
{
	struct torc_pub_options options = { .full = TORC_FULL_FAIL };
	struct torc_publisher *own = stage->pub;
	uint64_t said = 0, full_at = UINT64_MAX;
	int r;

	if (!stage->many)
		torc_pub_close(own);
	STAGE_MUST(stage, torc_pub_open(stage->topic, &options, &stage->pub));
	while (said <= CAPACITY / 16) {
		r = say_one(stage, 8);
		if (!r) {
			said++;
			continue;
		}
		EXPECT(r == -EAGAIN, "filling the topic: %d (%s)", r,
		       torc_errmsg());
		if (full_at == said)
			break;
		full_at = said;
		stage_hear(stage);
		stage_await_listener(stage);
	}
	stage->pub = torc_pub_close(stage->pub);
	if (stage->many)
		stage->pub = own;
	else
		stage_open_pub(stage);
	return full_at == said;
}

void stage_go_to(struct stage *stage, uint64_t offset)
{
	stage_hear(stage);
	while (stage->tail % CAPACITY != offset) {
		say_patiently(stage, 8);
		stage_await(stage);
	}
}

/* ---- Slots -------------------------------------------------------------- */

void stage_check_slots(struct stage *stage)
{
	struct torc_participant who[PUBLISHERS + SUBSCRIBERS];
	struct torc_publisher *pubs[PUBLISHERS];
	struct torc_subscriber *subs[SUBSCRIBERS];
	uint32_t pubs_free = (stage->many ? PUBLISHERS : 1) - !!stage->pub;
	uint32_t subs_free = SUBSCRIBERS - 3;
	int n;

	for (uint32_t i = 0; i < pubs_free; i++)
		STAGE_MUST(stage, torc_pub_open(stage->topic, NULL, &pubs[i]));
	for (uint32_t i = 0; i < subs_free; i++)
		STAGE_MUST(stage, torc_sub_open(stage->topic, NULL, &subs[i]));
	for (uint32_t i = 0; i < pubs_free; i++)
		torc_pub_close(pubs[i]);
	for (uint32_t i = 0; i < subs_free; i++)
		torc_sub_close(subs[i]);
	n = torc_topic_participants(stage->topic, who, PUBLISHERS + SUBSCRIBERS);
	EXPECT(n == 3 + !!stage->pub, "%d take part", n);
	for (int i = 0; i < n; i++)
		EXPECT(who[i].alive == 1, "one who lives is taken for dead");
}

/* ---- The bytes ---------------------------------------------------------- */

/*
 * What is there but for what the listener does by itself: it arms the word anew
 * each time that it goes to sleep, and its cursor moves.
 */
static void look_at(struct stage *stage, unsigned char *ret)
{
	const struct torc_view *view = &stage->view;
	size_t word = view->ring_size +
		      offsetof(struct torc_cursors_shm, data_word);
	size_t slot = view->ring_size + TORC_CURSORS_SLOTS +
		      LISTENER_SLOT * view->ring.subscriber_stride;
	uint32_t armed;

	memcpy(ret, view->ring_base, view->ring_size);
	memcpy(ret + view->ring_size, view->cursors_base, view->cursors_size);
	memset(ret + slot, 0, sizeof(struct torc_subscriber_slot_shm));
	memcpy(&armed, ret + word, sizeof(armed));
	armed &= TORC_WORD_ARMED;
	memcpy(ret + word, &armed, sizeof(armed));
	if (armed)
		memcpy(stage->shadow + word, &armed, sizeof(armed));
}

bool stage_changed(struct stage *stage)
{
	size_t size = stage->view.ring_size + stage->view.cursors_size;
	unsigned char *now = stage->shadow + size;

	look_at(stage, now);
	if (!memcmp(stage->shadow, now, size))
		return false;
	memcpy(stage->shadow, now, size);
	return true;
}

/* ---- Opening and closing ------------------------------------------------ */

void stage_open(struct stage *stage, const char *name, bool many, bool ringing)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | (many ? TORC_MANY : 0),
		.capacity = CAPACITY,
		.publishers = many ? PUBLISHERS : 1,
		.subscribers = SUBSCRIBERS,
	};
	struct torc_sub_options lossy = { .flags = TORC_SUB_LOSSY };

	*stage = (struct stage){ .name = name, .many = many,
				 .ringing = ringing };
	STAGE_MUST(stage, torc_topic_open(NULL, "stage", &options,
					  &stage->topic));
	STAGE_MUST(stage, torc_sub_open(stage->topic, NULL, &stage->sub));
	STAGE_MUST(stage, torc_sub_open(stage->topic, &lossy, &stage->lossy));
	STAGE_MUST(stage, torc_topic_map(stage->topic, TORC_ACCESS_LOOK,
					 &stage->unusable, &stage->view));
	stage->shadow = calloc(2, stage->view.ring_size +
					  stage->view.cursors_size);
	EXPECT(stage->shadow, "out of memory");
	stage->report = shared_memory(sizeof(*stage->report));
	stage->report->heard = UINT64_MAX;
	stage->listener = fork();
	if (!stage->listener) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(listen_on(stage));
	}
	await_listener(stage, 0);
	EXPECT(torc_load_relaxed(&torc_subscriber_slot(&stage->view.ring,
						       LISTENER_SLOT)->pid) ==
		       (uint32_t)stage->listener,
	       "the listener has another slot");
	stage_open_pub(stage);
	/* Something to begin with. */
	stage_say(stage, CAPACITY);
}

/* What torc_bus_clean() does when they are older. */
static void remove_bells(void)
{
	DIR *directory = opendir(getenv("TORC_DIR"));
	struct dirent *entry;

	while (directory && (entry = readdir(directory)))
		if (strstr(entry->d_name, ".bell"))
			unlinkat(dirfd(directory), entry->d_name, 0);
	closedir(directory);
}

void stage_close(struct stage *stage)
{
	stage_settle(stage);
	kill(stage->listener, SIGKILL);
	waitpid(stage->listener, NULL, 0);
	if (stage->ringing)
		remove_bells();
	torc_pub_close(stage->pub);
	torc_sub_close(stage->sub);
	torc_sub_close(stage->lossy);
	torc_topic_unmap(stage->topic, &stage->view);
	torc_topic_close(stage->topic);
	munmap(stage->report, sizeof(*stage->report));
	free(stage->shadow);
}
