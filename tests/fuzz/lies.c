/* SPDX-License-Identifier: MIT */
/*
 * The library over memory that lies.  Each public call is made again and again, and
 * each time another load of a shared word finds something else than what is there:
 * once, every other time from then on, or whenever a word is loaded that the call has
 * loaded before.  No call may read or write outside of the ring, hand out a message
 * that does, load for ever, or sleep for ever.
 *
 *	lies [SECONDS [SEED]]		so long, at random; 0: all there are
 *	lies CALL KIND LOAD LIE		what a failure has printed
 */
#include "liar.h"
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sanitizer/common_interface_defs.h>

#include <torc/ring.h>
#include <torc/torc.h>

#define A_MOMENT_NS	200000

/* ---- The world ---------------------------------------------------------- */

static const struct kind {
	unsigned int flags;
	bool disk;
} kinds[] = { { 0, false }, { TORC_MANY, false }, { 0, true },
	      { TORC_MANY, true } };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct world {
	const struct kind *kind;
	char address[64];
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *subs[2];	/* lossless, lossy */
	struct torc_set *set;
	void *payload;			/* reserved */
} world;

static char directory[] = "/dev/shm/torc-lies.XXXXXX";

/* Of a topic with messages, whose other participants have died. */
static struct image {
	unsigned char *bytes;
	size_t size;
} images[KINDS];

static void must(int r)
{
	if (r < 0)
		fprintf(stderr, "%s\n", torc_errmsg());
	MUST(r >= 0);
}

static void publish_some(struct torc_publisher *pub, unsigned int count)
{
	static const char data[200];

	for (unsigned int i = 0; i < count; i++)
		must(torc_pub_publish(pub, data, i * 37 % sizeof(data)));
}

/* Dies with a claim that it has not committed, and holds the floor. */
static void die_in_the_midst(const char *address)
{
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
	void *payload;

	must(torc_topic_open(NULL, address, NULL, &topic));
	must(torc_pub_open(topic, NULL, &pub));
	publish_some(pub, 60);
	must(torc_sub_open(topic, NULL, &sub));
	must(torc_pub_reserve(pub, 100, &payload));
	kill(getpid(), SIGKILL);
}

static void make_image(const struct kind *kind, struct image *image)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | kind->flags, .capacity = CAPACITY,
		.subscribers = 4, .publishers = kind->flags & TORC_MANY ? 4 : 0,
	};
	struct torc_publisher *pub;
	struct torc_topic *topic;
	char address[64];
	int fd, status;
	off_t size;

	snprintf(address, sizeof(address), "file:%s/t", directory);
	must(torc_topic_open(NULL, kind->disk ? address : "memfd:", &options,
			     &topic));
	if (!kind->disk)
		snprintf(address, sizeof(address), "fd:%d",
			 torc_topic_fd(topic));
	if (!fork())
		die_in_the_midst(address);
	MUST(wait(&status) > 0 && WTERMSIG(status) == SIGKILL);
	must(torc_pub_open(topic, NULL, &pub));
	publish_some(pub, 4);
	torc_pub_close(pub);
	fd = kind->disk ? open(address + strlen("file:"), O_RDONLY)
			: torc_topic_fd(topic);
	size = lseek(fd, 0, SEEK_END);
	MUST(size > 0);
	image->size = (size_t)size;
	image->bytes = malloc(image->size);
	MUST(image->bytes && pread(fd, image->bytes, image->size, 0) == size);
	if (kind->disk)
		close(fd);
	torc_topic_close(topic);
	if (kind->disk)
		must(torc_bus_remove(NULL, address, 0));
}

