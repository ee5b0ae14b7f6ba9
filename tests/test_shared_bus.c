/* SPDX-License-Identifier: MIT */
/*
 * A bus that two users may write: what one plants where the other's topics are,
 * and what comes of both making, joining and leaving one topic at once.
 */
#include "users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <torc/abi.h>

TestSuite(shared_bus, .init = users_init, .fini = users_fini, .timeout = 60);

/* ---- What is planted in the directory ----------------------------------- */

static int plant(void *context)
{
	char path[PATH_MAX];

	NEEDS(!chdir(fixture_bus));
	NEEDS(!symlink(context, "link"));
	NEEDS(!symlink("nowhere", "dangling"));
	NEEDS(!mkfifo("fifo", 0666));
	NEEDS(!mkdir("directory", 0777));
	/* The kernel lets nobody link what he may not write (protected_hardlinks),
	 * unless it was told otherwise. */
	part_path("t", NULL, path);
	(void)!link(path, "hard");
	return 0;
}

Test(shared_bus, links_and_other_things_in_a_topics_place_are_not_followed)
{
	static const char *const planted[] = { "link", "dangling", "fifo",
					       "directory" };
	struct torc_topic_options creating = { .flags = TORC_CREATE };
	struct torc_topic *topic = make_topic("t", 0, 0666, 0666), *other;
	char precious[] = "/tmp/torc-precious-XXXXXX", path[PATH_MAX];
	struct torc_publisher *pub;
	int fd = mkstemp(precious);
	struct stat st;

	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, "precious", 8), 8);
	other_does(plant, precious);
	for (size_t i = 0; i < 4; i++) {
		cr_expect_lt(torc_topic_open(NULL, planted[i], NULL, &other), 0);
		cr_expect_lt(torc_topic_open(NULL, planted[i], &creating,
					     &other), 0);
	}
	cr_assert_eq(fstat(fd, &st), 0);
	cr_expect_eq(st.st_size, 8);
	snprintf(path, sizeof(path), "%s/nowhere", fixture_bus);
	cr_expect_lt(access(path, F_OK), 0);
	close(fd);

	act_as(0);
	cr_expect_eq(unlink(precious), 0);
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", fixture_bus, planted[i]);
		cr_expect_eq(remove(path), 0);
	}
	act_as(OWNER);
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	torc_pub_close(pub);
	torc_topic_close(topic);
	/* A hard link, if it could be made, is the other's to remove. */
	act_as(0);
	snprintf(path, sizeof(path), "%s/hard", fixture_bus);
	unlink(path);
}

static int link_ring(void *context)
{
	char path[PATH_MAX], hard[PATH_MAX];

	(void)context;
	part_path("t", NULL, path);
	part_path("hard", NULL, hard);
	return link(path, hard) ? 77 : 0;
}

Test(shared_bus, a_hard_link_keeps_no_removed_topic_alive)
{
	struct torc_topic *topic = make_topic("t", TORC_PERSISTENT, 0666, 0666);
	struct torc_topic *late;
	struct torc_publisher *pub;
	struct torc_bus *bus;
	char path[PATH_MAX];

	MUST(torc_topic_open(NULL, "t", NULL, &late));
	other_does(link_ring, NULL);
	torc_topic_close(topic);
	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, "t", 0));
	torc_bus_close(bus);
	FAILS(-ENOENT, "removed", torc_pub_open(late, NULL, &pub));
	torc_topic_close(late);
	act_as(0);
	part_path("hard", NULL, path);
	cr_expect_eq(unlink(path), 0);
}

