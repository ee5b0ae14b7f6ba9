/* SPDX-License-Identifier: MIT */
/*
 * Truncation.  A file may be cut off under its mapping by whoever may write it,
 * and the next access of what is gone raises SIGBUS.  With the guard, the pages
 * become anonymous ones, zero, and the handle is told that its ring is damaged.
 *
 * The handler may run at any instruction of any thread, so it takes no lock: it
 * looks through a table that only grows, whose places are taken by CAS and are
 * valid while their base is set.
 */
#include "guard.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PLACES	64	/* in a table; more are chained */
#define TAKEN	1	/* base of a place that is being filled */

struct guarded {
	uintptr_t base;		/* 0: free */
	size_t size;
	int protection;
	int error;		/* what becomes of ... */
	int *unusable;		/* ... the handle's */
};

struct table {
	struct guarded places[PLACES];
	struct table *next;
};

static struct table first;
static struct sigaction previous;

static struct guarded *take_place(void)
{
	for (struct table *t = &first, *next;; t = next) {
		for (int i = 0; i < PLACES; i++)
			if (!torc_load_relaxed(&t->places[i].base) &&
			    torc_cas(&t->places[i].base, 0, TAKEN))
				return &t->places[i];
		next = torc_load_acquire(&t->next);
		if (next)
			continue;
		next = calloc(1, sizeof(*next));
		if (!next)
			return NULL;
		if (!torc_cas(&t->next, NULL, next)) {
			free(next);
			next = torc_load_acquire(&t->next);
		}
	}
}

int torc_guard_add(void *base, size_t size, bool writable, int error,
		   int *unusable)
{
	struct guarded *place = take_place();

	if (!place)
		return -ENOMEM;
	place->size = size;
	place->protection = PROT_READ | (writable ? PROT_WRITE : 0);
	place->error = error;
	place->unusable = unusable;
	/* MO(torc_guard_add:A), pairs with torc_guard_find:A */
	torc_store_release(&place->base, (uintptr_t)base);
	return 0;
}

/* The place of the mapping that @address is in. */
static struct guarded *torc_guard_find(uintptr_t address)
{
	for (struct table *t = &first; t; t = torc_load_acquire(&t->next))
		for (int i = 0; i < PLACES; i++) {
			struct guarded *place = &t->places[i];
			/* MO(torc_guard_find:A), pairs with torc_guard_add:A */
			uintptr_t base = torc_load_acquire(&place->base);

			if (base > TAKEN && address - base < place->size)
				return place;
		}
	return NULL;
}

void torc_guard_remove(void *base)
{
	struct guarded *place = torc_guard_find((uintptr_t)base);

	if (place)
		torc_store_release(&place->base, 0);
}

int torc_sigbus(const void *siginfo)
{
	const siginfo_t *info = siginfo;
	uintptr_t address = (uintptr_t)info->si_addr, page;
	int error = errno;
	struct guarded *place;
	void *map;

	if (info->si_signo != SIGBUS || info->si_code != BUS_ADRERR)
		return 0;
	place = torc_guard_find(address);
	if (!place)
		return 0;
	/* What is cut off reaches to the end. */
	page = address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);
	map = mmap((void *)page, place->base + place->size - page,
		   place->protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		   -1, 0);
	errno = error;
	if (map == MAP_FAILED)
		return 0;
	if (place->error == -EPROTO)
		torc_store_relaxed(place->unusable, -EPROTO);
	else
		torc_cas(place->unusable, 0, place->error);
	return 1;
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	if (torc_sigbus(info))
		return;
	if (previous.sa_flags & SA_SIGINFO)
		previous.sa_sigaction(number, info, context);
	else if (previous.sa_handler != SIG_DFL &&
		 previous.sa_handler != SIG_IGN)
		previous.sa_handler(number);
	else
		/* It comes again, and ends the process as it would have. */
		sigaction(SIGBUS, &previous, NULL);
}

int torc_sigbus_guard(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };
	struct sigaction old;

	if (sigaction(SIGBUS, NULL, &old))
		return -errno;
	if (old.sa_flags & SA_SIGINFO && old.sa_sigaction == on_sigbus)
		return 0;
	previous = old;
	sigemptyset(&action.sa_mask);
	return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}
