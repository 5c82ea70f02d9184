/* SPDX-License-Identifier: MIT */
#include "sync/remote_staged.h"

#include "store/base/log.h"
#include "sync/remote_body.h"

#include <errno.h>

static int stage(struct remote *r, const struct remote_stages *stages, const char *tmp,
		 const struct remote_body *body, const volatile bool *cancel)
{
	int is;

	is = stages->upload(r, tmp, body, cancel);
	if (is < 0)
		return is;
	/* Servers there are that keep half a file and say that all went well. */
	is = stages->look(r, tmp, body->size);
	if (is < 0)
		return is;
	return is == 1 ? 0 : -EBADMSG;
}

/* Whatever the answer to the move was, or if it got lost: what counts is what is there now. */
static int publish(struct remote *r, const struct remote_stages *stages, const char *tmp,
		   const char *name, uint64_t size)
{
	const int moved = stages->move(r, tmp, name);
	const int is = stages->look(r, name, size);

	if (moved != 0)
		stages->discard(r, tmp);
	if (is == 1)
		return 0;
	if (is < 0)
		return is;
	return moved < 0 && moved != -EEXIST ? moved : -EREMOTEIO;
}

int remote_staged_put(struct remote *r, const struct remote_stages *stages, const char *name,
		      const struct remote_body *body, const volatile bool *cancel)
{
	char tmp[40];
	int is;

	is = stages->look(r, name, body->size);
	if (is != 0)
		return is < 0 ? is : 0;
	is = remote_body_check(body, cancel);
	if (is == -EIO)
		log_info("%s: not sent to %s: what is here is damaged", name, r->url);
	if (is < 0)
		return is;
	io_tmp_name(tmp);
	is = stage(r, stages, tmp, body, cancel);
	if (is < 0)
		stages->discard(r, tmp);
	else
		is = publish(r, stages, tmp, name, body->size);
	return is == -ENOENT ? -EREMOTEIO : is;
}
