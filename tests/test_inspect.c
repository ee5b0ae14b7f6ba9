/* SPDX-License-Identifier: MIT */
/*
 * Looking into rings without taking part: while publishers go on, when all are
 * dead, in copies; and nothing is touched.
 */
#include "topic.h"

#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(inspect, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

struct body {
	uint64_t number;
	uint64_t copies[24];	/* of it, as many as there is room for */
};

static size_t length_of(uint64_t number)
{
	return 8 + number % 25 * 8;
}

static void publish(struct torc_publisher *pub, uint64_t number)
{
	struct body body = { .number = number };

	for (int i = 0; i < 24; i++)
		body.copies[i] = number;
	MUST(torc_pub_publish(pub, &body, length_of(number)));
}

struct heard {
	uint64_t count, first_sequence, next_sequence, last;
	bool wrong;
};

static int hear(const struct torc_message *message, void *context)
{
	const struct body *body = message->data;
	struct heard *heard = context;

	if (!heard->count++)
		heard->first_sequence = message->sequence;
	else
		heard->wrong |= message->sequence != heard->next_sequence;
	heard->next_sequence = message->sequence + 1;
	heard->last = body->number;
	heard->wrong |= message->length != length_of(body->number) ||
			body->number != message->sequence;
	for (size_t i = 0; i + 1 < message->length / 8; i++)
		heard->wrong |= body->copies[i] != body->number;
	return 0;
}

static int publish_for_ever(void *context)
{
	struct torc_publisher *pub = pub_open(context);

	for (uint64_t i = 0;; i++)
		publish(pub, i);
	return 0;
}

Test(inspect, a_moment_is_whole_while_publishers_go_on)
{
	for (size_t k = 0; k < FIXTURE_KINDS; k++) {
		struct torc_topic *topic = topic_of_kind(k, 1 << 16);
		pid_t pid = child_start(publish_for_ever, topic);
		struct torc_dump dump;
		uint64_t count = 0, next = 0;

		for (int round = 0; round < 100 || count < 100; round++) {
			struct heard heard = { .count = 0 };
			int r = torc_topic_dump(topic, hear, &heard, &dump);

			/* On a busy machine it may be lapped each time. */
			if (r == -EBUSY)
				continue;
			MUST(r);
			cr_assert(!heard.wrong);
			cr_assert_eq(dump.messages, heard.count);
			cr_assert(!heard.count || heard.next_sequence >= next);
			if (heard.count)
				next = heard.next_sequence;
			count += heard.count;
		}
		kill(pid, SIGKILL);
		child_end(pid);
		topic_end(topic);
	}
}

struct claims {
	struct torc_topic *topic;
	int signal;
};

static int publish_and_claim(void *context)
{
	const struct claims *claims = context;
	struct torc_publisher *pub = pub_open(claims->topic);
	void *payload;

	publish(pub, 0);
	publish(pub, 1);
	MUST(torc_pub_reserve(pub, 100, &payload));
	memset(payload, 'x', 100);
	return raise(claims->signal);
}

/* One that was there before, and publishes behind the claim. */
static int publish_behind(void *context)
{
	struct torc_publisher *pub = pub_open(((struct claims *)context)->topic);

	raise(SIGSTOP);
	publish(pub, 2);
	return raise(SIGKILL);
}

static void await_stop(pid_t pid)
{
	siginfo_t info;

	cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
}

Test(inspect, what_the_dead_left_is_told_and_not_touched)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, 1 << 16);
	struct claims claims = { topic, SIGKILL };
	struct heard heard = { .count = 0 };
	pid_t pid = child_start(publish_behind, &claims);
	struct torc_dump dump;
	struct torc_view view;
	int unusable = 0;
	uint64_t *header;

	await_stop(pid);
	cr_assert_eq(child_end(child_start(publish_and_claim, &claims)),
		     -SIGKILL);
	kill(pid, SIGCONT);
	cr_assert_eq(child_end(pid), -SIGKILL);
	for (int i = 0; i < 2; i++) {
		heard = (struct heard){ .count = 0 };
		MUST(torc_topic_dump(topic, hear, &heard, &dump));
		cr_expect(!heard.wrong);
		cr_expect_eq(heard.count, 3);
		cr_expect_eq(heard.last, 2);
		cr_expect_eq(dump.claims, 1);
		cr_expect_eq(dump.undetermined, 0);
	}
	/* The claim is as it was. */
	MUST(torc_topic_map(topic, TORC_ACCESS_LOOK, &unusable,
			    &view));
	header = torc_header_at(&view.ring, torc_record_size(length_of(0)) +
						    torc_record_size(
							    length_of(1)));
	cr_expect_eq(torc_header_kind(*header), TORC_RECORD_BUSY);
	torc_topic_unmap(topic, &view);
	torc_topic_close(topic);
}