/* A new topic, as the image has it; on a disk a copy that nobody has opened yet. */
static void begin(const struct kind *kind)
{
	const struct image *image = &images[kind - kinds];
	char path[48];
	int fd;

	memset(&world, 0, sizeof(world));
	world.kind = kind;
	if (kind->disk) {
		snprintf(path, sizeof(path), "%s/t", directory);
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		snprintf(world.address, sizeof(world.address), "file:%s", path);
	} else {
		fd = memfd_create("lies", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		snprintf(world.address, sizeof(world.address), "fd:%d", fd);
	}
	MUST(fd >= 0);
	MUST(write(fd, image->bytes, image->size) == (ssize_t)image->size);
	if (kind->disk) {
		close(fd);
		return;
	}
	MUST(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	must(torc_topic_open(NULL, world.address, NULL, &world.topic));
	close(fd);
}

static void end(void)
{
	torc_set_close(world.set);
	torc_pub_close(world.pub);
	torc_sub_close(world.subs[0]);
	torc_sub_close(world.subs[1]);
	torc_topic_close(world.topic);
	if (world.kind->disk)
		torc_bus_remove(NULL, world.address, 0);
}

/* ---- What calls are made on --------------------------------------------- */

static void have_topic(void)
{
	if (!world.topic)
		must(torc_topic_open(NULL, world.address, NULL, &world.topic));
}

static void have_pub(enum torc_full full)
{
	struct torc_pub_options options = {
		.full = full,
		.wait = TORC_WAIT_SLEEP,
		.timeout_ns = full == TORC_FULL_WAIT ? A_MOMENT_NS : 0,
	};

	have_topic();
	must(torc_pub_open(world.topic, &options, &world.pub));
}

static void have_pub_that_fails(void)
{
	have_pub(TORC_FULL_FAIL);
}

static void have_sub(unsigned int which)
{
	struct torc_sub_options options = {
		.flags = TORC_SUB_OLDEST | (which ? TORC_SUB_LOSSY : 0),
		.wait = TORC_WAIT_SLEEP,
	};

	have_topic();
	must(torc_sub_open(world.topic, &options, &world.subs[which]));
}

static void have_subs(void)
{
	have_sub(0);
	have_sub(1);
}

static void have_full_ring(enum torc_full full)
{
	static const char data[200];
	int r;

	have_sub(0);
	have_pub(TORC_FULL_FAIL);
	do
		r = torc_pub_publish(world.pub, data, sizeof(data));
	while (!r);
	MUST(r == -EAGAIN);
	torc_pub_close(world.pub);
	have_pub(full);
}

static void have_full_ring_to_evict(void)
{
	have_full_ring(TORC_FULL_EVICT);
}

static void have_full_ring_to_wait(void)
{
	have_full_ring(TORC_FULL_WAIT);
}

static void have_full_ring_to_drop(void)
{
	have_full_ring(TORC_FULL_DROP);
}

static void have_reservation(void)
{
	have_pub_that_fails();
	must(torc_pub_reserve(world.pub, 100, &world.payload));
}

static void have_set(void)
{
	have_subs();
	must(torc_set_open(TORC_WAIT_SLEEP, &world.set));
	must(torc_set_add(world.set, world.subs[0], &world.subs[0]));
	must(torc_set_add(world.set, world.subs[1], &world.subs[1]));
}

/* At rest: armed, by whom the publisher is to wake. */
static void have_sleepers(void)
{
	struct torc_message message;
	char buffer[256];

	have_subs();
	must(torc_sub_fd(world.subs[0]));
	while (!torc_sub_receive(world.subs[0], buffer, sizeof(buffer),
				 &message) ||
	       !torc_sub_wait(world.subs[0], A_MOMENT_NS))
		;
	have_pub(TORC_FULL_FAIL);
	publish_some(world.pub, 1);
	while (!torc_sub_receive(world.subs[0], buffer, sizeof(buffer),
				 &message))
		;
}

/* ---- Calls -------------------------------------------------------------- */

static void must_be_error(int r)
{
	MUST(r <= 0 && r > -4096);
	MUST(torc_strerror(r) && torc_errmsg());
}

static void must_be_count(int r, int max)
{
	MUST(r <= max);
	if (r < 0)
		must_be_error(r);
}

/* It is in the ring; every byte is read. */
static int must_be_in_ring(const struct torc_message *message, void *context)
{
	const unsigned char *data = message->data;
	static volatile unsigned char sum;

	(void)context;
	MUST(message->length <= CAPACITY / 4);
	for (size_t i = 0; i < message->length; i++)
		sum = (unsigned char)(sum + data[i]);
	return 0;
}

/* What was peeked in place, nor behind or before it. */
static void must_be_in_region(const struct torc_message *message)
{
	const unsigned char *data = message->data;
	const struct region *region = region_of(data);

	MUST(region && message->length <= region->size &&
	     (size_t)(data - region->base) <= region->size - message->length);
	must_be_in_ring(message, NULL);
}

static void open_topic(void)
{
	must_be_error(torc_topic_open(NULL, world.address, NULL,
				      &world.topic));
}

static void pub_open(void)
{
	must_be_error(torc_pub_open(world.topic, NULL, &world.pub));
}

static void pub_close(void)
{
	world.pub = torc_pub_close(world.pub);
}

static void publish(void)
{
	static const char data[CAPACITY / 8];
	int r;

	r = torc_pub_publish(world.pub, data, 8);
	must_be_error(r);
	r = torc_pub_publish(world.pub, data, 300);
	must_be_error(r);
	r = torc_pub_sync(world.pub);
	must_be_error(r);
}

static void publish_pieces(void)
{
	static char data[200];
	struct iovec pieces[] = { { data, 100 }, { data, 200 } };

	must_be_error(torc_pub_publishv(world.pub, pieces, 2));
}

static void publish_batch(void)
{
	static const char data[200];
	struct torc_span spans[] = { { data, 8 }, { data, 200 }, { data, 56 } };

	must_be_count(torc_pub_publish_batch(world.pub, spans, 3), 3);
}

static void reserve(void)
{
	int r = torc_pub_reserve(world.pub, 200, &world.payload);
	struct torc_message message = { .data = world.payload, .length = 200 };

	must_be_error(r);
	if (r)
		return;
	must_be_in_region(&message);
	memset(world.payload, 0x55, 200);
	must_be_error(torc_pub_commit(world.pub, 50));
}

static void commit(void)
{
	must_be_error(torc_pub_commit(world.pub, 60));
}

static void abort_it(void)
{
	torc_pub_abort(world.pub);
}

static void sub_open(unsigned int flags)
{
	struct torc_sub_options options = { .flags = flags };

	must_be_error(torc_sub_open(world.topic, &options, &world.subs[0]));
}

static void sub_open_latest(void)
{
	sub_open(0);
}

static void sub_open_oldest(void)
{
	sub_open(TORC_SUB_OLDEST);
}

static void sub_open_lossy(void)
{
	sub_open(TORC_SUB_LOSSY);
}

static void sub_close(void)
{
	world.subs[0] = torc_sub_close(world.subs[0]);
	world.subs[1] = torc_sub_close(world.subs[1]);
}

static void receive(void)
{
	for (int i = 0; i < 2; i++) {
		struct torc_message message;
		char *buffer = malloc(150);
		int r = torc_sub_receive(world.subs[i], buffer, 150, &message);

		must_be_error(r);
		if (!r)
			MUST(message.length <= 150);
		free(buffer);
	}
}

static void peek(void)
{
	for (int i = 0; i < 2; i++) {
		struct torc_message messages[8];
		int n = torc_sub_peek_batch(world.subs[i], messages, 8);

		must_be_count(n, 8);
		for (int k = 0; k < n; k++)
			must_be_in_region(&messages[k]);
		must_be_error(torc_sub_release(world.subs[i]));
		n = torc_sub_peek(world.subs[i], messages);
		must_be_error(n);
		if (!n)
			must_be_in_region(messages);
	}
}

static void dispatch(void)
{
	for (int i = 0; i < 2; i++)
		must_be_count(torc_sub_dispatch(world.subs[i], must_be_in_ring,
						NULL, 50), 50);
}

static void sub_wait(void)
{
	must_be_error(torc_sub_wait(world.subs[0], 0));
	must_be_error(torc_sub_wait(world.subs[1], A_MOMENT_NS));
	must_be_count(torc_sub_wait_any(world.subs, 2, A_MOMENT_NS), 1);
}

static void sub_ended(void)
{
	must_be_count(torc_sub_ended(world.subs[0]), 1);
	torc_sub_wake(world.subs[0]);
}

static void sub_fd(void)
{
	struct torc_message message;

	must_be_count(torc_sub_fd(world.subs[0]), 1000);
	for (int i = 0; i < 20; i++)
		if (torc_sub_peek(world.subs[0], &message) ||
		    torc_sub_release(world.subs[0]))
			break;
}

static void set_add(void)
{
	must_be_error(torc_set_open(TORC_WAIT_ADAPTIVE, &world.set));
	must_be_error(torc_set_add(world.set, world.subs[0], NULL));
	torc_set_remove(world.set, world.subs[0]);
}

static void set_wait(void)
{
	void *who;

	for (int i = 0; i < 4; i++) {
		struct torc_message message;
		int r = torc_set_wait(world.set, i & 1 ? A_MOMENT_NS : 0, &who);

		must_be_error(r);
		if (!r && !torc_sub_peek(*(struct torc_subscriber **)who,
					 &message))
			torc_sub_release(*(struct torc_subscriber **)who);
	}
	torc_set_wake(world.set);
}

static void look(void)
{
	struct torc_participant who[8];
	struct torc_topic_info info;
	struct torc_mapped mapped[2];

	must_be_error(torc_topic_get_info(world.topic, &info));
	must_be_count(torc_topic_participants(world.topic, who, 8), 8);
	must_be_count(torc_topic_mapped(world.topic, mapped), 2);
}

static void dump(void)
{
	struct torc_dump found;

	must_be_error(torc_topic_dump(world.topic, must_be_in_ring, NULL,
				      &found));
}

/* Of a file that the machine left. */
static void inspect(void)
{
	struct torc_topic_options options = { .flags = TORC_INSPECT };

	if (!torc_topic_open(NULL, world.address, &options, &world.topic))
		dump();
}

static void repair(void)
{
	must_be_count(torc_topic_repair(world.topic), 8);
}

static void resize(void)
{
	must_be_error(torc_topic_resize(NULL, world.address, 2 * CAPACITY));
}

static void nothing(void)
{
}

static void have_sub_alone(void)
{
	have_sub(0);
}

#define FILES_ONLY 1

static const struct call {
	const char *name;
	void (*prepare)(void);
	void (*make)(void);
	unsigned int flags;
} calls[] = {
	{ "topic_open", nothing, open_topic, FILES_ONLY },
	{ "pub_open", have_topic, pub_open, 0 },
	{ "pub_close", have_reservation, pub_close, 0 },
	{ "publish", have_pub_that_fails, publish, 0 },
	{ "publish,dropping", have_full_ring_to_drop, publish, 0 },
	{ "publish,evicting", have_full_ring_to_evict, publish, 0 },
	{ "publish,waiting", have_full_ring_to_wait, publish, 0 },
	{ "publish,waking", have_sleepers, publish, 0 },
	{ "publishv", have_pub_that_fails, publish_pieces, 0 },
	{ "publish_batch", have_pub_that_fails, publish_batch, 0 },
	{ "publish_batch,evicting", have_full_ring_to_evict, publish_batch, 0 },
	{ "reserve", have_full_ring_to_evict, reserve, 0 },
	{ "commit", have_reservation, commit, 0 },
	{ "abort", have_reservation, abort_it, 0 },
	{ "sub_open,latest", have_topic, sub_open_latest, 0 },
	{ "sub_open,oldest", have_topic, sub_open_oldest, 0 },
	{ "sub_open,lossy", have_topic, sub_open_lossy, 0 },
	{ "sub_close", have_subs, sub_close, 0 },
	{ "receive", have_subs, receive, 0 },
	{ "peek", have_subs, peek, 0 },
	{ "dispatch", have_subs, dispatch, 0 },
	{ "sub_wait", have_subs, sub_wait, 0 },
	{ "sub_wait,asleep", have_sleepers, sub_wait, 0 },
	{ "sub_ended", have_sub_alone, sub_ended, 0 },
	{ "sub_fd", have_sub_alone, sub_fd, 0 },
	{ "set_add", have_sub_alone, set_add, 0 },
	{ "set_wait", have_set, set_wait, 0 },
	{ "look", have_subs, look, 0 },
	{ "dump", have_topic, dump, 0 },
	{ "inspect", nothing, inspect, FILES_ONLY },
	{ "repair", have_topic, repair, 0 },
	{ "resize", nothing, resize, FILES_ONLY },
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))

/* ---- Trials ------------------------------------------------------------- */

static struct {
	unsigned int call, kind, lie;
	uint64_t load;
} trial;

static void say_which(void)
{
	fprintf(stderr, "lies %u %u %" PRIu64 " %u (%s)\n", trial.call,
		trial.kind, trial.load, trial.lie, calls[trial.call].name);
}

/* How many loads the call made. */
static uint64_t try(unsigned int call, unsigned int kind, uint64_t load,
		    unsigned int which)
{
	uint64_t loads;

	trial.call = call;
	trial.kind = kind;
	trial.load = load;
	trial.lie = which;
	alarm(60);
	begin(&kinds[kind]);
	calls[call].prepare();
	lies_begin(load, which);
	calls[call].make();
	loads = lies_end();
	end();
	return loads;
}

static bool fits(unsigned int call, unsigned int kind)
{
	return !(calls[call].flags & FILES_ONLY) || kinds[kind].disk;
}

static uint64_t trials;

/* Every load of a call, and every lie. */
static void try_call(unsigned int call, unsigned int kind)
{
	uint64_t loads = try(call, kind, 0, 0);

	for (uint64_t load = 1; load <= loads; load++)
		for (unsigned int which = 0; which < LIES; which++, trials++)
			try(call, kind, load, which);
}

/* The call's loads are as likely as others', however many it has. */
static void try_any(uint64_t *loads, uint64_t random)
{
	unsigned int call = (unsigned int)(random % CALLS);
	unsigned int kind = (unsigned int)(random / CALLS % KINDS);
	uint64_t *known = &loads[call * KINDS + kind];

	if (!fits(call, kind))
		return;
	if (!*known)
		*known = 1 + try(call, kind, 0, 0);
	try(call, kind, 1 + (random >> 32) % *known,
	    (unsigned int)((random >> 16) % LIES));
	trials++;
}

static void on_alarm(int number)
{
	(void)number;
	abort();
}

static void begin_all(void)
{
	MUST(mkdtemp(directory));
	signal(SIGALRM, on_alarm);
	__sanitizer_set_death_callback(say_which);
	for (unsigned int i = 0; i < KINDS; i++)
		make_image(&kinds[i], &images[i]);
}

int main(int argc, char **argv)
{
	static uint64_t loads[CALLS * KINDS];
	uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 0) : 10;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0)
				 : (uint64_t)time(NULL);
	time_t until = time(NULL) + (time_t)seconds;

	begin_all();
	if (argc == 5) {
		try((unsigned int)atoi(argv[1]), (unsigned int)atoi(argv[2]),
		    strtoull(argv[3], NULL, 0), (unsigned int)atoi(argv[4]));
	} else if (!seconds) {
		for (unsigned int call = 0; call < CALLS; call++)
			for (unsigned int kind = 0; kind < KINDS; kind++)
				if (fits(call, kind))
					try_call(call, kind);
	} else {
		while (time(NULL) < until) {
			/* Not by the state that lies are made from. */
			seed = seed * 6364136223846793005u +
			       1442695040888963407u;
			try_any(loads, seed ^ seed >> 29);
		}
	}
	for (unsigned int i = 0; i < KINDS; i++)
		free(images[i].bytes);
	MUST(!rmdir(directory));
	printf("%" PRIu64 " lies\n", trials);
	return 0;
}
