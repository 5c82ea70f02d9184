/* SPDX-License-Identifier: MIT */
#include "tools/config_value.h"

#include "store/base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DURATION_MS_MAX (UINT64_C(10) * 366 * 24 * 3600 * 1000)
#define SIZE_SHIFT_MAX 40
#define FRACTION_DIGITS 3

struct unit {
	const char *name;
	uint64_t ms;
};

static const struct unit units[] = {
	{ "ms", 1 },
	{ "s", 1000 },
	{ "sec", 1000 },
	{ "second", 1000 },
	{ "seconds", 1000 },
	{ "min", 60000 },
	{ "m", 60000 },
	{ "minute", 60000 },
	{ "minutes", 60000 },
	{ "h", 3600000 },
	{ "hour", 3600000 },
	{ "hours", 3600000 },
	{ "d", 86400000 },
	{ "day", 86400000 },
	{ "days", 86400000 },
	{ "w", 604800000 },
	{ "week", 604800000 },
	{ "weeks", 604800000 },
	{ "mo", UINT64_C(31) * 86400000 },
	{ "month", UINT64_C(31) * 86400000 },
	{ "months", UINT64_C(31) * 86400000 },
	{ "y", UINT64_C(366) * 86400000 },
	{ "year", UINT64_C(366) * 86400000 },
	{ "years", UINT64_C(366) * 86400000 },
};

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* Digits, at most 15 of them. */
static int take_digits(const char **at, uint64_t *ret_n)
{
	size_t n = strspn(*at, "0123456789");

	if (n == 0 || n > 15)
		return -EINVAL;
	*ret_n = 0;
	for (size_t i = 0; i < n; i++)
		*ret_n = *ret_n * 10 + (uint64_t)((*at)[i] - '0');
	*at += n;
	return 0;
}

static uint64_t unit_ms(const char *at, size_t n)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == n && strncasecmp(at, units[i].name, n) == 0)
			return units[i].ms;
	return 0;
}

int config_value_duration(const char *text, uint64_t *ret_ms)
{
	const char *at = skip_blanks(text);
	uint64_t sum = 0;

	if (strcmp(at, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	do {
		uint64_t n, ms;
		size_t length;

		if (take_digits(&at, &n) < 0)
			return -EINVAL;
		at = skip_blanks(at);
		length = strcspn(at, " \t0123456789");
		ms = unit_ms(at, length); /* a bare number could be anything */
		if (ms == 0 || n > DURATION_MS_MAX / ms || sum + n * ms > DURATION_MS_MAX)
			return -EINVAL;
		sum += n * ms;
		at = skip_blanks(at + length);
	} while (*at);
	*ret_ms = sum;
	return 0;
}

/* ".5" of a unit; three digits are as exact as it gets. */
static int take_fraction(const char **at, uint64_t *ret_thousandths)
{
	size_t n;

	*ret_thousandths = 0;
	if (**at != '.')
		return 0;
	n = strspn(++*at, "0123456789");
	if (n == 0 || n > FRACTION_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < FRACTION_DIGITS; i++)
		*ret_thousandths = *ret_thousandths * 10 + (i < n ? (uint64_t)((*at)[i] - '0') : 0);
	*at += n;
	return 0;
}

int config_value_size(const char *text, uint64_t *ret_bytes)
{
	static const char letters[] = "kmgt";
	const char *at = skip_blanks(text);
	unsigned int shift = 0;
	uint64_t n, thousandths;
	const char *letter;

	if (take_digits(&at, &n) < 0 || take_fraction(&at, &thousandths) < 0)
		return -EINVAL;
	at = skip_blanks(at);
	letter = *at ? strchr(letters, *at | 0x20) : NULL;
	if (letter) {
		shift = 10 * (unsigned int)(letter - letters + 1);
		at++;
		if (strncasecmp(at, "ib", 2) == 0)
			at += 2;
		else if ((*at | 0x20) == 'b')
			at++;
	} else if ((*at | 0x20) == 'b') {
		at++;
	}
	if (*skip_blanks(at) || shift > SIZE_SHIFT_MAX || n > ((uint64_t)INT64_MAX >> shift) - 1 ||
	    (thousandths && !shift))
		return -EINVAL;
	*ret_bytes = (n << shift) + (thousandths << shift) / 1000;
	return 0;
}

int config_value_bool(const char *text, bool *ret_value)
{
	static const char *const words[2][4] = { { "no", "false", "off", "0" },
						 { "yes", "true", "on", "1" } };

	for (size_t i = 0; i < 8; i++) {
		if (strcasecmp(text, words[i / 4][i % 4]) == 0) {
			*ret_value = i / 4 == 1;
			return 0;
		}
	}
	return -EINVAL;
}

int config_value_number(const char *text, bool percent, unsigned int max, unsigned int *ret_value)
{
	const char *at = text;
	uint64_t n;

	if (take_digits(&at, &n) < 0)
		return -EINVAL;
	at = skip_blanks(at);
	if (percent && *at == '%')
		at++;
	if (*skip_blanks(at) || n > max)
		return -EINVAL;
	*ret_value = (unsigned int)n;
	return 0;
}

/* What stands after a backslash; `at` moves past it. */
static int unescape(const char **at)
{
	int high, low;

	switch (*(*at)++) {
	case '"':
		return '"';
	case '\\':
		return '\\';
	case 'n':
		return '\n';
	case 't':
		return '\t';
	case 'x':
		high = bytes_hex_digit((*at)[0]);
		low = high < 0 ? -1 : bytes_hex_digit((*at)[1]);
		*at += low < 0 ? 0 : 2;
		return low < 0 || high * 16 + low == 0 ? -EINVAL : high * 16 + low;
	default:
		return -EINVAL;
	}
}

int config_value_unquote(char *text)
{
	CLEANUP(free_ptr) char *plain = NULL;
	const char *at = text + 1;
	size_t n = 0;

	if (text[0] != '"')
		return 0;
	plain = malloc(strlen(text) + 1);
	if (!plain)
		return -ENOMEM;
	while (*at && *at != '"') {
		int c = (unsigned char)*at++;

		if (c == '\\')
			c = unescape(&at);
		if (c < 0)
			return c;
		plain[n++] = (char)c;
	}
	if (strcmp(at, "\"") != 0)
		return -EINVAL;
	plain[n] = '\0';
	memcpy(text, plain, n + 1);
	return 0;
}

static bool needs_quotes(const char *path)
{
	size_t n = strlen(path);

	for (const char *p = path; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return true;
	return n > 0 && (path[0] == ' ' || path[0] == '"' || path[n - 1] == ' ');
}

char *config_value_quote(const char *path)
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf b = { 0 };
	char code[8];

	if (!needs_quotes(path))
		return strdup(path);
	byte_buf_u8(&b, '"');
	for (const char *p = path; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < ' ' || c == 0x7f) {
			(void)snprintf(code, sizeof(code), "\\x%02x", c);
			byte_buf_append(&b, code, 4);
			continue;
		}
		if (c == '"' || c == '\\')
			byte_buf_u8(&b, '\\');
		byte_buf_u8(&b, c);
	}
	byte_buf_append(&b, "\"", 2);
	return b.failed ? NULL : strdup((const char *)b.data);
}
