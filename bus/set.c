/* SPDX-License-Identifier: MIT */
/*
 * Sets: one wait, or one descriptor for an event loop, for any number of
 * subscribers.
 *
 * The members of a set are *warm* or cold.  Warm ones are looked at, in turns.
 * One that has been silent for a while is made cold: its doorbell (bell.c) is
 * armed, and it is not looked at again until that rings.  So a thousand silent
 * topics cost nothing; they stay armed.
 *
 * The descriptor is an epoll instance with the doorbell's socket and a timer.  It
 * is to be readable as long as there may be something: while the set is awake, the
 * timer has expired.  When all have been made cold, the set rests: the timer is
 * set to when it will look after what may have been lost by a death.
 */
#include "bell.h"
#include "bell_arm.h"
#include "seat.h"
#include "set.h"
#include "wait.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* Between two looks for rings, and two times of making the silent cold. */
#define HEAR_LOOKS	256u
#define COOL_LOOKS	4096u
/* Members that are looked after at a time. */
#define SCAN_MAX	128u
/*
 * So many rings, which is what the kernel queues (net.unix.max_dgram_qlen is 10
 * or more): others may have been lost.
 */
#define RINGS_QUEUED	10
#define RINGS_MAX	64

struct torc_set {
	struct torc_forkable forkable;	/* fds: epoll, timer */
	struct torc_bell bell;
	struct torc_patience patience;
	struct torc_seat **seats;	/* by their hints; NULL: free */
	struct torc_seat **warm;
	uint32_t size, warm_count, turn;
	uint32_t polled;	/* members that nobody can wake */
	uint32_t looks, scan_at;
	uint64_t scanned;	/* torc_coarse_now_ns() */
	uint32_t interrupted;
	bool blind;		/* no membarrier() */
	bool has_fd;		/* somebody looks at the descriptor */
	uint64_t rest_until;	/* torc_now_ns(); 0: awake */
};

static int epoll_fd(const struct torc_set *set)
{
	return set->forkable.fds[0];
}

/* ---- Awake and at rest -------------------------------------------------- */

/* Async-signal-safe. */
static void set_timer(const struct torc_set *set, uint64_t ns)
{
	const struct itimerspec when = { .it_value.tv_nsec = (long)ns };

	timerfd_settime(set->forkable.fds[1], 0, &when, NULL);
}

/* Keep the descriptor readable from now on. */
static void stir(struct torc_set *set)
{
	if (!set->rest_until)
		return;
	set->rest_until = 0;
	if (set->has_fd)
		set_timer(set, 1);
}

static uint64_t tick_ns(const struct torc_set *set)
{
	return set->polled || set->blind ? TORC_POLL_NS : TORC_SLEEP_NS;
}

/* ---- Warm and cold ------------------------------------------------------ */

static void make_warm(struct torc_set *set, struct torc_seat *seat)
{
	if (seat->warm)
		return;
	seat->warm = true;
	seat->spoke = true;
	set->warm[set->warm_count++] = seat;
}

static void drop_warm(struct torc_set *set, struct torc_seat *seat)
{
	for (uint32_t i = 0; i < set->warm_count; i++)
		if (set->warm[i] == seat)
			set->warm[i] = set->warm[--set->warm_count];
	seat->warm = false;
}

/*
 * Arm the bells of members: @all, or those that were silent since the last time.
 * These are behind the others then, from the index that is returned on.
 */
static uint32_t arm_silent(struct torc_set *set, bool all)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < set->warm_count; i++) {
		struct torc_seat *seat = set->warm[i];

		if (!seat->slot || (seat->spoke && !all)) {
			seat->spoke = false;
			set->warm[i] = set->warm[kept];
			set->warm[kept++] = seat;
			continue;
		}
		torc_sub_settle(seat->sub);
		torc_bell_arm(seat->slot, &seat->cursors->data_word);
	}
	return kept;
}

