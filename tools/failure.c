/* SPDX-License-Identifier: MIT */
#include "tools/failure.h"

#include "store/base/log.h"
#include "tools/output.h"
#include "tools/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 8192

static bool to_log; /* as the log's sink, one for the process */

void failure_to_log(void)
{
	to_log = true;
}

static void say(const char *format, va_list arguments, const char *end)
{
	char text[TEXT_BYTES];
	char line[TEXT_BYTES * 4 + 1];
	int n = vsnprintf(text, sizeof(text), format, arguments);

	if (n < 0)
		return;
	output_escape(text, strlen(text), line, sizeof(line));
	if (to_log)
		log_error("%s%s%s", line, end ? ": " : "", end ? end : "");
	else
		progress_note("yore: %s%s%s", line, end ? ": " : "", end ? end : "");
}

int failure(enum exit_code code, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments, NULL);
	va_end(arguments);
	return (int)code;
}

void failure_note(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments, NULL);
	va_end(arguments);
}

enum exit_code failure_code(int r)
{
	switch (-r) {
	case ECANCELED:
		return EXIT_CODE_INTERRUPTED;
	case ENOKEY:
		return EXIT_CODE_WRONG_KEY;
	case EBADMSG:
	case EUCLEAN:
		return EXIT_CODE_VERIFY;
	case EBUSY:
	case EWOULDBLOCK:
		return EXIT_CODE_BUSY;
	default:
		return EXIT_CODE_FAILED;
	}
}

const char *failure_reason(int error)
{
	const char *text = strerrordesc_np(error < 0 ? -error : error);

	return text ? text : "unknown error";
}

const char *failure_text(int r)
{
	switch (-r) {
	case ECANCELED:
		return "interrupted";
	case ENOKEY:
		return "no key fits";
	case EBADMSG:
		return "damaged data; run 'yore check --data' to see what is hurt, then 'yore "
		       "repair'";
	case EUCLEAN:
		return "malformed data; run 'yore check' to see what is hurt, then 'yore repair'";
	case EREMOTEIO:
		return "a replica did not answer";
	case ENOSPC:
		return "no space left on the device; free some and run it again, nothing "
		       "acknowledged is lost";
	case EDQUOT:
		return "disk quota exceeded; free some space and run it again, nothing "
		       "acknowledged is lost";
	case EROFS:
		return "read-only file system";
	case EACCES:
	case EPERM:
		return "permission denied; run it as the owner or as root";
	case EBUSY:
		return "busy; another process uses it, try again later";
	case ENOTUNIQ:
		return "ambiguous; give more of the name";
	default:
		return failure_reason(r);
	}
}

int failure_errno(int r, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(format, arguments, failure_text(r));
	va_end(arguments);
	return (int)failure_code(r);
}
