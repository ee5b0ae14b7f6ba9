/* SPDX-License-Identifier: MIT */
/*
 * A bus that two users may write: what one plants where the other's topics are,
 * and what comes of both making, joining and leaving one topic at once.
 */
#include "users.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/shm.h>
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

/* In the place of each part that is to be made next, and of the topic itself. */
static void plant_beside(const char *made, const char *target)
{
	static const char *const parts[] = { "cursors", "ring" };
	char planted[64];

	if (made[0] != '.' || strlen(made) < 35)
		return;
	for (int hard = 0; hard < 2; hard++) {
		for (int i = 0; i < 2; i++) {
			snprintf(planted, sizeof(planted), "%.34s%s", made,
				 parts[i]);
			(void)!(hard ? link("other", planted)
				     : symlink(target, planted));
		}
		(void)!(hard ? link("other", "t") : symlink(target, "t"));
		usleep(100);
		for (int i = 0; i < 2; i++) {
			snprintf(planted, sizeof(planted), "%.34s%s", made,
				 parts[i]);
			unlink(planted);
		}
		unlink("t");
	}
}

/* Told of each file as it is made. */
static int plant_at_each_step(void *target)
{
	char buffer[4096] __attribute__((aligned(8)));
	int fd = inotify_init1(IN_NONBLOCK), other;

	NEEDS(!chdir(fixture_bus));
	other = open("other", O_WRONLY | O_CREAT | O_EXCL, 0666);
	NEEDS(other >= 0 && write(other, "other", 5) == 5);
	NEEDS(inotify_add_watch(fd, ".", IN_CREATE) >= 0);
	tell(1);
	while (__atomic_load_n(stage, __ATOMIC_ACQUIRE) < 2) {
		ssize_t n = read(fd, buffer, sizeof(buffer));
		const struct inotify_event *event;

		for (ssize_t at = 0; at < n;
		     at += (ssize_t)(sizeof(*event) + event->len)) {
			event = (const void *)(buffer + at);
			plant_beside(event->name, target);
		}
	}
	NEEDS(!unlink("other"));
	return 0;
}

Test(shared_bus, links_planted_at_each_step_of_making_are_not_followed)
{
	struct torc_topic_options options = { .flags = TORC_CREATE,
					      .capacity = 4096 };
	char precious[] = "/tmp/torc-precious-XXXXXX", data[16];
	int fd = mkstemp(precious);
	struct torc_bus *bus;
	pid_t other;

	cr_assert_eq(write(fd, "precious", 8), 8);
	other = other_start(plant_at_each_step, precious);
	await(1);
	for (int i = 0; i < 300; i++) {
		struct torc_topic *topic;
		struct torc_publisher *pub;
		int r = torc_topic_open(NULL, "t", &options, &topic);

		cr_expect(!r || r == -EPROTO || r == -EBUSY || r == -EEXIST,
			  "%d: %s", r, torc_errmsg());
		if (r)
			continue;
		if (!torc_pub_open(topic, NULL, &pub)) {
			MUST(torc_pub_publish(pub, "owner", 5));
			torc_pub_close(pub);
		}
		torc_topic_close(topic);
	}
	tell(2);
	cr_expect_eq(child_end(other), 0);
	/* Who was too quick each time is in nobody's way afterwards. */
	topic_end(topic_open("t", 0, 4096));
	cr_expect_eq(pread(fd, data, sizeof(data), 0), 8);
	cr_expect_eq(memcmp(data, "precious", 8), 0);
	close(fd);
	act_as(0);
	cr_expect_eq(unlink(precious), 0);
	MUST(torc_bus_open(NULL, &bus));
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
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

/* ---- Segments ------------------------------------------------------------ */

/* A topic of segments, and a segment of its owner's that is none of it. */
struct segments {
	char address[96];
	unsigned char id[16];
	int precious;
	struct torc_topic *topic;
};

static void make_segments(struct segments *s)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY | TORC_PERSISTENT,
		.mode = 0644,
		.cursors_mode = 0666,
		.capacity = 4096,
	};
	key_t key = fixture_key(s->address);
	struct torc_constants_shm *c;
	struct torc_publisher *pub;

	MUST(torc_topic_open(NULL, s->address, &options, &s->topic));
	c = shmat(shmget(key, 0, 0), NULL, SHM_RDONLY);
	cr_assert_neq((void *)c, (void *)-1);
	memcpy(s->id, c->id, sizeof(s->id));
	shmdt(c);
	s->precious = shmget(IPC_PRIVATE, 1 << 16, IPC_CREAT | 0600);
	cr_assert_geq(s->precious, 0);
	pub = pub_open(s->topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	torc_pub_close(pub);
}

