/* SPDX-License-Identifier: MIT */
/*
 * swap_names: preloaded, it plays the other process that a capture races with:
 * right before a file of a certain name is opened for reading, the file named
 * "gone" is deleted and "fresh" is renamed over "other".
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int open_function(int at, const char *path, int flags, ...);

static void interfere(int at, const char *path, int flags)
{
	if (!(flags & O_NOATIME)) /* not the capture's reading */
		return;
	if (strcmp(path, "gone") == 0)
		(void)unlinkat(at, path, 0);
	if (strcmp(path, "other") == 0)
		(void)renameat(at, "fresh", at, path);
}

static int next_open(const char *symbol, int at, const char *path, int flags, int mode)
{
	open_function *next = (open_function *)dlsym(RTLD_NEXT, symbol);

	interfere(at, path, flags);
	return next(at, path, flags, mode);
}

#define INTERPOSE(symbol)                                                                      \
	__attribute__((visibility("default"))) int symbol(int at, const char *path, int flags, \
							  ...);                                \
	int symbol(int at, const char *path, int flags, ...)                                   \
	{                                                                                      \
		va_list arguments;                                                             \
		int mode;                                                                      \
                                                                                               \
		va_start(arguments, flags);                                                    \
		mode = va_arg(arguments, int);                                                 \
		va_end(arguments);                                                             \
		return next_open(#symbol, at, path, flags, mode);                              \
	}

#undef openat64
INTERPOSE(openat)
INTERPOSE(openat64)
