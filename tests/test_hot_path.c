/* SPDX-License-Identifier: MIT */
/*
 * What publishing and receiving cost: no system call, and with one publisher no
 * locked instruction and no fence.
 *
 * A child publishes and receives under ptrace, one instruction at a time; its
 * parent looks at each instruction before it is executed.
 */
#include "fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(hot_path, .init = fixture_init, .fini = fixture_fini, .timeout = 120);

#if !defined(__x86_64__)
#define UNFIT "knows x86-64 only"
#elif FIXTURE_ADDRESS_SANITIZER || FIXTURE_THREAD_SANITIZER
#define UNFIT "a sanitizer's instructions are not torc's"
#endif

#ifdef UNFIT
Test(hot_path, instructions)
{
	cr_skip_test(UNFIT);
}
#else

#define TIMES 20

struct counts {
	unsigned long instructions, syscalls, locked, fences;
};

/* Where counting begins and ends: the parent compares addresses. */
static __attribute__((noinline)) void region_begin(void)
{
	__asm__ volatile("");
}

static __attribute__((noinline)) void region_end(void)
{
	__asm__ volatile("nop");
}

static bool is_prefix(unsigned char byte)
{
	return byte == 0x66 || byte == 0xf2 || byte == 0xf3 || byte == 0x2e ||
	       byte == 0x3e || byte == 0x64 || byte == 0x65 || byte == 0xf0 ||
	       (byte & 0xf0) == 0x40;
}

static void count_instruction(const unsigned char *code, struct counts *counts)
{
	bool lock = false;

	counts->instructions++;
	for (; is_prefix(*code); code++)
		lock |= *code == 0xf0;
	/* xchg with memory is locked without saying so */
	if ((*code == 0x86 || *code == 0x87) && code[1] < 0xc0)
		lock = true;
	counts->locked += lock;
	if (code[0] == 0x0f && code[1] == 0x05)
		counts->syscalls++;
	/* lfence, mfence, sfence */
	if (code[0] == 0x0f && code[1] == 0xae && code[2] >= 0xe8)
		counts->fences++;
}

/* Run @body in a child, counting between the two regions' marks. */
static struct counts count_in(int (*body)(void *context), void *context)
{
	struct counts counts = { 0 };
	struct user_regs_struct regs;
	bool inside = false;
	int status;
	pid_t pid = fork();

	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(body(context));
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status) || ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
		cr_skip_test("ptrace is not allowed here");
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
		union {
			long words[2];
			unsigned char bytes[16];
		} code;

		ptrace(PTRACE_GETREGS, pid, NULL, &regs);
		if (regs.rip == (uintptr_t)region_begin)
			inside = true;
		else if (regs.rip == (uintptr_t)region_end)
			inside = false;
		for (int i = 0; inside && i < 2; i++)
			code.words[i] = ptrace(PTRACE_PEEKTEXT, pid,
					       (char *)regs.rip + 8 * i, NULL);
		if (inside)
			count_instruction(code.bytes, &counts);
		ptrace(PTRACE_SINGLESTEP, pid, NULL,
		       WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
	}
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return counts;
}

struct way {
	const char *name;
	unsigned int flags;
	unsigned int sub_flags;
	bool publish, receive;
	bool no_membarrier;
};

/* Criterion's own assertions lock. */
static void expect(bool success)
{
	if (!success)
		_exit(3);
}

static void publish(struct torc_publisher *pub)
{
	static const struct torc_span batch[] = { { "12345678", 8 },
						  { "abc", 3 } };
	void *payload;

	expect(!torc_pub_publish(pub, "12345678", 8));
	expect(!torc_pub_reserve(pub, 48, &payload));
	memset(payload, 1, 48);
	expect(!torc_pub_commit(pub, 48));
	expect(torc_pub_publish_batch(pub, batch, 2) == 2);
}

