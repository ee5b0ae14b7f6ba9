/* SPDX-License-Identifier: MIT */
/*
 * Goal: drivers are publishers among many: tasks, soft and hard interrupts of all
 * processors, beside processes, which may die at any time.
 * Method: a module that publishes stamped messages from all of them (torc_contexts);
 * content, order for each publisher and the exact number are checked.  Claims that a
 * death leaves are made step by step.
 */
#include "device.h"
#include "topics.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <torc/ring.h>

/* ---- The modules --------------------------------------------------------- */

#define CONTEXTS 3

enum { TASKS = 1, SOFT = 2, HARD = 4, ALL = 7 };

static void load(const char *module, const char *name, const char *parameters)
{
	char path[200], all[300];
	int fd;

	snprintf(path, sizeof(path), "%s/%s.ko", getenv("TORC_MODULES"),
		 module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	snprintf(all, sizeof(all), "into=%s %s", name, parameters);
	CHECK(!syscall(SYS_finit_module, fd, all, 0));
	close(fd);
}

static void unload(const char *module)
{
	CHECK(!syscall(SYS_delete_module, module, O_NONBLOCK));
}

static int told_by(const char *module, const char *what)
{
	char path[100];
	int number;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s", module,
		 what);
	file = fopen(path, "r");
	CHECK(file && fscanf(file, "%d", &number) == 1);
	fclose(file);
	return number;
}

static void publish_into(const char *name, unsigned int contexts,
			 unsigned int count)
{
	char parameters[100];

	snprintf(parameters, sizeof(parameters), "count=%u contexts=%u", count,
		 contexts);
	load("torc_contexts", name, parameters);
}

static void publish_from(unsigned int contexts, const char *address,
			 unsigned int count)
{
	char name[TORC_DRIVER_NAME_MAX];

	CHECK_EQ(sscanf(address, "dev:%127[^,]", name), 1);
	publish_into(name, contexts, count);
}

static int told(const char *what)
{
	return told_by("torc_contexts", what);
}

static void end_contexts(void)
{
	unload("torc_contexts");
}

static unsigned int drivers_publishers(void)
{
	return CONTEXTS * (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
}

/* ---- Beside processes ---------------------------------------------------- */

#define EACH 600
#define SENDERS_MAX 4096

struct sender {
	const char *address;
	uint32_t number;
	uint32_t messages;
};

static void send_messages(const void *context)
{
	const struct sender *sender = context;
	struct torc_topic *topic = topic_open(sender->address, 0);
	struct torc_publisher *pub = pub_open(topic, TORC_FULL_WAIT);

	for (uint32_t i = 0; i < sender->messages; i++)
		publish_stamped(pub, sender->number, i);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

/* How many have come of each sender; that they come in turn is checked. */
struct received {
	uint32_t of[SENDERS_MAX];
};

static void note(struct received *received, struct stamp stamp)
{
	CHECK(stamp.sender < SENDERS_MAX);
	CHECK_EQ(stamp.number, received->of[stamp.sender]);
	received->of[stamp.sender]++;
}

static void receive_one(struct torc_subscriber *sub, struct received *received)
{
	note(received, receive_stamped(sub));
}

static void drivers_sent_all(const struct received *received)
{
	CHECK_EQ(told("unfinished"), 0);
	CHECK_EQ(told("error"), 0);
	for (uint32_t i = 0; i < drivers_publishers(); i++)
		CHECK_EQ(received->of[i], EACH);
}

TEST(tasks_and_interrupts_publish_beside_processes)
{
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, TORC_MANY,
							65536);
		struct torc_subscriber *sub = sub_open(topic, 0);
		uint32_t drivers = drivers_publishers();
		struct received received = { { 0 } };
		struct sender senders[2];
		struct stamp more;
		pid_t pids[2];

		for (uint32_t i = 0; i < 2; i++) {
			senders[i] = (struct sender){ address, drivers + i,
						      EACH };
			pids[i] = child_start(send_messages, &senders[i]);
		}
		publish_from(ALL, address, EACH);
		for (uint32_t n = 0; n < (drivers + 2) * EACH; n++)
			receive_one(sub, &received);
		for (int i = 0; i < 2; i++)
			CHECK_EQ(child_end(pids[i]), 0);
		CHECK(!receive_stamped_if_any(sub, &more));
		drivers_sent_all(&received);
		printf("# %d claims in the midst of another\n", told("nested"));
		CHECK(told("nested") > 0);
		end_contexts();
		torc_sub_close(sub);
		topic_destroy(topic, address);
	}
}

