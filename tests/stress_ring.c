/* SPDX-License-Identifier: MIT */
/*
 * Publishers and subscribers at full speed on small rings, as processes or as
 * threads (which is what ThreadSanitizer sees), and with them subscribers that
 * join and leave all the time.  Checked are: every byte of each message, the
 * order per publisher, one total order for all, and to the message that what was
 * received and what was lost is all there was.
 *
 *	stress_ring [--threads | --processes] [--seconds n] [--seed n]
 *
 * Without --seconds, $TORC_STRESS_S or 3, for all rounds together.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <torc/ring.h>

#define WORKERS_MAX 12u
#define PUBLISHERS_MAX 4u
#define LENGTH_MAX 512u
/* Messages in a round; all are in a table, to compare. */
#define MESSAGES_MAX (1u << 20)

struct round {
	const char *name;
	uint32_t kind;
	uint32_t capacity;
	unsigned int publishers;
	unsigned int lossless; /* from the beginning to the end */
	unsigned int lossy;
	unsigned int joiners; /* both, on and off */
};

static const struct round rounds[] = {
	{ "one publisher, lossless", TORC_KIND_SP, 4096, 1, 2, 0, 0 },
	{ "one publisher, nobody holds it", TORC_KIND_SP, 4096, 1, 0, 2, 1 },
	{ "one publisher, both", TORC_KIND_SP, 8192, 1, 2, 2, 2 },
	{ "two publishers, lossless", TORC_KIND_MP, 4096, 2, 2, 0, 0 },
	{ "two publishers, nobody holds them", TORC_KIND_MP, 4096, 2, 0, 2, 1 },
	{ "three publishers, both", TORC_KIND_MP, 4096, 3, 2, 2, 2 },
	{ "four publishers, both", TORC_KIND_MP, 16384, 4, 2, 1, 2 },
	{ "two publishers, joiners", TORC_KIND_MP, 65536, 2, 1, 0, 4 },
};

#define ROUNDS (sizeof(rounds) / sizeof(rounds[0]))

/* What a worker says of itself; the watchdog prints it. */
struct report {
	uint64_t messages; /* published, or received */
	uint64_t lost;
	uint64_t position;
	uint64_t joined; /* times */
	char error[160];
	unsigned char reserved[72];
};

struct shared {
	struct report reports[WORKERS_MAX];
	uint32_t over; /* publishers that are done */
	uint32_t failed;
	uint64_t seen[MESSAGES_MAX]; /* by sequence: who said what */
};

struct worker {
	unsigned int index;
	uint32_t slot;
	uint32_t flags;
	bool joins;
	uint64_t random;
};

static struct shared *shared;
static struct torc_ring ring;
static const struct round *now_on;
static struct timespec deadline;
static pid_t pids[WORKERS_MAX];
static bool processes;

/* ---- Messages ----------------------------------------------------------- */

static unsigned char pattern[2048];

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * 0x7fb5d329728ea185u;
	return x ^ x >> 27;
}

/* Publisher and number, never 0. */
static uint64_t identity(uint32_t publisher, uint64_t number)
{
	return (uint64_t)(publisher + 1) << 48 | number;
}

static size_t length_of(uint64_t id)
{
	uint64_t x = mix(id);

	return sizeof(id) + (x & 7 ? x >> 8 & 63 : (x >> 8) % 480);
}

static void write_message(void *payload, uint64_t id, size_t length)
{
	memcpy(payload, &id, sizeof(id));
	memcpy((char *)payload + sizeof(id), pattern + (id * 7 & 1023),
	       length - sizeof(id));
}

static void fail(struct worker *w, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

static void fail(struct worker *w, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(shared->reports[w->index].error,
		  sizeof(shared->reports[w->index].error), format, arguments);
	va_end(arguments);
	__atomic_store_n(&shared->failed, 1, __ATOMIC_RELEASE);
	if (processes)
		_exit(1);
	pthread_exit(NULL);
}

#define CHECK(w, condition, ...)              \
	do {                                  \
		if (!(condition))             \
			fail(w, __VA_ARGS__); \
	} while (0)

static uint32_t dice(struct worker *w, uint32_t sides)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(w->random >> 33) % sides;
}

