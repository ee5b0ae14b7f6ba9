/* SPDX-License-Identifier: MIT */
/*
 * Depth first through all states that threads can bring a memory into; a state
 * that was met before is not gone into again.  docs/model-checking.md says what
 * a step is, and why nothing is left out.
 *
 * Threads have stacks of their own.  A thread stops before each operation that
 * others could notice; then it is a copy of its stack, and its choice can be
 * taken back.  Two states are the same if memory, buffers and what each thread
 * has seen are the same; compared are hashes of 64 bits.
 */
#include "atomic.h"
#include "explore.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#define STACK_SIZE 65536u
#define BUFFER 8u	/* stores that wait, at most */
#define DEPTH 4000u	/* steps after which a schedule is endless */
#define LOG_SIZE (1u << 20)
#define LOCKS 8u
#define AWAKE UINT32_MAX

/* A store that waits; one of no bytes is a release fence. */
struct entry {
	uint32_t offset, size;
	bool release;
	const unsigned char *from; /* NULL: @value */
	uint64_t value;
};

/* A thread, but for its stack. */
struct thread {
	jmp_buf context;
	unsigned char *stack; /* used from here on */
	uint64_t seen;	      /* hash of what it has read */
	uint64_t notes[MODEL_NOTES];
	uint32_t note_count;
	uint32_t buffered;
	struct entry buffer[BUFFER];
	uint32_t asleep;   /* on the word at this offset */
	uint32_t barriers; /* threads that have to pass one first */
	bool drains;	   /* its next step needs its buffer empty */
	bool stores;	   /* its next step needs room in it */
	bool polls, changed, awaits;
	bool ended, dead;
};

struct world {
	struct thread threads[MODEL_THREADS];
	uint32_t count, deaths;
	uint32_t last, preemptions; /* who made the last step */
	uint32_t locks[LOCKS]; /* holder + 1 */
};

enum kind { STEP, FLUSH, DEATH };

struct choice {
	uint8_t kind, thread, entry;
};

struct frame {
	struct world world;
	uint64_t memory_hash, state;
	size_t log;
	double executions;
	unsigned int taken, choices;
	struct choice choice[MODEL_THREADS * (2 + BUFFER)];
	unsigned char *stack; /* of the thread that moves */
	size_t stack_size;
};

unsigned char model_memory[MODEL_MEMORY] __attribute__((aligned(4096)));
bool model_membarrier_refused;

static unsigned char stacks[MODEL_THREADS][STACK_SIZE]
	__attribute__((aligned(4096)));
static const struct model_case *the_case;
static enum model_order order;
static uint32_t most_preemptions;
static struct world world;
static struct thread *current;
static jmp_buf scheduler;
static bool failed;
static struct frame *frames;
static size_t depth;

/* ---- Hashes --------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 29) * 0x9fb21c651e98df25u;
	return x ^ x >> 32;
}

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *p = bytes;
	uint64_t word;

	for (; size >= 8; p += 8, size -= 8) {
		memcpy(&word, p, 8);
		hash = mix(hash + word);
	}
	word = 0;
	memcpy(&word, p, size);
	return mix(hash + word + (uint64_t)size);
}

static void see(uint64_t value)
{
	current->seen = mix(current->seen * 31 + value + 1);
}

/* ---- States that were met ------------------------------------------------- */

struct state {
	uint64_t hash; /* 0: none */
	double executions;
};

static struct state *table;
static uint64_t table_size, table_used;

static struct state *table_find(uint64_t hash)
{
	uint64_t i = hash & (table_size - 1);

	while (table[i].hash && table[i].hash != hash)
		i = (i + 1) & (table_size - 1);
	return &table[i];
}

static void table_make(uint64_t states)
{
	for (table_size = 1024; table_size < states + states / 2;)
		table_size *= 2;
	table = mmap(NULL, table_size * sizeof(*table), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED) {
		perror("mmap");
		exit(99);
	}
	table_used = 0;
}

/* ---- Memory, and how it was ----------------------------------------------- */

static struct {
	uint32_t word;
	uint64_t was;
} changes[LOG_SIZE];
static size_t change_count;
static uint64_t memory_hash;

static uint64_t word_hash(uint32_t word, uint64_t value)
{
	return mix(value ^ (word + 1) * 0x9e3779b97f4a7c15u);
}

static void word_put(uint32_t word, uint64_t value)
{
	uint64_t *at = (uint64_t *)(void *)model_memory + word;

	memory_hash ^= word_hash(word, *at) ^ word_hash(word, value);
	*at = value;
}

