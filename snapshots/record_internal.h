/* SPDX-License-Identifier: MIT */
/*
 * record_internal: a record's plaintext body, for record.c and its tests.
 * Host and sequence are not in it: they stand in the sealed file's header.
 */
#ifndef SNAPSHOTS_RECORD_INTERNAL_H
#define SNAPSHOTS_RECORD_INTERNAL_H

#include "snapshots/record.h"

/** Append the body. 0; -EINVAL when record_body_decode would refuse it; -ENOMEM. */
int record_body_encode(struct byte_buf *to, const struct record *r);
/** Parse a body whole. 0, -EUCLEAN or -ENOMEM; on failure nothing is kept. */
int record_body_decode(const void *data, size_t n, const struct host_id *host, uint64_t seq,
		       struct record *ret_record);

#endif
