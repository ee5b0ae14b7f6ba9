/* SPDX-License-Identifier: MIT */
/*
 * A ring being made while others try to attach to it.
 */
#include "ring.h"

void create(void)
{
	torc_ring_format(&constants, model_memory,
			 model_memory + constants.ring_size);
}

void attach(void)
{
	struct torc_ring own;
	struct torc_consumer c;
	int r;

	for (;;) {
		model_poll();
		r = torc_ring_attach(&own, model_memory, constants.ring_size,
				     model_memory + constants.ring_size,
				     constants.cursors_size);
		if (!r)
			break;
		MODEL_CHECK(r == -EPROTO, "attach: %d", r);
		model_await();
		model_forget(0, NULL, 0);
	}
	MODEL_CHECK(!torc_consumer_join(&c, &own, 0, TORC_LOSSLESS), "join");
	MODEL_CHECK(c.cursor == constants.first_position && !c.count,
		    "it begins at %ju", (uintmax_t)c.cursor);
}