static void count(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

/* Somebody failed, and there is no use in going on. */
static bool broken(void)
{
	return __atomic_load_n(&shared->failed, __ATOMIC_RELAXED);
}

static void give_way(struct worker *w)
{
	if (broken())
		fail(w, "-");
	sched_yield();
}

/* ---- Publishers --------------------------------------------------------- */

struct publisher {
	struct worker *w;
	struct torc_sp sp;
	struct torc_mp mp;
	bool many;
	uint64_t number;
};

static bool time_is_up(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > deadline.tv_sec ||
	       (now.tv_sec == deadline.tv_sec &&
		now.tv_nsec >= deadline.tv_nsec);
}

static void *reserve(struct publisher *p, size_t length)
{
	void *payload = NULL;
	int r;

	for (;;) {
		r = p->many ? torc_mp_reserve(&p->mp, length, &payload)
			    : torc_sp_reserve(&p->sp, length, &payload);
		if (!r)
			return payload;
		CHECK(p->w, r == -EAGAIN, "reserve: %d", r);
		give_way(p->w);
	}
}

static void commit(struct publisher *p, size_t length)
{
	if (p->many)
		torc_mp_commit(&p->mp, length);
	else
		torc_sp_commit(&p->sp, length);
}

static void publish_copy(struct publisher *p)
{
	unsigned char buffer[LENGTH_MAX];
	uint64_t id = identity(p->w->slot, p->number++);
	size_t length = length_of(id);
	int r;

	write_message(buffer, id, length);
	while ((r = p->many ? torc_mp_publish(&p->mp, buffer, length)
			    : torc_sp_publish(&p->sp, buffer, length))) {
		CHECK(p->w, r == -EAGAIN, "publish: %d", r);
		give_way(p->w);
	}
}

static void publish_in_place(struct publisher *p)
{
	uint64_t id = identity(p->w->slot, p->number++);
	size_t length = length_of(id);
	size_t most = length + dice(p->w, LENGTH_MAX - 8 - (uint32_t)length);
	void *payload = reserve(p, most);

	write_message(payload, id, length);
	memset((char *)payload + length, 0x99, most - length);
	if (!dice(p->w, 32))
		sched_yield();
	commit(p, length);
}

static void give_up(struct publisher *p)
{
	size_t length = dice(p->w, LENGTH_MAX - 8);

	memset(reserve(p, length), 0xee, length);
	if (p->many)
		torc_mp_abort(&p->mp);
}

static void publish_batch(struct publisher *p)
{
	unsigned char buffers[6][LENGTH_MAX];
	struct torc_span spans[6];
	int n = 1 + (int)dice(p->w, 6), r;

	for (int i = 0; i < n; i++) {
		uint64_t id = identity(p->w->slot, p->number + (uint64_t)i);

		spans[i].data = buffers[i];
		spans[i].length = length_of(id);
		write_message(buffers[i], id, spans[i].length);
	}
	for (;;) {
		r = p->many ? torc_mp_publish_batch(&p->mp, spans, n)
			    : torc_sp_publish_batch(&p->sp, spans, n);
		if (r > 0)
			break;
		CHECK(p->w, r == -EAGAIN, "batch: %d", r);
		give_way(p->w);
	}
	p->number += (uint64_t)r;
}

static void publisher_run(struct worker *w)
{
	struct publisher p = { .w = w, .many = ring.kind == TORC_KIND_MP };
	const uint64_t most = MESSAGES_MAX / now_on->publishers - 8;

	CHECK(w,
	      !(p.many ? torc_mp_init(&p.mp, &ring, w->slot)
		       : torc_sp_init(&p.sp, &ring)),
	      "init");
	while (p.number < most && !broken()) {
		switch (dice(w, 8)) {
		case 0:
			give_up(&p);
			break;
		case 1:
			publish_batch(&p);
			break;
		case 2:
		case 3:
			publish_in_place(&p);
			break;
		default:
			publish_copy(&p);
		}
		count(&shared->reports[w->index].messages, p.number);
		if (p.number % 64 == 0) {
			if (time_is_up())
				break;
			/* Take over from oneself, as after a death. */
			if (!p.many && !dice(w, 4))
				CHECK(w, !torc_sp_init(&p.sp, &ring), "again");
		}
	}
	/* Every message is committed before this can be seen. */
	__atomic_fetch_add(&shared->over, 1, __ATOMIC_ACQ_REL);
}

/* ---- Subscribers -------------------------------------------------------- */

struct subscriber {
	struct worker *w;
	struct torc_consumer c;
	uint64_t begun, heard;
	uint64_t last[PUBLISHERS_MAX]; /* number and 1 */
};

static void hear(struct subscriber *s, const struct torc_message *m,
		 const unsigned char *data)
{
	struct worker *w = s->w;
	uint64_t id = 0, number, other = 0;
	uint32_t publisher;

	CHECK(w, m->length >= sizeof(id), "length %zu", m->length);
	memcpy(&id, data, sizeof(id));
	publisher = (uint32_t)(id >> 48) - 1;
	number = id & ((1ull << 48) - 1);
	CHECK(w, publisher < now_on->publishers && publisher == m->publisher,
	      "publisher %u", publisher);
	CHECK(w, m->length == length_of(id), "length %zu of %zu", m->length,
	      length_of(id));
	CHECK(w,
	      !memcmp(data + sizeof(id), pattern + (id * 7 & 1023),
		      m->length - sizeof(id)),
	      "garbled");
	CHECK(w, number >= s->last[publisher], "%ju after %ju of publisher %u",
	      (uintmax_t)number, (uintmax_t)s->last[publisher], publisher);
	s->last[publisher] = number + 1;
	CHECK(w, m->sequence < MESSAGES_MAX, "sequence %ju",
	      (uintmax_t)m->sequence);
	CHECK(w,
	      __atomic_compare_exchange_n(&shared->seen[m->sequence], &other,
					  id, 0, __ATOMIC_RELAXED,
					  __ATOMIC_RELAXED) ||
		      other == id,
	      "number %ju is %jx to one and %jx to another",
	      (uintmax_t)m->sequence, (uintmax_t)id, (uintmax_t)other);
	s->heard++;
	if (s->c.lossless)
		CHECK(w, m->sequence == s->begun + s->heard - 1,
		      "number %ju instead of %ju", (uintmax_t)m->sequence,
		      (uintmax_t)(s->begun + s->heard - 1));
}

/* Copies of a lossy subscriber's are looked at when release says so. */
static int hear_some(struct subscriber *s)
{
	static _Thread_local unsigned char buffers[8][LENGTH_MAX];
	struct torc_message m[8];
	int n, r;

	if (dice(s->w, 3) == 0) {
		r = torc_consumer_receive(&s->c, buffers[0], LENGTH_MAX, m);
		if (!r)
			hear(s, m, buffers[0]);
		return r;
	}
	n = torc_consumer_peek_batch(&s->c, m, 1 + (int)dice(s->w, 8));
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		if (s->c.lossless) {
			hear(s, &m[i], m[i].data);
			continue;
		}
		if (m[i].length > LENGTH_MAX)
			m[i].length = LENGTH_MAX;
		torc_racy_copy(buffers[i], m[i].data, m[i].length);
	}
	if (!dice(s->w, 64))
		sched_yield();
	r = torc_consumer_release(&s->c);
	CHECK(s->w, !r || (r == -ESTALE && !s->c.lossless), "release: %d", r);
	for (int i = 0; i < n && !r && !s->c.lossless; i++)
		hear(s, &m[i], buffers[i]);
	return 0;
}

