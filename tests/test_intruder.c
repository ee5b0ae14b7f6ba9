/* SPDX-License-Identifier: MIT */
/*
 * Another user's subscriber: what it cannot change or hold up however it tries.
 */
#include "users.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

TestSuite(intruder, .init = users_init, .fini = users_fini, .timeout = 60);

/* ---- A subscriber that would like to write ------------------------------ */

/* A mapping of the inode: [begin, end), and its file below /proc/self. */
static int attack_mapping(unsigned long begin, unsigned long end)
{
	char path[64], byte = 1;
	int fd;

	REFUSED(mprotect((void *)begin, end - begin, PROT_READ | PROT_WRITE),
		EACCES);
	NEEDS(madvise((void *)begin, end - begin, MADV_REMOVE) < 0);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", begin, end);
	NEEDS(open(path, O_RDWR) < 0);
	fd = open("/proc/self/mem", O_RDWR);
	NEEDS(fd >= 0 && pwrite(fd, &byte, 1, (off_t)begin) < 0);
	close(fd);
	return 0;
}

/* What was inherited from the owner is not the other user's doing. */
static int forget_mapping(unsigned long begin, unsigned long end)
{
	return munmap((void *)begin, end - begin);
}

/* Call @each for the mappings of the inode; how many there are, or -1. */
static int each_mapping_of(ino_t ino, int (*each)(unsigned long begin,
						  unsigned long end))
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long begin, end, inode;
	char line[512];
	int n = 0;

	while (n >= 0 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %*s %*x %*s %lu", &begin, &end,
			   &inode) == 3 && inode == ino)
			n = each(begin, end) ? -1 : n + 1;
	fclose(maps);
	return n;
}

