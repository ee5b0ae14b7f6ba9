/* SPDX-License-Identifier: MIT */
/*
 * Three publishers and four subscribers, lossless all, one of whom is killed
 * every 50 ms and started again; the subscribers check every byte.
 *
 * A publisher's life says message 0, 1, 2, ...; a subscriber must hear each life
 * from the beginning of what it hears of it without a gap.  The auditor, which
 * is never killed, hears all: of each life everything that it says it has
 * published, in the order in which each later subscriber hears it, too.
 *
 * A watcher looks once a millisecond, while nothing is heard, whether anybody of
 * them runs or could run.  Where someone could, the stall is the scheduler's, or
 * work; where all sleep, it is ours.  They all may for 10 ms after a death with a
 * claim, or between a commit and its wake: after few deaths.
 *
 * TORC_SOAK_S seconds long.  Each publisher rests for TORC_SOAK_REST_US every 256
 * messages: with less to do than the processors can, fewer stalls are theirs.
 */
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY 65536u
#define PUBLISHERS 3
#define SUBSCRIBERS 3		/* and the auditor */
#define LIVES (PUBLISHERS + SUBSCRIBERS)
#define KILL_EVERY_NS 50000000u
/* Lives of publishers whose messages may yet come. */
#define RECENT 64u
#define HUNG_NS 10000000000u
/* Asleep, all of them; a publisher's rest is shorter, a lost wake-up longer. */
#define SLUMBER_NS 5000000u
#define ASLEEP_MAX_NS 100000000u
/* One life in so many hesitates with a claim in its hands, to be killed so. */
#define HESITANT 4u

/* Shared by all processes. */
struct soak {
	/* Messages that a publisher's life has published, by its number. */
	uint64_t published[RECENT];
	/* Digest of each recent message, by sequence, for the others. */
	uint64_t digests[65536];
	uint64_t audited;		/* messages, by the auditor */
	uint64_t stall_ns;		/* longest that it heard nothing */
	uint64_t asleep_ns;		/* of one stall, while all slept ... */
	uint64_t asleep_deaths;		/* ... and who died in it */
	uint64_t deaths;		/* all */
	uint64_t slumbers;		/* stalls in which all slept for long */
	pid_t pids[LIVES + 1];		/* the last is the auditor */
	uint64_t repaired;
	uint64_t compared;		/* messages, by the others */
	uint64_t checked_lives;
};

static struct soak *soak;

static __attribute__((noreturn)) void complain(const char *what, uint64_t a,
					       uint64_t b)
{
	printf("not ok - %s (%llu, %llu)\n", what, (unsigned long long)a,
	       (unsigned long long)b);
	fflush(stdout);
	_exit(1);
}

static void must(int r, const char *what)
{
	if (r < 0) {
		printf("# %s\n", torc_errmsg());
		complain(what, (uint64_t)-r, 0);
	}
}

/* ---- Messages ----------------------------------------------------------- */

struct speech {
	uint64_t life, number;
	unsigned char fill[];
};

static size_t length_of(uint64_t life, uint64_t number)
{
	return sizeof(struct speech) + (life * 7 + number * 13) % 500;
}

static unsigned char fill_of(uint64_t life, uint64_t number)
{
	return (unsigned char)(life * 31 + number * 7);
}

static void check_bytes(const struct torc_message *message)
{
	const struct speech *speech = message->data;
	unsigned char fill;

	if (message->length < sizeof(*speech) ||
	    message->length != length_of(speech->life, speech->number))
		complain("a wrong length", message->length, message->sequence);
	fill = fill_of(speech->life, speech->number);
	for (size_t i = 0; i < message->length - sizeof(*speech); i++)
		if (speech->fill[i] != fill)
			complain("a wrong byte", message->sequence, i);
}

static uint64_t digest(const struct torc_message *message)
{
	const struct speech *speech = message->data;

	return (message->sequence << 40) ^ (speech->life << 24) ^
	       speech->number;
}

/* ---- Lives -------------------------------------------------------------- */