static void subscriber_join(struct subscriber *s, uint32_t flags)
{
	struct report *report = &shared->reports[s->w->index];

	CHECK(s->w, !torc_consumer_join(&s->c, &ring, s->w->slot, flags),
	      "join");
	s->begun = s->c.count;
	s->heard = 0;
	count(&report->joined, report->joined + 1);
}

static void subscriber_settle(struct subscriber *s)
{
	CHECK(s->w, s->heard + s->c.lost == s->c.count - s->begun,
	      "%ju heard and %ju lost of %ju", (uintmax_t)s->heard,
	      (uintmax_t)s->c.lost, (uintmax_t)(s->c.count - s->begun));
	CHECK(s->w, !s->c.lossless || !s->c.lost, "lossless, but lost");
}

/* Where the ring ends, as all must agree in the end. */
static void subscriber_end(struct subscriber *s)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < now_on->publishers; i++)
		total += shared->reports[i].messages;
	subscriber_settle(s);
	CHECK(s->w, s->c.count == total, "%ju messages instead of %ju",
	      (uintmax_t)s->c.count, (uintmax_t)total);
}

static void subscriber_run(struct worker *w)
{
	struct subscriber s = { .w = w };
	struct report *report = &shared->reports[w->index];
	unsigned int few = 0;

	subscriber_join(&s, w->flags);
	for (;;) {
		bool over = __atomic_load_n(&shared->over, __ATOMIC_ACQUIRE) ==
			    now_on->publishers;
		int r = hear_some(&s);

		CHECK(w, !r || r == -EAGAIN, "consumer: %d", r);
		if (r && over)
			break;
		if (r)
			give_way(w);
		count(&report->messages, s.heard);
		count(&report->lost, s.c.lost);
		count(&report->position, s.c.cursor);
		/* Slowly, so that the ring gets full or comes round. */
		if (!dice(w, 2048))
			usleep(dice(w, 500));
		if (broken())
			return;
		if (w->joins && few-- == 0) {
			subscriber_settle(&s);
			torc_consumer_leave(&s.c);
			few = dice(w, 100);
			w->slot = w->slot == TORC_NO_SLOT ? w->index : w->slot;
			subscriber_join(&s, dice(w, 4));
			memset(s.last, 0, sizeof(s.last));
		}
	}
	subscriber_end(&s);
	torc_consumer_leave(&s.c);
}

