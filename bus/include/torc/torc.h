/* SPDX-License-Identifier: MIT */
/**
 * DOC: libtorc
 *
 * Named rings (ring.h) for processes: a *bus* is a directory, a *topic* a ring
 * on it, *publishers* and *subscribers* take part in a topic.
 *
 *	struct torc_topic *topic;
 *	struct torc_publisher *pub;
 *
 *	torc_topic_open(NULL, "prices", &(struct torc_topic_options){
 *				.flags = TORC_CREATE }, &topic);
 *	torc_pub_open(topic, NULL, &pub);
 *	torc_pub_publish(pub, "42", 2);
 *
 * Every function that can fail returns a negative errno; errno itself says
 * nothing.  torc_errmsg() then says in words what failed and what to do about it.
 * Results come through ret_ parameters, untouched on failure unless it is said
 * otherwise.
 * Every _close() takes NULL, returns NULL and ends the handle.
 *
 * Context, unless a function says otherwise: a handle is used by one thread at a
 * time, while different handles are independent, also those of one topic.  A call
 * may allocate memory and make system calls.  None may be made in a signal
 * handler but torc_sub_wake(), torc_pub_wake(), torc_set_wake() and torc_sigbus().
 *
 * Progress: no call waits for another participant, be it slow, stopped or dead, but
 * those that publish without room (enum torc_full) and those called _wait().
 *
 * fork(): publishers, subscribers and sets belong to the process that opened them;
 * in a child their calls return -EOWNERDEAD, and closing them only frees memory.
 * Buses and topics may be used in the child, and new handles opened.
 *
 * What looks at topics and after them, rather than taking part, is in inspect.h.
 *
 * Structures of options may be zero, all of them or the rest: that is the
 * default.  Their reserved words must be: a later version may give them a sense.
 *
 * Descriptors are close-on-exec.  A timeout is in nanoseconds, on the monotonic
 * clock, negative for none.
 */
#ifndef TORC_TORC_H
#define TORC_TORC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <torc/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef TORC_API
#define TORC_API
#endif

/* Calls for each message: straight to the library, not by way of the PLT. */
#if defined(__has_attribute)
#if __has_attribute(noplt)
#define TORC_API_HOT TORC_API __attribute__((noplt))
#endif
#endif
#ifndef TORC_API_HOT
#define TORC_API_HOT TORC_API
#endif

#define TORC_VERSION_MAJOR 0
#define TORC_VERSION_MINOR 1
#define TORC_VERSION_PATCH 0

struct torc_bus;
struct torc_topic;
struct torc_publisher;
struct torc_subscriber;
struct torc_set;

/* ---- Errors ------------------------------------------------------------- */

/**
 * torc_strerror() - what an error of this library means
 * @error:	a negative errno, as returned
 *
 * Context: Any thread.
 * Return: A text that lives for ever.
 */
TORC_API const char *torc_strerror(int error);

/**
 * torc_errmsg() - what the calling thread's last failed call ran into
 *
 * Names the topic, what was being done, why it failed and what to do about it:
 * "prices: no such topic on bus /dev/shm/torc-0 (a publisher creates it)".  The
 * expected results of a call (-EAGAIN, -ETIMEDOUT, -EINTR, -ESTALE) and
 * -EOWNERDEAD leave it as it is.
 *
 * Context: Any thread.
 * Return: A text that lives until the thread's next failed call.
 */
TORC_API const char *torc_errmsg(void);

/* The library's version, "0.1.0". */
TORC_API const char *torc_version(void);

/**
 * torc_sigbus_guard() - survive that others truncate files
 *
 * Whoever may write a topic's file on tmpfs or disk can truncate it, and whoever
 * touches what is gone gets SIGBUS.  With the guard, a handler for that signal,
 * the publisher or subscriber gets -EPROTO from its next call on instead; what
 * the interrupted call did is lost.  If only the cursors were cut off, publishers go
 * on, and make them anew; subscribers whose slots were there are told, by -EPROTO or
 * as if they had been evicted.  SIGBUS from elsewhere goes on to the handler
 * that was there before.  A sealed memfd (memfd:) or the driver needs no guard.
 *
 * Context: Once per process, before other handlers of SIGBUS are installed over
 * it; those call torc_sigbus() themselves.
 * Return: 0, or the error of sigaction().
 */