static uint64_t asked(const char *name, uint64_t unasked)
{
	const char *value = getenv(name);

	return value ? strtoull(value, NULL, 10) : unasked;
}

static void publish(struct torc_topic *topic, uint64_t life)
{
	const struct timespec hesitation = { .tv_nsec = 1000000 };
	const struct timespec rest = {
		.tv_nsec = (long)asked("TORC_SOAK_REST_US", 0) * 1000,
	};
	struct torc_publisher *pub;
	struct torc_pub_stats stats;
	uint64_t repaired = 0;

	must(torc_pub_open(topic, NULL, &pub), "pub_open");
	for (uint64_t number = 0;; number++) {
		size_t length = length_of(life, number);
		struct speech *speech;
		void *payload;

		must(torc_pub_reserve(pub, length, &payload), "reserve");
		speech = payload;
		speech->life = life;
		speech->number = number;
		if (life % HESITANT == 0 && number % 16 == 0)
			nanosleep(&hesitation, NULL);
		memset(speech->fill, fill_of(life, number),
		       length - sizeof(*speech));
		must(torc_pub_commit(pub, length), "commit");
		torc_store_release(&soak->published[life % RECENT],
				   number + 1);
		torc_pub_get_stats(pub, &stats);
		if (stats.repaired != repaired)
			torc_add(&soak->repaired, stats.repaired - repaired);
		repaired = stats.repaired;
		if (number % 256 == 0 && rest.tv_nsec)
			nanosleep(&rest, NULL);
	}
}

/* What the auditor has heard is what the others hear. */
static void compare(struct torc_topic *topic)
{
	struct torc_message messages[16];
	struct torc_subscriber *sub;
	int n;

	must(torc_sub_open(topic, NULL, &sub), "sub_open");
	for (;;) {
		if (torc_sub_wait(sub, HUNG_NS))
			complain("a subscriber hangs", 0, 0);
		n = torc_sub_peek_batch(sub, messages, 16);
		must(n, "peek");
		for (int i = 0; i < n; i++) {
			uint64_t sequence = messages[i].sequence;

			check_bytes(&messages[i]);
			/* The auditor may be behind, or far ahead. */
			if (torc_load_acquire(&soak->audited) <= sequence)
				continue;
			if (torc_load_relaxed(
				    &soak->digests[sequence % 65536]) !=
			    digest(&messages[i]) &&
			    torc_load_acquire(&soak->audited) - sequence <
				    60000)
				complain("another message", sequence, 0);
			torc_add(&soak->compared, 1u);
		}
		must(torc_sub_release(sub), "release");
	}
}

/* ---- The auditor -------------------------------------------------------- */

struct audit {
	uint64_t life[RECENT], next[RECENT];
};

/* A life's slot is wanted by a later one: it has said all that it did. */
static void check_life(const struct audit *audit, uint64_t slot,
		       uint64_t published)
{
	/* It may have died between committing and saying so. */
	if (audit->next[slot] < published || audit->next[slot] > published + 1)
		complain("messages were lost", audit->next[slot], published);
	soak->checked_lives++;
}

static void audit_one(struct audit *audit, const struct torc_message *message)
{
	const struct speech *speech = message->data;
	uint64_t slot = speech->life % RECENT;

	check_bytes(message);
	if (message->sequence != soak->audited)
		complain("out of sequence", message->sequence, soak->audited);
	if (speech->life != audit->life[slot]) {
		audit->life[slot] = speech->life;
		audit->next[slot] = 0;
	}
	if (speech->number != audit->next[slot]++)
		complain("lost or doubled", speech->number,
			 audit->next[slot] - 1);
	torc_store_relaxed(&soak->digests[message->sequence % 65536],
			   digest(message));
	torc_store_release(&soak->audited, message->sequence + 1);
}

static struct audit audit;

