/* SPDX-License-Identifier: MIT */
/*
 * log: the one way in which the libraries say something to people.
 *
 * A message is one line, names the object and says what to do next where
 * there is something to do. The sink is chosen by the program; without one,
 * lines go to stderr. No secrets, no file contents.
 *
 * Threads: everything here may be called from any thread.
 */
#ifndef STORE_BASE_LOG_H
#define STORE_BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Gets one finished line without a newline. May be called by several threads at once. */
typedef void log_sink(enum log_level level, const char *line);

/** Messages above this level are dropped. Default: LOG_LEVEL_WARNING. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/** Choose where lines go; NULL means stderr. Call before threads start. */
void log_set_sink(log_sink *sink);

/** Say one line. errno is preserved. Control bytes in the text are shown as \xNN. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/**
 * Say an error line that ends in the text of the negative errno `r`, and
 * return `r`, so that a caller can write: return log_errno(r, "...").
 */
#define log_errno(r, ...)                              \
	({                                             \
		const int log_errno_r_ = (r);          \
		log_reason(log_errno_r_, __VA_ARGS__); \
		log_errno_r_;                          \
	})
/* What it says; that the value comes back unchanged, every caller's compiler is to see. */
void log_reason(int r, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