static void receive(struct torc_subscriber *sub)
{
	struct torc_message messages[2];
	char buffer[64];

	expect(!torc_sub_receive(sub, buffer, sizeof(buffer), messages));
	expect(!torc_sub_peek(sub, messages));
	expect(!torc_sub_release(sub));
	expect(torc_sub_peek_batch(sub, messages, 2) == 2);
	expect(!torc_sub_release(sub));
	expect(torc_sub_peek(sub, messages) == -EAGAIN);
}

static int go_way(void *context)
{
	const struct way *way = context;
	struct torc_topic *topic;
	struct torc_publisher *pub;
	struct torc_subscriber *sub;

	if (way->no_membarrier)
		refuse_membarrier();
	/* Large, so that no look for room falls into the counting. */
	topic = topic_open("anon:", way->flags, 4 << 20);
	pub = pub_open(topic);
	sub = sub_open(topic, way->sub_flags);
	/* Symbols are resolved at their first use. */
	publish(pub);
	receive(sub);
	for (int i = 0; i < TIMES; i++) {
		if (way->publish)
			region_begin();
		publish(pub);
		region_end();
		if (way->receive)
			region_begin();
		receive(sub);
		region_end();
	}
	torc_sub_close(sub);
	torc_pub_close(pub);
	torc_topic_close(topic);
	return 0;
}

Test(hot_path, one_publisher_makes_no_system_call_and_locks_nothing)
{
	struct way ways[] = {
		{ "publish", 0, 0, true, false, false },
		{ "receive", 0, 0, false, true, false },
		{ "receive lossy", 0, TORC_SUB_LOSSY, false, true, false },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct counts counts = count_in(go_way, &ways[i]);

		cr_log_info("%s: %lu instructions a turn of 4 messages",
			    ways[i].name, counts.instructions / TIMES);
		cr_expect_gt(counts.instructions, TIMES * 50u);
		cr_expect_eq(counts.syscalls, 0, "%s", ways[i].name);
		cr_expect_eq(counts.locked, 0, "%s", ways[i].name);
		cr_expect_eq(counts.fences, 0, "%s", ways[i].name);
	}
}

Test(hot_path, many_publishers_lock_once_a_claim)
{
	struct way ways[] = {
		{ "publish", TORC_MANY, 0, true, false, false },
		{ "receive", TORC_MANY, 0, false, true, false },
	};
	struct counts counts = count_in(go_way, &ways[0]);

	cr_expect_eq(counts.syscalls, 0);
	cr_expect_eq(counts.fences, 0);
	cr_expect_eq(counts.locked, 3 * TIMES);
	counts = count_in(go_way, &ways[1]);
	cr_expect_eq(counts.syscalls, 0);
	cr_expect_eq(counts.locked, 0);
	cr_expect_eq(counts.fences, 0);
}

/* Nobody else orders their stores before the look who sleeps. */
Test(hot_path, where_membarrier_is_refused_publishers_fence_once_a_commit)
{
	struct way one = { "one", 0, 0, true, false, true };
	struct way many = { "many", TORC_MANY, 0, true, false, true };

	struct counts counts = count_in(go_way, &one);

	/* A compiler may fence by a locked instruction. */
	cr_expect_eq(counts.fences + counts.locked, 3 * TIMES);
	counts = count_in(go_way, &many);
	cr_expect_eq(counts.fences + counts.locked, 2 * 3 * TIMES);
}

static int one_of_each(void *context)
{
	int word = 0;

	(void)context;
	region_begin();
	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
	__asm__ volatile("mfence");
	__asm__ volatile("xchg %%eax, %0" : "+m"(word) : : "eax");
	__asm__ volatile("syscall" : : "a"(SYS_getppid) : "rcx", "r11",
			 "memory");
	region_end();
	return 0;
}

Test(hot_path, the_counting_finds_what_it_looks_for)
{
	struct counts counts = count_in(one_of_each, NULL);

	cr_expect_eq(counts.syscalls, 1);
	cr_expect_eq(counts.locked, 2);
	cr_expect_eq(counts.fences, 1);
}
#endif