/*
 * Make members cold, as arm_silent() chooses them.  True if one of them has
 * something to say after all.
 */
static bool cool(struct torc_set *set, bool all)
{
	uint32_t kept = arm_silent(set, all), count = set->warm_count;

	if (kept == count)
		return false;
	set->blind = !torc_wake_barrier();
	set->warm_count = kept;
	for (uint32_t i = kept; i < count; i++) {
		struct torc_seat *seat = set->warm[i];

		seat->warm = false;
		if (!torc_sub_ready(seat->sub))
			continue;
		torc_store_relaxed(&seat->slot->bell_armed, 0u);
		make_warm(set, seat);
	}
	return set->warm_count > kept;
}

/* Those whose bells the driver disarmed. */
static void warm_disarmed(struct torc_set *set)
{
	for (uint32_t i = 0; i < set->size; i++) {
		struct torc_seat *seat = set->seats[i];

		if (seat && seat->slot && seat->topic->mapping->ring &&
		    !torc_load_relaxed(&seat->slot->bell_armed))
			make_warm(set, seat);
	}
}

/* Make those warm whose bell rang; true if it did.  The set is not stirred. */
static bool listen(struct torc_set *set)
{
	uint32_t hint = 0;
	int n;

	for (n = 0; n < RINGS_MAX && torc_bell_hear(&set->bell, &hint); n++)
		if (hint == TORC_RING_UNNAMED)
			warm_disarmed(set);
		else if (hint < set->size && set->seats[hint])
			make_warm(set, set->seats[hint]);
	for (uint32_t i = 0; n >= RINGS_QUEUED && i < set->size; i++)
		if (set->seats[i])
			make_warm(set, set->seats[i]);
	return n;
}

static void hear(struct torc_set *set)
{
	if (listen(set))
		stir(set);
}

/* Look after what no ring told of. */
static void scan(struct torc_set *set)
{
	uint32_t n = set->size < SCAN_MAX ? set->size : SCAN_MAX;

	for (uint32_t i = 0; i < n; i++) {
		struct torc_seat *seat = set->seats[set->scan_at++ % set->size];

		if (seat && (torc_sub_ready(seat->sub) ||
			     torc_sub_skip_dead(seat->sub)))
			make_warm(set, seat);
	}
}

/* For who polls, or waits for less than TORC_SLEEP_NS at a time. */
static void scan_when_due(struct torc_set *set)
{
	uint64_t now = torc_coarse_now_ns();

	if (now - set->scanned < TORC_SLEEP_NS)
		return;
	set->scanned = now;
	scan(set);
}

/* The next, in turns, that has something to say. */
static struct torc_seat *next_ready(struct torc_set *set)
{
	for (uint32_t i = 0; i < set->warm_count; i++) {
		struct torc_seat *seat = set->warm[set->turn++ % set->warm_count];

		if (torc_sub_ready(seat->sub)) {
			seat->spoke = true;
			return seat;
		}
	}
	return NULL;
}

/* Rest; false if there is something instead. */
static bool rest(struct torc_set *set)
{
	bool heard = listen(set);
	uint64_t now = torc_now_ns();
	bool due = set->rest_until && now >= set->rest_until;

	if (set->rest_until && !heard && !due &&
	    set->warm_count == set->polled)
		return true;
	if (due)
		scan(set);
	if (next_ready(set) || cool(set, true)) {
		stir(set);
		return false;
	}
	set->rest_until = now + tick_ns(set);
	set_timer(set, tick_ns(set));
	return true;
}

void torc_set_settle(struct torc_set *set)
{
	struct torc_seat *seat = set->seats[0];

	if (set->rest_until && torc_now_ns() < set->rest_until &&
	    (!seat->slot || torc_load_relaxed(&seat->slot->bell_armed)))
		return;
	make_warm(set, seat);
	rest(set);
}

/* ---- Waiting ------------------------------------------------------------ */