TORC_API int torc_sigbus_guard(void);

/**
 * torc_sigbus() - the same, for a handler of the application's own
 * @siginfo:	the siginfo_t that the handler was given; strict C11 has no such type
 *
 * Context: A signal handler for SIGBUS.
 * Return: 1 if it was of a topic and the access can be tried again, which
 * returning from the handler does; 0 if not.
 */
TORC_API int torc_sigbus(const void *siginfo);

/* ---- Bus ---------------------------------------------------------------- */

/**
 * torc_bus_open() - open a bus
 * @directory:	where it is; NULL for $TORC_DIR, else $XDG_RUNTIME_DIR/torc, else
 *		/dev/shm/torc-UID.  It is made, for its user alone, if it is not
 *		there and its parent is.
 * @ret_bus:	the bus
 *
 * Return: 0; -EPERM if others than its owner could replace files in the
 * directory (it is writable for them, and not sticky) or it belongs to neither
 * the user nor root; or the error of opening or making it.
 */
TORC_API int torc_bus_open(const char *directory, struct torc_bus **ret_bus);
TORC_API struct torc_bus *torc_bus_close(struct torc_bus *bus);

/* The directory.  Lives as long as the bus. */
TORC_API const char *torc_bus_path(const struct torc_bus *bus);

/**
 * torc_bus_list() - name all topics
 * @bus:	the bus; NULL for the default one
 * @each:	called for each; a nonzero result ends the listing
 * @context:	passed to it
 *
 * Context: Any thread.
 * Return: 0, the nonzero result of @each, or an error of opening the bus or
 * reading its directory.
 */
TORC_API int torc_bus_list(struct torc_bus *bus,
			   int (*each)(const char *name, void *context),
			   void *context);

#define TORC_REMOVE_STALE 1u	/* only if nobody takes part in it */

/**
 * torc_bus_remove() - remove a topic
 * @bus:	the bus; NULL for the default one
 * @address:	of a topic with a name, as torc_topic_open() takes it
 * @flags:	TORC_REMOVE_STALE or 0
 *
 * Who takes part in it goes on undisturbed, but nobody can join any more.
 *
 * Return: 0, -ENOENT, -EINVAL (no name, or an address that has none), -EBUSY
 * (TORC_REMOVE_STALE, and in use), -EPROTO (no ring, where others' things are), or
 * the error of unlinking.
 */
TORC_API int torc_bus_remove(struct torc_bus *bus, const char *address,
			     unsigned int flags);

/**
 * torc_bus_clean() - remove what crashes left: parts of topics without a ring
 * @bus:	the bus; NULL for the default one
 *
 * Return: How many files were removed, or an error of opening the bus or reading
 * its directory.
 */
TORC_API int torc_bus_clean(struct torc_bus *bus);

/* ---- Topic -------------------------------------------------------------- */

#define TORC_CREATE	1u	/* make it if it is not there */
#define TORC_EXCLUSIVE	2u	/* with TORC_CREATE: -EEXIST if it is there */
#define TORC_MANY	4u	/* many publishers (MP); default one (SP) */
#define TORC_PERSISTENT	8u	/* stays when nobody takes part any more */
#define TORC_OWNER	64u	/* a new one belongs to options.owner: needs
				   CAP_CHOWN */
#define TORC_GROUP	128u	/* and to options.group, one of the caller's */
#define TORC_CURSORS_GROUP 256u	/* its cursors to options.cursors_group; else
				   they are of the group of the ring */
#define TORC_REOPENED	16u	/* of info: we opened it after a crash of the
				   machine, or a copy of it */
#define TORC_INSPECT	32u	/* only look at it, as it is: nothing is written,
				   nor made anew; file:PATH may then be the ring
				   of any mapping that is a file, or a copy */

/*
 * What the memory shall be that this handle's publishers and subscribers map.
 * HUGE of a new sysv:, memfd: and anon: are of the pool (vm.nr_hugepages) if that
 * has enough; else, and of others, a wish to the system, which it heeds if
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled lets it.
 */
#define TORC_MEMORY_HUGE	1u
#define TORC_MEMORY_LOCKED	2u	/* never swapped out: mlock() */
#define TORC_MEMORY_PREFAULT	4u	/* there before it is touched */
#define TORC_MEMORY_NUMA	8u	/* on numa_node: mbind() */

