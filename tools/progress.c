/* SPDX-License-Identifier: MIT */
#include "tools/progress.h"

#include "store/base/clock.h"
#include "tools/output.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 512
#define REDRAW_NS 200000000ll

struct progress {
	progress_sampler *sample;
	void *context;
	pthread_t thread;
	pthread_mutex_t mutex; /* guards ended */
	pthread_cond_t wake;
	bool running;
	bool ended;
	bool color;
	int64_t start_ns;
};

/* The terminal is one for the whole process: whether a progress line stands on it. */
static pthread_mutex_t terminal = PTHREAD_MUTEX_INITIALIZER;
static bool line_stands;

/* With `terminal` held. */
static void clear_line(void)
{
	if (line_stands)
		(void)fputs("\r\033[K", stderr);
	line_stands = false;
}

void progress_note(const char *format, ...)
{
	va_list arguments;

	(void)pthread_mutex_lock(&terminal);
	clear_line();
	va_start(arguments, format);
	(void)vfprintf(stderr, format, arguments);
	va_end(arguments);
	(void)fputc('\n', stderr);
	(void)fflush(stderr);
	(void)pthread_mutex_unlock(&terminal);
}

double progress_rate(double rate, uint64_t before, int64_t before_ns, uint64_t done, int64_t now_ns)
{
	double seconds = (double)(now_ns - before_ns) / NS_PER_S;
	double now;

	if (seconds <= 0 || done < before)
		return rate;
	now = (double)(done - before) / seconds;
	if (rate <= 0)
		return now;
	return rate + (now - rate) * (seconds > 1 ? 0.5 : 0.15);
}

static void format_number(uint64_t n, bool bytes, char to[static OUTPUT_SIZE_BYTES])
{
	if (bytes)
		(void)output_size(n, to);
	else
		(void)snprintf(to, OUTPUT_SIZE_BYTES, "%" PRIu64, n);
}

static void append(char *line, const char *text)
{
	size_t n = strlen(line);

	(void)snprintf(line + n, LINE_BYTES - n, "%s%s", n ? "  " : "", text);
}

size_t progress_format(const struct progress_state *state, int64_t elapsed_ns, double rate,
		       size_t width, char *to, size_t room)
{
	char line[LINE_BYTES] = "";
	char part[160], a[OUTPUT_SIZE_BYTES], b[OUTPUT_SIZE_BYTES], time[OUTPUT_TIME_BYTES];
	uint64_t done = state->all && state->done > state->all ? state->all : state->done;
	size_t n;

	append(line, state->verb);
	format_number(done, state->bytes, a);
	if (state->all) {
		format_number(state->all, state->bytes, b);
		(void)snprintf(part, sizeof(part), "%3.0f%%  %s of %s",
			       (double)done * 100 / (double)state->all, a, b);
		append(line, part);
	} else {
		append(line, a);
	}
	if (state->objects) {
		(void)snprintf(part, sizeof(part), "%" PRIu64 " %s", state->objects, state->noun);
		append(line, part);
	}
	if (rate >= 1) {
		format_number((uint64_t)rate, state->bytes, a);
		(void)snprintf(part, sizeof(part), "%s/s", a);
		append(line, part);
	}
	if (state->all && rate >= 1 && rate < 1e15 && done < state->all) {
		double left = (double)(state->all - done) / rate;

		if (left > 86400 * 365)
			left = 86400 * 365;
		output_duration((int64_t)left * NS_PER_S, time);
		(void)snprintf(part, sizeof(part), "%s left", time);
	} else {
		(void)snprintf(part, sizeof(part), "%s", output_duration(elapsed_ns, time));
	}
	append(line, part);

	n = strlen(line);
	if (n > width)
		n = width;
	if (n >= room)
		n = room - 1;
	memcpy(to, line, n);
	to[n] = '\0';
	return n;
}

static size_t terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
		return 79;
	return (size_t)size.ws_col - 1;
}

static void draw(const struct progress *p, const struct progress_state *state, double rate)
{
	char line[LINE_BYTES];

	(void)progress_format(state, clock_monotonic_ns() - p->start_ns, rate, terminal_width(),
			      line, sizeof(line));
	(void)pthread_mutex_lock(&terminal);
	(void)fprintf(stderr, p->color ? "\r\033[2m%s\033[0m\033[K" : "\r%s\033[K", line);
	(void)fflush(stderr);
	line_stands = true;
	(void)pthread_mutex_unlock(&terminal);
}

static void *draw_until_ended(void *argument)
{
	struct progress *p = argument;
	struct progress_state state;
	struct timespec until;
	double rate = 0;
	uint64_t before = 0;
	int64_t before_ns = p->start_ns;

	(void)pthread_mutex_lock(&p->mutex);
	while (!p->ended) {
		int64_t next = clock_monotonic_ns() + REDRAW_NS;

		until = clock_timespec(next);
		if (pthread_cond_timedwait(&p->wake, &p->mutex, &until) != ETIMEDOUT)
			continue;
		(void)pthread_mutex_unlock(&p->mutex);
		memset(&state, 0, sizeof(state));
		p->sample(p->context, &state);
		next = clock_monotonic_ns();
		rate = progress_rate(rate, before, before_ns, state.done, next);
		before = state.done;
		before_ns = next;
		draw(p, &state, rate);
		(void)pthread_mutex_lock(&p->mutex);
	}
	(void)pthread_mutex_unlock(&p->mutex);
	return NULL;
}

static bool terminal_fit(void)
{
	const char *term = getenv("TERM");

	return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

int progress_start(bool quiet, progress_sampler *sample, void *context,
		   struct progress **ret_progress)
{
	CLEANUP(progress_stop_ptr) struct progress *p = calloc(1, sizeof(*p));
	const char *no_color = getenv("NO_COLOR");
	pthread_condattr_t attributes;
	int r;

	if (!p)
		return -ENOMEM;
	p->sample = sample;
	p->context = context;
	p->color = !no_color || !no_color[0];
	p->start_ns = clock_monotonic_ns();
	(void)pthread_mutex_init(&p->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&p->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);

	if (!quiet && terminal_fit()) {
		r = pthread_create(&p->thread, NULL, draw_until_ended, p);
		if (r != 0)
			return -r;
		p->running = true;
	}
	*ret_progress = STEAL(p);
	return 0;
}

void progress_stop(struct progress *p)
{
	if (!p)
		return;
	if (p->running) {
		(void)pthread_mutex_lock(&p->mutex);
		p->ended = true;
		(void)pthread_cond_signal(&p->wake);
		(void)pthread_mutex_unlock(&p->mutex);
		(void)pthread_join(p->thread, NULL);
		(void)pthread_mutex_lock(&terminal);
		clear_line();
		(void)fflush(stderr);
		(void)pthread_mutex_unlock(&terminal);
	}
	(void)pthread_cond_destroy(&p->wake);
	(void)pthread_mutex_destroy(&p->mutex);
	free(p);
}