static int audit_all(struct torc_subscriber *sub, uint64_t patience_ns)
{
	static uint64_t silence_ns;
	struct torc_message messages[16];
	uint64_t since = torc_now_ns();
	int n, r = torc_sub_wait(sub, (int64_t)patience_ns);

	silence_ns += torc_now_ns() - since;
	if (silence_ns >= HUNG_NS)
		complain("the auditor hangs", 0, 0);
	if (r)
		return r;
	if (silence_ns > soak->stall_ns)
		soak->stall_ns = silence_ns;
	silence_ns = 0;
	n = torc_sub_peek_batch(sub, messages, 16);
	must(n, "peek");
	for (int i = 0; i < n; i++)
		audit_one(&audit, &messages[i]);
	must(torc_sub_release(sub), "release");
	return 0;
}

/* ---- The watcher -------------------------------------------------------- */

#define LOOK_NS 1000000u

/* R, S, T, ...; what has ended does not hold anybody up. */
static char state_of(pid_t pid)
{
	char path[32], text[256], *p;
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (n <= 0)
		return 'X';
	text[n] = '\0';
	p = strrchr(text, ')');
	return p && p[1] ? p[2] : 'X';
}

static bool all_sleep(void)
{
	for (int i = 0; i <= LIVES; i++) {
		pid_t pid = torc_load_acquire(&soak->pids[i]);
		/* One that is being killed is as good as runnable. */
		if (pid && state_of(pid) != 'S')
			return false;
	}
	return true;
}

/* How long nothing was heard, and all slept at each look; in a process. */
static void watch(void)
{
	const struct timespec pause = { .tv_nsec = LOOK_NS };
	uint64_t heard = 0, deaths = 0, asleep = 0, before = torc_now_ns();

	for (;;) {
		uint64_t now, took, audited;

		nanosleep(&pause, NULL);
		audited = torc_load_acquire(&soak->audited);
		now = torc_now_ns();
		took = now - before;
		before = now;
		if (audited != heard) {
			soak->slumbers += asleep > SLUMBER_NS;
			asleep = 0;
			deaths = torc_load_acquire(&soak->deaths);
		} else if (all_sleep()) {
			/* Between two late looks anything may have been. */
			asleep += took < 2 * LOOK_NS ? took : LOOK_NS;
		}
		heard = audited;
		if (asleep > soak->asleep_ns) {
			soak->asleep_ns = asleep;
			soak->asleep_deaths = torc_load_acquire(&soak->deaths) -
					      deaths;
		}
	}
}

static pid_t start_watcher(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watch();
	_exit(1);
}

/* ---- Killing ------------------------------------------------------------ */

struct lives {
	struct torc_topic *topic;
	uint64_t life[LIVES];
	uint64_t begun;		/* publishers' lives */
	unsigned long kills;
};

static void start(struct lives *lives, int i)
{
	uint64_t life = i < PUBLISHERS ? ++lives->begun : 0;
	pid_t pid;

	if (life) {
		soak->published[life % RECENT] = 0;
		lives->life[i] = life;
	}
	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (life)
			publish(lives->topic, life);
		else
			compare(lives->topic);
	}
	torc_store_release(&soak->pids[i], pid);
}

static void finish(struct lives *lives, int i)
{
	int status;

	kill(soak->pids[i], SIGKILL);
	waitpid(soak->pids[i], &status, 0);
	/* Who is gone keeps the watcher from seeing the others asleep no more. */
	torc_store_release(&soak->pids[i], 0);
	torc_add(&soak->deaths, 1u);
	if (!WIFSIGNALED(status))
		complain("it ended by itself", (uint64_t)i, (uint64_t)status);
	lives->kills++;
}

/* All that a dead publisher has committed is in the ring or was heard. */
static void bury(struct lives *lives, int i, struct torc_subscriber *sub)
{
	uint64_t life = lives->life[i], slot = life % RECENT;
	uint64_t published = torc_load_acquire(&soak->published[slot]);
	uint64_t deadline = torc_now_ns() + HUNG_NS;

	while ((audit.life[slot] != life && published) ||
	       (audit.life[slot] == life && audit.next[slot] < published)) {
		if (torc_now_ns() > deadline)
			complain("messages were lost", audit.next[slot],
				 published);
		audit_all(sub, HUNG_NS);
	}
	if (published)
		check_life(&audit, slot, published);
}

