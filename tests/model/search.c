/* SPDX-License-Identifier: MIT */
/*
 * Depth first through all states that threads can bring a memory into; a state
 * that was met before is not gone into again.  docs/model-checking.md says what
 * a step is, and why nothing is left out.
 *
 * A choice can be taken back: the thread that moves is a copy of its stack.  Two
 * states are the same if memory, buffers and what each thread has seen are the
 * same; compared are hashes of 64 bits.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEPTH 4000u /* steps after which a schedule is endless */

enum kind {
	STEP,
	STALE, /* a step that loads from the snapshot */
	STOP,
	FLUSH,
	DEATH,
	SNAPSHOT,
	BARRIER, /* drop it, as membarrier() demands */
};

struct choice {
	uint8_t kind, thread, entry;
};

struct frame {
	struct world world;
	uint64_t state;
	size_t mark;
	double executions;
	unsigned int taken, choices;
	struct choice choice[MODEL_THREADS * (4 + ENTRIES)];
	unsigned char *stack; /* of the thread that moves */
	size_t stack_size;
};

const struct model_case *the_case;
enum model_order order;
struct world world;

static struct model_bounds bounds;
static bool failed;
static struct frame *frames;
static size_t depth;

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

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
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

static uint64_t buffer_hash(const struct thread *t, uint64_t hash)
{
	for (uint32_t i = 0; i < t->buffered; i++) {
		const struct entry *e = &t->buffer[i];

		hash = mix(hash + e->offset);
		hash = mix(hash + (e->size << 1 | e->release));
		hash = mix(hash + (e->from ? (uintptr_t)e->from : e->value));
	}
	for (uint32_t i = 0; i < t->early_count; i++) {
		const struct early_store *e = &t->early[i];

		hash = mix(hash + (e->word | (uint64_t)e->words << 16 |
				   (uint64_t)e->older << 32));
	}
	return hash;
}

static uint64_t snapshot_hash(const struct snapshot *s)
{
	return s->taken ? mix(mix(s->hash + s->is_old) + s->newer.hash * 3 +
			      s->unsure.hash * 5)
			: 0;
}

static uint64_t thread_hash(const struct thread *t)
{
	uint64_t flags = (uint64_t)t->drains | (uint64_t)t->stores << 1 |
			 (uint64_t)t->polls << 2 | (uint64_t)t->changed << 3 |
			 (uint64_t)t->awaits << 4 | (uint64_t)t->ended << 5 |
			 (uint64_t)t->dead << 6 | (uint64_t)t->may_stop << 7 |
			 (uint64_t)t->barriers << 8 | (uint64_t)t->asleep << 32;
	uint64_t hash = t->dead ? 1 : t->stopped ? 2 : 3;

	if (!t->stopped)
		hash = mix(mix(t->seen + flags) + t->loaded.hash * 3 +
			   t->polled.hash * 5 + snapshot_hash(&t->snapshot));
	hash = hash_bytes(hash, t->notes, t->note_count * sizeof(t->notes[0]));
	return buffer_hash(t, hash);
}

static uint64_t state_hash(void)
{
	uint64_t hash = memory_hash;

	for (uint32_t i = 0; i < world.count; i++)
		hash = mix(hash + thread_hash(&world.threads[i]) * (i + 3));
	hash = hash_bytes(hash, world.locks, sizeof(world.locks));
	if (order == MODEL_WEAK)
		hash = mix(hash + world.snapshots);
	if (bounds.preemptions != MODEL_UNBOUND)
		hash = mix(hash + world.last * 256 + world.preemptions);
	return hash ? hash : 1;
}

/* ---- What failed ---------------------------------------------------------- */

static void print_schedule(void)
{
	static const char *const kinds[] = {
		"",	 " loads what was", " stops",	 "'s store",
		" dies", " loads from here", " passes a barrier"
	};
	const char *separator = "";

	fprintf(stderr, "# schedule:");
	for (size_t i = 0; i < depth; i++) {
		const struct choice *c = &frames[i].choice[frames[i].taken - 1];

		fprintf(stderr, "%s %u%s", separator, c->thread,
			kinds[c->kind]);
		if (c->kind == FLUSH)
			fprintf(stderr, " %u", c->entry);
		separator = ",";
	}
	fputc('\n', stderr);
}

