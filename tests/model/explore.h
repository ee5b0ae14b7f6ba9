/* SPDX-License-Identifier: MIT */
/*
 * Exploring every schedule of a few threads over a small memory.
 *
 * A case sets the memory up, says what its threads do, and what must hold when
 * all have ended.  What a thread does may depend only on its stack and on the
 * memory: nothing else is put back when the explorer goes back and tries the
 * other choice.
 */
#ifndef TORC_TESTS_MODEL_EXPLORE_H
#define TORC_TESTS_MODEL_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS 4u
#define MODEL_NOTES 16u
#define MODEL_MEMORY 16384u

enum model_order {
	MODEL_SC,	/* each store is seen at once */
	MODEL_TSO,	/* stores wait in a buffer, and leave it in order */
	MODEL_RELEASE,	/* and out of order, but for releases */
	MODEL_WEAK,	/* and loads are early, but for acquires */
};

struct model_case {
	const char *name;
	void (*setup)(int variant);
	void (*threads[MODEL_THREADS])(void);
	void (*judge)(void);
	int variants;	  /* each is explored by itself */
	uint32_t mortal;  /* threads that may die anywhere: a mask */
	int large;	  /* the last so many: preemptions bounded if in haste */
	uint32_t weak;	  /* preemptions with MODEL_WEAK, if in haste */
};

/* What all threads share; the ring is in it. */
extern unsigned char model_memory[MODEL_MEMORY];

struct model_result {
	uint64_t states;
	double executions; /* different schedules, from beginning to end */
	bool failed, complete;
};

#define MODEL_UNBOUND UINT32_MAX

/* How far to go. */
struct model_bounds {
	uint64_t states; /* that are looked at */
	/*
	 * How often a thread may have to give way although it could go on, or
	 * before its stores have left its buffer.  When it dies is not bounded.
	 */
	uint32_t preemptions;
	/* How often threads may begin to load early, with MODEL_WEAK. */
	uint32_t snapshots;
};

/* Explore @c until all is seen within @bounds. */
struct model_result model_explore(const struct model_case *c, int variant,
				  enum model_order order,
				  const struct model_bounds *bounds);

/* ---- For threads ---------------------------------------------------------- */

/* It is wrong; does not return. */
_Noreturn void model_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#define MODEL_CHECK(condition, ...)              \
	do {                                     \
		if (!(condition))                \
			model_fail(__VA_ARGS__); \
	} while (0)

/*
 * All that the thread knows is in @local and in its notes: two ways to get here
 * with the same are one.  @place is where.
 */
void model_forget(int place, const void *local, size_t size);

/* From here on, note whether others change the memory ... */
void model_poll(void);
/* ... and wait until they have. */
void model_await(void);

/* Remember @value, for model_notes() and the judge. */
void model_note(uint64_t value);
const uint64_t *model_notes(unsigned int thread, unsigned int *ret_count);

/* Steps that look at other threads: is it dead?  have all of @mask ended? */
bool model_dead(unsigned int thread);
bool model_ended(uint32_t mask);
/* A step that nobody else makes meanwhile: a lock, until model_unlock(). */
bool model_trylock(unsigned int lock);
void model_unlock(unsigned int lock);

/* futex() and membarrier(), as far as bus/wait.c uses them. */
long model_syscall(long number, ...);
extern bool model_membarrier_refused;

/* What a thread found that died: for the judge. */
bool model_is_dead(unsigned int thread);

#endif /* TORC_TESTS_MODEL_EXPLORE_H */