TEST(processes_killed_meanwhile_stop_no_interrupt)
{
	unsigned int deaths = 0;

	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, TORC_MANY,
							65536);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct received received = { { 0 } };
		struct sender sender = { address, drivers_publishers(),
					 UINT32_MAX };
		struct stamp more;
		pid_t pid = child_start(send_messages, &sender);

		publish_from(ALL, address, EACH);
		while (told("unfinished")) {
			for (int i = 0; i < 200; i++)
				receive_one(sub, &received);
			kill(pid, SIGKILL);
			CHECK_EQ(child_end(pid), -SIGKILL);
			deaths++;
			sender.number++;
			CHECK(sender.number < SENDERS_MAX);
			pid = child_start(send_messages, &sender);
		}
		kill(pid, SIGKILL);
		CHECK_EQ(child_end(pid), -SIGKILL);
		while (receive_stamped_if_any(sub, &more))
			note(&received, more);
		drivers_sent_all(&received);
		end_contexts();
		torc_sub_close(sub);
		topic_destroy(topic, address);
	}
	printf("# %u deaths\n", deaths);
}

/* ---- What there is for drivers ------------------------------------------- */

static void view_ring(const struct device *d, struct torc_ring *ret)
{
	uint64_t publishing = d->constants.publishing_offset;
	char *base = device_map(d->fd, publishing,
				d->constants.ring_size - publishing,
				PROT_READ | PROT_WRITE);

	CHECK(base != MAP_FAILED);
	torc_ring_view(ret, &d->constants, base - publishing, NULL);
}

/* So many claims can be had at once, and none more. */
static void claim_all(const char *name, int slots)
{
	char parameters[100];

	snprintf(parameters, sizeof(parameters), "most=%d", slots + 1);
	load("torc_limits", name, parameters);
	CHECK_EQ(told_by("torc_limits", "claims"), slots);
	CHECK_EQ(told_by("torc_limits", "refused"), -EBUSY);
	unload("torc_limits");
}

/* In a process of its own: a mapping would keep the topic. */
static void nobody_is_in_a_slot(const void *context)
{
	struct torc_ring ring;

	view_ring(context, &ring);
	for (uint32_t i = 0; i < ring.publishers; i++)
		CHECK_EQ(torc_publisher_slot(&ring, i)->pid, 0);
}

TEST(each_context_gives_its_slot_back)
{
	struct torc_driver_create request =
		device_request(TORC_PAGES_SHMEM, TORC_DRIVER_MANY);
	struct device d;

	request.publishers = 2;
	device_make_as(&d, &request);
	publish_into(d.name, ALL, EACH);
	while (told("unfinished"))
		usleep(10000);
	CHECK_EQ(told("error"), 0);
	end_contexts();
	for (int i = 0; i < 2; i++)
		claim_all(d.name, (int)(d.constants.publishers -
					request.publishers));
	CHECK_EQ(child_end(child_start(nobody_is_in_a_slot, &d)), 0);
	device_end(&d);
}

static void check_listeners(const char *name, int first, int second)
{
	load("torc_limits", name, "");
	CHECK_EQ(told_by("torc_limits", "first"), first);
	CHECK_EQ(told_by("torc_limits", "second"), second);
}

static void wait_until_heard(int messages)
{
	while (told_by("torc_limits", "heard") < messages)
		usleep(10000);
	CHECK_EQ(told_by("torc_limits", "heard"), messages);
}

TEST(a_topic_has_one_listener)
{
	static const uint32_t flags[] = { 0, TORC_DRIVER_MANY };

	for (int i = 0; i < 2; i++) {
		struct device d;

		device_make(&d, TORC_PAGES_SHMEM, flags[i], 0600);
		/* The second is not in the way of the first, nor of the next. */
		for (int n = 0; n < 3; n++) {
			check_listeners(d.name, 0, -EBUSY);
			CHECK_EQ(write(d.fd, "heard", 5), 5);
			/* Each begins with the oldest. */
			wait_until_heard(n + 1);
			unload("torc_limits");
		}
		device_end(&d);
	}
}

TEST(who_publishes_alone_is_not_listened_to)
{
	struct device d;

	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_PUBLISHES, 0600);
	check_listeners(d.name, -EPERM, -EPERM);
	unload("torc_limits");
	device_end(&d);
}

