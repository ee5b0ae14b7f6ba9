/* SPDX-License-Identifier: MIT */
/*
 * The threads' side: the operations of atomic.h, and what else threads do.  A
 * thread hands over before each step.
 */
#include "atomic.h"
#include "world.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define ENDLESS 1000000u

bool model_membarrier_refused;

/* Accesses since the last step. */
static uint32_t without_step;

static void see(uint64_t value)
{
	current->seen = mix(current->seen * 31 + value + 1);
}

static bool shared(const void *p)
{
	return (const unsigned char *)p >= model_memory &&
	       (const unsigned char *)p < model_memory + MODEL_MEMORY;
}

static uint32_t offset_of(const void *p)
{
	return (uint32_t)((const unsigned char *)p - model_memory);
}

static bool in_thread(const void *p)
{
	return current && shared(p);
}

/* ---- Steps ---------------------------------------------------------------- */

/* What follows is a step. */
static void step(void)
{
	without_step = 0;
	fiber_hand_over();
	words_clear(&current->loaded);
	if (order == MODEL_SC)
		buffer_settle(current);
	/* It is further on, even if it finds nothing new. */
	see(0);
}

/* A step that begins when the thread's stores are in memory. */
static void step_drained(void)
{
	current->drains = true;
	step();
	current->drains = false;
	buffer_settle(current);
}

/* One that begins, and has a full fence, when they are. */
static void step_fenced(void)
{
	step_drained();
	snapshot_drop(current);
}

/* What follows is none. */
static void early(void)
{
	see(0);
	MODEL_CHECK(++without_step < ENDLESS, "no end, and no step");
}

/*
 * Here a mortal thread may stop for ever: it dies then, sooner or later.  That
 * is no step of its own.
 */
static void may_stop(void)
{
	if (!is_mortal(current))
		return;
	current->may_stop = true;
	fiber_hand_over();
	current->may_stop = false;
	see(0);
}

_Noreturn void thread_main(void)
{
	may_stop();
	the_case->threads[thread_index(current)]();
	step();
	current->ended = true;
	snapshot_drop(current);
	happened(current);
	fiber_hand_over();
	abort();
}

/* ---- Loads ---------------------------------------------------------------- */

/* A step, whose choice includes what the snapshot has: true if it was chosen. */
static bool step_load(uint32_t offset, uint32_t size)
{
	bool stale;

	current->loads = offset;
	current->loads_size = size;
	step();
	stale = current->stale;
	current->stale = false;
	current->loads_size = 0;
	return stale;
}

/* To be a step, it has to be known as raced. */
static void load_early(uint32_t offset, size_t size)
{
	early();
	words_add(&current->loaded, offset, size);
	if (snapshot_has(current, offset, size) ||
	    snapshot_is_unsure(current, offset, size))
		memory_found_race(offset, size);
}

static void load(const void *p, void *to, size_t size, bool acquire)
{
	uint32_t offset = offset_of(p);
	bool stale = false;

	if (memory_is_raced(offset, size))
		stale = step_load(offset, (uint32_t)size);
	else
		load_early(offset, size);
	if (current->polls)
		words_add(&current->polled, offset, size);
	if (stale) {
		snapshot_read(current, offset, to, size);
		/* It would find the newer one if it looked again. */
		current->changed |= current->polls;
		return;
	}
	memory_access(current, offset, size, false);
	buffer_read(current, offset, to, size);
	snapshot_loaded(current, offset, size, acquire);
}

uint64_t model_load(const void *p, size_t size, bool acquire)
{
	uint64_t value = 0;

	if (!in_thread(p)) {
		memcpy(&value, p, size);
		return value;
	}
	load(p, &value, size, acquire);
	see(value);
	return value;
}

static void get(void *to, const void *from, size_t size)
{
	load(from, to, size, false);
	current->seen = hash_bytes(current->seen, to, size);
}

/* ---- Stores --------------------------------------------------------------- */

/* Who waits for a change, and makes one itself, need not wait. */
static void changes(uint32_t offset, const void *bytes, size_t size)
{
	unsigned char was[MODEL_MEMORY];

	if (!current->polls || !words_have(&current->polled, offset, size))
		return;
	buffer_read(current, offset, was, size);
	current->changed |= memcmp(was, bytes, size) != 0;
}

static bool put_early(const struct entry *e)
{
	if (memory_is_raced(e->offset, e->size) ||
	    buffer_has(current, e->offset, e->size) ||
	    !buffer_put_early(current, e->offset, e->size))
		return false;
	early();
	memory_write(current, e->offset, entry_bytes(e), e->size);
	return true;
}

/* Append to the buffer: that is a step only if the buffer is full. */
static void put_waiting(const struct entry *e)
{
	see(0);
	if (current->waiting == BUFFER) {
		current->stores = true;
		step();
		current->stores = false;
	}
	buffer_put(current, *e);
}

static void put(struct entry e)
{
	changes(e.offset, entry_bytes(&e), e.size);
	snapshot_passed(current, e.offset, e.size);
	if (!put_early(&e)) {
		if (order == MODEL_SC) {
			step();
			memory_write(current, e.offset, entry_bytes(&e),
				     e.size);
		} else {
			put_waiting(&e);
		}
	}
	may_stop();
}

void model_store(void *p, uint64_t value, size_t size, bool release)
{
	if (!in_thread(p))
		memcpy(p, &value, size);
	else
		put((struct entry){ .offset = offset_of(p),
				    .size = (uint32_t)size,
				    .release = release,
				    .value = value });
}

