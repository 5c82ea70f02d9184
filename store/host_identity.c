/* SPDX-License-Identifier: MIT */
/*
 * The host id: who writes. It lies in local/host, bound to a hash of the
 * machine, so that a cloned disk does not write under its original's name.
 *
 * local/host: magic (8), host id (16), machine hash (32), BLAKE2b of all that (32).
 */
#include "store/base/log.h"
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HOST_SUM_AT (8 + HOST_ID_BYTES + 32)
#define HOST_FILE_BYTES (HOST_SUM_AT + 32)
#define HOST_PATH_BYTES 96

static const char host_magic[8] = { 'y', 'o', 'r', 'e', 'h', 'o', 's', 't' };
static const char machine_domain[16] = "yore machine id\n";

void host_identity_machine(char to[static 128])
{
	CLEANUP(close_fd_ptr) int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -1 : read(fd, to, 127);

	if (n > 0) {
		to[n] = '\0';
		to[strcspn(to, "\r\n")] = '\0';
		if (to[0] != '\0')
			return;
	}
	if (gethostname(to, 127) < 0)
		to[0] = '\0';
	to[127] = '\0';
}

static void machine_hash(const uint8_t repository[static REPOSITORY_ID_BYTES], const char *machine,
			 uint8_t to[static 32])
{
	uint8_t joined[sizeof(machine_domain) + REPOSITORY_ID_BYTES + 128] = { 0 };

	/* With the repository's id: the file tells nothing about other repositories. */
	memcpy(joined, machine_domain, sizeof(machine_domain));
	memcpy(joined + sizeof(machine_domain), repository, REPOSITORY_ID_BYTES);
	memcpy(joined + sizeof(machine_domain) + REPOSITORY_ID_BYTES, machine,
	       strnlen(machine, 127));
	crypto_blake2b(joined, sizeof(joined), to);
}

static void file_bytes(const struct host_id *host, const uint8_t machine[static 32],
		       uint8_t to[static HOST_FILE_BYTES])
{
	memcpy(to, host_magic, sizeof(host_magic));
	memcpy(to + 8, host->bytes, HOST_ID_BYTES);
	memcpy(to + 8 + HOST_ID_BYTES, machine, 32);
	crypto_blake2b(to, HOST_SUM_AT, to + HOST_SUM_AT);
}

/* Returns 0; -ENOENT; -ESTALE of another machine; -EUCLEAN. The id is set with -ESTALE too. */
static int read_host(struct io *io, const uint8_t machine[static 32], struct host_id *ret_host)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	uint8_t sum[32];
	size_t n;
	int r = io_read_file(io, "local/host", HOST_FILE_BYTES, &data, &n);

	if (r < 0)
		return r == -EFBIG ? -EUCLEAN : r;
	if (n != HOST_FILE_BYTES || memcmp(data, host_magic, sizeof(host_magic)) != 0)
		return -EUCLEAN;
	crypto_blake2b(data, HOST_SUM_AT, sum);
	if (memcmp(sum, data + HOST_SUM_AT, sizeof(sum)) != 0)
		return -EUCLEAN;
	memcpy(ret_host->bytes, data + 8, HOST_ID_BYTES);
	return memcmp(data + 8 + HOST_ID_BYTES, machine, 32) == 0 ? 0 : -ESTALE;
}

/* All folders at once, so that writers never race to make one. */
static int make_folders(struct io *io, const struct host_id *host)
{
	static const char *const roots[] = { "records", "tables", "packs" };
	char hex[2 * HOST_ID_BYTES + 1];
	char path[HOST_PATH_BYTES];
	int r = 0;

	bytes_to_hex(host->bytes, HOST_ID_BYTES, hex);
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) && r == 0; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", roots[i], hex);
		r = io_mkdir(io, roots[i], IO_OBJECT_FOLDER);
		if (r == 0)
			r = io_mkdir(io, path, IO_OBJECT_FOLDER);
		if (r == 0)
			r = io_fsync_folder(io, roots[i], IO_OBJECT_FOLDER);
	}
	for (unsigned int shard = 0; shard < 256 && r == 0; shard++) {
		(void)snprintf(path, sizeof(path), "packs/%s/%02x", hex, shard);
		r = io_mkdir(io, path, IO_OBJECT_FOLDER);
	}
	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "packs/%s", hex);
	r = io_fsync_folder(io, path, IO_OBJECT_FOLDER);
	return r < 0 ? r : io_fsync_folder(io, "", IO_OBJECT_FOLDER);
}

/* Another machine's id stays beside ours: nothing is deleted. */
static int keep_old(struct io *io, const struct host_id *old)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char hex[2 * HOST_ID_BYTES + 1];
	char path[HOST_PATH_BYTES];
	size_t n;
	int r = io_read_file(io, "local/host", HOST_FILE_BYTES, &data, &n);

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "local/host-%s",
		       bytes_to_hex(old->bytes, HOST_ID_BYTES, hex));
	return io_write_file(io, path, data, n, true, IO_OBJECT_LOCAL);
}

static int make_host(struct io *io, const uint8_t machine[static 32], bool replace,
		     struct host_id *ret_host)
{
	uint8_t bytes[HOST_FILE_BYTES];
	struct host_id host;
	int r;

	crypto_random(host.bytes, HOST_ID_BYTES);
	r = make_folders(io, &host);
	if (r == 0)
		r = io_mkdir(io, "local", IO_OBJECT_FOLDER);
	if (r < 0)
		return log_errno(r, "%s: cannot make the folders of this host", io_real_path(io));
	file_bytes(&host, machine, bytes);
	r = io_write_file(io, "local/host", bytes, sizeof(bytes), replace, IO_OBJECT_LOCAL);
	/* Somebody was faster: the id that is there is this machine's. */
	if (r == -EEXIST)
		return read_host(io, machine, ret_host);
	if (r == 0)
		*ret_host = host;
	return r;
}

int host_identity_load(struct io *io, const uint8_t repository[static REPOSITORY_ID_BYTES],
		       const char *machine, enum store_mode mode, struct host_id *ret_host)
{
	uint8_t hash[32];
	struct host_id old;
	int r;

	machine_hash(repository, machine, hash);
	r = read_host(io, hash, &old);
	if (r == 0) {
		*ret_host = old;
		return 0;
	}
	if (mode == STORE_READ_ONLY) {
		/* Nothing will be written under it. */
		crypto_random(ret_host->bytes, HOST_ID_BYTES);
		return 0;
	}
	if (r == -ESTALE) {
		log_warning("%s: this machine is not the one that used this repository last "
			    "(a cloned or moved disk?); it goes on under a new host id, and "
			    "nothing of the other's is touched",
			    io_real_path(io));
		r = keep_old(io, &old);
		if (r < 0)
			return r;
		return make_host(io, hash, true, ret_host);
	}
	if (r == -EUCLEAN) {
		log_warning("%s/local/host is damaged; this machine goes on under a new host id",
			    io_real_path(io));
		return make_host(io, hash, true, ret_host);
	}
	return r == -ENOENT ? make_host(io, hash, false, ret_host) : r;
}