/* A ring of the other's own that says that it is the owner's. */
static int forge(void *context)
{
	char path[PATH_MAX], forged[PATH_MAX];
	struct torc_constants_shm constants;
	int from, to;
	char byte;

	(void)context;
	part_path("t", NULL, path);
	part_path("forged", NULL, forged);
	from = open(path, O_RDONLY);
	to = open(forged, O_RDWR | O_CREAT | O_EXCL, 0666);
	NEEDS(from >= 0 && to >= 0 && !fchmod(to, 0666));
	NEEDS(pread(from, &constants, sizeof(constants), 0) ==
	      sizeof(constants));
	while (read(from, &byte, 1) == 1)
		NEEDS(write(to, &byte, 1) == 1);
	constants.flags &= ~TORC_RING_PERSISTENT;
	NEEDS(pwrite(to, &constants, sizeof(constants), 0) ==
	      sizeof(constants));
	return 0;
}

Test(shared_bus, a_ring_with_anothers_id_gets_at_none_of_its_parts)
{
	struct torc_topic *topic = make_topic("t", TORC_PERSISTENT, 0644, 0600);
	struct torc_topic_options many = { .flags = TORC_CREATE | TORC_MANY };
	struct torc_topic *forged;
	struct torc_publisher *pub;
	struct torc_bus *bus;

	other_does(forge, NULL);
	torc_topic_close(topic);
	/* Nobody has it now: all its locks are free. */
	MUST(torc_topic_open(NULL, "forged", NULL, &forged));
	FAILS(-EPROTO, "owner", torc_pub_open(forged, NULL, &pub));
	torc_topic_close(forged);
	/* Of another kind: what a crash left would make place. */
	cr_expect_lt(torc_topic_open(NULL, "forged", &many, &forged), 0);
	expect_file("t", "cursors", 0600);
	expect_file("t", "locks", 0600);

	act_as(0);
	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_remove(bus, "forged", 0));
	act_as(OWNER);
	topic = make_topic("t", TORC_PERSISTENT, 0644, 0600);
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	torc_pub_close(pub);
	torc_topic_close(topic);
	MUST(torc_bus_remove(bus, "t", 0));
	torc_bus_close(bus);
}

/* ---- Races -------------------------------------------------------------- */

/* Join and leave, or make and leave, whatever is there; nothing else may come. */
static int come_and_go(void *context)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY,
		.mode = 0666,
		.cursors_mode = 0666,
		.capacity = 4096,
	};
	/* Its own subscriber may be what is in its way. */
	struct torc_pub_options failing = { .full = TORC_FULL_FAIL };
	bool creates = *(bool *)context;
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	struct torc_topic *topic;
	int r;

	while (!__atomic_load_n(stage, __ATOMIC_ACQUIRE)) {
		r = torc_topic_open(NULL, "t", creates ? &options : NULL,
				    &topic);
		if (!creates && r == -ENOENT)
			continue;
		NEEDS(!r);
		sub = NULL;
		pub = NULL;
		r = torc_sub_open(topic, NULL, &sub);
		NEEDS(!r || (!creates && r == -ENOENT));
		r = torc_pub_open(topic, &failing, &pub);
		NEEDS(!r || (!creates && r == -ENOENT));
		if (pub)
			r = torc_pub_publish(pub, "come", 4);
		NEEDS(!r || r == -EAGAIN || !pub);
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
	return 0;
}

Test(shared_bus, topics_are_made_joined_and_left_by_two_users_at_once)
{
	static bool creates = true, joins;
	struct torc_bus *bus;
	pid_t children[4];
	int r;

	children[0] = child_start(come_and_go, &creates);
	children[1] = child_start(come_and_go, &joins);
	children[2] = other_start(come_and_go, &creates);
	children[3] = other_start(come_and_go, &joins);
	usleep(500000);
	tell(1);
	for (int i = 0; i < 4; i++)
		cr_expect_eq(child_end(children[i]), 0);
	/* The last to leave may have been one who must not remove it. */
	act_as(0);
	MUST(torc_bus_open(NULL, &bus));
	r = torc_bus_remove(bus, "t", TORC_REMOVE_STALE);
	cr_expect(!r || r == -ENOENT, "%d", r);
	torc_bus_close(bus);
}