bool model_cas(void *p, uint64_t old, uint64_t desired, size_t size,
	       bool ordered)
{
	uint64_t value = 0;

	if (!in_thread(p)) {
		memcpy(&value, p, size);
		if (value == old)
			memcpy(p, &desired, size);
		return value == old;
	}
	if (ordered || buffer_has(current, offset_of(p), size))
		step_drained();
	else
		step();
	if (current->polls)
		words_add(&current->polled, offset_of(p), size);
	memory_access(current, offset_of(p), size, false);
	memcpy(&value, p, size);
	snapshot_loaded(current, offset_of(p), size, ordered);
	see(value);
	if (value != old)
		return false;
	changes(offset_of(p), &desired, size);
	memory_write(current, offset_of(p), &desired, size);
	snapshot_passed(current, offset_of(p), size);
	may_stop();
	return true;
}

void model_fence_full(void)
{
	if (!current)
		return;
	if (current->waiting)
		step_drained();
	snapshot_drop(current);
}

void model_fence_release(void)
{
	if (current && order >= MODEL_RELEASE)
		buffer_fence(current);
}

void model_fence_acquire(void)
{
	if (current)
		snapshot_fence(current);
}

static const unsigned char zeros[MODEL_MEMORY];

/* In two: @size bytes at @to, from what never changes. */
static void put_halves(void *to, const unsigned char *from, size_t size)
{
	uint32_t half = (uint32_t)(size / 16 * 8);
	uint32_t offset = offset_of(to);

	if (half)
		put((struct entry){
			.offset = offset, .size = half, .from = from });
	put((struct entry){ .offset = offset + half,
			    .size = (uint32_t)size - half,
			    .from = from + half });
}

void model_copy(void *to, const void *from, size_t size)
{
	size_t half = size / 16 * 8;

	if (in_thread(to)) {
		put_halves(to, from, size);
	} else if (in_thread(from)) {
		if (half)
			get(to, from, half);
		get((unsigned char *)to + half,
		    (const unsigned char *)from + half, size - half);
	} else {
		memcpy(to, from, size);
	}
}

void model_zero(void *to, size_t size)
{
	if (in_thread(to))
		put_halves(to, zeros, size);
	else
		memset(to, 0, size);
}

/* ---- What cases ask for --------------------------------------------------- */

void model_forget(int place, const void *local, size_t size)
{
	current->seen = hash_bytes((uint64_t)place + 1, local, size);
}

static void poll_ends(void)
{
	current->polls = current->changed = false;
	words_clear(&current->polled);
}

void model_poll(void)
{
	poll_ends();
	current->polls = true;
}

void model_await(void)
{
	current->awaits = true;
	step();
	current->awaits = false;
	poll_ends();
}

void model_note(uint64_t value)
{
	MODEL_CHECK(current->note_count < MODEL_NOTES, "too many notes");
	poll_ends();
	current->notes[current->note_count++] = value;
	may_stop();
}

const uint64_t *model_notes(unsigned int thread, unsigned int *ret_count)
{
	*ret_count = world.threads[thread].note_count;
	return world.threads[thread].notes;
}

bool model_dead(unsigned int thread)
{
	bool dead;

	step();
	dead = world.threads[thread].dead;
	if (dead)
		snapshot_drop(current);
	see(dead);
	return dead;
}

bool model_ended(uint32_t mask)
{
	bool ended = true;

	step();
	for (uint32_t i = 0; i < world.count; i++)
		if (mask >> i & 1)
			ended &= world.threads[i].ended &&
				 !world.threads[i].waiting;
	if (ended)
		snapshot_drop(current);
	for (uint32_t i = 0; ended && i < world.count; i++)
		if (mask >> i & 1)
			buffer_settle(&world.threads[i]);
	see(ended);
	return ended;
}

bool model_trylock(unsigned int lock)
{
	uint32_t self = thread_index(current) + 1;
	bool won;

	step_fenced();
	won = !world.locks[lock] || world.locks[lock] == self;
	if (won)
		world.locks[lock] = self;
	see(won);
	may_stop();
	return won;
}

void model_unlock(unsigned int lock)
{
	step_fenced();
	if (world.locks[lock] != thread_index(current) + 1)
		return;
	world.locks[lock] = 0;
	happened(current);
	may_stop();
}

/* ---- System calls --------------------------------------------------------- */

static long model_membarrier(int command)
{
	if (model_membarrier_refused) {
		errno = EPERM;
		return -1;
	}
	if (command != MEMBARRIER_CMD_GLOBAL_EXPEDITED || !current)
		return 0;
	step_fenced();
	/* Each other thread passes a barrier between now and the end. */
	for (uint32_t i = 0; i < world.count; i++)
		if (world.threads[i].waiting || world.threads[i].snapshot.taken)
			current->barriers |= 1u << i;
	step();
	snapshot_drop(current);
	return 0;
}

static long model_futex(uint32_t *word, int operation, uint32_t value)
{
	uint32_t found;

	step_fenced();
	if (operation == FUTEX_WAKE) {
		for (uint32_t i = 0; i < world.count; i++)
			if (world.threads[i].asleep == offset_of(word))
				world.threads[i].asleep = AWAKE;
		return 0;
	}
	memory_access(current, offset_of(word), sizeof(found), false);
	memcpy(&found, word, sizeof(found));
	see(found);
	if (found != value) {
		errno = EAGAIN;
		return -1;
	}
	current->asleep = offset_of(word);
	step();
	current->asleep = AWAKE;
	return 0;
}

long model_syscall(long number, ...)
{
	va_list ap;
	long r = -1;

	va_start(ap, number);
	if (number == SYS_membarrier) {
		r = model_membarrier(va_arg(ap, int));
	} else if (number == SYS_futex) {
		uint32_t *word = va_arg(ap, uint32_t *);
		int operation = va_arg(ap, int);

		r = model_futex(word, operation, va_arg(ap, uint32_t));
	} else {
		errno = ENOSYS;
	}
	va_end(ap);
	return r;
}