Test(inspect, what_the_living_may_still_commit_is_told_as_undetermined)
{
	struct torc_topic *topic = topic_open("t", TORC_MANY, 1 << 16);
	struct claims claims = { topic, SIGSTOP };
	struct heard heard = { .count = 0 };
	pid_t pid = child_start(publish_and_claim, &claims);
	struct torc_dump dump;

	await_stop(pid);
	MUST(torc_topic_dump(topic, hear, &heard, &dump));
	cr_expect_eq(heard.count, 2);
	cr_expect_eq(dump.claims, 0);
	cr_expect_eq(dump.undetermined, torc_record_size(100));
	kill(pid, SIGKILL);
	kill(pid, SIGCONT);
	child_end(pid);
	torc_topic_close(topic);
}

static void copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT, 0600);
	struct stat st;

	cr_assert(in >= 0 && out >= 0 && !fstat(in, &st));
	cr_assert_eq(sendfile(out, in, NULL, (size_t)st.st_size), st.st_size);
	close(in);
	close(out);
}

Test(inspect, a_copy_without_its_parts_is_read_and_not_touched)
{
	for (int i = 0; i < 2; i++) {
		const struct torc_topic_options look = {
			.flags = TORC_INSPECT,
		};
		struct torc_topic *topic, *copy;
		struct heard heard = { .count = 0 };
		struct torc_publisher *pub;
		struct torc_dump dump;
		struct stat before, after;
		char address[160], from[128], to[128];

		snprintf(address, sizeof(address), "file:%s/disk",
			 fixture_disk);
		snprintf(from, sizeof(from), "%s/t", fixture_bus);
		topic = topic_open(i ? address : "t", 0, 1 << 16);
		pub = pub_open(topic);
		for (uint64_t n = 0; n < 10; n++)
			publish(pub, n);
		snprintf(to, sizeof(to), "%s/copy", fixture_disk);
		copy_file(i ? address + strlen("file:") : from, to);
		torc_pub_close(pub);
		topic_end(topic);
		cr_assert_eq(stat(to, &before), 0);
		snprintf(address, sizeof(address), "file:%s", to);
		MUST(torc_topic_open(NULL, address, &look, &copy));
		FAILS(-EPERM, "looked at", torc_pub_open(copy, NULL, &pub));
		MUST(torc_topic_dump(copy, hear, &heard, &dump));
		cr_expect(!heard.wrong);
		cr_expect_eq(heard.count, 10);
		torc_topic_close(copy);
		cr_assert_eq(stat(to, &after), 0);
		cr_expect_eq(before.st_ino, after.st_ino);
		cr_expect_eq(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
		cr_expect_eq(unlink(to), 0);
	}
}

static int stop_after_two(const struct torc_message *message, void *context)
{
	(void)message;
	return ++*(int *)context == 2 ? 42 : 0;
}

Test(inspect, the_caller_may_end_it)
{
	struct torc_topic *topic = topic_open("anon:", 0, 1 << 16);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_dump dump;
	int count = 0;

	for (uint64_t n = 0; n < 10; n++)
		publish(pub, n);
	cr_expect_eq(torc_topic_dump(topic, stop_after_two, &count, &dump), 42);
	cr_expect_eq(count, 2);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(inspect, objects_are_named_as_the_system_does)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	struct torc_mapped mapped[2];
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/t", fixture_bus);
	cr_assert_eq(stat(path, &st), 0);
	cr_assert_eq(torc_topic_mapped(topic, mapped), 2);
	cr_expect_eq(mapped[0].inode, st.st_ino);
	cr_expect_neq(mapped[1].inode, st.st_ino);
	torc_topic_close(topic);
}