void model_fail(const char *format, ...)
{
	va_list ap;

	failed = true;
	/* What was early, and races, may never come so. */
	if (!memory_races_found()) {
		fprintf(stderr, "# %s: ", the_case->name);
		va_start(ap, format);
		vfprintf(stderr, format, ap);
		va_end(ap);
		fputc('\n', stderr);
		print_schedule();
	}
	_longjmp(scheduler, 1);
}

/* All have ended, or nobody can go on. */
static void judge(void)
{
	if (_setjmp(scheduler))
		return;
	for (uint32_t i = 0; i < world.count; i++)
		if (!world.threads[i].ended)
			model_fail("thread %u waits, and nobody does anything",
				   i);
	the_case->judge();
}

bool model_is_dead(unsigned int thread)
{
	return world.threads[thread].dead;
}

/* ---- Choices -------------------------------------------------------------- */

static bool enabled(const struct thread *t)
{
	return !t->ended && !t->stopped && !t->barriers &&
	       !(t->drains && t->waiting) &&
	       !(t->stores && t->waiting == BUFFER) &&
	       !(t->awaits && !t->changed) && t->asleep == AWAKE;
}

static void add(struct frame *f, enum kind kind, uint32_t thread,
		uint32_t entry)
{
	f->choice[f->choices++] = (struct choice){ (uint8_t)kind,
						   (uint8_t)thread,
						   (uint8_t)entry };
}

/* Whether a thread stops concerns nobody else: it is chosen at once. */
static bool find_stop(struct frame *f)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (world.threads[i].may_stop && !world.threads[i].stopped) {
			add(f, STEP, i, 0);
			add(f, STOP, i, 0);
			return true;
		}
	return false;
}

/* For loads to come: as soon as others change something, not before. */
static bool may_take_snapshot(const struct thread *t)
{
	return order == MODEL_WEAK && world.snapshots < bounds.snapshots &&
	       !t->ended && !t->stopped && !t->snapshot.taken;
}

/* A snapshot was taken: now others change something. */
static bool may_go_on(const struct thread *t)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (snapshot_is_idle(&world.threads[i]))
			return t->drains && t != &world.threads[i];
	return true;
}

/* Is there a membarrier() that waits for @t to pass one? */
static bool owes_barrier(uint32_t thread)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (world.threads[i].barriers >> thread & 1)
			return !world.threads[thread].waiting;
	return false;
}

/*
 * Does the thread that made the last step have to give way for another's?  It
 * could go on, or has stores that have not left its buffer.
 */
static bool preempts(uint32_t thread)
{
	const struct thread *last = &world.threads[world.last];

	return thread != world.last && (enabled(last) || last->waiting);
}

static void find_choices(struct frame *f)
{
	bool most = world.preemptions == bounds.preemptions;

	f->choices = f->taken = 0;
	if (find_stop(f))
		return;
	for (uint32_t i = 0; i < world.count; i++) {
		const struct thread *t = &world.threads[i];

		if (enabled(t) && may_go_on(t) && !(most && preempts(i))) {
			add(f, STEP, i, 0);
			if (t->loads_size &&
			    snapshot_has(t, t->loads, t->loads_size))
				add(f, STALE, i, 0);
		}
		if (may_take_snapshot(t))
			add(f, SNAPSHOT, i, 0);
		if (owes_barrier(i))
			add(f, BARRIER, i, 0);
		for (uint32_t j = 0; j < t->buffered; j++)
			if (may_flush(t, j) && !snapshot_is_idle(t))
				add(f, FLUSH, i, j);
		/* Who stops and dies later has had time to empty its buffer. */
		if (t->stopped && !t->dead && !t->waiting)
			add(f, DEATH, i, 0);
	}
}

static void stop(struct thread *t)
{
	t->stopped = true;
	t->polls = t->awaits = false;
	words_clear(&t->loaded);
	snapshot_drop(t);
}

static void die(struct thread *t)
{
	t->ended = t->dead = true;
	buffer_settle(t);
	for (uint32_t i = 0; i < LOCKS; i++)
		if (world.locks[i] == thread_index(t) + 1)
			world.locks[i] = 0;
	happened(t);
}

static void go_on(struct frame *f, struct thread *t)
{
	f->stack_size = fiber_save(t, &f->stack);
	if (!t->may_stop) {
		world.preemptions += preempts(thread_index(t));
		world.last = thread_index(t);
	}
	fiber_resume(t);
}

