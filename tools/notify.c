/* SPDX-License-Identifier: MIT */
#include "tools/notify.h"

#include "store/base/cleanup.h"
#include "store/base/clock.h"
#include "store/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NS_PER_US 1000

/* A path, or with '@' for its first byte a name in the abstract space. */
static bool make_address(const char *name, struct sockaddr_un *ret_address, socklen_t *ret_n)
{
	size_t n = strlen(name);

	*ret_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(ret_address->sun_path))
		return false;
	memcpy(ret_address->sun_path, name, n);
	if (name[0] == '@')
		ret_address->sun_path[0] = '\0';
	/* An abstract name is all of its bytes: no NUL may be counted in. */
	*ret_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (name[0] == '/'));
	return true;
}

static void send_text(const char *text)
{
	const char *name = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address;
	socklen_t n;
	CLEANUP(close_fd_ptr) int fd = -1;

	if (!name)
		return;
	if (!make_address(name, &address, &n)) {
		log_debug("NOTIFY_SOCKET names no socket of the file system or abstract space");
		return;
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
			     (const struct sockaddr *)&address, n) < 0)
		log_debug("the service manager was not told: %s", strerror(errno));
}

void notify_ready(void)
{
	send_text("READY=1");
}

void notify_status(const char *format, ...)
{
	char text[NOTIFY_TEXT_BYTES] = "STATUS=";
	const size_t begin = strlen(text);
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text + begin, sizeof(text) - begin, format, arguments);
	va_end(arguments);
	/* A newline would begin another assignment. */
	for (char *p = text + begin; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	send_text(text);
}

void notify_watchdog(void)
{
	send_text("WATCHDOG=1");
}

void notify_reloading(void)
{
	char text[80];

	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		       clock_monotonic_ns() / NS_PER_US);
	send_text(text);
}

void notify_stopping(void)
{
	send_text("STOPPING=1");
}

/* A decimal number and nothing else. */
static bool parse_number(const char *text, uint64_t *ret_n)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret_n = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0';
}

uint64_t notify_watchdog_us(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t us, wanted;

	if (!getenv("NOTIFY_SOCKET") || !parse_number(getenv("WATCHDOG_USEC"), &us))
		return 0;
	if (pid && (!parse_number(pid, &wanted) || wanted != (uint64_t)getpid()))
		return 0;
	return us;
}