/* The message is still there, and what is none of the topic is untouched. */
static void expect_segments(const struct segments *s)
{
	struct torc_bus *bus;
	struct torc_topic *topic;
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	char *bytes;

	MUST(torc_bus_open("/dev/shm", &bus));
	MUST(torc_bus_clean(bus));
	torc_bus_close(bus);
	MUST(torc_topic_open(NULL, s->address, NULL, &topic));
	pub = pub_open(topic);
	sub = sub_open(topic, TORC_SUB_OLDEST);
	MUST(sub_receive(sub));
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
	bytes = shmat(s->precious, NULL, SHM_RDONLY);
	cr_assert_neq((void *)bytes, (void *)-1);
	for (int i = 0; i < 1 << 16; i++)
		cr_assert_eq(bytes[i], 0);
	shmdt(bytes);
}

static void remove_segments(struct segments *s)
{
	MUST(torc_bus_remove(NULL, s->address, 0));
	cr_expect_eq(shmctl(s->precious, IPC_RMID, NULL), 0);
}

/* Have the owner take another segment of his for the cursors. */
static int point_elsewhere(void *context)
{
	const struct segments *s = context;
	char path[PATH_MAX];
	int fd;

	part_path_in("/dev/shm", s->id, "cursors", path);
	fd = open(path, O_RDWR);
	NEEDS(fd >= 0);
	NEEDS(pwrite(fd, &s->precious, sizeof(int), 0) == sizeof(int));
	return 0;
}

/* Have it look like nobody's. */
static int empty_cursors_file(void *context)
{
	const struct segments *s = context;
	char path[PATH_MAX];

	part_path_in("/dev/shm", s->id, "cursors", path);
	NEEDS(!truncate(path, 0));
	return 0;
}

Test(shared_bus, what_stands_in_the_cursors_file_of_segments_is_not_believed)
{
	int (*const attacks[])(void *) = { point_elsewhere,
					   empty_cursors_file };

	for (int i = 0; i < 2; i++) {
		struct segments s;

		make_segments(&s);
		other_does(attacks[i], &s);
		expect_segments(&s);
		torc_topic_close(s.topic);
		expect_segments(&s);
		remove_segments(&s);
	}
}

#define FORGED_KEY 0x7463666b

/* A ring of the other's own, with the same id. */
static int forge_segment(void *context)
{
	const struct segments *s = context;
	key_t key = (key_t)strtoul(s->address + strlen("sysv:"), NULL, 0);
	int from = shmget(key, 0, 0), to;
	struct shmid_ds ds;
	void *source, *target;

	NEEDS(from >= 0 && !shmctl(from, IPC_STAT, &ds));
	to = shmget(FORGED_KEY, ds.shm_segsz, IPC_CREAT | IPC_EXCL | 0666);
	NEEDS(to >= 0);
	source = shmat(from, NULL, SHM_RDONLY);
	target = shmat(to, NULL, 0);
	NEEDS(source != (void *)-1 && target != (void *)-1);
	memcpy(target, source, ds.shm_segsz);
	return 0;
}

Test(shared_bus, a_segment_with_anothers_id_gets_at_none_of_its_parts)
{
	struct torc_topic *forged;
	struct torc_publisher *pub;
	struct segments s;
	char address[32];

	make_segments(&s);
	torc_topic_close(s.topic);
	other_does(forge_segment, &s);
	snprintf(address, sizeof(address), "sysv:%#x", FORGED_KEY);
	/* Who may write it, and be its remover. */
	act_as(0);
	MUST(torc_topic_open(NULL, address, NULL, &forged));
	FAILS(-EPROTO, "owner", torc_pub_open(forged, NULL, &pub));
	torc_topic_close(forged);
	MUST(torc_bus_remove(NULL, address, 0));
	act_as(OWNER);
	expect_segments(&s);
	remove_segments(&s);
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
