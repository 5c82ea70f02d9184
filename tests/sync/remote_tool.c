/* SPDX-License-Identifier: MIT */
/*
 * remote_tool URL: does with one remote what lines on the standard input say,
 * and answers each with a line: "ok", or the name of the error ("ENOENT").
 *
 *   put NAME FILE    head NAME (ok SIZE)    get NAME FILE    remove NAME
 *   list PREFIX (ok COUNT)    probe (ok FREE_BYTES)    sleep MILLISECONDS
 *
 * Settings come from the environment as those of remote_check; REMOTE_KNOWN
 * (any value) says that the remote has been filled before.
 */
#include "store/crypto.h"
#include "sync/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILE_BYTES_MAX ((size_t)256 * 1024 * 1024)

static struct remote *remote;

static void answer(int64_t r)
{
	if (r < 0)
		printf("%s\n", strerrorname_np((int)-r));
	else
		printf("ok\n");
}

static void answer_number(int r, uint64_t number)
{
	if (r < 0)
		answer(r);
	else
		printf("ok %" PRIu64 "\n", number);
}

/* A whole file; -errno or its size. */
static int64_t read_whole(const char *path, uint8_t **ret_data)
{
	CLEANUP(free_ptr) uint8_t *data = malloc(FILE_BYTES_MAX);
	FILE *file = fopen(path, "re");
	size_t n;

	if (!file || !data)
		return -EIO;
	n = fread(data, 1, FILE_BYTES_MAX, file);
	(void)fclose(file);
	*ret_data = STEAL(data);
	return (int64_t)n;
}

static int put(const char *name, const char *path)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	struct remote_body body = { 0 };
	const int64_t n = read_whole(path, &data);

	if (n < 0)
		return (int)n;
	body.data = data;
	body.size = (uint64_t)n;
	sha256_of(data, (size_t)n, body.sha256);
	return remote_put(remote, name, &body, NULL);
}

static int64_t get(const char *name, const char *path)
{
	CLEANUP(free_ptr) uint8_t *data = malloc(FILE_BYTES_MAX);
	struct remote_stat stat;
	FILE *file;
	int64_t got;

	if (!data)
		return -ENOMEM;
	got = remote_head(remote, name, &stat);
	if (got < 0)
		return got;
	if (stat.size > FILE_BYTES_MAX)
		return -EFBIG;
	got = remote_get(remote, name, 0, data, stat.size, NULL);
	file = got < 0 ? NULL : fopen(path, "we");
	if (got >= 0 && (!file || fwrite(data, 1, (size_t)got, file) != (size_t)got))
		got = -EIO;
	if (file && fclose(file) != 0)
		got = -EIO;
	return got;
}

static int count(void *context, const char *name, const struct remote_stat *stat)
{
	uint64_t *n = context;

	(void)name;
	(void)stat;
	++*n;
	return 0;
}

static void obey(const char *verb, const char *name, const char *file)
{
	struct remote_abilities abilities = { 0 };
	struct remote_stat stat = { 0 };
	uint64_t n = 0;

	if (strcmp(verb, "put") == 0) {
		answer(put(name, file));
	} else if (strcmp(verb, "get") == 0) {
		answer(get(name, file));
	} else if (strcmp(verb, "head") == 0) {
		const int r = remote_head(remote, name, &stat);

		answer_number(r, stat.size);
	} else if (strcmp(verb, "remove") == 0) {
		answer(remote_remove(remote, name));
	} else if (strcmp(verb, "list") == 0) {
		const int r = remote_list(remote, name, count, &n, NULL);

		answer_number(r, n);
	} else if (strcmp(verb, "probe") == 0) {
		const int r = remote_probe(remote, &abilities);

		answer_number(r, abilities.free_bytes);
	} else if (strcmp(verb, "sleep") == 0) {
		(void)usleep((unsigned int)atoi(name) * 1000);
		answer(0);
	} else {
		printf("no command: %s\n", verb);
	}
	(void)fflush(stdout);
}

static struct remote_settings settings_of_environment(void)
{
	return (struct remote_settings){
		.user = getenv("REMOTE_USER"),
		.password = getenv("REMOTE_PASSWORD"),
		.key_file = getenv("REMOTE_KEY_FILE"),
		.known_hosts = getenv("REMOTE_KNOWN_HOSTS"),
		.access_key = getenv("REMOTE_ACCESS_KEY"),
		.secret_key = getenv("REMOTE_SECRET_KEY"),
		.region = getenv("REMOTE_REGION"),
		.ca_file = getenv("REMOTE_CA"),
		.append_only = getenv("REMOTE_APPEND_ONLY") != NULL,
		.known = getenv("REMOTE_KNOWN") != NULL,
	};
}

int main(int argc, char **argv)
{
	const struct remote_settings settings = settings_of_environment();
	const struct transfer_options options = { .connect_ms = 3000, .stall_ms = 5000 };
	CLEANUP(transfer_free_ptr) struct transfer *engine = NULL;
	CLEANUP(free_ptr) char *wrong = NULL;
	char line[1024], verb[16], name[300], file[500];
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: remote_tool URL <COMMANDS\n");
		return 2;
	}
	if (crypto_init() < 0 || transfer_new(&options, &engine) < 0)
		return 1;
	r = remote_open(argv[1], &settings, engine, &remote, &wrong);
	if (r < 0) {
		fprintf(stderr, "remote_tool: %s: %s\n", argv[1], wrong ? wrong : strerror(-r));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		verb[0] = name[0] = file[0] = '\0';
		(void)sscanf(line, "%15s %299s %499s", verb, name, file);
		obey(verb, name, file);
	}
	remote_free(remote);
	return 0;
}