/* The listener's slot has page 1 of the cursors. */
static const struct torc_subscriber_slot_shm *
listeners_slot(const struct device *d)
{
	char *page = device_map(d->fd, d->constants.ring_size + PAGE, PAGE,
				PROT_READ);

	CHECK(page != MAP_FAILED);
	return (const void *)(page + TORC_CURSORS_SLOTS);
}

static bool is_asleep(uint32_t pid)
{
	char path[50], state;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "r");
	CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
	fclose(file);
	return state == 'S';
}

/* The floor is no record's, so nobody can begin anew; but there is a message. */
static void damage_and_mend(const void *context)
{
	const struct device *d = context;
	const struct torc_subscriber_slot_shm *slot = listeners_slot(d);
	struct torc_ring ring;
	struct torc_sp sp;
	int asleep = 0;

	view_ring(d, &ring);
	CHECK(!torc_sp_init(&sp, &ring));
	CHECK(!torc_sp_publish(&sp, "one", 3));
	wait_until_heard(1);
	ring.shm->marks[0].position++;
	ring.shm->floor += TORC_MARKS;
	while (torc_load_relaxed(&slot->state) != TORC_SUBSCRIBER_FREE)
		usleep(1000);
	CHECK(!torc_sp_publish(&sp, "two", 3));
	/* Perhaps once before it has seen that. */
	for (int looks = 0; asleep < 20; looks++) {
		CHECK(looks < 1000);
		asleep += is_asleep(slot->pid);
		usleep(20000);
	}
	ring.shm->floor -= TORC_MARKS;
	ring.shm->marks[0].position--;
	/* From the oldest on. */
	wait_until_heard(3);
}

TEST(who_listens_rests_while_the_ring_is_damaged)
{
	struct device d;

	device_make(&d, TORC_PAGES_SHMEM, 0, 0600);
	load("torc_limits", d.name, "");
	CHECK_EQ(child_end(child_start(damage_and_mend, &d)), 0);
	unload("torc_limits");
	device_end(&d);
}

/* ---- Descriptors --------------------------------------------------------- */

/* Without the timers that stand in for rings: only a ring makes one readable. */
static bool timers_stand_still;

int timerfd_settime(int fd, int flags, const struct itimerspec *when,
		    struct itimerspec *before)
{
	struct itimerspec never = { .it_value = { 0, 0 } };

	/* Nanoseconds make it readable now. */
	if (timers_stand_still && when->it_value.tv_nsec > 1000)
		when = &never;
	return (int)syscall(SYS_timerfd_settime, fd, flags, when, before);
}

static void wait_readable(int fd)
{
	struct pollfd poller = { fd, POLLIN, 0 };

	CHECK_EQ(poll(&poller, 1, 30000), 1);
}

TEST(a_descriptor_tells_of_what_is_published_in_any_context)
{
	timers_stand_still = true;
	for_each_kind(address) {
		struct torc_topic *topic = topic_create(address, TORC_MANY,
							65536);
		struct torc_subscriber *sub = sub_open(topic, 0);
		struct sender sender = { address, drivers_publishers(), EACH };
		int fd = torc_sub_fd(sub);
		struct received received = { { 0 } };
		uint32_t left = (sender.number + 1) * EACH;
		struct stamp stamp;
		pid_t pid = child_start(send_messages, &sender);

		publish_from(ALL, address, EACH);
		while (left) {
			wait_readable(fd);
			for (; receive_stamped_if_any(sub, &stamp); left--)
				note(&received, stamp);
		}
		CHECK_EQ(child_end(pid), 0);
		drivers_sent_all(&received);
		end_contexts();
		torc_sub_close(sub);
		topic_destroy(topic, address);
	}
}

static void write_in_turns(const void *context)
{
	const struct device *devices = context;

	for (int i = 0; i < 100; i++) {
		usleep(2000);
		CHECK_EQ(write(devices[i % 3].fd, &i, sizeof(i)), sizeof(i));
	}
}

