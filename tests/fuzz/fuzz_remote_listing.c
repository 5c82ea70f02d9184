/* SPDX-License-Identifier: MIT */
/* What servers say lies in a folder: the first byte chooses the protocol. */
#include "sync/dav_listing.h"
#include "sync/remote_walk.h"
#include "sync/sftp_listing.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int take_resource(void *context, const struct dav_resource *resource)
{
	const struct remote_stat stat = { .size = resource->size };

	if (strchr(resource->path, '/'))
		abort();
	return remote_entries_add(context, resource->path, resource->is_folder, &stat);
}

static int take_entry(void *context, const struct sftp_entry *entry)
{
	const struct remote_stat stat = { .size = entry->size };

	if (strpbrk(entry->name, " \n") || !entry->name[0])
		abort();
	return remote_entries_add(context, entry->name, entry->is_folder, &stat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct remote_entries entries = { 0 };

	if (size < 1)
		return 0;
	if (data[0] & 1)
		(void)dav_listing_children(data + 1, size - 1, take_resource, &entries);
	else
		(void)sftp_listing_parse(data + 1, size - 1, take_entry, &entries);
	for (size_t i = 0; i < remote_entries_n(&entries); i++) {
		const char *name = remote_entries_name(&entries, i);
		const size_t n = strcspn(name, "/");

		if (n == 0 || n > REMOTE_NAME_BYTES_MAX || name[0] == '.' ||
		    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != n)
			abort();
	}
	remote_entries_done(&entries);
	return 0;
}
