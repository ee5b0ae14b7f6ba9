/* SPDX-License-Identifier: MIT */
/*
 * Goal: the cache attribute of a topic is what processors really use, in the
 * processes' mappings and in the kernel's own, for they must not differ; and the
 * memory is ordinary again once the topic is gone.
 * Method: the module torc_pages reads the page tables.
 */
#include "device.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ADDRESS "/sys/module/torc_pages/parameters/address"

static const char *const names[] = { "wb", "wc", "uc" };

/* What torc_pages says of @address; if it is ours, where the kernel has the page. */
static uint64_t look_up(uint64_t address, char ret_user[8], char ret_kernel[8])
{
	FILE *file = fopen(ADDRESS, "we");
	unsigned long long kernel;
	char told[100];

	CHECK(file && fprintf(file, "%#llx", (unsigned long long)address) > 0);
	CHECK(!fclose(file));
	file = fopen(ADDRESS, "re");
	CHECK(file && fgets(told, sizeof(told), file));
	fclose(file);
	if (sscanf(told, "user %7[a-z], kernel %7[a-z] at %llx", ret_user,
		   ret_kernel, &kernel) != 3)
		CHECK_EQ(sscanf(told, "kernel %7[a-z] at %llx", ret_kernel,
				&kernel), 2);
	return kernel;
}

/* Any page of a mapping, here and in the kernel. */
static uint64_t check_page(const volatile char *page, const char *want)
{
	char user[8] = "", kernel[8] = "";
	uint64_t at;

	(void)*page;
	at = look_up((uintptr_t)page, user, kernel);
	if (strcmp(user, want) || strcmp(kernel, want))
		harness_fail(__FILE__, __LINE__,
			     "%s for us, %s for the kernel, not %s", user,
			     kernel, want);
	return at;
}

static void check_topic(uint32_t memory, uint32_t cache)
{
	struct torc_driver_create request = device_request(memory, 0);
	char user[8], kernel[8];
	uint64_t size, first, last;
	struct device d;
	char *at;

	request.cache = cache;
	device_make_as(&d, &request);
	size = d.constants.ring_size;
	at = device_map(d.fd, 0, size, PROT_READ);
	CHECK(at != MAP_FAILED);
	first = check_page(at, names[cache]);
	last = check_page(at + size - PAGE, names[cache]);
	munmap(at, size);
	at = device_map(d.fd, size, d.constants.cursors_size,
			PROT_READ | PROT_WRITE);
	CHECK(at != MAP_FAILED);
	check_page(at, names[cache]);
	munmap(at, d.constants.cursors_size);
	device_end(&d);
	look_up(first, user, kernel);
	CHECK(!strcmp(kernel, "wb"));
	look_up(last, user, kernel);
	CHECK(!strcmp(kernel, "wb"));
}

TEST(memory_is_cached_as_the_topic_says)
{
	CHECK_EQ(system("insmod $TORC_MODULES/torc_pages.ko"), 0);
	for (uint32_t cache = TORC_CACHE_WB; cache <= TORC_CACHE_UC; cache++)
		check_topic(TORC_PAGES_CONTIG, cache);
	check_topic(TORC_PAGES_SHMEM, TORC_CACHE_WB);
	check_topic(TORC_PAGES_FAULT, TORC_CACHE_WB);
	CHECK_EQ(system("rmmod torc_pages"), 0);
}
