/* SPDX-License-Identifier: MIT */
/* A configuration file: whatever is wrong is told, and what is not told is right. */
#include "store/base/cleanup.h"
#include "tools/config_internal.h"
#include "tools/config_text.h"

#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void quiet(void *context, const char *text)
{
	size_t *n = context;

	*n += strlen(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(config_done) struct config c = { 0 };
	size_t told = 0;
	struct config_loader l = { .problem = quiet, .context = &told };
	int r;

	if (size > CONFIG_BYTES_TEXT_MAX)
		return 0;
	r = config_loader_begin(&l, &c);
	if (r == 0)
		r = config_loader_text(&l, "file", (const char *)data, size);
	if (r == 0)
		r = config_loader_end(&l);
	if (r < 0 && r != -ENOMEM && r != -ENOENT)
		abort();
	/* Something is wrong if and only if it is told. */
	if ((l.n_problems > 0) != (told > 0))
		abort();
	if (r == 0 && c.n_entries != config_keys_n + c.n_sources * config_source_keys_n)
		abort();
	for (size_t i = 0; r == 0 && l.n_problems == 0 && i < c.n_sources; i++)
		if (!c.sources[i].path || c.sources[i].path[0] != '/' || !c.sources[i].canonical)
			abort();
	return 0;
}
