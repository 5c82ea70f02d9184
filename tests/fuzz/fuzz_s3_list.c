/* SPDX-License-Identifier: MIT */
/* What an S3 server says in XML. */
#include "sync/s3_answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_page page;
	struct s3_error error;

	s3_error_read(data, size, &error);
	if (strnlen(error.code, sizeof(error.code)) == sizeof(error.code) ||
	    strnlen(error.message, sizeof(error.message)) == sizeof(error.message))
		abort();
	if (s3_page_read(data, size, &page) < 0)
		return 0;
	for (size_t i = 0; i < page.n; i++)
		if (strlen(s3_page_key(&page, i)) == 0 ||
		    s3_page_key(&page, i) + strlen(s3_page_key(&page, i)) >=
			    (const char *)page.keys.data + page.keys.n)
			abort();
	if (page.next && !*page.next)
		abort();
	s3_page_done(&page);
	return 0;
}