/* When what was published on a topic of file:PATH is written to the disk. */
enum torc_sync {
	TORC_SYNC_NONE,		/* as the system does; some 30 s */
	TORC_SYNC_ASYNC,	/* begun each sixteenth of the ring */
	TORC_SYNC_INTERVAL,	/* by who publishes when the last time is so long
				   ago, and at closing */
	TORC_SYNC_COMMIT,	/* before each call that publishes returns */
};

/* What a new topic shall be; zero means the default. */
struct torc_topic_options {
	unsigned int flags;	/* TORC_CREATE ... */
	/*
	 * Who may do what.  Reading the ring is receiving, writing it (and the
	 * cursors) publishing; reading the ring and writing the cursors is
	 * receiving losslessly.  At most 0777; the umask takes nothing away.
	 */
	mode_t mode;		/* of the ring; default 0600 */
	mode_t cursors_mode;	/* of the cursors; default: mode's owner */
	uint32_t publishers;	/* slots; default 1, or 64 with TORC_MANY */
	uint32_t subscribers;	/* slots; default 64 */
	uint64_t capacity;	/* bytes; default 1 MiB; rounded up to 2^n */
	const char *type;	/* what the messages are, up to 127 bytes; must
				   match an existing topic's; NULL: any */
	enum torc_sync sync;	/* file:PATH */
	uint64_t sync_interval_ns;	/* SYNC_INTERVAL: default 100 ms, at most
					   65 s; rounded up to whole ms */
	unsigned int memory;	/* TORC_MEMORY_*, of this handle's mappings */
	uint32_t numa_node;	/* TORC_MEMORY_NUMA */
	uid_t owner;		/* TORC_OWNER; else who makes it */
	gid_t group;		/* TORC_GROUP; else as the system gives files */
	gid_t cursors_group;	/* TORC_CURSORS_GROUP */
	uint32_t reserved[13];
};

/**
 * torc_topic_open() - open a topic, or make one
 * @bus:	where a named one is; NULL for the default bus
 * @address:	which, and where its bytes live; see below
 * @options:	NULL for opening what is there
 * @ret_topic:	the topic
 *
 * An address is one of
 *
 *	NAME, shm:NAME	on the bus: 1 to 127 of [A-Za-z0-9._-], in levels
 *			separated by "/", none beginning with "."
 *	posix:NAME	an object of shm_open()
 *	file:PATH	a file on a disk; stays until it is removed
 *	sysv:KEY	System V segments; the key is a number, or ftok(3)'s of a
 *			path and 't'
 *	memfd:[LABEL]	a new one without a name, handed on as a descriptor
 *	fd:N		one that was handed on
 *	anon:		a new one for this process and the children it forks
 *	dev:NAME	one of the driver's, /dev/torc/NAME; for making it also
 *			dev:NAME,MEMORY[,CACHE], as torc(4) has them
 *
 * A topic that is there is opened as it is, whatever capacity, modes and slots
 * @options ask for.  Who opens it with TORC_CREATE, or opens a publisher or a
 * subscriber, takes part in it until the topic and these are closed.  A topic
 * without TORC_PERSISTENT is removed when the last who takes part, and is allowed
 * to remove it, leaves.  What a crash left is taken over, or made anew if it was
 * of another type or kind and not persistent.
 *
 * Return: 0; -EINVAL (name, address or options), -ENOENT (not there),
 * -EEXIST (TORC_EXCLUSIVE), -ENOSPC (no room for it, found out before anything
 * was made), -EPROTO (there is something else than a ring, or it is truncated),
 * -EPROTOTYPE (another ABI version, type, or number of publishers), -E2BIG (more
 * than a ring can have), -EACCES, -EPERM (may not give it to that owner or group),
 * -ENOTSUP (TORC_OWNER ... of anon: or dev:), -EFBIG (RLIMIT_FSIZE), or another
 * error of the system.
 */
TORC_API int torc_topic_open(struct torc_bus *bus, const char *address,
			     const struct torc_topic_options *options,
			     struct torc_topic **ret_topic);
TORC_API struct torc_topic *torc_topic_close(struct torc_topic *topic);

/* Its name: "md/eurex/fdax", or the address of one without a name. */
TORC_API const char *torc_topic_name(const struct torc_topic *topic);