static void memory_rehash(void)
{
	memory_hash = 0;
	for (uint32_t i = 0; i < MODEL_MEMORY / 8; i++)
		memory_hash ^= word_hash(
			i, ((const uint64_t *)(const void *)model_memory)[i]);
}

/* Others find that something has happened. */
static void happened(const struct thread *by)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (&world.threads[i] != by && world.threads[i].polls)
			world.threads[i].changed = true;
}

static void memory_write(const struct thread *by, uint32_t offset,
			 const void *bytes, size_t size)
{
	const unsigned char *from = bytes;

	while (size) {
		uint32_t word = offset / 8, skip = offset % 8;
		size_t n = 8 - skip < size ? 8 - skip : size;
		uint64_t was, is;

		memcpy(&was, model_memory + word * 8, 8);
		is = was;
		memcpy((unsigned char *)&is + skip, from, n);
		if (is != was) {
			if (change_count == LOG_SIZE)
				abort();
			changes[change_count].word = word;
			changes[change_count++].was = was;
			word_put(word, is);
			happened(by);
		}
		from += n;
		offset += (uint32_t)n;
		size -= n;
	}
}

static void memory_revert(size_t to)
{
	while (change_count > to) {
		change_count--;
		word_put(changes[change_count].word, changes[change_count].was);
	}
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

/* ---- Store buffers -------------------------------------------------------- */

static const void *entry_bytes(const struct entry *e)
{
	return e->from ? (const void *)e->from : &e->value;
}

/* What the thread finds at @offset: its own stores come first. */
static void buffered_read(uint32_t offset, void *to, size_t size)
{
	memcpy(to, model_memory + offset, size);
	for (uint32_t i = 0; i < current->buffered; i++) {
		const struct entry *e = &current->buffer[i];
		uint32_t from = e->offset > offset ? e->offset : offset;
		uint32_t end = e->offset + e->size;

		if (end > offset + size)
			end = offset + (uint32_t)size;
		if (from < end)
			memcpy((unsigned char *)to + (from - offset),
			       (const unsigned char *)entry_bytes(e) +
				       (from - e->offset),
			       end - from);
	}
}

/* May the entry @i leave before those that are older? */
static bool may_flush(const struct thread *t, uint32_t i)
{
	const struct entry *e = &t->buffer[i];

	if (!e->size || (i && (e->release || order == MODEL_TSO)))
		return false;
	for (uint32_t j = 0; j < i; j++) {
		const struct entry *older = &t->buffer[j];

		if (!older->size || (older->offset < e->offset + e->size &&
				     e->offset < older->offset + older->size))
			return false;
	}
	return true;
}

static void buffer_remove(struct thread *t, uint32_t i)
{
	t->buffered--;
	memmove(&t->buffer[i], &t->buffer[i + 1],
		(t->buffered - i) * sizeof(t->buffer[0]));
}

static void flush(struct thread *t, uint32_t i)
{
	memory_write(t, t->buffer[i].offset, entry_bytes(&t->buffer[i]),
		     t->buffer[i].size);
	buffer_remove(t, i);
	/* A fence that is the oldest has nothing left to order. */
	while (t->buffered && !t->buffer[0].size)
		buffer_remove(t, 0);
	if (t->buffered)
		return;
	if (t->ended)
		happened(t);
	for (uint32_t j = 0; j < world.count; j++)
		world.threads[j].barriers &= ~(1u << (t - world.threads));
}

/* ---- The threads' side ---------------------------------------------------- */

static __attribute__((noinline)) void hand_over(void)
{
	/* Below the frame is only what is on its way to the scheduler. */
	current->stack = (unsigned char *)__builtin_frame_address(0) - 256;
	if (!_setjmp(current->context))
		_longjmp(scheduler, 1);
	/* It is further on, even if it finds nothing new. */
	see(0);
}

/* A step that begins when the thread's stores are in memory. */
static void hand_over_drained(void)
{
	current->drains = true;
	hand_over();
	current->drains = false;
}

static bool in_thread(const void *p)
{
	return current && shared(p);
}

uint64_t model_load(const void *p, size_t size)
{
	uint64_t value = 0;

	if (!in_thread(p)) {
		memcpy(&value, p, size);
		return value;
	}
	hand_over();
	buffered_read(offset_of(p), &value, size);
	see(value);
	return value;
}

/* Append to the buffer.  Nobody else notices, so it is no step ... */
static void put(struct entry e)
{
	see(0);
	if (order == MODEL_SC) {
		hand_over();
		memory_write(current, e.offset, entry_bytes(&e), e.size);
		return;
	}
	/* ... but for those who may die before it, or if it is full. */
	if (the_case->mortal >> (current - world.threads) & 1 ||
	    current->buffered == BUFFER) {
		current->stores = true;
		hand_over();
		current->stores = false;
	}
	/* Meanwhile all that a fence would order has left. */
	if (!e.size && !current->buffered)
		return;
	current->buffer[current->buffered++] = e;
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

bool model_cas(void *p, uint64_t old, uint64_t desired, size_t size)
{
	uint64_t value = 0;

	if (in_thread(p))
		hand_over_drained();
	memcpy(&value, p, size);
	if (current)
		see(value);
	if (value != old)
		return false;
	if (in_thread(p))
		memory_write(current, offset_of(p), &desired, size);
	else
		memcpy(p, &desired, size);
	return true;
}

void model_fence_full(void)
{
	if (current && order != MODEL_SC)
		hand_over_drained();
}

void model_fence_release(void)
{
	if (current && order == MODEL_RELEASE && current->buffered)
		put((struct entry){ .size = 0 });
}

static const unsigned char zeros[MODEL_MEMORY];

/* In two: @size bytes at @to, from what never changes. */
static void put_halves(void *to, const unsigned char *from, size_t size)
{
	uint32_t half = (uint32_t)(size / 16 * 8);
	uint32_t offset = offset_of(to);

	if (half)
		put((struct entry){ .offset = offset, .size = half, .from = from });
	put((struct entry){ .offset = offset + half,
			    .size = (uint32_t)size - half,
			    .from = from + half });
}

static void get(void *to, const void *from, size_t size)
{
	hand_over();
	buffered_read(offset_of(from), to, size);
	current->seen = hash_bytes(current->seen, to, size);
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

void model_forget(int place, const void *local, size_t size)
{
	current->seen = hash_bytes((uint64_t)place + 1, local, size);
}

void model_poll(void)
{
	current->polls = true;
	current->changed = false;
}

void model_await(void)
{
	current->awaits = true;
	hand_over();
	current->awaits = current->polls = current->changed = false;
}

void model_note(uint64_t value)
{
	MODEL_CHECK(current->note_count < MODEL_NOTES, "too many notes");
	current->polls = current->changed = false;
	current->notes[current->note_count++] = value;
}

const uint64_t *model_notes(unsigned int thread, unsigned int *ret_count)
{
	*ret_count = world.threads[thread].note_count;
	return world.threads[thread].notes;
}

bool model_is_dead(unsigned int thread)
{
	return world.threads[thread].dead;
}

bool model_dead(unsigned int thread)
{
	bool dead;

	hand_over();
	dead = world.threads[thread].dead;
	see(dead);
	return dead;
}

bool model_ended(uint32_t mask)
{
	bool ended = true;

	hand_over();
	for (uint32_t i = 0; i < world.count; i++)
		if (mask >> i & 1)
			ended &= world.threads[i].ended && !world.threads[i].buffered;
	see(ended);
	return ended;
}

bool model_trylock(unsigned int lock)
{
	uint32_t self = (uint32_t)(current - world.threads) + 1;
	bool won;

	hand_over_drained();
	won = !world.locks[lock] || world.locks[lock] == self;
	if (won)
		world.locks[lock] = self;
	see(won);
	return won;
}

void model_unlock(unsigned int lock)
{
	hand_over_drained();
	if (world.locks[lock] != (uint32_t)(current - world.threads) + 1)
		return;
	world.locks[lock] = 0;
	happened(current);
}

static long model_membarrier(int command)
{
	if (model_membarrier_refused) {
		errno = EPERM;
		return -1;
	}
	if (command != MEMBARRIER_CMD_GLOBAL_EXPEDITED || !current)
		return 0;
	hand_over_drained();
	/* Each other thread passes a barrier between now and the end. */
	for (uint32_t i = 0; i < world.count; i++)
		if (world.threads[i].buffered)
			current->barriers |= 1u << i;
	hand_over();
	return 0;
}

static long model_futex(uint32_t *word, int operation, uint32_t value)
{
	uint32_t found;

	hand_over_drained();
	if (operation == FUTEX_WAKE) {
		for (uint32_t i = 0; i < world.count; i++)
			if (world.threads[i].asleep == offset_of(word))
				world.threads[i].asleep = AWAKE;
		return 0;
	}
	memcpy(&found, word, sizeof(found));
	see(found);
	if (found != value) {
		errno = EAGAIN;
		return -1;
	}
	current->asleep = offset_of(word);
	hand_over();
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

/* ---- What failed ---------------------------------------------------------- */

static void print_schedule(void)
{
	static const char *const kinds[] = { "", "'s store", " dies" };
	const char *separator = "";

	fprintf(stderr, "# schedule:");
	for (size_t i = 0; i < depth; i++) {
		const struct choice *c =
			&frames[i].choice[frames[i].taken - 1];

		fprintf(stderr, "%s %u%s", separator, c->thread, kinds[c->kind]);
		if (c->kind == FLUSH)
			fprintf(stderr, " %u", c->entry);
		separator = ",";
	}
	fputc('\n', stderr);
}

void model_fail(const char *format, ...)
{
	va_list ap;

	fprintf(stderr, "# %s: ", the_case->name);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	print_schedule();
	failed = true;
	_longjmp(scheduler, 1);
}

/* ---- The scheduler's side ------------------------------------------------- */

static void thread_main(void)
{
	the_case->threads[current - world.threads]();
	current->ended = true;
	happened(current);
	hand_over();
	abort();
}

static void resume(struct thread *t)
{
	current = t;
	if (!_setjmp(scheduler))
		_longjmp(t->context, 1);
	current = NULL;
}

/* Run @t up to its first step. */
static void thread_start(struct thread *t)
{
	static ucontext_t context;

	memset(stacks[t - world.threads], 0, STACK_SIZE);
	getcontext(&context);
	context.uc_stack.ss_sp = stacks[t - world.threads];
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = NULL;
	makecontext(&context, thread_main, 0);
	t->asleep = AWAKE;
	current = t;
	if (!_setjmp(scheduler))
		setcontext(&context);
	current = NULL;
}

static bool enabled(const struct thread *t)
{
	if (t->ended || t->barriers || (t->drains && t->buffered) ||
	    (t->stores && t->buffered == BUFFER) || (t->awaits && !t->changed))
		return false;
	/* Sleep ends by time when somebody has died, and did not wake. */
	return t->asleep == AWAKE || world.deaths;
}

static void add(struct frame *f, enum kind kind, uint32_t thread, uint32_t entry)
{
	f->choice[f->choices++] = (struct choice){ (uint8_t)kind,
						   (uint8_t)thread,
						   (uint8_t)entry };
}

static void find_choices(struct frame *f)
{
	bool stay = world.preemptions == most_preemptions &&
		    enabled(&world.threads[world.last]);

	f->choices = f->taken = 0;
	for (uint32_t i = 0; i < world.count; i++) {
		const struct thread *t = &world.threads[i];

		if (enabled(t) && (!stay || i == world.last))
			add(f, STEP, i, 0);
		for (uint32_t j = 0; j < t->buffered; j++)
			if (may_flush(t, j))
				add(f, FLUSH, i, j);
		/* Who stops and dies later has had time to empty its buffer. */
		if (the_case->mortal >> i & 1 && !t->ended && !t->buffered &&
		    world.deaths < the_case->deaths)
			add(f, DEATH, i, 0);
	}
}

static void kill_thread(struct thread *t)
{
	uint32_t self = (uint32_t)(t - world.threads) + 1;

	t->ended = t->dead = true;
	t->polls = t->awaits = false;
	world.deaths++;
	for (uint32_t i = 0; i < LOCKS; i++)
		if (world.locks[i] == self)
			world.locks[i] = 0;
	happened(t);
}

static uint64_t thread_hash(const struct thread *t)
{
	uint64_t flags = (uint64_t)t->drains | (uint64_t)t->stores << 1 |
			 (uint64_t)t->polls << 2 | (uint64_t)t->changed << 3 |
			 (uint64_t)t->awaits << 4 | (uint64_t)t->ended << 5 |
			 (uint64_t)t->dead << 6 | (uint64_t)t->barriers << 8 |
			 (uint64_t)t->asleep << 32;
	uint64_t hash = mix(t->dead ? 1 : t->seen + flags);

	hash = hash_bytes(hash, t->notes, t->note_count * sizeof(t->notes[0]));
	for (uint32_t i = 0; i < t->buffered; i++) {
		const struct entry *e = &t->buffer[i];

		hash = mix(hash + e->offset);
		hash = mix(hash + (e->size << 1 | e->release));
		hash = mix(hash + (e->from ? (uintptr_t)e->from : e->value));
	}
	return hash;
}

static uint64_t state_hash(void)
{
	uint64_t hash = memory_hash + world.deaths;

	for (uint32_t i = 0; i < world.count; i++)
		hash = mix(hash + thread_hash(&world.threads[i]) * (i + 3));
	hash = hash_bytes(hash, world.locks, sizeof(world.locks));
	if (most_preemptions != MODEL_UNBOUND)
		hash = mix(hash + world.last * 256 + world.preemptions);
	return hash ? hash : 1;
}

/* All have ended, or nobody can go on. */
static void judge(void)
{
	if (_setjmp(scheduler))
		return;
	for (uint32_t i = 0; i < world.count; i++)
		if (!world.threads[i].ended)
			model_fail("thread %u waits, and nobody does anything", i);
	the_case->judge();
}

static void apply(struct frame *f, struct choice c)
{
	struct thread *t = &world.threads[c.thread];
	unsigned char *end = stacks[c.thread] + STACK_SIZE;

	if (c.kind == FLUSH) {
		flush(t, c.entry);
	} else if (c.kind == DEATH) {
		kill_thread(t);
	} else {
		f->stack_size = (size_t)(end - t->stack);
		f->stack = realloc(f->stack, f->stack_size);
		if (!f->stack)
			abort();
		memcpy(f->stack, t->stack, f->stack_size);
		world.preemptions += c.thread != world.last &&
				     enabled(&world.threads[world.last]);
		world.last = c.thread;
		resume(t);
	}
}

static void revert(struct frame *f, struct choice c)
{
	memory_revert(f->log);
	world = f->world;
	if (c.kind == STEP)
		memcpy(stacks[c.thread] + STACK_SIZE - f->stack_size, f->stack,
		       f->stack_size);
}

/* Go into the state that has been reached, unless it was met before. */
static void enter(double *executions)
{
	uint64_t hash = state_hash();
	struct state *state = table_find(hash);
	struct frame *f = &frames[depth];

	if (state->hash) {
		*executions += state->executions;
		return;
	}
	state->hash = hash;
	table_used++;
	find_choices(f);
	if (!f->choices) {
		judge();
		state->executions = 1;
		*executions += 1;
		return;
	}
	f->world = world;
	f->state = hash;
	f->log = change_count;
	f->executions = 0;
	depth++;
	if (depth == DEPTH && !_setjmp(scheduler))
		model_fail("no end after %u steps", DEPTH);
}

static void explore(uint64_t states)
{
	double all = 0;

	enter(&all);
	while (depth && !failed && table_used < states) {
		struct frame *f = &frames[depth - 1];
		size_t before = depth;
		struct choice c;

		if (f->taken == f->choices) {
			table_find(f->state)->executions = f->executions;
			depth--;
			if (!depth)
				continue;
			f--;
			f->executions += f[1].executions;
			revert(f, f->choice[f->taken - 1]);
			continue;
		}
		c = f->choice[f->taken++];
		apply(f, c);
		if (failed)
			break;
		enter(&f->executions);
		if (depth == before)
			revert(f, c);
	}
}

struct model_result model_explore(const struct model_case *c, int variant,
				  enum model_order how, uint32_t preemptions,
				  uint64_t states)
{
	struct model_result result;

	if (!frames)
		frames = calloc(DEPTH + 1, sizeof(*frames));
	if (!frames)
		abort();
	the_case = c;
	order = how;
	most_preemptions = preemptions;
	failed = false;
	depth = change_count = 0;
	memset(&world, 0, sizeof(world));
	memset(model_memory, 0, sizeof(model_memory));
	c->setup(variant);
	memory_rehash();
	table_make(states);
	while (world.count < MODEL_THREADS && c->threads[world.count])
		world.count++;
	for (uint32_t i = 0; i < world.count; i++)
		thread_start(&world.threads[i]);
	explore(states);
	result = (struct model_result){ .states = table_used,
					.executions = frames[0].executions,
					.failed = failed,
					.complete = !failed && !depth };
	munmap(table, table_size * sizeof(*table));
	if (result.complete && result.executions <= 0) {
		fprintf(stderr, "# %s: no schedule comes to an end\n", c->name);
		result.failed = true;
	}
	return result;
}