/* ---- Rounds ------------------------------------------------------------- */

static void *worker_main(void *argument)
{
	struct worker *w = argument;

	if (w->index < now_on->publishers)
		publisher_run(w);
	else
		subscriber_run(w);
	return NULL;
}

static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		printf("Bail out! no memory\n");
		exit(1);
	}
	return memory;
}

static void show(int signal)
{
	char line[256];

	(void)signal;
	for (unsigned int i = 0; i < WORKERS_MAX; i++) {
		const struct report *r = &shared->reports[i];
		int n = snprintf(line, sizeof(line),
				 "# worker %u: %" PRIu64 " messages, %" PRIu64
				 " lost, at %" PRIu64 ", joined %" PRIu64
				 " times %s\n",
				 i, r->messages, r->lost, r->position,
				 r->joined, r->error);

		if (write(1, line, (size_t)n) < 0)
			break;
	}
	if (write(1, "Bail out! somebody is stuck\n", 28) < 0)
		_exit(2);
	for (unsigned int i = 0; i < WORKERS_MAX; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
	_exit(1);
}

static void set_up(uint64_t seed, unsigned int round, double seconds)
{
	struct torc_ring_config config = {
		.kind = rounds[round].kind,
		.capacity = rounds[round].capacity,
		.publishers = rounds[round].publishers,
		.subscribers = WORKERS_MAX,
		.first_position = 0u - mix(seed + round) % 100000 * 16,
	};
	struct torc_constants_shm constants;
	unsigned char *memory;
	int r = torc_ring_layout(&config, &constants);

	memory = r ? NULL : map(constants.ring_size + constants.cursors_size);
	if (r)
		exit(1);
	torc_ring_format(&constants, memory, memory + constants.ring_size);
	if (torc_ring_attach(&ring, memory, constants.ring_size,
			     memory + constants.ring_size,
			     constants.cursors_size))
		exit(1);
	shared = map(sizeof(*shared));
	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_sec += (time_t)seconds;
	deadline.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_nsec -= 1000000000;
		deadline.tv_sec++;
	}
	alarm((unsigned int)seconds + 120);
}