static bool set_ready(void *context)
{
	struct torc_set *set = context;

	if (++set->looks % HEAR_LOOKS == 0)
		hear(set);
	if (torc_load_relaxed(&set->interrupted))
		return true;
	for (uint32_t i = 0; i < set->warm_count; i++)
		if (torc_sub_ready(set->warm[i]->sub))
			return true;
	return false;
}

static int set_sleep(void *context, uint64_t ns)
{
	struct torc_set *set = context;
	struct pollfd poll = { .fd = epoll_fd(set), .events = POLLIN };
	const struct timespec timeout = { .tv_nsec = (long)ns };
	int r;

	/* The flag after the timer was set, for torc_set_wake(). */
	if (!rest(set) || torc_load_relaxed(&set->interrupted))
		return 0;
	r = ppoll(&poll, 1, &timeout, NULL);
	hear(set);
	return r < 0 ? -EINTR : 0;
}

static int wait_for(struct torc_set *set, int64_t timeout_ns)
{
	const struct torc_event event = { set_ready, set_sleep, set };
	struct torc_waiting waiting;
	int r;

	torc_waiting_begin(&waiting, &set->patience, timeout_ns);
	do {
		r = torc_wait_turn(&waiting, &event);
		/* Who only spins does not rest. */
		if (r == -EAGAIN && !set->rest_until)
			scan(set);
	} while (r == -EAGAIN);
	if (!r)
		torc_waiting_end(&waiting);
	return r;
}

int torc_set_wait(struct torc_set *set, int64_t timeout_ns, void **ret_data)
{
	struct torc_seat *seat;
	int r;

	if (set->forkable.unusable)
		return -EOWNERDEAD;
	for (;;) {
		if (++set->looks % HEAR_LOOKS == 0)
			hear(set);
		if (set->looks % COOL_LOOKS == 0)
			cool(set, false);
		seat = next_ready(set);
		if (seat) {
			*ret_data = seat->data;
			return 0;
		}
		if (torc_interrupted(&set->interrupted)) {
			stir(set);
			return -EINTR;
		}
		for (uint32_t i = 0; i < set->warm_count; i++)
			torc_sub_settle(set->warm[i]->sub);
		scan_when_due(set);
		if (!timeout_ns && (set->has_fd ? rest(set) : !listen(set)))
			return -ETIMEDOUT;
		r = timeout_ns ? wait_for(set, timeout_ns) : 0;
		if (r == -ETIMEDOUT)
			timeout_ns = 0;
		else if (r)
			return r;
	}
}

void torc_set_wake(struct torc_set *set)
{
	int saved = errno;

	torc_store_relaxed(&set->interrupted, 1u);
	set_timer(set, 1);
	errno = saved;
}

int torc_set_fd(struct torc_set *set)
{
	if (set->forkable.unusable)
		return -EOWNERDEAD;
	set->has_fd = true;
	return epoll_fd(set);
}

/* ---- Members ------------------------------------------------------------ */

static int grow_list(struct torc_seat ***list, uint32_t size)
{
	struct torc_seat **grown = realloc(*list, size * sizeof(*grown));

	if (!grown)
		return torc_fail(-ENOMEM, "out of memory");
	*list = grown;
	return 0;
}

static int grow(struct torc_set *set)
{
	uint32_t size = set->size ? 2 * set->size : 8;

	if (grow_list(&set->seats, size) || grow_list(&set->warm, size))
		return -ENOMEM;
	for (uint32_t i = set->size; i < size; i++)
		set->seats[i] = NULL;
	set->size = size;
	return 0;
}

/* From now on publishers know the bell, but it is not armed. */
static void show_bell(const struct torc_set *set, struct torc_seat *seat)
{
	uint32_t *bells = &seat->cursors->bells, seen;

	torc_store_relaxed(&seat->slot->bell_hint, seat->index);
	torc_store_relaxed(&seat->slot->bell, set->bell.number);
	do
		seen = torc_load_relaxed(bells);
	while (seen <= seat->slot_index &&
	       !torc_cas(bells, seen, seat->slot_index + 1));
}

