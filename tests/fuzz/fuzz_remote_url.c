/* SPDX-License-Identifier: MIT */
#include "sync/remote_url.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A path without surprises, also after it was encoded for a server. */
static void check_path(const struct remote_url *u)
{
	char *encoded = remote_url_encode(u->path);

	for (const char *c = u->path; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			abort();
	if (u->kind != REMOTE_KIND_FOLDER && strstr(u->path, "//"))
		abort();
	if (encoded && strpbrk(encoded, "?#\" '\\@:"))
		abort();
	free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct remote_url u;
	char *wrong;
	int r;

	if (!text)
		return 0;
	r = remote_url_parse(text, &u, &wrong);
	if (r == 0) {
		if (wrong || u.kind > REMOTE_KIND_S3 || !u.path)
			abort();
		if ((u.kind == REMOTE_KIND_SFTP || u.kind == REMOTE_KIND_WEBDAV) && !u.host)
			abort();
		if (u.host && strpbrk(u.host, "@/?#% \"'\\"))
			abort();
		check_path(&u);
		remote_url_done(&u);
	} else if ((r != -EINVAL && r != -EPERM && r != -ENOMEM) || (!wrong && r != -ENOMEM)) {
		abort();
	}
	free(wrong);
	free(text);
	return 0;
}
