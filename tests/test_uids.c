/* SPDX-License-Identifier: MIT */
/*
 * Who may do what: what the modes of a topic, its owner and its groups allow and
 * refuse.
 */
#include "users.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(uids, .init = users_init, .fini = users_fini, .timeout = 60);

/* ---- Modes -------------------------------------------------------------- */

Test(uids, modes_are_those_asked_for_whatever_the_umask)
{
	static const mode_t masks[] = { 0, 022, 0777 };

	for (size_t i = 0; i < sizeof(masks) / sizeof(masks[0]); i++) {
		mode_t before = umask(masks[i]);
		struct torc_topic *topic = make_topic("t", 0, 0664, 0646);
		struct torc_topic *plain = make_topic("plain", 0, 0, 0);

		expect_file("t", NULL, 0664);
		expect_file("t", "cursors", 0646);
		expect_file("t", "locks", 0660);
		expect_file("plain", NULL, 0600);
		expect_file("plain", "cursors", 0600);
		expect_file("plain", "locks", 0600);
		torc_topic_close(plain);
		torc_topic_close(topic);
		umask(before);
	}
}

/* What each of the other user's attempts gives. */
struct rights {
	int open, lossy, lossless, publish;
};

/* The topic that try_all() tries. */
static const char *tried = "t";

static int try_all(void *context)
{
	static const struct torc_sub_options lossy = {
		.flags = TORC_SUB_LOSSY | TORC_SUB_OLDEST
	};
	const struct rights *rights = context;
	struct torc_subscriber *sub = NULL;
	struct torc_publisher *pub = NULL;
	struct torc_message message;
	struct torc_topic *topic;

	NEEDS(torc_topic_open(NULL, tried, NULL, &topic) == rights->open);
	if (rights->open)
		return 0;
	NEEDS(torc_sub_open(topic, &lossy, &sub) == rights->lossy);
	if (sub)
		NEEDS(!torc_sub_peek(sub, &message) && message.length == 5);
	torc_sub_close(sub);
	sub = NULL;
	NEEDS(torc_sub_open(topic, NULL, &sub) == rights->lossless);
	NEEDS(torc_pub_open(topic, NULL, &pub) == rights->publish);
	if (sub && pub)
		NEEDS(!torc_pub_publish(pub, "other", 5) &&
		      !torc_sub_peek(sub, &message) && message.length == 5);
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
	return 0;
}