TEST(the_descriptor_of_a_set_tells_of_each_of_its_topics)
{
	static const uint32_t flags[] = { 0, TORC_DRIVER_PUBLISHES,
					  TORC_DRIVER_MANY };
	struct torc_message message;
	struct torc_subscriber *subs[3];
	struct device devices[3];
	struct torc_set *set;
	int next[3] = { 0, 1, 2 }, number, got = 0;
	pid_t pid;

	timers_stand_still = true;
	MUST(torc_set_open(TORC_WAIT_SLEEP, &set));
	for (int i = 0; i < 3; i++) {
		char address[sizeof(devices[i].name) + 4];
		struct torc_topic *topic;

		device_make(&devices[i], memories[i], flags[i], 0600);
		snprintf(address, sizeof(address), "dev:%.127s",
			 devices[i].name);
		topic = topic_open(address, 0);
		subs[i] = sub_open(topic, 0);
		torc_topic_close(topic);
		MUST(torc_set_add(set, subs[i], &subs[i]));
	}
	pid = child_start(write_in_turns, devices);
	while (got < 100) {
		void *which;
		int i;

		wait_readable(torc_set_fd(set));
		if (torc_set_wait(set, 0, &which) == -ETIMEDOUT)
			continue;
		i = (int)((struct torc_subscriber **)which - subs);
		MUST(torc_sub_receive(subs[i], &number, sizeof(number),
				      &message));
		CHECK_EQ(number, next[i]);
		next[i] += 3;
		got++;
	}
	CHECK_EQ(child_end(pid), 0);
	for (int i = 0; i < 3; i++) {
		torc_sub_close(subs[i]);
		device_end(&devices[i]);
	}
	torc_set_close(set);
}

/* Several windows full, by the driver, of which none is lost. */
static void driver_publishes_and_reads(int fd)
{
	char message[1000], got[1000];

	for (int i = 0; i < 500; i++) {
		memset(message, i, sizeof(message));
		CHECK_EQ(write(fd, message, sizeof(message)), sizeof(message));
		CHECK_EQ(read(fd, got, sizeof(got)), sizeof(got));
		CHECK(!memcmp(got, message, sizeof(got)));
	}
}

/* With nobody else publishing, nobody else wakes. */
TEST(interrupts_alone_make_a_descriptor_readable)
{
	timers_stand_still = true;
	for (unsigned int contexts = SOFT; contexts <= HARD; contexts *= 2) {
		const char *address = first_kind();
		struct torc_topic *topic = topic_create(address, TORC_MANY,
							65536);
		struct torc_subscriber *sub = sub_open(topic, 0);
		uint32_t left = drivers_publishers() / CONTEXTS * EACH;
		struct received received = { { 0 } };
		int fd = torc_sub_fd(sub);
		struct stamp stamp;

		publish_from(contexts, address, EACH);
		while (left) {
			wait_readable(fd);
			for (; receive_stamped_if_any(sub, &stamp); left--)
				note(&received, stamp);
		}
		CHECK_EQ(told("unfinished"), 0);
		end_contexts();
		torc_sub_close(sub);
		topic_destroy(topic, address);
	}
}

/* ---- Hostile processes --------------------------------------------------- */

/* Random words, mostly where publishers' own are, for as long as it may. */
static void scribble(const void *context)
{
	const struct device *d = context;
	uint64_t publishing = d->constants.publishing_offset;
	uint64_t size = d->constants.ring_size - publishing;
	volatile uint64_t *words = device_map(d->fd, publishing, size,
					      PROT_READ | PROT_WRITE);
	uint64_t state = now_ns() | 1;

	CHECK(words != MAP_FAILED);
	printf("# seed %llu\n", (unsigned long long)state);
	fflush(stdout);
	for (;;) {
		uint64_t at, value;

		/* xorshift, Marsaglia */
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		at = state % (state >> 62 ? 2048 : size) / sizeof(*words);
		value = (state >> 20) % (1u << 18) * 16;
		words[at] = state >> 60 & 1 ? value : words[at] + value % 8192;
	}
}

TEST(interrupts_publish_to_a_ring_that_is_scribbled_over)
{
	for (int m = 0; m < 3; m++) {
		struct device d, other;
		pid_t pids[2];

		device_make(&d, memories[m], TORC_DRIVER_MANY, 0600);
		for (int i = 0; i < 2; i++)
			pids[i] = child_start(scribble, &d);
		publish_into(d.name, ALL, UINT32_MAX);
		sleep(harness_seconds(1, 60));
		end_contexts();
		for (int i = 0; i < 2; i++) {
			kill(pids[i], SIGKILL);
			CHECK_EQ(child_end(pids[i]), -SIGKILL);
		}
		device_end(&d);
		device_make(&other, memories[m], TORC_DRIVER_MANY, 0600);
		CHECK(!fcntl(other.fd, F_SETFL, O_RDWR | O_NONBLOCK));
		driver_publishes_and_reads(other.fd);
		device_end(&other);
	}
}

