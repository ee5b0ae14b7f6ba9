/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the explorer share: the state of all threads.
 *
 *	operations.c	what threads do: the operations of atomic.h, and more
 *	buffers.c	stores on their way
 *	memory.c	memory, how it was before, and which words are raced
 *	snapshots.c	loads that come early
 *	fibers.c	threads that can be stopped, and put back
 *	search.c	which step is next; which states were met
 */
#ifndef TORC_TESTS_MODEL_WORLD_H
#define TORC_TESTS_MODEL_WORLD_H

#include "explore.h"

#include <setjmp.h>

#define WORDS (MODEL_MEMORY / 8)
#define BUFFER 8u	/* stores that wait, at most */
#define ENTRIES (2 * BUFFER + 1)
#define EARLY 80u
#define LOCKS 4u
#define AWAKE UINT32_MAX

/* A store that waits; one of no bytes is a release fence. */
struct entry {
	uint32_t offset, size;
	bool release;
	const unsigned char *from; /* NULL: @value */
	uint64_t value;
};

/* A store that is in memory already, though others need not see it yet. */
struct early_store {
	uint16_t word, words;
	uint32_t older; /* entries of the buffer that are older */
};

struct words {
	uint64_t bits[WORDS / 64];
	uint64_t hash;
};

/* Memory as it was when the loads were made that come early; snapshots.c. */
struct snapshot {
	bool taken, is_old; /* something newer has been loaded */
	size_t mark;	    /* of memory then */
	uint64_t hash;
	struct words newer;  /* not in it: something newer was seen */
	struct words unsure; /* others had stored them early */
};

/* A thread, but for its stack. */
struct thread {
	jmp_buf context;
	unsigned char *stack; /* used from here on */
	uint64_t seen;	      /* hash of what it has read */
	uint64_t notes[MODEL_NOTES];
	uint32_t note_count;
	uint32_t buffered; /* entries of its buffer ... */
	uint32_t waiting;  /* that are no fences */
	struct entry buffer[ENTRIES];
	uint32_t early_count;
	struct early_store early[EARLY];
	struct words loaded; /* early, since its last step */
	struct words polled; /* since model_poll() */
	struct snapshot snapshot;
	uint32_t loads, loads_size; /* what its next step does */
	uint32_t asleep;     /* on the word at this offset */
	uint32_t barriers;   /* threads that have to pass one first */
	bool may_stop;	     /* it goes on at once, or never */
	bool drains;	     /* its next step needs its buffer empty */
	bool stores;	     /* its next step needs room in it */
	bool stale;	     /* its next step finds what the snapshot has */
	bool polls, changed, awaits;
	bool stopped, ended, dead;
};

struct world {
	uint32_t count;
	uint32_t last, preemptions; /* who made the last step */
	uint32_t snapshots;	    /* taken so far */
	uint32_t locks[LOCKS];	    /* holder + 1 */
	struct thread threads[MODEL_THREADS];
};

extern const struct model_case *the_case;
extern enum model_order order;
extern struct world world;
extern struct thread *current; /* NULL: the scheduler, or a case's own calls */

static inline uint32_t thread_index(const struct thread *t)
{
	return (uint32_t)(t - world.threads);
}

static inline const void *entry_bytes(const struct entry *e)
{
	return e->from ? (const void *)e->from : &e->value;
}

static inline bool is_mortal(const struct thread *t)
{
	return the_case->mortal >> thread_index(t) & 1;
}

/* Others find that something has happened, if they wait for it. */
static inline void happened(const struct thread *by)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (&world.threads[i] != by && world.threads[i].polls)
			world.threads[i].changed = true;
}

/* ---- Hashes --------------------------------------------------------------- */

static inline uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	x = (x ^ x >> 29) * 0x9fb21c651e98df25u;
	return x ^ x >> 32;
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);

/* ---- memory.c ------------------------------------------------------------- */

extern uint64_t memory_hash;

/* Begin anew; @forget: also which words are raced. */
void memory_begin(bool forget);
/* From now on what setting up has written is what memory was at first. */
void memory_ready(void);
void memory_write(const struct thread *by, uint32_t offset, const void *bytes,
		  size_t size);
size_t memory_mark(void);
void memory_revert(size_t mark);
/* Since @mark, but for the words @except: has it changed?  What was there? */
bool memory_has_changed(uint32_t offset, size_t size, size_t mark,
			const struct words *except);
void memory_read_old(uint32_t offset, void *to, size_t size, size_t mark,
		     const struct words *except);

bool words_have(const struct words *w, uint32_t offset, size_t size);
void words_add(struct words *w, uint32_t offset, size_t size);
void words_clear(struct words *w);

/* May these bytes be accessed early? */
bool memory_is_raced(uint32_t offset, size_t size);
/*
 * @by reads these bytes, or writes them: what others have accessed early, and
 * may have accessed later as well, is raced, in the next attempt.
 */
void memory_access(const struct thread *by, uint32_t offset, size_t size,
		   bool writes);
/* They are, in the next attempt. */
void memory_found_race(uint32_t offset, size_t size);
/* How many words were found so since the last call; they are raced now. */
uint32_t memory_races(void);
/* The same, and they are not yet. */
uint32_t memory_races_found(void);

/* ---- buffers.c ------------------------------------------------------------ */

/* What @t finds at @offset: its own stores come first. */
void buffer_read(const struct thread *t, uint32_t offset, void *to, size_t size);
/* Is some of it among what waits? */
bool buffer_has(const struct thread *t, uint32_t offset, size_t size);
void buffer_put(struct thread *t, struct entry e);
void buffer_fence(struct thread *t);
/* Note a store that was made early; false: there is no room. */
bool buffer_put_early(struct thread *t, uint32_t offset, size_t size);
/* Which words have early stores of @t that others need not see yet. */
void buffer_early_words(const struct thread *t, struct words *ret);
/* All that was early is where all see it. */
void buffer_settle(struct thread *t);
bool may_flush(const struct thread *t, uint32_t i);
void flush(struct thread *t, uint32_t i);

/* ---- snapshots.c ---------------------------------------------------------- */

void snapshot_take(struct thread *t);
void snapshot_drop(struct thread *t);
/* Nothing has changed since. */
bool snapshot_is_idle(const struct thread *t);
/* Does a load find something else in it than in memory? */
bool snapshot_has(const struct thread *t, uint32_t offset, size_t size);
/* Are there words that others had stored early, and so perhaps later? */
bool snapshot_is_unsure(const struct thread *t, uint32_t offset, size_t size);
void snapshot_read(const struct thread *t, uint32_t offset, void *to,
		   size_t size);
/* @t has stored there, or has loaded something newer ... */
void snapshot_passed(struct thread *t, uint32_t offset, size_t size);
/* ... or has loaded what is in memory: is the snapshot too old now? */
void snapshot_loaded(struct thread *t, uint32_t offset, size_t size,
		     bool acquire);
void snapshot_fence(struct thread *t);

/* ---- fibers.c ------------------------------------------------------------- */

extern jmp_buf scheduler;

/* Run @t up to its first step; it goes on there whenever it is resumed. */
void fiber_start(struct thread *t);
void fiber_resume(struct thread *t);
void fiber_hand_over(void);
/* The stack of @t from @t->stack on; *@stack has grown to it. */
size_t fiber_save(const struct thread *t, unsigned char **stack);
void fiber_restore(const struct thread *t, const unsigned char *stack,
		   size_t size);

/* What a thread does from beginning to end; in operations.c. */
_Noreturn void thread_main(void);

#endif /* TORC_TESTS_MODEL_WORLD_H */