Test(uids, publishing_receiving_and_losslessness_are_permitted_each_by_itself)
{
	static struct {
		mode_t mode, cursors_mode;
		struct rights rights;
	} cases[] = {
		{ 0600, 0600, { -EACCES, 0, 0, 0 } },
		{ 0600, 0666, { -EACCES, 0, 0, 0 } },
		{ 0644, 0600, { 0, 0, -EACCES, -EACCES } },
		{ 0644, 0644, { 0, 0, -EACCES, -EACCES } },
		{ 0644, 0666, { 0, 0, 0, -EACCES } },
		/* Who publishes also wakes, in the cursors. */
		{ 0666, 0600, { 0, 0, -EACCES, -EACCES } },
		{ 0666, 0666, { 0, 0, 0, 0 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct torc_topic *topic = make_topic("t", TORC_MANY,
						      cases[i].mode,
						      cases[i].cursors_mode);
		struct torc_publisher *pub = pub_open(topic);

		MUST(torc_pub_publish(pub, "owner", 5));
		other_does(try_all, &cases[i].rights);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

/* @r, and the words name the topic and who can help. */
static bool refused(const struct fixture_kind *kind, int r, const char *words)
{
	return r == -EACCES && strstr(torc_errmsg(), kind->address) &&
	       strstr(torc_errmsg(), words) &&
	       strstr(torc_errmsg(), "ask its owner");
}

static int be_refused_to_read(void *context)
{
	struct torc_topic *topic;
	const struct fixture_kind *kind = context;

	NEEDS(refused(kind, torc_topic_open(NULL, kind->address, NULL, &topic),
		      "may not read it"));
	return 0;
}

static int be_refused_to_take_part(void *context)
{
	const struct fixture_kind *kind = context;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
	struct torc_topic *topic;

	NEEDS(!torc_topic_open(NULL, kind->address, NULL, &topic));
	NEEDS(refused(kind, torc_pub_open(topic, NULL, &pub),
		      "may not publish to it"));
	NEEDS(refused(kind, torc_sub_open(topic, NULL, &sub),
		      "but not its cursors"));
	torc_topic_close(topic);
	return 0;
}

Test(uids, refusals_say_by_whose_leave_for_each_mapping)
{
	act_as(0);
	cr_assert_eq(chmod(fixture_disk, 01777), 0);
	act_as(OWNER);
	/* From there on they are handed on as descriptors. */
	for (size_t k = 0; strcmp(fixture_kinds[k].address, "memfd:"); k++) {
		struct torc_topic_options options = { .flags = TORC_CREATE };
		struct fixture_kind kind = fixture_kinds[k];
		struct torc_topic *topic;

		options.flags |= kind.flags;
		MUST(torc_topic_open(NULL, kind.address, &options, &topic));
		other_does(be_refused_to_read, &kind);
		topic_end(topic);
		options.mode = 0644;
		MUST(torc_topic_open(NULL, kind.address, &options, &topic));
		other_does(be_refused_to_take_part, &kind);
		topic_end(topic);
	}
}


/* ---- Owner and group ---------------------------------------------------- */

/* Ring for FEED, cursors for READERS; the other user, in @groups, tries. */
static void try_in_groups(const char *address, const gid_t *groups, size_t count,
			  struct rights *rights)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY | TORC_GROUP |
			 TORC_CURSORS_GROUP,
		.mode = 0664,
		.cursors_mode = 0660,
		.group = FEED,
		.cursors_group = READERS,
		.capacity = 4096,
	};
	struct torc_publisher *pub;
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address, &options, &topic));
	if (!strcmp(address, "t")) {
		expect_given("t", NULL, 0664, OWNER, FEED);
		expect_given("t", "cursors", 0660, OWNER, READERS);
		expect_given("t", "locks", 0660, OWNER, FEED);
	}
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	for (size_t i = 0; i < count; i++)
		other_groups[i] = groups[i];
	other_group_count = count;
	other_does(try_all, rights);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(uids, two_groups_have_two_kinds_of_rights)
{
	static const gid_t groups[] = { FEED, READERS };
	char key[96];
	const char *const addresses[] = { "t", key };
	static struct rights nobody = { 0, 0, -EACCES, -EACCES },
			     reader = { 0, 0, 0, -EACCES },
			     both = { 0, 0, 0, 0 };

	fixture_key(key);
	owner_joins(groups, 2);
	for (size_t i = 0; i < 2; i++) {
		tried = addresses[i];
		try_in_groups(tried, NULL, 0, &nobody);
		/* Who publishes also wakes, in the cursors. */
		try_in_groups(tried, groups, 1, &nobody);
		try_in_groups(tried, groups + 1, 1, &reader);
		try_in_groups(tried, groups, 2, &both);
	}
}

Test(uids, a_group_not_ones_own_is_refused)
{
	char key[96];
	const char *const addresses[] = { "t", "memfd:", key };
	struct torc_topic_options options = { .capacity = 4096 };
	struct torc_topic *topic;

	fixture_key(key);
	options.group = options.owner = options.cursors_group = OTHER;
	for (size_t i = 0; i < 3; i++) {
		options.flags = TORC_CREATE | TORC_GROUP;
		FAILS(-EPERM, "group 12346",
		      torc_topic_open(NULL, addresses[i], &options, &topic));
		options.flags = TORC_CREATE | TORC_OWNER;
		FAILS(-EPERM, "only root",
		      torc_topic_open(NULL, addresses[i], &options, &topic));
	}
	options.flags = TORC_CREATE | TORC_CURSORS_GROUP;
	FAILS(-EPERM, "group 12346", torc_topic_open(NULL, "t", &options, &topic));
	options.flags = TORC_GROUP;
	FAILS(-EINVAL, "no sense", torc_topic_open(NULL, "t", &options, &topic));
	options.flags |= TORC_CREATE;
	FAILS(-ENOTSUP, "owner", torc_topic_open(NULL, "anon:", &options, &topic));
	cr_expect_eq(fixture_files(), 0);
}

Test(uids, the_owner_is_whom_root_names)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_MANY | TORC_OWNER | TORC_GROUP,
		.owner = OTHER,
		.group = OTHER,
		.capacity = 4096,
	};
	static struct rights all = { 0, 0, 0, 0 };
	struct torc_publisher *pub;
	struct torc_topic *topic;

	act_as(0);
	MUST(torc_topic_open(NULL, "t", &options, &topic));
	expect_given("t", NULL, 0600, OTHER, OTHER);
	expect_given("t", "cursors", 0600, OTHER, OTHER);
	expect_given("t", "locks", 0600, OTHER, OTHER);
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	other_does(try_all, &all);
	torc_pub_close(pub);
	act_as(OWNER);
	FAILS(-EACCES, "ask its owner",
	      torc_topic_open(NULL, "t", NULL, &(struct torc_topic *){ NULL }));
	act_as(0);
	torc_topic_close(topic);
	cr_expect_eq(fixture_files(), 0);
}