/* Open each descriptor again for writing: none may be the inode. */
static int attack_descriptors_of(ino_t ino)
{
	char path[64];
	struct stat st;

	for (int fd = 0; fd < 64; fd++) {
		if (fstat(fd, &st) || st.st_ino != ino)
			continue;
		NEEDS((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
		REFUSED(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				  0, 4096), EBADF);
		REFUSED(fchmod(fd, 0666), EPERM);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		REFUSED(open(path, O_RDWR), EACCES);
		REFUSED(truncate(path, 0), EACCES);
	}
	return 0;
}

static int attack_file(const char *path)
{
	char elsewhere[PATH_MAX];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", fixture_bus);
	REFUSED(open(path, O_RDWR), EACCES);
	REFUSED(truncate(path, 0), EACCES);
	REFUSED(chmod(path, 0666), EPERM);
	REFUSED(unlink(path), EPERM);
	REFUSED(rename(path, elsewhere), EPERM);
	return 0;
}

static int attack_ring(void *context)
{
	const struct torc_sub_options *options = context;
	struct torc_subscriber *sub;
	struct torc_message message;
	struct torc_topic *topic;
	char path[PATH_MAX];
	struct stat st;

	part_path("t", NULL, path);
	NEEDS(!stat(path, &st));
	NEEDS(each_mapping_of(st.st_ino, forget_mapping) > 0);
	NEEDS(!torc_topic_open(NULL, "t", NULL, &topic));
	NEEDS(!torc_sub_open(topic, options, &sub));
	NEEDS(!torc_sub_peek(sub, &message) && message.length == 5);
	NEEDS(each_mapping_of(st.st_ino, attack_mapping) > 0);
	NEEDS(!attack_descriptors_of(st.st_ino));
	NEEDS(!attack_file(path));
	part_path("t", "locks", path);
	NEEDS(!attack_file(path));
	REFUSED(open(path, O_RDONLY), EACCES);
	NEEDS(!torc_sub_release(sub));
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

static void *contents(const char *name, size_t *ret_size)
{
	char path[PATH_MAX];
	struct stat st;
	void *bytes;
	int fd;

	part_path(name, NULL, path);
	fd = open(path, O_RDONLY);
	cr_assert(fd >= 0 && !fstat(fd, &st));
	*ret_size = (size_t)st.st_size;
	bytes = malloc(*ret_size);
	cr_assert_eq(read(fd, bytes, *ret_size), (ssize_t)*ret_size);
	close(fd);
	return bytes;
}

Test(intruder, a_subscriber_cannot_change_a_byte_of_the_ring)
{
	static struct torc_sub_options kinds[] = {
		{ .flags = TORC_SUB_OLDEST | TORC_SUB_LOSSY },
		{ .flags = TORC_SUB_OLDEST },
	};

	for (unsigned int i = 0; i < 4; i++) {
		bool lossless = i & 1;
		struct torc_topic *topic = make_topic("t", i & 2 ? TORC_MANY : 0,
						      0644,
						      lossless ? 0666 : 0600);
		struct torc_publisher *pub = pub_open(topic);
		void *before, *after;
		size_t size;

		MUST(torc_pub_publish(pub, "owner", 5));
		before = contents("t", &size);
		other_does(attack_ring, &kinds[lossless]);
		after = contents("t", &size);
		cr_expect_eq(memcmp(before, after, size), 0);
		free(before);
		free(after);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

static int attack_memfd(void *context)
{
	static const struct torc_sub_options lossy = {
		.flags = TORC_SUB_OLDEST | TORC_SUB_LOSSY,
	};
	struct torc_subscriber *sub;
	struct torc_publisher *pub;
	struct torc_message message;
	struct torc_topic *topic;
	char address[32];
	struct stat st;

	snprintf(address, sizeof(address), "fd:%d", *(int *)context);
	NEEDS(!torc_topic_open(NULL, address, NULL, &topic));
	NEEDS(torc_pub_open(topic, NULL, &pub) == -EACCES);
	NEEDS(torc_sub_open(topic, NULL, &sub) == -EACCES);
	NEEDS(!torc_sub_open(topic, &lossy, &sub));
	NEEDS(!torc_sub_peek(sub, &message) && message.length == 5);
	NEEDS(!fstat(torc_topic_fd(topic), &st));
	/* What was inherited from the owner is not the other's doing. */
	for (int fd = 3; fd < 64; fd++)
		if (fd != torc_topic_fd(topic))
			close(fd);
	NEEDS(!attack_descriptors_of(st.st_ino));
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

Test(intruder, who_is_handed_a_read_only_memfd_can_only_read)
{
	struct torc_topic_options options = { .flags = TORC_CREATE };
	struct torc_publisher *pub;
	struct torc_topic *topic;
	char path[40];
	int fd;

	MUST(torc_topic_open(NULL, "memfd:", &options, &topic));
	pub = pub_open(topic);
	MUST(torc_pub_publish(pub, "owner", 5));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", torc_topic_fd(topic));
	fd = open(path, O_RDONLY);
	cr_assert(fd >= 0);
	other_does(attack_memfd, &fd);
	close(fd);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* ---- A subscriber that would like to be in the way ---------------------- */

static int lock_file(const char *path, int flags, short type)
{
	struct flock lock = { .l_type = type };
	int fd = open(path, flags);

	return fd < 0 ? fd : fcntl(fd, F_OFD_SETLK, &lock);
}

/* All bytes of all that the other user may open, until told to go. */
static int lock_all(void *context)
{
	char path[PATH_MAX];

	(void)context;
	part_path("t", NULL, path);
	NEEDS(!lock_file(path, O_RDONLY, F_RDLCK));
	part_path("t", "cursors", path);
	NEEDS(!lock_file(path, O_RDWR, F_WRLCK));
	part_path("t", "locks", path);
	REFUSED(lock_file(path, O_RDONLY, F_RDLCK), EACCES);
	tell(1);
	await(2);
	return 0;
}

Test(intruder, a_subscribers_locks_do_not_stop_publishers)
{
	static const struct torc_sub_options lossy = {
		.flags = TORC_SUB_LOSSY | TORC_SUB_OLDEST,
	};

	for (unsigned int many = 0; many < 2; many++) {
		struct torc_topic *topic = make_topic("t", many * TORC_MANY,
						      0644, 0666);
		struct torc_subscriber *sub;
		struct torc_publisher *pub;
		struct torc_message message;
		pid_t other;

		tell(0);
		other = other_start(lock_all, NULL);
		await(1);
		pub = pub_open(topic);
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, "owner", 5));
		/* No slot can be had, and that is all. */
		FAILS(-EUSERS, "slots", torc_sub_open(topic, NULL, &sub));
		MUST(torc_sub_open(topic, &lossy, &sub));
		MUST(torc_sub_peek(sub, &message));
		torc_sub_close(sub);
		pub = torc_pub_close(pub);
		pub = pub_open(topic);
		tell(2);
		cr_expect_eq(child_end(other), 0);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

static int lock_what_may_be_read(void *context)
{
	static const char *const parts[] = { NULL, "cursors" };
	char path[PATH_MAX];

	(void)context;
	for (int i = 0; i < 2; i++) {
		int fd;

		part_path("t", parts[i], path);
		NEEDS(!lock_file(path, O_RDONLY, F_RDLCK));
		fd = open(path, O_RDONLY);
		NEEDS(!flock(fd, LOCK_EX));
		/* Who opens the file would have to wait until it is given up. */
		REFUSED(fcntl(fd, F_SETLEASE, F_RDLCK), EACCES);
		REFUSED(lock_file(path, O_RDWR, F_WRLCK), EACCES);
	}
	part_path("t", "locks", path);
	REFUSED(lock_file(path, O_RDONLY, F_RDLCK), EACCES);
	tell(2);
	await(3);
	return 0;
}

static int hold_the_floor(void *context)
{
	sub_open(context, 0);
	tell(1);
	return pause();
}

Test(intruder, who_may_only_read_holds_nobody_by_locks)
{
	for (unsigned int many = 0; many < 2; many++) {
		struct torc_topic *topic = make_topic("t", many * TORC_MANY,
						      0644, 0644);
		struct torc_subscriber *sub;
		struct torc_publisher *pub;
		pid_t dead, other;

		tell(0);
		dead = child_start(hold_the_floor, topic);
		await(1);
		kill(dead, SIGKILL);
		cr_expect_eq(child_end(dead), -SIGKILL);
		other = other_start(lock_what_may_be_read, NULL);
		await(2);
		pub = pub_open(topic);
		sub = sub_open(topic, TORC_SUB_LOSSY);
		/* A dead subscriber stops nobody for long. */
		for (int i = 0; i < 1000; i++)
			MUST(torc_pub_publish(pub, "owner", 5));
		MUST(sub_receive(sub));
		MUST(torc_topic_repair(topic));
		MUST(torc_bus_remove(NULL, "t", 0));
		tell(3);
		cr_expect_eq(child_end(other), 0);
		torc_sub_close(sub);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

/* Rings all bells that there are, and says what is not so. */
static int ring_all_the_time(void *context)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	uint32_t hint = 0, rung = 0;
	bool told = false;

	(void)context;
	NEEDS(fd >= 0);
	while (__atomic_load_n(stage, __ATOMIC_RELAXED) < 2) {
		DIR *directory = opendir(fixture_bus);
		struct dirent *entry;

		while ((entry = readdir(directory))) {
			if (!strstr(entry->d_name, ".bell"))
				continue;
			snprintf(address.sun_path, sizeof(address.sun_path),
				 "%s/%.40s", fixture_bus, entry->d_name);
			for (int i = 0; i < 100; i++, hint++)
				rung += sendto(fd, &hint, (size_t)(i % 5), 0,
					       (struct sockaddr *)&address,
					       sizeof(address)) >= 0;
		}
		closedir(directory);
		if (rung && !told)
			tell(1);
		told = rung;
	}
	return 0;
}

Test(intruder, who_rings_all_the_time_keeps_no_message_from_anybody)
{
	struct torc_topic *topic = make_topic("t", 0, 0644, 0600);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *subs[2] = { sub_open(topic, 0),
					    sub_open(topic, 0) };
	struct torc_message message;
	struct torc_set *set;
	uint64_t data;
	void *who;
	pid_t other;
	int fd = torc_sub_fd(subs[0]);

	MUST(torc_set_open(TORC_WAIT_SLEEP, &set));
	MUST(torc_set_add(set, subs[1], &subs[1]));
	MUST(torc_set_fd(set));
	other = other_start(ring_all_the_time, NULL);
	await(1);
	for (uint64_t i = 0; i < 3000; i++) {
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
		while (torc_sub_receive(subs[0], &data, sizeof(data),
					&message) == -EAGAIN)
			readable(fd, -1);
		cr_assert_eq(data, i);
		MUST(torc_set_wait(set, -1, &who));
		cr_assert_eq(who, &subs[1]);
		MUST(torc_sub_receive(subs[1], &data, sizeof(data), &message));
		cr_assert_eq(data, i);
	}
	tell(2);
	cr_expect_eq(child_end(other), 0);
	torc_set_close(set);
	torc_sub_close(subs[0]);
	torc_sub_close(subs[1]);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* Joins, reads one message, and nothing more until the owner is through. */
static int be_evicted(void *context)
{
	struct torc_subscriber *sub;
	struct torc_message message;
	struct torc_topic *topic;
	uint64_t data;

	(void)context;
	NEEDS(!torc_topic_open(NULL, "t", NULL, &topic));
	NEEDS(!torc_sub_open(topic, NULL, &sub));
	tell(1);
	NEEDS(!torc_sub_wait(sub, -1));
	NEEDS(!torc_sub_receive(sub, &data, sizeof(data), &message));
	NEEDS(data == 0);
	tell(2);
	await(3);
	NEEDS(torc_sub_receive(sub, &data, sizeof(data), &message) == -ESTALE);
	/* And told how much it missed; who joins anew goes on. */
	NEEDS(torc_sub_lost(sub) > 0);
	torc_sub_close(sub);
	NEEDS(!torc_sub_open(topic, NULL, &sub));
	torc_sub_close(sub);
	torc_topic_close(topic);
	return 0;
}

Test(intruder, who_does_not_read_is_evicted_and_told)
{
	struct torc_pub_options options = { .full = TORC_FULL_EVICT };

	for (unsigned int many = 0; many < 2; many++) {
		struct torc_topic *topic = make_topic("t", many * TORC_MANY,
						      0644, 0666);
		struct torc_pub_stats stats;
		struct torc_publisher *pub;
		pid_t other;

		MUST(torc_pub_open(topic, &options, &pub));
		tell(0);
		other = other_start(be_evicted, NULL);
		await(1);
		for (uint64_t i = 0; i < 1000; i++) {
			MUST(torc_pub_publish(pub, &i, sizeof(i)));
			await(2);
		}
		torc_pub_get_stats(pub, &stats);
		cr_expect_eq(stats.evicted, 1u);
		tell(3);
		cr_expect_eq(child_end(other), 0);
		torc_pub_close(pub);
		torc_topic_close(topic);
	}
}

static unsigned char *map_cursors(size_t *ret_size)
{
	char path[PATH_MAX];
	struct stat st;
	void *cursors;
	int fd;

	part_path("t", "cursors", path);
	fd = open(path, O_RDWR);
	if (fd < 0 || fstat(fd, &st))
		return NULL;
	*ret_size = (size_t)st.st_size;
	cursors = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       0);
	return cursors == MAP_FAILED ? NULL : cursors;
}

/* Anything anywhere, but for what makes it the cursors of this ring. */
static int scribble(void *context)
{
	uint64_t random = 88172645463325252u;
	unsigned char *cursors;
	size_t size;

	(void)context;
	cursors = map_cursors(&size);
	NEEDS(cursors);
	for (uint64_t i = 0; __atomic_load_n(stage, __ATOMIC_RELAXED) < 2; i++) {
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		/* Often the few values that mean something. */
		__atomic_store_n((uint32_t *)(cursors + 128 +
					      random % (size - 128) / 4 * 4),
				 (uint32_t)(random >> 32) >> (random >> 27 & 31),
				 __ATOMIC_RELAXED);
		if (i == 1000)
			tell(1);
	}
	return 0;
}

/*
 * Receive all there is: in order, whole, and each gap told; who is thrown out, by
 * -ESTALE or @told, joins anew.  How many came.
 */
static uint64_t drain(struct torc_subscriber **sub, struct torc_topic *topic,
		      unsigned int flags, int told, uint64_t *next)
{
	struct torc_sub_options options = { .flags = flags | TORC_SUB_OLDEST };
	uint64_t data, lost, received = 0;
	struct torc_message message;
	int r;

	while (*sub || !torc_sub_open(topic, &options, sub)) {
		lost = torc_sub_lost(*sub);
		r = torc_sub_receive(*sub, &data, sizeof(data), &message);
		if (r == -EAGAIN)
			break;
		if (r) {
			cr_expect(r == -ESTALE || r == told, "%d", r);
			*sub = torc_sub_close(*sub);
			*next = 0;
			break;
		}
		cr_expect_eq(data, message.sequence);
		lost = torc_sub_lost(*sub) - lost;
		cr_expect(!*next || data == *next + lost, "%llu, not %llu + %llu",
			  (unsigned long long)data, (unsigned long long)*next,
			  (unsigned long long)lost);
		*next = data + 1;
		received++;
	}
	return received;
}

/* The owner goes on while the other user does @harm, which subscribers may be @told. */
static void traffic_goes_on(unsigned int flags, int (*harm)(void *context),
			    int told)
{
	struct torc_pub_options options = { .full = TORC_FULL_EVICT };
	struct torc_topic *topic = make_topic("t", flags, 0644, 0666);
	struct torc_subscriber *subs[2] = { NULL, NULL };
	uint64_t next[2] = { 0, 0 }, received[2] = { 0, 0 };
	struct torc_publisher *pub;
	pid_t other;

	MUST(torc_pub_open(topic, &options, &pub));
	tell(0);
	other = other_start(harm, NULL);
	await(1);
	for (uint64_t i = 0; i < 50000; i++) {
		MUST(torc_pub_publish(pub, &i, sizeof(i)));
		for (unsigned int k = 0; k < 2 && i % 50 == 0; k++)
			received[k] += drain(&subs[k], topic,
					     k * TORC_SUB_LOSSY, told,
					     &next[k]);
	}
	tell(2);
	cr_expect_eq(child_end(other), 0);
	for (int k = 0; k < 2; k++) {
		cr_expect_gt(received[k], 1000u);
		torc_sub_close(subs[k]);
	}
	torc_pub_close(pub);
	torc_topic_close(topic);
}

Test(intruder, garbage_in_the_cursors_garbles_no_message_and_hides_no_loss)
{
	traffic_goes_on(0, scribble, -ESTALE);
	traffic_goes_on(TORC_MANY, scribble, -ESTALE);
}

/* The cursors are cut off anywhere, or made larger, again and again. */
static int cut_off(void *context)
{
	char path[PATH_MAX];

	(void)context;
	part_path("t", "cursors", path);
	for (unsigned int i = 0; __atomic_load_n(stage, __ATOMIC_RELAXED) < 2;
	     i++) {
		NEEDS(!truncate(path, i * 1000 % 10007));
		if (!i)
			tell(1);
		usleep(i % 200);
	}
	return 0;
}

Test(intruder, who_truncates_the_cursors_stops_no_publisher_and_hides_no_loss)
{
	SKIP_STORES_TO_WHAT_IS_CUT_OFF();
	MUST(torc_sigbus_guard());
	traffic_goes_on(0, cut_off, -EPROTO);
	traffic_goes_on(TORC_MANY, cut_off, -EPROTO);
}