int torc_set_add(struct torc_set *set, struct torc_subscriber *sub, void *data)
{
	struct torc_seat *seat = torc_sub_seat(sub);
	uint32_t i = 0;
	int r;

	if (set->forkable.unusable)
		return -EOWNERDEAD;
	if (seat->set)
		return torc_fail(-EBUSY, "%s: the subscriber is in a set, or "
				 "has a descriptor, already",
				 seat->topic->name);
	r = seat->topic->mapping->ring
		    ? torc_bell_wire(&set->bell, seat->topic,
				     seat->subscription, epoll_fd(set))
		    : torc_bell_hang(&set->bell, seat->topic->place.bus,
				     epoll_fd(set));
	if (r)
		return r;
	while (i < set->size && set->seats[i])
		i++;
	if (i == set->size) {
		r = grow(set);
		if (r)
			return r;
	}
	seat->set = set;
	seat->data = data;
	seat->index = i;
	set->seats[i] = seat;
	if (!seat->slot)
		set->polled++;
	else if (!seat->topic->mapping->ring)
		show_bell(set, seat);
	make_warm(set, seat);
	stir(set);
	return 0;
}

void torc_set_remove(struct torc_set *set, struct torc_subscriber *sub)
{
	struct torc_seat *seat = torc_sub_seat(sub);

	if (seat->set != set)
		return;
	if (!seat->slot) {
		set->polled--;
	} else if (!set->forkable.unusable) {
		torc_store_relaxed(&seat->slot->bell_armed, 0u);
		torc_store_relaxed(&seat->slot->bell, 0u);
		if (seat->topic->mapping->ring)
			seat->topic->mapping->ring(seat->subscription, -1);
	}
	set->seats[seat->index] = NULL;
	drop_warm(set, seat);
	seat->set = NULL;
}

/* ---- Opening and closing ------------------------------------------------ */

static int open_descriptors(struct torc_set *set)
{
	struct epoll_event event = { .events = EPOLLIN };
	int *fds = set->forkable.fds, r = 0;

	torc_fork_hold();
	fds[0] = epoll_create1(EPOLL_CLOEXEC);
	fds[1] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (fds[0] < 0 || fds[1] < 0 ||
	    epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event))
		r = -errno;
	torc_fork_allow();
	return r ? torc_fail(r, "cannot get descriptors for a set: %s",
			     strerrordesc_np(-r))
		 : 0;
}

static int open_set(enum torc_wait wait, bool alone, struct torc_set **ret_set)
{
	struct torc_set *set = calloc(1, sizeof(*set));
	int r;

	if (!set)
		return torc_fail(-ENOMEM, "out of memory");
	torc_forkable_add(&set->forkable);
	r = torc_patience_init(&set->patience, "set", wait);
	if (!r)
		r = torc_bell_init(&set->bell, alone);
	if (!r)
		r = open_descriptors(set);
	if (r) {
		torc_set_close(set);
		return r;
	}
	set_timer(set, 1);
	*ret_set = set;
	return 0;
}

int torc_set_open(enum torc_wait wait, struct torc_set **ret_set)
{
	return open_set(wait, false, ret_set);
}

int torc_set_open_alone(struct torc_subscriber *sub, enum torc_wait wait,
			struct torc_set **ret_set)
{
	struct torc_set *set;
	int r = open_set(wait, true, &set);

	if (r)
		return r;
	r = torc_set_add(set, sub, NULL);
	if (r) {
		torc_set_close(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

struct torc_set *torc_set_close(struct torc_set *set)
{
	if (!set)
		return NULL;
	for (uint32_t i = 0; i < set->size; i++)
		if (set->seats[i])
			torc_set_remove(set, set->seats[i]->sub);
	torc_bell_fini(&set->bell);
	torc_forkable_remove(&set->forkable);
	free(set->seats);
	free(set->warm);
	free(set);
	return NULL;
}