Test(uids, what_root_makes_larger_stays_its_owners)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_PERSISTENT | TORC_GROUP,
		.mode = 0640,
		.group = FEED,
		.capacity = 4096,
	};
	static const gid_t groups[] = { FEED };
	struct torc_topic *topic;
	char address[160];
	struct stat st;

	act_as(0);
	cr_assert_eq(chmod(fixture_disk, 01777), 0);
	owner_joins(groups, 1);
	snprintf(address, sizeof(address), "file:%s/t", fixture_disk);
	MUST(torc_topic_open(NULL, address, &options, &topic));
	torc_topic_close(topic);
	act_as(0);
	MUST(torc_topic_resize(NULL, address, 16384));
	cr_assert_eq(stat(address + strlen("file:"), &st), 0);
	cr_expect_eq(st.st_uid, OWNER);
	cr_expect_eq(st.st_gid, FEED);
	cr_expect_eq(st.st_mode & 07777, 0640u);
	MUST(torc_bus_remove(NULL, address, 0));
}

static int receive_asleep(void *context)
{
	static const struct torc_sub_options options = {
		.flags = TORC_SUB_OLDEST,
	};
	const uint64_t *count = context;
	struct torc_subscriber *sub;
	struct torc_message message;
	struct torc_topic *topic;
	uint64_t data;

	NEEDS(!torc_topic_open(NULL, "t", NULL, &topic));
	NEEDS(!torc_sub_open(topic, &options, &sub));
	tell(1);
	for (uint64_t i = 0; i < *count; i++) {
		NEEDS(!torc_sub_wait(sub, -1));
		NEEDS(!torc_sub_receive(sub, &data, sizeof(data), &message));
		NEEDS(data == i && message.sequence == i);
	}
	NEEDS(torc_sub_lost(sub) == 0);
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

Test(uids, another_users_subscriber_is_lossless_and_sleeps)
{
	struct torc_topic *topic = make_topic("t", 0, 0644, 0666);
	struct torc_publisher *pub = pub_open(topic);
	uint64_t i, count = 5000;
	struct torc_pub_stats stats;
	pid_t other;

	other = other_start(receive_asleep, &count);
	await(1);
	/* Now and then it gets the time to fall asleep. */
	for (i = 0; i < count; i++) {
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
		if (i % 500 == 0)
			usleep(2000);
	}
	cr_expect_eq(child_end(other), 0);
	torc_pub_get_stats(pub, &stats);
	cr_expect_gt(stats.woken, 0u);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

static int receive_by_descriptor(void *context)
{
	struct torc_subscriber *sub;
	struct torc_message message;
	struct torc_topic *topic;
	struct pollfd poll_fd = { .events = POLLIN };
	char byte = 0;

	(void)context;
	NEEDS(!torc_topic_open(NULL, "t", NULL, &topic));
	NEEDS(!torc_sub_open(topic, NULL, &sub));
	poll_fd.fd = torc_sub_fd(sub);
	tell(1);
	while (byte != 'e')
		if (torc_sub_receive(sub, &byte, 1, &message))
			poll(&poll_fd, 1, -1);
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

/* Who has one can fill it, and make the publisher block. */
Test(uids, no_eventfd_is_passed_between_users)
{
	struct torc_topic *topic = make_topic("t", 0, 0644, 0666);
	struct torc_publisher *pub = pub_open(topic);
	pid_t other = other_start(receive_by_descriptor, NULL);
	struct torc_pub_stats stats = { 0 };
	int last, before = fixture_eventfds(&last);

	await(1);
	for (int i = 0; i < 5000 && stats.woken < 10; i++) {
		MUST(torc_pub_publish(pub, "x", 1));
		usleep(2000);
		torc_pub_get_stats(pub, &stats);
	}
	cr_expect_geq(stats.woken, 10u);
	cr_expect_eq(fixture_eventfds(&last), before);
	MUST(torc_pub_publish(pub, "e", 1));
	cr_expect_eq(child_end(other), 0);
	torc_pub_close(pub);
	torc_topic_close(topic);
}