/**
 * torc_topic_fd() - the descriptor by which a memfd topic is handed on
 * @topic:	the topic
 *
 * Pass it over a Unix socket, or dup() it into a child; the other side opens
 * "fd:N".  It remains the topic's.
 *
 * Return: A descriptor, or -ENOTSUP for another kind of topic.
 */
TORC_API int torc_topic_fd(const struct torc_topic *topic);

/* ---- Waiting ------------------------------------------------------------ */

/* How a wait spends its time. */
enum torc_wait {
	TORC_WAIT_ADAPTIVE,	/* spin for a moment if that has paid of late (50 us
				   at most), yield, then sleep */
	TORC_WAIT_SPIN,		/* never sleep: a processor for the least latency */
	TORC_WAIT_SLEEP,	/* at once */
};

/* ---- Publisher ---------------------------------------------------------- */

/*
 * What to do when a lossless subscriber has not read far enough.  Who waits, and has
 * such a subscriber of that topic in the same thread, may wait for itself: it had
 * better receive first, be lossy, or not wait.
 */
enum torc_full {
	TORC_FULL_WAIT,		/* until it has, or the timeout runs out */
	TORC_FULL_FAIL,		/* -EAGAIN */
	TORC_FULL_DROP,		/* the new message; succeed, and count it */
	TORC_FULL_EVICT,	/* the subscriber, after the timeout; it is told */
};

struct torc_pub_options {
	enum torc_full full;
	enum torc_wait wait;	/* for room */
	int64_t timeout_ns;	/* WAIT: 0 or negative for none.  EVICT: how long
				   the subscriber has not moved; 0: at once */
	uint64_t reserved[4];
};

struct torc_pub_stats {
	uint64_t blocked;	/* times that there was no room */
	uint64_t dropped;	/* messages, TORC_FULL_DROP */
	uint64_t evicted;	/* subscribers, TORC_FULL_EVICT */
	uint64_t repaired;	/* dead publishers' claims made good */
	uint64_t woken;		/* times that a sleeper had to be woken */
	uint64_t reserved[8];
};

/**
 * torc_pub_open() - become a publisher of a topic
 * @topic:	the topic; may be closed afterwards
 * @options:	NULL for the defaults
 * @ret_pub:	the publisher
 *
 * Takes over what a dead publisher left.
 *
 * Return: 0, -ENOENT (removed meanwhile), -EINVAL (options), -EBUSY (the topic
 * takes one publisher and has one: torc_errmsg()
 * says who; or all slots are taken), -EACCES (may not publish), -EPROTO, or an
 * error of the system.
 */
TORC_API int torc_pub_open(struct torc_topic *topic,
			   const struct torc_pub_options *options,
			   struct torc_publisher **ret_pub);
TORC_API struct torc_publisher *torc_pub_close(struct torc_publisher *pub);

/**
 * torc_pub_publish() - publish a copy of a message
 * @pub:	the publisher
 * @data:	the message; may be NULL if @length is 0
 * @length:	in bytes
 *
 * Context: No system call, unless there is no room or somebody sleeps.
 * Ordering: Release: a subscriber that gets it sees all earlier writes.
 * Progress: Wait-free (one publisher) or lock-free (many) while there is room.
 * Return: 0; -EMSGSIZE if it is longer than the topic takes; without room, as
 * the publisher's options say, -EAGAIN, -ETIMEDOUT, or -EINTR if a signal
 * handler ran while waiting; -EPROTO if the ring is damaged; -EOWNERDEAD in a
 * forked child.  On a topic that is synced (enum torc_sync) also an error of
 * fdatasync(): the message is published then, but not on the disk.
 */
TORC_API_HOT int torc_pub_publish(struct torc_publisher *pub, const void *data,
				  size_t length);

/**
 * torc_pub_publishv() - publish a copy of a message that is in pieces
 * @pub:	the publisher
 * @pieces:	of the message, in order
 * @count:	how many; 0 for an empty message
 *
 * Context, ordering, progress: as torc_pub_publish().
 * Return: As torc_pub_publish(); -EINVAL if @count is negative.
 */
TORC_API_HOT int torc_pub_publishv(struct torc_publisher *pub,
				   const struct iovec *pieces, int count);