static void apply(struct frame *f, struct choice c)
{
	struct thread *t = &world.threads[c.thread];

	switch (c.kind) {
	case STALE:
		t->stale = true;
		go_on(f, t);
		break;
	case STEP:
		go_on(f, t);
		break;
	case STOP:
		stop(t);
		break;
	case FLUSH:
		flush(t, c.entry);
		break;
	case DEATH:
		die(t);
		break;
	case SNAPSHOT:
		world.snapshots++;
		snapshot_take(t);
		break;
	case BARRIER:
		snapshot_drop(t);
		for (uint32_t i = 0; i < world.count; i++)
			world.threads[i].barriers &= ~(1u << c.thread);
		break;
	}
}

static void world_copy(struct world *to, const struct world *from)
{
	memcpy(to, from,
	       (size_t)((const char *)&from->threads[from->count] -
			(const char *)from));
}

static void revert(struct frame *f, struct choice c)
{
	memory_revert(f->mark);
	world_copy(&world, &f->world);
	if (c.kind == STEP || c.kind == STALE)
		fiber_restore(&world.threads[c.thread], f->stack,
			      f->stack_size);
}

/* ---- Searching ------------------------------------------------------------ */

/* Has a thread taken a snapshot, and nothing changes any more? */
static bool waits_for_change(void)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (snapshot_is_idle(&world.threads[i]))
			return true;
	return false;
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
	/* As without the snapshot. */
	if (!f->choices && waits_for_change())
		return;
	if (!f->choices) {
		judge();
		state->executions = 1;
		*executions += 1;
		return;
	}
	world_copy(&f->world, &world);
	f->state = hash;
	f->mark = memory_mark();
	f->executions = 0;
	depth++;
	if (depth == DEPTH && !_setjmp(scheduler))
		model_fail("no end after %u steps", DEPTH);
}

/* One more choice, or back from where there is none left. */
static void move(void)
{
	struct frame *f = &frames[depth - 1];
	size_t before = depth;
	struct choice c;

	if (f->taken == f->choices) {
		table_find(f->state)->executions = f->executions;
		depth--;
		if (!depth)
			return;
		f--;
		f->executions += f[1].executions;
		revert(f, f->choice[f->taken - 1]);
		return;
	}
	c = f->choice[f->taken++];
	apply(f, c);
	if (failed)
		return;
	enter(&f->executions);
	if (depth == before)
		revert(f, c);
}

/*
 * Until all is seen, or @states are, or words were found to be raced: then a
 * little further, for more of them.
 */
static void search(uint64_t states)
{
	uint64_t until = 0;
	double all = 0;

	enter(&all);
	while (depth && !failed && table_used < states &&
	       (!until || table_used < until)) {
		move();
		if (!until && memory_races_found())
			until = 2 * table_used + 1000;
	}
}

static void begin(const struct model_case *c, int variant)
{
	depth = 0;
	failed = false;
	memset(&world, 0, sizeof(world));
	c->setup(variant);
	memory_ready();
	while (world.count < MODEL_THREADS && c->threads[world.count])
		world.threads[world.count++].asleep = AWAKE;
	for (uint32_t i = 0; i < world.count && !failed; i++)
		fiber_start(&world.threads[i]);
}

struct model_result model_explore(const struct model_case *c, int variant,
				  enum model_order how,
				  const struct model_bounds *within)
{
	static int last_variant;
	bool again = c == the_case && variant == last_variant;
	struct model_result result;

	if (!frames)
		frames = calloc(DEPTH + 1, sizeof(*frames));
	if (!frames)
		abort();
	the_case = c;
	last_variant = variant;
	order = how;
	bounds = *within;
	/* What is raced in one order is taken to be in the others. */
	memory_begin(!again);
	for (;;) {
		begin(c, variant);
		table_make(bounds.states);
		search(bounds.states);
		result = (struct model_result){ .states = table_used,
						.executions =
							frames[0].executions,
						.failed = failed,
						.complete = !failed && !depth };
		munmap(table, table_size * sizeof(*table));
		if (!memory_races())
			break;
		memory_begin(false);
	}
	if (result.complete && result.executions <= 0) {
		fprintf(stderr, "# %s: no schedule comes to an end\n", c->name);
		result.failed = true;
	}
	return result;
}