static void kill_one(struct lives *lives, struct torc_subscriber *sub)
{
	int victim = rand() % LIVES;

	finish(lives, victim);
	if (victim < PUBLISHERS)
		bury(lives, victim, sub);
	start(lives, victim);
}

static void run(struct lives *lives, struct torc_subscriber *sub,
		uint64_t seconds)
{
	uint64_t now = torc_now_ns(), next = now + KILL_EVERY_NS;
	const uint64_t end = now + seconds * 1000000000u;

	while (now < end) {
		/* Also if nothing is heard: somebody has a claim then. */
		if (now >= next) {
			kill_one(lives, sub);
			now = torc_now_ns();
			next = now + KILL_EVERY_NS;
		}
		audit_all(sub, next - now);
		now = torc_now_ns();
	}
}

/* What the watcher has seen is no more than the deaths account for. */
static void check_stalls(const struct lives *lives)
{
	if (soak->asleep_ns > ASLEEP_MAX_NS)
		complain("all slept, for so many us", soak->asleep_ns / 1000,
			 soak->slumbers);
	if (soak->slumbers > lives->kills / 10)
		complain("all slept too often for so many deaths",
			 soak->slumbers, lives->kills);
}

static void report(const struct lives *lives)
{
	/* Who misses a message ends the program. */
	printf("%llu messages, %lu kills, %llu repairs, 0 losses, longest "
	       "stall %.1f ms\n# all slept for %.1f ms at most, in a stall with "
	       "%llu deaths, %llu times for more than %.1f ms\n# %llu dead publishers' messages were all "
	       "found, %llu messages compared\n",
	       (unsigned long long)soak->audited, lives->kills,
	       (unsigned long long)soak->repaired,
	       (double)soak->stall_ns / 1e6, (double)soak->asleep_ns / 1e6,
	       (unsigned long long)soak->asleep_deaths,
	       (unsigned long long)soak->slumbers, SLUMBER_NS / 1e6,
	       (unsigned long long)soak->checked_lives,
	       (unsigned long long)soak->compared);
}

int main(void)
{
	struct torc_topic_options options = { .flags = TORC_CREATE | TORC_MANY,
					      .capacity = CAPACITY,
					      .publishers = PUBLISHERS,
					      .subscribers = SUBSCRIBERS + 1 };
	char bus[] = "/dev/shm/torc-soak-XXXXXX";
	struct lives lives = { .begun = 0 };
	struct torc_subscriber *sub;
	pid_t watcher;

	soak = mmap(NULL, sizeof(*soak), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (soak == MAP_FAILED || !mkdtemp(bus) || setenv("TORC_DIR", bus, 1))
		return 1;
	srand((unsigned int)torc_now_ns());
	must(torc_topic_open(NULL, "soak", &options, &lives.topic), "create");
	must(torc_sub_open(lives.topic, NULL, &sub), "sub_open");
	for (int i = 0; i < LIVES; i++)
		start(&lives, i);
	soak->pids[LIVES] = getpid();
	watcher = start_watcher();
	run(&lives, sub,
	    asked("TORC_SOAK_S", getenv("TORC_LONG") ? 1800 : 10));
	for (int i = 0; i < LIVES; i++)
		finish(&lives, i);
	for (int i = 0; i < PUBLISHERS; i++)
		bury(&lives, i, sub);
	kill(watcher, SIGKILL);
	waitpid(watcher, NULL, 0);
	while (!audit_all(sub, 100000000))
		;
	if (torc_sub_ended(sub) != 1)
		complain("the end is not seen", 0, 0);
	torc_sub_close(sub);
	torc_topic_close(lives.topic);
	if (rmdir(bus))
		complain("something is left on the bus", 0, 0);
	report(&lives);
	check_stalls(&lives);
	printf("1 passed, 0 failed\n");
	return 0;
}