/**
 * torc_pub_publish_batch() - publish several messages, visible all at once
 * @pub:	the publisher
 * @messages:	copied
 * @count:	how many; at least 1
 *
 * As many from the front as fit into the longest message that the topic takes;
 * one alone if there is no room for so many.
 *
 * Context, ordering, progress: as torc_pub_publish().
 * Return: How many were published, at least 1; else as torc_pub_publish().  With
 * TORC_FULL_DROP, 1 may mean that the first was dropped (torc_pub_get_stats()).
 */
TORC_API_HOT int torc_pub_publish_batch(struct torc_publisher *pub,
					const struct torc_span *messages, int count);

/**
 * torc_pub_reserve() - get room to write a message in place
 * @pub:	the publisher
 * @length:	bytes
 * @ret_payload: where; 8-byte aligned, contiguous
 *
 * Then torc_pub_commit() or torc_pub_abort(), before anything else.  On a topic
 * with many publishers all subscribers wait meanwhile.
 *
 * Context, progress: as torc_pub_publish().
 * Return: As torc_pub_publish(); a message that would be dropped is -EAGAIN.
 */
TORC_API_HOT int torc_pub_reserve(struct torc_publisher *pub, size_t length,
				  void **ret_payload);

/**
 * torc_pub_commit() - publish what was reserved
 * @pub:	the publisher
 * @length:	bytes; at most what was reserved
 *
 * Context: No system call, unless somebody sleeps.
 * Ordering: Release: a subscriber that gets it sees all earlier writes.
 * Progress: Wait-free.
 * Return: 0, -EINVAL without a reservation or if @length is more, -EOWNERDEAD; or,
 * on a topic that is synced, as torc_pub_publish().
 */
TORC_API_HOT int torc_pub_commit(struct torc_publisher *pub, size_t length);

/* Give up what was reserved; nothing if nothing was. */
TORC_API void torc_pub_abort(struct torc_publisher *pub);

/**
 * torc_pub_wake() - end a call that waits for room
 * @pub:	the publisher
 *
 * It returns -EINTR; if none waits, the next that would have to does.
 *
 * Context: Any thread, and signal handlers, as long as @pub is open.
 */
TORC_API void torc_pub_wake(struct torc_publisher *pub);

/**
 * torc_pub_sync() - write what was published to the disk, and wait for it
 * @pub:	the publisher
 *
 * For a topic of file:PATH whose publisher falls silent: TORC_SYNC_INTERVAL is
 * looked at by who publishes.
 *
 * Return: 0, also for a topic in memory; -EIO, -ENOSPC, or another error of
 * fdatasync(); -EOWNERDEAD.
 */
TORC_API int torc_pub_sync(struct torc_publisher *pub);

/* Bytes of the longest message that the topic takes. */
TORC_API size_t torc_pub_message_max(const struct torc_publisher *pub);

/* What this publisher met with since it was opened. */
TORC_API void torc_pub_get_stats(const struct torc_publisher *pub,
				 struct torc_pub_stats *ret_stats);

/* ---- Subscriber --------------------------------------------------------- */

#define TORC_SUB_LOSSY	1u	/* hold nobody back; may lose, and knows */
#define TORC_SUB_OLDEST	2u	/* begin with the oldest intact message */

struct torc_sub_options {
	unsigned int flags;	/* TORC_SUB_* */
	enum torc_wait wait;	/* for messages */
	uint64_t reserved[4];
};

/**
 * torc_sub_open() - become a subscriber of a topic
 * @topic:	the topic; may be closed afterwards
 * @options:	NULL for the defaults: lossless, from the next message on
 * @ret_sub:	the subscriber
 *
 * A lossy subscriber needs to be able to read the ring, a lossless one to write
 * the cursors as well.  A lossy one that may not polls instead of being woken; if
 * it has no slot either, or none is free, it is not listed.
 *
 * Return: 0, -ENOENT (removed meanwhile), -EINVAL (options), -EACCES (may not),
 * -EUSERS (no slot is free), -EPROTO, or an error of the system.
 */
TORC_API int torc_sub_open(struct torc_topic *topic,
			   const struct torc_sub_options *options,
			   struct torc_subscriber **ret_sub);
TORC_API struct torc_subscriber *torc_sub_close(struct torc_subscriber *sub);

