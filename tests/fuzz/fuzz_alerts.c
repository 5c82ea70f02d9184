/* SPDX-License-Identifier: MIT */
/* The conditions of before a restart. What is taken is written and read again as the same. */
#include "tools/alert_internal.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct condition_list first = { 0 }, second = { 0 };
	CLEANUP(free_ptr) char *text = NULL;
	CLEANUP(free_ptr) char *again = NULL;

	if (condition_list_parse(data, size, &first) < 0)
		return 0;
	text = condition_list_text(&first);
	if (!text || condition_list_parse(text, strlen(text), &second) < 0)
		abort();
	again = condition_list_text(&second);
	if (!again || strcmp(text, again) != 0)
		abort();
	condition_list_done(&first);
	condition_list_done(&second);
	return 0;
}
