/* SPDX-License-Identifier: MIT */
/*
 * What the files of libtorc share.  Each section is implemented by the file it
 * names; start reading at topic.c.
 */
#ifndef TORC_INTERNAL_H
#define TORC_INTERNAL_H

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#define TORC_API __attribute__((visibility("default")))

#include <torc/ring.h>
#include <torc/torc.h>

/* ---- error.c ------------------------------------------------------------ */

/* Note what went wrong for torc_errmsg(); returns @error. */
int torc_fail(int error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* -EINVAL unless the @size bytes reserved in the options of @what are zero. */
int torc_check_reserved(const char *what, const void *reserved, size_t size);

/* ---- lock.c: open-file-description locks -------------------------------- */

/*
 * @type is F_RDLCK, F_WRLCK or F_UNLCK.  0; -EAGAIN if another description has a
 * lock in the way; or an error of the system.
 */
int torc_lock_set(int fd, short type, uint64_t first, uint64_t length);

/* A pause before trying again where a lock is held for moments only. */
bool torc_lock_pause(int *tries);
/* What a try costs where the lock is most likely held for long. */
#define TORC_LOCK_DOUBTFUL 50
/* torc_lock_set() of one byte, trying so for a while. */
int torc_lock_set_patiently(int fd, short type, uint64_t first);

/*
 * Close @fd, if it is not -1, and let go of its locks, which a child that another
 * thread forked meanwhile would hold on to.
 */
void torc_lock_close(int fd);

/* 1 if another description holds a write lock there, 0 if not, or an error. */
int torc_lock_probe(int fd, uint64_t first);

/* ---- process.c: who we are, who is alive, and fork() -------------------- */

struct torc_process {
	uint32_t pid;
	uint64_t start_time;	/* clock ticks since boot; 0: not known */
	uint64_t pid_namespace;	/* inode; 0: not known */
};

void torc_process_self(struct torc_process *ret);

/* 1; 0 if it has ended; -1 if its PID cannot be judged here. */
int torc_process_alive(const struct torc_process *process);

/* Is @pid, which we see, in our PID and network namespaces, and so sees us? */
bool torc_process_beside(pid_t pid);

/* 1 by a signal or a debugger; 0; -1 if it cannot be told. */
int torc_process_stopped(const struct torc_process *process);

/*
 * What a handle must lose in a forked child: descriptors that hold locks, which
 * would outlive their owner there.
 */
struct torc_forkable {
	struct torc_forkable *next, **link;	/* NULL: of the parent */
	int fds[2];	/* closed in the child, and -1 then */
	/* Why the handle is of no use any more: -EOWNERDEAD, we are the child;
	 * -EPROTO, its ring was cut off.  Or 0. */
	int unusable;
};

void torc_forkable_add(struct torc_forkable *forkable);
/* Closes the descriptors too. */
void torc_forkable_remove(struct torc_forkable *forkable);

/*
 * No fork() happens between these, nor does another thread get here: for opening
 * a descriptor and noting it in fds, lest a child inherit one unnoticed.
 */
void torc_fork_hold(void);
void torc_fork_allow(void);

/* ---- guard.c: truncated files ------------------------------------------- */

/*
 * If what is mapped at @base is cut off, *@unusable becomes -EPROTO.  0 or -ENOMEM.
 */
int torc_guard_add(void *base, size_t size, bool writable, int *unusable);
void torc_guard_remove(void *base);

/* ---- bus.c: names ------------------------------------------------------- */

struct torc_bus {
	uint32_t references;
	int fd;
	char path[];
};

#define TORC_NAME_MAX 127
#define TORC_FILE_MAX 255

struct torc_bus *torc_bus_ref(struct torc_bus *bus);

/* As torc_bus_open(), of a directory that is there. */
int torc_directory_open(const char *path, struct torc_bus **ret_bus);
/* Call @each with the bus's files; stops at a nonzero result. */
int torc_bus_each_file(struct torc_bus *bus,
		       int (*each)(const char *file, void *context),
		       void *context);

/* -EINVAL if no topic can be called so. */
int torc_name_check(const char *name);
/* "a/b" is the file "a:b", which no name can be. */
void torc_name_to_file(const char *name, char file[TORC_FILE_MAX + 1]);

/* Where shm_open() makes its objects; see shm_open(3). */
#define TORC_POSIX_DIRECTORY "/dev/shm"

/* A file in a directory. */
struct torc_place {
	struct torc_bus *bus;
	char file[TORC_FILE_MAX + 1];
};

/* ---- mapping.c and mapping_*.c: where a ring's bytes live --------------- */

enum torc_object { TORC_OBJECT_RING, TORC_OBJECT_CURSORS, TORC_OBJECT_LOCKS };

enum torc_access {
	TORC_ACCESS_LOOK,	/* nothing writable */
	TORC_ACCESS_RECEIVE,	/* the cursors, if they may be written */
	TORC_ACCESS_PUBLISH,	/* both objects */
};

/* A mapped ring. */
struct torc_view {
	struct torc_ring ring;
	void *ring_base;
	size_t ring_size;
	void *cursors_base;	/* NULL: may not be written (or looked at) */
	size_t cursors_size;
	pid_t process;		/* which has a subscription's pages; 0: none */
};

struct torc_mapping {
	const char *name;
	const char *prefix;	/* of an address */
	bool given;		/* can be another owner's or group's */

	/*
	 * Where the topic of this name is, on @bus or the default one if NULL.
	 * A reference to place->bus is the caller's.  NULL: it is no file.
	 */
	int (*locate)(const char *name, struct torc_bus *bus,
		      struct torc_place *ret);

	/*
	 * Make (@constants) or open (NULL) the topic's objects by the @rest of
	 * its address.  Opening fills topic->constants.
	 */
	int (*create)(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options);
	int (*open)(struct torc_topic *topic, const char *rest);

	/*
	 * Keep others from removing it while we take part, by a lock on
	 * forkable.fds[0]; -ENOENT if it was removed.  NULL: nobody can.
	 */
	int (*hold)(struct torc_topic *topic);

	/* A new description of an object, to lock bytes of; @flags as open(). */
	int (*describe)(struct torc_topic *topic, enum torc_object object,
			int flags);

	/* Map the objects into @view, bases and sizes only. */
	int (*map)(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view);
	void (*unmap)(struct torc_topic *topic, struct torc_view *view);

	/* Let the objects go, and remove them if nobody else is there. */
	void (*release)(struct torc_topic *topic);

	/*
	 * Remove the topic, which is not open; @flags are TORC_REMOVE_*.  Returns
	 * -errno, and tells why if the topic has no place.  NULL: it has no name.
	 */
	int (*remove)(struct torc_topic *topic, const char *rest,
		      unsigned int flags);

	/*
	 * Get a slot for a subscriber, and map what it may write into @view; the
	 * slot is free again when the descriptor is closed that this returns.
	 * NULL: slots are taken by locks.
	 */
	int (*subscribe)(struct torc_topic *topic, struct torc_view *view,
			 uint32_t *ret_slot);

	/*
	 * Sleep while @word holds @value, for @ns at most; 0 or -errno.  Wake who
	 * does.  NULL: by futexes.
	 */
	int (*sleep)(const struct torc_topic *topic, const uint32_t *word,
		     uint32_t value, uint64_t ns);
	void (*wake)(const struct torc_topic *topic, const uint32_t *word);
	/*
	 * Have @eventfd, -1: none, written to whenever who waits for messages is
	 * woken; the subscriber's bell is disarmed before.  NULL: publishers ring
	 * bells themselves.
	 */
	int (*ring)(int subscription, int eventfd);

	bool on_bus;	/* a topic's place is on a bus, where no others' files are,
			   and it is known by its name without the prefix */
	bool handed_on;	/* as its descriptor */
	bool disk;	/* not memory: it stays, and can be written out */
};

extern const struct torc_mapping torc_mapping_shm, torc_mapping_posix,
	torc_mapping_file, torc_mapping_sysv, torc_mapping_memfd,
	torc_mapping_fd, torc_mapping_anon, torc_mapping_dev;

/* The mapping that @address names, and the rest of the address; -EINVAL. */
int torc_mapping_of(const char *address, const struct torc_mapping **ret,
		    const char **ret_rest);

/* ---- memory.c: what is asked of mapped memory --------------------------- */

/* Bytes of a page of the pool of huge pages. */
uint64_t torc_huge_page(void);
/* Do to @view what topic->memory says. */
int torc_memory_apply(struct torc_topic *topic, enum torc_access access,
		      const struct torc_view *view);
/* What of it was got. */
unsigned int torc_memory_got(const struct torc_topic *topic);

/* Have the first @size bytes of the new file @fd there for certain; -errno. */
int torc_allocate(int fd, uint64_t size);
/* Whether @size bytes could be had at all; tmpfs may promise more than there is. */
int torc_memory_check(const char *name, uint64_t size);
/*
 * The constants of a new ring as @config has it, whose id is filled in, and its
 * page if that is 0: the system's.
 */
int torc_constants_new(const char *name, struct torc_ring_config *config,
		       struct torc_constants_shm *ret);
/*
 * Check the constants of the topic's ring, @shared or what is at offset 0 of @fd,
 * an object of @size bytes: the ring, and the cursors if it has @flags
 * TORC_RING_ONE_BLOCK.
 */
int torc_constants_take(struct torc_topic *topic,
			const struct torc_constants_shm *shared, uint64_t size,
			uint32_t flags);
int torc_constants_load(struct torc_topic *topic, int fd, uint64_t size,
			uint32_t flags);
/* A new description of what @fd is open on, to lock bytes of; -errno. */
int torc_open_again(int fd, int flags);
/* Map a part of @fd; -errno. */
int torc_map_part(const struct torc_topic *topic, int fd, uint64_t offset,
		  uint64_t size, bool writable, void **ret);
/* Unmap what of the objects is mapped one by one. */
void torc_unmap_parts(struct torc_topic *topic, struct torc_view *view);

/* ---- files.c: topics that are files, in topic->place --------------------- */

/* Whose a new object is to be, and what they and others may. */
struct torc_permissions {
	uid_t owner;		/* -1: as the system made it */
	gid_t group;		/* -1: the same */
	mode_t mode;
};

/* Of the ring and of the cursors, as @options ask for. */
void torc_permissions_of(const struct torc_topic_options *options,
			 struct torc_permissions *ring,
			 struct torc_permissions *cursors);
/* Give them to the new file @fd, whatever the umask was; -errno, told. */
int torc_permit(const struct torc_topic *topic, int fd,
		const struct torc_permissions *permissions);

/* How the files of a new ring are to be. */
struct torc_filling {
	/* What the new ring shall hold, @ring and @cursors being mapped. */
	int (*fill)(const struct torc_constants_shm *constants, void *ring,
		    void *cursors, void *context);
	void *context;
	struct torc_permissions ring, cursors;
	bool replace;		/* what has the name; else -EEXIST */
};

int torc_files_make(struct torc_topic *topic,
		    const struct torc_constants_shm *constants,
		    const struct torc_filling *filling);
int torc_files_create(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options);
int torc_files_open(struct torc_topic *topic, const char *rest);
int torc_files_hold(struct torc_topic *topic);
int torc_files_describe(struct torc_topic *topic, enum torc_object object,
			int flags);
int torc_files_map(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view);
void torc_files_release(struct torc_topic *topic);
/* As hold(), for who has the two parts; @is_there: was not removed. */
int torc_files_hold_parts(struct torc_topic *topic,
			  bool (*is_there)(struct torc_topic *topic));
/* Let go of what keeps it: true if nobody else is there, nor can come. */
bool torc_files_left(struct torc_topic *topic);
/* The locks, which come first, held, lest others take the rest for left over. */
int torc_files_make_locks(struct torc_topic *topic, const unsigned char id[16],
			  const struct torc_permissions *ring);
/* Remove the parts of a ring that is no more. */
void torc_files_forget(struct torc_topic *topic, const unsigned char id[16]);

int torc_files_remove(struct torc_topic *topic, const char *rest,
		      unsigned int flags);

/* What stays though it has the name of what is to be removed. */
enum torc_spared {
	TORC_SPARED_USED = 1,	/* -EBUSY: what is in use, or no ring */
	TORC_SPARED_PERSISTENT = 2,	/* -EBUSY: a persistent ring */
	TORC_SPARED_FOREIGN = 4,	/* -EPROTO: what is no ring */
};

/* Remove what is at @place and its parts, but for what is of the kinds @spared. */
int torc_place_clear(const struct torc_place *place, unsigned int spared);

/* Open a part, "cursors" or "locks", of the ring with that id; -errno. */
int torc_part_open(int bus_fd, const unsigned char id[16], const char *part,
		   int flags);

/* mapping_sysv.c: is this the cursors file of a segment that is there? */
bool torc_sysv_owns(int cursors_fd);

/*
 * What the locks object of a topic on a disk says: when, and of which file, it is
 * true that who has no lock is dead.
 */
struct torc_disk_state {
	unsigned char boot[16];	/* the machine's boot ID */
	uint64_t inode;		/* of the ring: a copy is not what it is of */
	uint64_t kept, dropped;	/* when it was last reopened after a crash:
				   messages, and bytes */
};

/* Write it, for the ring @ring_fd, all of which is on the disk then. */
int torc_disk_state_write(struct torc_topic *topic, int locks_fd, int ring_fd);

/* False if it was used before the machine was last started, or is a copy. */
bool torc_disk_is_current(struct torc_topic *topic);

/* Write out what @topic's ring holds, and wait for it; -errno. */
int torc_disk_sync(const struct torc_topic *topic);
/* Begin to. */
void torc_disk_sync_begin(const struct torc_topic *topic);

/* ---- salvage.c: messages on a disk -------------------------------------- */

/* Bytes of the check words, in whole pages. */
static inline uint64_t torc_checks_size(uint64_t capacity)
{
	return torc_align(capacity / TORC_RECORD_ALIGN * sizeof(uint64_t),
			  (uint64_t)sysconf(_SC_PAGESIZE));
}

/* Note the check word of the message with @header at @position, before it is
 * committed. */
void torc_check_note(const struct torc_ring *ring, uint64_t position,
		     uint64_t header);
/* The same for the messages from @begin to @end, of which @header is the first. */
void torc_check_note_batch(const struct torc_ring *ring, uint64_t begin,
			   uint64_t end, uint64_t header);

/* What is left in a ring in which nobody takes part. */
struct torc_salvage {
	uint64_t begin, end;	/* positions; the messages lie between */
	uint64_t messages;	/* that are intact */
	uint64_t sequence;	/* of the first */
	uint64_t dropped;	/* bytes between that are no messages any more */
};

/* @first: where the ring began. */
void torc_salvage_find(const struct torc_ring *ring, uint64_t first,
		       struct torc_salvage *ret);
int torc_salvage_each(const struct torc_ring *ring,
		      const struct torc_salvage *found,
		      int (*each)(const struct torc_message *message,
				  void *context),
		      void *context);

/* ---- topic.c ------------------------------------------------------------ */

struct torc_topic {
	const struct torc_mapping *mapping;
	struct torc_constants_shm constants;	/* checked */
	struct torc_forkable forkable;	/* fds[0]: holds the lifetime lock */
	bool held;			/* we take part */
	bool inspecting;		/* TORC_INSPECT */
	bool huge;			/* of the pool of huge pages */
	unsigned int memory;		/* TORC_MEMORY_* */
	uint32_t numa_node;
	struct torc_view view;		/* ring_base NULL until looked at */
	int looked_unusable;		/* it was cut off */
	uint32_t references;
	struct torc_place place;	/* of a named topic */
	int fd;				/* ring object, or memfd */
	int segment;			/* ring object of System V */
	void *block;			/* anonymous memory */
	bool reopened;			/* by us, after a crash of the machine */
	uint64_t kept, dropped;		/* then: messages, and bytes */
	char name[];			/* or the address of one without */
};

struct torc_topic *torc_topic_ref(struct torc_topic *topic);
struct torc_topic *torc_topic_unref(struct torc_topic *topic);

/* -EACCES: @access to the topic is not permitted. */
int torc_topic_refused(const struct torc_topic *topic, enum torc_access access);

/* -EPROTO, and why. */
int torc_truncated(const struct torc_topic *topic);
/* What a call returns whose handle is of no use any more: @forkable->unusable. */
int torc_unusable(const struct torc_forkable *forkable,
		  const struct torc_topic *topic);

/* Remove the topic at @place by its mapping; -errno, as that's remove() does. */
int torc_topic_remove(const struct torc_mapping *mapping,
		      const struct torc_place *place, const char *rest,
		      unsigned int flags);

/* @unusable: of the handle whose the view is. */
int torc_topic_map(struct torc_topic *topic, enum torc_access access,
		   int *unusable, struct torc_view *ret_view);
/* The same without taking part. */
int torc_topic_attach(struct torc_topic *topic, enum torc_access access,
		      int *unusable, struct torc_view *ret_view);
void torc_topic_unmap(struct torc_topic *topic, struct torc_view *view);

/* Take part: from now on others must not remove it.  Several threads may. */
int torc_topic_hold(struct torc_topic *topic);

/*
 * A description of @object, open for writing, in @forkable->fds[@i]; returns it,
 * or -errno.
 */
int torc_topic_describe(struct torc_topic *topic, enum torc_object object,
			struct torc_forkable *forkable, int i);

/* ---- participants.c ----------------------------------------------------- */

/*
 * Is the publisher or the subscriber in a slot alive?  @fd: a description of the
 * locks or the cursors object; a lock that it holds itself does not count.
 * 1, 0, or -1 if it cannot be told.
 */
int torc_publisher_alive(const struct torc_ring *ring, int fd, uint32_t slot);
int torc_subscriber_alive(const struct torc_ring *ring, int fd, uint32_t slot);

/*
 * Is the process there that signed a slot?  If not, and the slot is locked, somebody
 * is about to sign it, or is only looking whether its owner died.  -1 if it cannot be
 * told: the lock is most likely its own.
 */
int torc_publisher_present(const struct torc_ring *ring, uint32_t slot);
int torc_subscriber_present(const struct torc_ring *ring, uint32_t slot);

/* ---- subscriber.c and sub_wait.c, for sets ------------------------------- */

/* A subscriber's place in a set. */
struct torc_seat {
	struct torc_subscriber *sub;
	struct torc_topic *topic;
	struct torc_cursors_shm *cursors;
	struct torc_subscriber_slot_shm *slot;	/* NULL: cannot be woken */
	uint32_t slot_index;
	int subscription;	/* of mapping->subscribe() */
	/* the set's */
	struct torc_set *set;	/* NULL: in none */
	void *data;
	uint32_t index;
	bool warm, spoke;
};

struct torc_seat *torc_sub_seat(struct torc_subscriber *sub);
/* Has it something to say? */
bool torc_sub_ready(struct torc_subscriber *sub);
/* It has not: wake publishers that wait for room. */
void torc_sub_settle(struct torc_subscriber *sub);
/* Pass over the claims of dead publishers, if it is these that hold us up. */
bool torc_sub_skip_dead(struct torc_subscriber *sub);

/* ---- set.c -------------------------------------------------------------- */

/* A set of @sub alone, for a descriptor. */
int torc_set_open_alone(struct torc_subscriber *sub, enum torc_wait wait,
			struct torc_set **ret_set);
/* The one member of @set has nothing to say: let the descriptor rest. */
void torc_set_settle(struct torc_set *set);

/* ---- bell.c: doorbells -------------------------------------------------- */

struct torc_ringer;

struct torc_bell {
	uint64_t number;
	bool alone;	/* of one subscriber: hints say nothing */
	struct torc_bell_socket *sockets;
};

int torc_bell_init(struct torc_bell *bell, bool alone);
void torc_bell_fini(struct torc_bell *bell);
/*
 * Let publishers of the topics on @bus, or of those on none, reach it: the
 * instance @epoll_fd becomes readable.
 */
int torc_bell_hang(struct torc_bell *bell, struct torc_bus *bus, int epoll_fd);
/* The same for a topic whose mapping rings. */
int torc_bell_wire(struct torc_bell *bell, const struct torc_seat *seat,
		   int epoll_fd);
/* A ring that says only that some armed bell is not armed any more. */
#define TORC_RING_UNNAMED UINT32_MAX
/* What the next ring said; false if there is none. */
bool torc_bell_hear(struct torc_bell *bell, uint32_t *ret_hint);

/*
 * Ring the armed bells of the subscribers of @of, the ring of @topic.  @ringer
 * keeps what that needs, and is NULL at first.
 */
void torc_bells_ring(struct torc_ringer **ringer,
		     const struct torc_topic *topic,
		     const struct torc_ring *of);
struct torc_ringer *torc_ringer_free(struct torc_ringer *ringer);

/* Remove @file if it is a bell that nobody hears; 1 if so. */
int torc_bell_clean(struct torc_bus *bus, const char *file);

/* ---- repair.c: what the dead left --------------------------------------- */

/* Open locks and cursors for locking into @forkable->fds, in this order. */
int torc_describe_locks(struct torc_topic *topic, struct torc_forkable *forkable);

struct torc_repairer {
	const struct torc_ring *ring;		/* writable */
	const struct torc_forkable *forkable;	/* torc_describe_locks() */
	uint32_t own_slot;	/* its publisher's; TORC_PUBLISHERS_MAX: none */
};

/* Mend the claim at @position if it is a dead publisher's; 1 if so: then wake. */
int torc_repair_claim(struct torc_repairer *repairer, uint64_t position);
/* Those of all dead publishers; how many. */
int torc_repair_claims(struct torc_repairer *repairer);
/* Free a subscriber's slot if it died; true if so. */
bool torc_repair_subscriber(struct torc_repairer *repairer, uint32_t slot);

/* ---- wait.c ------------------------------------------------------------- */

uint64_t torc_now_ns(void);
/* Behind by some milliseconds, but on no machine a system call. */
uint64_t torc_coarse_now_ns(void);

/*
 * Let others' sleeping reach us: by all who wake.  False if we have to fence
 * instead, for want of membarrier().
 */
bool torc_wake_register(void);

/* Wake who sleeps on @word of @topic, which has been disarmed, by torc_sleep(). */
void torc_wake_sleepers(const struct torc_topic *topic, uint32_t *word);
/* Disarm @word, and wake those. */
void torc_wake(const struct torc_topic *topic, uint32_t *word);

/*
 * End a wait from another thread or a signal handler: @flag is what the waiter's
 * ready() looks at too, @word (NULL: none) what it sleeps on.
 */
void torc_interrupt(const struct torc_topic *topic, uint32_t *flag,
		    uint32_t *word);
/* Was @flag set?  Clears it. */
bool torc_interrupted(uint32_t *flag);

/* How long a handle spins: what its owner chose, and what waiting has taught. */
struct torc_patience {
	enum torc_wait policy;
	uint64_t spin_ns;
};

/* -EINVAL if there is no such policy. */
int torc_patience_init(struct torc_patience *patience, const char *name,
		       enum torc_wait policy);

struct torc_waiting {
	struct torc_patience *patience;
	uint64_t begun, spin_until, yield_until;	/* torc_now_ns() */
	uint64_t deadline;				/* UINT64_MAX: none */
};

#define TORC_SLEEP_NS	10000000u	/* a wake-up may be lost by a death */
#define TORC_POLL_NS	1000000u	/* without membarrier(), or a word */
#define TORC_WORDS_MAX	128		/* futex_waitv() takes no more */

void torc_waiting_begin(struct torc_waiting *waiting,
			struct torc_patience *patience, int64_t timeout_ns);
/* What was waited for has come: learn from how long it took. */
void torc_waiting_end(const struct torc_waiting *waiting);

/* What is waited for, and how to sleep until it may be there. */
struct torc_event {
	bool (*ready)(void *context);
	/* At most @ns; looks once more first.  0, or -EINTR. */
	int (*sleep)(void *context, uint64_t ns);
	void *context;
};

/*
 * Wait until @event is ready, TORC_SLEEP_NS at most.  0 when ready, -EAGAIN if not
 * yet, -ETIMEDOUT, -EINTR.
 */
int torc_wait_turn(const struct torc_waiting *waiting,
		   const struct torc_event *event);

/*
 * After words were armed: let all wakers pass a barrier.  False if that cannot be
 * had, so that wake-ups may be missed.
 */
bool torc_wake_barrier(void);

/*
 * Sleep on words, all armed by this: until one is woken, until @ready, for @ns at
 * most.  Polls if there are none, or several and @topic, that of the first, does
 * not sleep by futexes.  0, or -EINTR.
 */
int torc_sleep(const struct torc_topic *topic, uint32_t *const *words, int count,
	       uint64_t ns, bool (*ready)(void *context), void *context);

#endif /* TORC_INTERNAL_H */