static unsigned int cast(struct worker *workers, const struct round *round,
			 uint64_t seed)
{
	unsigned int n = 0, steady = round->lossless + round->lossy;

	for (; n < round->publishers; n++)
		workers[n] = (struct worker){ .slot = n };
	for (unsigned int i = 0; i < steady + round->joiners; i++, n++)
		workers[n] = (struct worker){
			.slot = i < round->lossless || i % 2 ? n : TORC_NO_SLOT,
			.flags = i < round->lossless ? TORC_LOSSLESS
				 : i % 3	     ? TORC_OLDEST
						     : 0,
			.joins = i >= steady,
		};
	for (unsigned int i = 0; i < n; i++) {
		workers[i].index = i;
		workers[i].random = mix(seed * 1000 + i);
	}
	return n;
}

static void run(struct worker *workers, unsigned int n)
{
	pthread_t threads[WORKERS_MAX];

	fflush(stdout);
	for (unsigned int i = 0; i < n; i++) {
		if (!processes) {
			if (pthread_create(&threads[i], NULL, worker_main,
					   &workers[i]))
				exit(1);
			continue;
		}
		pids[i] = fork();
		if (pids[i] < 0)
			exit(1);
		if (!pids[i]) {
			alarm(0);
			worker_main(&workers[i]);
			_exit(0);
		}
	}
	for (unsigned int i = 0; i < n; i++) {
		int status = 0;

		if (processes)
			waitpid(pids[i], &status, 0);
		else
			pthread_join(threads[i], NULL);
		pids[i] = 0;
		if (status && !shared->reports[i].error[0])
			snprintf(shared->reports[i].error, 80, "status %d",
				 status);
	}
}

/* One round; true if all was well. */
static bool play(unsigned int index, unsigned int number, uint64_t seed,
		 double seconds)
{
	struct worker workers[WORKERS_MAX];
	const struct round *round = &rounds[index];
	uint64_t messages = 0, lost = 0, joined = 0;
	bool good = true;
	unsigned int n;

	set_up(seed, index, seconds);
	now_on = round;
	n = cast(workers, round, seed + number);
	run(workers, n);
	for (unsigned int i = 0; i < n; i++) {
		const struct report *r = &shared->reports[i];

		if (i < round->publishers)
			messages += r->messages;
		lost += r->lost;
		joined += r->joined;
		good = good && !r->error[0];
	}
	printf("%sok %u - %s, %s: %ju messages, %ju lost, %ju joined\n",
	       good ? "" : "not ", number, processes ? "processes" : "threads",
	       round->name, (uintmax_t)messages, (uintmax_t)lost,
	       (uintmax_t)joined);
	for (unsigned int i = 0; i < n && !good; i++)
		if (shared->reports[i].error[0])
			printf("# worker %u: %s\n", i,
			       shared->reports[i].error);
	fflush(stdout);
	return good;
}

int main(int argc, char **argv)
{
	const char *stress = getenv("TORC_STRESS_S");
	double seconds = stress ? atof(stress) : 3;
	bool good = true, threads = true, forks = true;
	uint64_t seed = 1;
	unsigned int number = 0;

#ifdef TORC_TSAN
	forks = false;
#endif
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--threads"))
			forks = false;
		else if (!strcmp(argv[i], "--processes"))
			threads = false;
		else if (!strcmp(argv[i], "--seconds"))
			seconds = atof(value), i++;
		else if (!strcmp(argv[i], "--seed"))
			seed = strtoull(value, NULL, 10), i++;
		else
			return 2;
	}
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (unsigned char)(mix(i) | 1);
	signal(SIGALRM, show);
	printf("1..%zu\n# seed %ju\n", ROUNDS * (size_t)(threads + forks),
	       (uintmax_t)seed);
	seconds /= (double)ROUNDS * (threads + forks);
	for (unsigned int mode = 0; mode < 2; mode++) {
		processes = mode == 0;
		for (unsigned int i = 0;
		     i < ROUNDS && (processes ? forks : threads); i++)
			good &= play(i, ++number, seed, seconds);
	}
	return good ? 0 : 1;
}