/* ---- What a death leaves, where only the driver publishes ---------------- */

/* A process's publisher, made by hand, in slot 0. */
struct by_hand {
	int locks;	/* a description of its own */
	struct torc_mp mp;
	void *payload;
};

static void lock_slot(int fd, uint32_t slot)
{
	struct flock lock = { .l_type = F_WRLCK,
			      .l_start = (off_t)TORC_LOCK_PUBLISHER + slot,
			      .l_len = 1 };

	CHECK(!fcntl(fd, F_OFD_SETLK, &lock));
}

static void publisher_by_hand(const struct device *d, struct by_hand *ret)
{
	struct torc_ring ring;

	ret->locks = device_open(d, O_RDWR);
	CHECK(ret->locks >= 0);
	lock_slot(ret->locks, 0);
	view_ring(d, &ring);
	CHECK(!torc_mp_init(&ret->mp, &ring, 0));
	ret->mp.slot->pid = (uint32_t)getpid();
}

static void die_in_a_claim(const void *context)
{
	struct by_hand by_hand;

	publisher_by_hand(context, &by_hand);
	CHECK(!torc_mp_reserve(&by_hand.mp, 100, &by_hand.payload));
	kill(getpid(), SIGKILL);
}

/* The claim was won, and nothing stored there yet. */
static void die_before_the_header(const void *context)
{
	struct by_hand by_hand;
	struct torc_mp *mp = &by_hand.mp;
	uint64_t tail;

	publisher_by_hand(context, &by_hand);
	tail = mp->ring.shm->tail;
	torc_claim_note(mp, tail, 128);
	CHECK(torc_cas(&mp->ring.shm->tail, tail, tail + 128));
	kill(getpid(), SIGKILL);
}

TEST(a_claim_of_the_dead_is_mended_when_they_die)
{
	void (*const deaths[])(const void *) = { die_in_a_claim,
						 die_before_the_header };

	for (unsigned int i = 0; i < 6; i++) {
		struct device d;

		device_make(&d, memories[i / 2], TORC_DRIVER_MANY, 0600);
		CHECK(!fcntl(d.fd, F_SETFL, O_RDWR | O_NONBLOCK));
		driver_publishes_and_reads(d.fd);
		CHECK_EQ(child_end(child_start(deaths[i % 2], &d)), -SIGKILL);
		driver_publishes_and_reads(d.fd);
		device_end(&d);
	}
}

static void lock_the_next_slot(const void *context)
{
	lock_slot(*(const int *)context, 1);
}

/*
 * Loses its lock in the midst of a claim, and goes on when it is told to.  A child
 * that had the descriptor, and a lock beside it, is gone before.
 */
static void lose_the_lock(const void *context)
{
	const struct device *d = context;
	struct by_hand by_hand;

	publisher_by_hand(d, &by_hand);
	CHECK_EQ(child_end(child_start(lock_the_next_slot, &by_hand.locks)), 0);
	CHECK(!torc_mp_reserve(&by_hand.mp, 4, &by_hand.payload));
	close(by_hand.locks);
	raise(SIGSTOP);
	memcpy(by_hand.payload, "late", 4);
	torc_mp_commit(&by_hand.mp, 4);
	CHECK(!torc_mp_reserve(&by_hand.mp, 4, &by_hand.payload));
	raise(SIGSTOP);
}

TEST(who_lost_its_lock_and_lives_is_not_dead)
{
	struct device d;
	struct pollfd poller;
	char got[8];
	pid_t pid;

	device_make(&d, TORC_PAGES_SHMEM, TORC_DRIVER_MANY, 0600);
	poller = (struct pollfd){ d.fd, POLLIN, 0 };
	pid = child_start(lose_the_lock, &d);
	child_stops(pid);
	CHECK_EQ(write(d.fd, "after", 5), 5);
	CHECK_EQ(poll(&poller, 1, 300), 0);
	kill(pid, SIGCONT);
	CHECK_EQ(read(d.fd, got, sizeof(got)), 4);
	CHECK(!memcmp(got, "late", 4));
	CHECK_EQ(read(d.fd, got, sizeof(got)), 5);
	/* When it dies at last, there is no lock that would tell of it. */
	child_stops(pid);
	CHECK_EQ(write(d.fd, "end", 3), 3);
	kill(pid, SIGKILL);
	CHECK_EQ(child_end(pid), -SIGKILL);
	CHECK_EQ(read(d.fd, got, sizeof(got)), 3);
	device_end(&d);
}