/**
 * torc_sub_receive() - copy the next message out
 * @sub:	the subscriber
 * @buffer:	for the payload
 * @size:	bytes of @buffer
 * @ret_message: the message; its data is @buffer
 *
 * Context: No system call, unless a publisher sleeps for want of room.
 * Ordering: Acquire: sees all that the publisher wrote before publishing.
 * Progress: Wait-free for a lossless subscriber.
 * Return: 0; -EAGAIN if there is none; -EMSGSIZE if @buffer is too small (it
 * stays, ret_message->length says how long it is); -ESTALE if the subscriber was
 * evicted; -EPROTO if the ring is damaged; -EOWNERDEAD in a forked child.
 */
TORC_API_HOT int torc_sub_receive(struct torc_subscriber *sub, void *buffer,
				  size_t size, struct torc_message *ret_message);

/**
 * torc_sub_peek() - look at the next message in place
 * @sub:	the subscriber
 * @ret_message: the message, in the ring
 *
 * It stays the next until torc_sub_release().  A lossy subscriber's may change
 * under its eyes, and so may an evicted one's; torc_sub_release() then says so.
 *
 * Context, ordering, progress: as torc_sub_receive().
 * Return: 0, or as torc_sub_receive().
 */
TORC_API_HOT int torc_sub_peek(struct torc_subscriber *sub,
			       struct torc_message *ret_message);

/**
 * torc_sub_peek_batch() - look at the next messages in place
 * @sub:	the subscriber
 * @ret_messages: the messages
 * @max:	how many at most; at least 1
 *
 * As torc_sub_peek(); torc_sub_release() is for all of them.
 *
 * Context, ordering, progress: as torc_sub_receive().
 * Return: How many, at least 1; -EINVAL if @max is less; or as
 * torc_sub_receive().
 */
TORC_API_HOT int torc_sub_peek_batch(struct torc_subscriber *sub,
				     struct torc_message *ret_messages, int max);

/**
 * torc_sub_release() - be done with all that was last peeked
 * @sub:	the subscriber
 *
 * Context: No system call, unless a publisher sleeps for want of room.
 * Ordering: Release: publishers may overwrite it from now on.
 * Progress: Wait-free.
 * Return: 0; -ESTALE if some of it may have been overwritten meanwhile: discard
 * all of it, what is intact comes again (a lossless subscriber: it was evicted);
 * -EPROTO, -EOWNERDEAD.
 */
TORC_API_HOT int torc_sub_release(struct torc_subscriber *sub);

/**
 * torc_sub_dispatch() - call a function for each message that is there
 * @sub:	the subscriber
 * @each:	called with messages in the ring (a copy if the subscriber is
 *		lossy); a nonzero result, negative to tell it from a count, ends
 *		the call, the message being consumed
 * @context:	passed to it
 * @max:	messages at most
 *
 * Return: How many; the nonzero result of @each; -EINVAL if @max is less than 1;
 * or as torc_sub_receive().
 */
TORC_API int torc_sub_dispatch(struct torc_subscriber *sub,
			       int (*each)(const struct torc_message *message,
					   void *context),
			       void *context, int max);

/**
 * torc_sub_wait() - wait for a message
 * @sub:	the subscriber
 * @timeout_ns:	0 only looks; negative waits for ever
 *
 * As the subscriber's options say.  Also a message that can only be told as an
 * error (-ESTALE, -EPROTO) ends it.  That no publisher is left does not: use a
 * timeout, and torc_sub_ended().
 *
 * Return: 0 if the next torc_sub_receive() has something to say; -ETIMEDOUT;
 * -EINTR if a signal handler ran while it slept, or by torc_sub_wake();
 * -EOWNERDEAD.
 */
TORC_API int torc_sub_wait(struct torc_subscriber *sub, int64_t timeout_ns);

/**
 * torc_sub_wait_any() - wait for a message of any of several subscribers
 * @subs:	the subscribers
 * @count:	how many, 1 to 128
 * @timeout_ns:	as torc_sub_wait()
 *
 * Waits as the first of them does.  With one that cannot be woken, it polls every
 * millisecond instead of sleeping.  For more, or the same again and again, use a
 * set.
 *
 * Return: The lowest index of one that has something to say; -EINVAL; -E2BIG; or
 * as torc_sub_wait().
 */
TORC_API int torc_sub_wait_any(struct torc_subscriber *const *subs, int count,
			       int64_t timeout_ns);

