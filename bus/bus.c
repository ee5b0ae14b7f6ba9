/* SPDX-License-Identifier: MIT */
/*
 * The bus: a directory with a file for each topic's ring, under the topic's name
 * with ":" for "/", and hidden files for its other parts, under the ring's id
 * (files.c).
 */
#include "bus.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool has_good_characters(const char *name)
{
	return !name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz"
				  "0123456789._-/")];
}

static bool has_good_levels(const char *name)
{
	for (const char *level = name; level; level = strchr(level, '/')) {
		level += level != name;
		if (!*level || *level == '/' || *level == '.')
			return false;
	}
	return true;
}

int torc_name_check(const char *name)
{
	size_t length = strlen(name);

	if (!length)
		return torc_fail(-EINVAL, "a topic's name may not be empty");
	if (length > TORC_NAME_MAX)
		return torc_fail(-EINVAL, "%.40s...: name of %zu characters; "
				 "a topic's has at most %d",
				 name, length, TORC_NAME_MAX);
	if (!has_good_characters(name))
		return torc_fail(-EINVAL, "%s: a topic's name consists of "
				 "A-Z a-z 0-9 . _ - and / between levels",
				 name);
	if (!has_good_levels(name))
		return torc_fail(-EINVAL, "%s: a level of a topic's name may not "
				 "be empty or begin with a dot", name);
	return 0;
}

void torc_name_to_file(const char *name, char file[TORC_FILE_MAX + 1])
{
	size_t i;

	for (i = 0; name[i]; i++)
		file[i] = name[i] == '/' ? ':' : name[i];
	file[i] = '\0';
}

static int default_directory(char *path, size_t size)
{
	const char *directory = getenv("TORC_DIR");
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (directory && *directory)
		n = snprintf(path, size, "%s", directory);
	else if (runtime && *runtime)
		n = snprintf(path, size, "%s/torc", runtime);
	else
		n = snprintf(path, size, "/dev/shm/torc-%u",
			     (unsigned int)geteuid());
	return n > 0 && (size_t)n < size ? 0 : -ENAMETOOLONG;
}

/* Others than its owner and root must not be able to replace files in it. */
static int check_directory(int fd, const char *path)
{
	struct stat st;

	if (fstat(fd, &st))
		return torc_fail(-errno, "%s: %s", path, strerrordesc_np(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return torc_fail(-EPERM, "%s: the directory belongs to user %u; "
				 "use one of your own or root's (TORC_DIR)",
				 path, (unsigned int)st.st_uid);
	if ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))
		return torc_fail(-EPERM, "%s: others could replace topics in the "
				 "directory; chmod go-w or +t it", path);
	return 0;
}

int torc_directory_open(const char *path, const char *on,
			struct torc_bus **ret_bus)
{
	struct torc_bus *bus;
	int fd, r;

	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return torc_fail(-errno, "%s: cannot open the directory: %s",
				 path, strerrordesc_np(errno));
	r = check_directory(fd, path);
	if (r)
		goto err_close;
	bus = malloc(sizeof(*bus) + strlen(path) + 1);
	if (!bus) {
		r = torc_fail(-ENOMEM, "%s: out of memory", path);
		goto err_close;
	}
	bus->fd = fd;
	bus->references = 1;
	bus->on = on;
	strcpy(bus->path, path);
	*ret_bus = bus;
	return 0;

err_close:
	close(fd);
	return r;
}

int torc_bus_open(const char *directory, struct torc_bus **ret_bus)
{
	char path[PATH_MAX];
	int r;

	if (directory)
		r = (size_t)snprintf(path, sizeof(path), "%s", directory) <
				    sizeof(path) ? 0 : -ENAMETOOLONG;
	else
		r = default_directory(path, sizeof(path));
	if (r)
		return torc_fail(r, "the bus's directory has too long a name");

	if (mkdir(path, 0700) && errno != EEXIST)
		return torc_fail(-errno, "%s: cannot make the directory: %s; set "
				 "TORC_DIR to one that can be",
				 path, strerrordesc_np(errno));
	return torc_directory_open(path, "on bus", ret_bus);
}

struct torc_bus *torc_bus_ref(struct torc_bus *bus)
{
	torc_add(&bus->references, 1u);
	return bus;
}

int torc_bus_get(struct torc_bus *bus, struct torc_bus **ret_bus)
{
	if (!bus)
		return torc_bus_open(NULL, ret_bus);
	*ret_bus = torc_bus_ref(bus);
	return 0;
}

struct torc_bus *torc_bus_close(struct torc_bus *bus)
{
	if (!bus || torc_add(&bus->references, -1u))
		return NULL;
	close(bus->fd);
	free(bus);
	return NULL;
}

const char *torc_bus_path(const struct torc_bus *bus)
{
	return bus->path;
}

int torc_bus_each_file(struct torc_bus *bus,
		       int (*each)(const char *file, void *context),
		       void *context)
{
	struct dirent *entry;
	DIR *directory;
	int fd, r = 0;

	/* A description of its own, for a position of its own. */
	fd = openat(bus->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return torc_fail(r, "bus %s: cannot read the directory: %s",
				 bus->path, strerrordesc_np(-r));
	}
	while (!r && (entry = readdir(directory)))
		r = each(entry->d_name, context);
	closedir(directory);
	return r;
}

struct listing {
	int (*each)(const char *name, void *context);
	void *context;
};

static int list_file(const char *file, void *context)
{
	struct listing *listing = context;
	char name[TORC_NAME_MAX + 1];
	size_t i;

	if (*file == '.' || strlen(file) > TORC_NAME_MAX)
		return 0;
	for (i = 0; file[i]; i++)
		name[i] = file[i] == ':' ? '/' : file[i];
	name[i] = '\0';
	/* Somebody's file, which cannot be a topic. */
	if (!has_good_characters(name) || !has_good_levels(name))
		return 0;
	return listing->each(name, listing->context);
}

int torc_bus_list(struct torc_bus *bus,
		  int (*each)(const char *name, void *context), void *context)
{
	struct listing listing = { each, context };
	int r = torc_bus_get(bus, &bus);

	if (r)
		return r;
	r = torc_bus_each_file(bus, list_file, &listing);
	torc_bus_close(bus);
	return r;
}
