/* SPDX-License-Identifier: MIT */
#include "tools/spelling.h"

#include <string.h>

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int least = a < b ? a : b;

	return least < c ? least : c;
}

/* Optimal string alignment over three rows. */
unsigned int spelling_distance(const char *a, const char *b)
{
	unsigned int rows[3][SPELLING_BYTES_MAX + 1];
	size_t a_n = strlen(a), b_n = strlen(b);

	if (a_n > SPELLING_BYTES_MAX || b_n > SPELLING_BYTES_MAX)
		return SPELLING_BYTES_MAX;

	for (size_t j = 0; j <= b_n; j++)
		rows[0][j] = (unsigned int)j;

	for (size_t i = 1; i <= a_n; i++) {
		unsigned int *row = rows[i % 3];
		const unsigned int *above = rows[(i + 2) % 3];
		const unsigned int *two_above = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_n; j++) {
			unsigned int cost = a[i - 1] != b[j - 1];

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two_above[j - 2] + 1 < row[j])
				row[j] = two_above[j - 2] + 1;
		}
	}
	return rows[a_n % 3][b_n];
}

void spelling_offer(struct spelling *s, const char *typed, const char *candidate)
{
	unsigned int distance = spelling_distance(typed, candidate);
	size_t n = strlen(typed);
	unsigned int near = n <= 3 ? 1 : n <= 6 ? 2 : 3;

	/* What somebody began to type counts as near. */
	if (n >= 3 && strncmp(typed, candidate, n) == 0)
		distance = 1;
	if (distance > near || (s->word && distance >= s->distance))
		return;
	s->word = candidate;
	s->distance = distance;
}