/**
 * torc_sub_wake() - end a wait
 * @sub:	the subscriber
 *
 * A wait for @sub that finds no message returns -EINTR; if there is none now, the
 * next one does.  So a signal handler that calls this cannot come too early.
 *
 * Context: Any thread, and signal handlers, as long as @sub is open.
 */
TORC_API void torc_sub_wake(struct torc_subscriber *sub);

/**
 * torc_sub_ended() - has the topic come to its end?
 * @sub:	the subscriber
 *
 * Return: 1 if there were publishers, none is left, and all was received; 0 if
 * not; -EACCES if it cannot be told who is alive; -EOWNERDEAD.
 */
TORC_API int torc_sub_ended(struct torc_subscriber *sub);

/* Messages lost since joining: overwritten before they were received. */
TORC_API uint64_t torc_sub_lost(const struct torc_subscriber *sub);

/* Bytes of the longest message that the topic takes. */
TORC_API size_t torc_sub_message_max(const struct torc_subscriber *sub);

/**
 * torc_sub_fd() - a descriptor for event loops
 * @sub:	the subscriber
 *
 * For epoll, poll(), select() (if it is below FD_SETSIZE), libev (torc_ev.h) or
 * io_uring.  It is readable until torc_sub_receive(), _peek(), _peek_batch() or
 * _dispatch() has returned -EAGAIN, and again when that has become wrong: level-
 * triggered, and edge-triggered for who goes on until -EAGAIN each time.  It is
 * readable at first, and every 10 ms for nothing (1 ms, if nobody can wake the
 * subscriber).  Do not read it.
 *
 * It stays the subscriber's, which closes it; in a forked child it is closed.
 *
 * Return: A descriptor; -EBUSY if @sub is in a set; -EOWNERDEAD; or an error of
 * the system.
 */
TORC_API int torc_sub_fd(struct torc_subscriber *sub);

/* ---- Sets: many topics at once ------------------------------------------ */

/**
 * torc_set_open() - make a set of subscribers to wait for together
 * @wait:	how to wait
 * @ret_set:	the set
 *
 * For any number of subscribers.  Silent ones cost no time; busy ones are looked
 * at in turns.
 *
 * Return: 0, -EINVAL, -ENOMEM, or an error of getting descriptors.
 */
TORC_API int torc_set_open(enum torc_wait wait, struct torc_set **ret_set);
/* Its subscribers stay open. */
TORC_API struct torc_set *torc_set_close(struct torc_set *set);

/**
 * torc_set_add() - take a subscriber into a set
 * @set:	the set
 * @sub:	the subscriber, of the same thread from now on
 * @data:	what torc_set_wait() shall say of it
 *
 * Closing the subscriber takes it out.
 *
 * Return: 0; -EBUSY if it is in a set, or has a torc_sub_fd(); -ENOMEM;
 * -EOWNERDEAD; or an error of making a socket.
 */
TORC_API int torc_set_add(struct torc_set *set, struct torc_subscriber *sub,
			  void *data);
/* Take it out; nothing if it is in none, or in another. */
TORC_API void torc_set_remove(struct torc_set *set,
			      struct torc_subscriber *sub);

/**
 * torc_set_wait() - wait for a message of any of the subscribers
 * @set:	the set
 * @timeout_ns:	0 only looks; negative waits for ever
 * @ret_data:	the data of one that has something to say
 *
 * They come in turns as long as they have.  One may be left with messages unread.
 *
 * Return: 0, -ETIMEDOUT; -EINTR if a signal handler ran while it slept, or by
 * torc_set_wake(); -EOWNERDEAD.
 */
TORC_API int torc_set_wait(struct torc_set *set, int64_t timeout_ns,
			   void **ret_data);

/**
 * torc_set_fd() - a descriptor for event loops
 * @set:	the set
 *
 * As torc_sub_fd(): readable until torc_set_wait() has returned -ETIMEDOUT, and
 * again when there is something.
 *
 * Return: A descriptor, the set's; or -EOWNERDEAD.
 */
TORC_API int torc_set_fd(struct torc_set *set);

/* As torc_sub_wake(), for torc_set_wait(). */
TORC_API void torc_set_wake(struct torc_set *set);

#ifdef __cplusplus
}
#endif

#include <torc/inspect.h>

#endif /* TORC_TORC_H */
