// SPDX-License-Identifier: MIT
/*
 * The headers in C++17: all of them compile, and a ring of either kind carries
 * messages.
 */
#include <torc/ring.h>
#include <torc/torc.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

static int number;

static void report(bool good, const char *name)
{
	std::printf("%sok %d - %s\n", good ? "" : "not ", ++number, name);
	if (!good)
		std::exit(1);
}

struct memory {
	unsigned char *base = nullptr;
	struct torc_ring ring = {};

	explicit memory(uint32_t kind)
	{
		struct torc_ring_config config = {};
		struct torc_constants_shm constants;

		config.kind = kind;
		config.capacity = 65536;
		config.type = "text";
		if (torc_ring_layout(&config, &constants))
			return;
		size_t size = constants.ring_size + constants.cursors_size;
		base = static_cast<unsigned char *>(
			std::aligned_alloc(4096, size));
		if (!base)
			return;
		std::memset(base, 0, size);
		torc_ring_format(&constants, base, base + constants.ring_size);
		if (torc_ring_attach(&ring, base, constants.ring_size,
				     base + constants.ring_size,
				     constants.cursors_size))
			std::exit(1);
	}
	memory(const memory &) = delete;
	memory &operator=(const memory &) = delete;
	~memory()
	{
		std::free(base);
	}
};

static std::string text(int i)
{
	return std::string(static_cast<size_t>(i % 200), 'a') +
	       std::to_string(i);
}

template <typename Publish>
static bool carries(const torc_ring &ring, Publish publish)
{
	torc_consumer lossless, lossy;
	torc_message message;
	char buffer[1024];

	if (torc_consumer_join(&lossless, &ring, 0, TORC_LOSSLESS) ||
	    torc_consumer_join(&lossy, &ring, TORC_NO_SLOT, TORC_OLDEST))
		return false;
	for (int i = 0; i < 10000; i++) {
		std::string said = text(i);

		if (publish(said) ||
		    torc_consumer_peek(&lossless, &message) ||
		    said != std::string(static_cast<const char *>(message.data),
					message.length) ||
		    torc_consumer_release(&lossless) ||
		    torc_consumer_receive(&lossy, buffer, sizeof(buffer),
					  &message) ||
		    said != std::string(buffer, message.length))
			return false;
	}
	bool end = torc_consumer_peek(&lossless, &message) == -EAGAIN &&
		   lossy.lost == 0;
	torc_consumer_leave(&lossless);
	return end;
}

int main()
{
	memory one(TORC_KIND_SP), many(TORC_KIND_MP);
	torc_sp sp;
	torc_mp mp;

	std::printf("1..4\n");
	report(!torc_sp_init(&sp, &one.ring), "a producer of one");
	report(carries(one.ring, [&](const std::string &s) {
		       return torc_sp_publish(&sp, s.data(), s.size());
	       }), "a ring with one publisher carries messages");
	report(!torc_mp_init(&mp, &many.ring, 0), "a producer of many");
	report(carries(many.ring, [&](const std::string &s) {
		       return torc_mp_publish(&mp, s.data(), s.size());
	       }), "a ring with many publishers carries messages");
	return 0;
}
