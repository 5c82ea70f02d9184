/* SPDX-License-Identifier: MIT */
/* The config file, and the making of a repository. */
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CHUNKER_GEAR 1
#define CONFIG_SUM_AT (CONFIG_BYTES - 32)
#define CONFIG_VERSION_AT STORE_CONFIG_MAGIC_BYTES

static const char config_magic[STORE_CONFIG_MAGIC_BYTES + 1] = "yore repository\n";
static const char binding_domain[24] = "yore config binding v1\n";

void store_config_new(struct store_config *ret_config)
{
	*ret_config = (struct store_config){ .version = FORMAT_VERSION,
					     .hash = crypto_faster_hash(),
					     .chunks = { .min = CHUNK_MIN_DEFAULT,
							 .avg = CHUNK_AVG_DEFAULT,
							 .max = CHUNK_MAX_DEFAULT },
					     .bundle_target = BUNDLE_RAW_TARGET };
	crypto_random(ret_config->repository, REPOSITORY_ID_BYTES);
	ret_config->created_ns = clock_now_ns();
}

int store_config_bytes(const struct store_config *config, uint8_t to[static CONFIG_BYTES])
{
	CLEANUP(byte_buf_done_ptr) struct byte_buf b = { 0 };

	byte_buf_append(&b, config_magic, STORE_CONFIG_MAGIC_BYTES);
	byte_buf_u32(&b, config->version);
	byte_buf_append(&b, config->repository, REPOSITORY_ID_BYTES);
	byte_buf_u8(&b, (uint8_t)config->hash);
	byte_buf_u8(&b, CHUNKER_GEAR);
	byte_buf_u16(&b, 0);
	byte_buf_u32(&b, config->chunks.min);
	byte_buf_u32(&b, config->chunks.avg);
	byte_buf_u32(&b, config->chunks.max);
	byte_buf_u32(&b, config->bundle_target);
	byte_buf_u64(&b, (uint64_t)config->created_ns);
	if (b.failed)
		return -ENOMEM;
	assert(b.n <= CONFIG_SUM_AT);
	memset(to, 0, CONFIG_BYTES);
	memcpy(to, b.data, b.n);
	crypto_blake2b(to, CONFIG_SUM_AT, to + CONFIG_SUM_AT);
	return 0;
}

void store_config_binding(const struct store_config *config, uint8_t ret_binding[static 32])
{
	uint8_t joined[sizeof(binding_domain) + CONFIG_BYTES];
	int r;

	memcpy(joined, binding_domain, sizeof(binding_domain));
	r = store_config_bytes(config, joined + sizeof(binding_domain));
	assert(r == 0); /* 72 bytes of memory */
	crypto_blake2b(joined, sizeof(joined), ret_binding);
}

bool store_config_magic(const void *data, size_t n)
{
	return n >= STORE_CONFIG_MAGIC_BYTES &&
	       memcmp(data, config_magic, STORE_CONFIG_MAGIC_BYTES) == 0;
}

/*
 * Is it a config of ours whose magic or version alone was damaged? Then it must
 * not be called a foreign file, or a newer format.
 */
static bool damaged_beginning(const uint8_t *data, size_t n)
{
	uint8_t copy[CONFIG_BYTES];
	uint8_t sum[32];

	if (n != CONFIG_BYTES)
		return n < STORE_CONFIG_MAGIC_BYTES && memcmp(data, config_magic, n) == 0;
	memcpy(copy, data, n);
	memcpy(copy, config_magic, STORE_CONFIG_MAGIC_BYTES);
	memcpy(copy + CONFIG_VERSION_AT, (const uint8_t[]){ FORMAT_VERSION, 0, 0, 0 }, 4);
	crypto_blake2b(copy, CONFIG_SUM_AT, sum);
	return memcmp(sum, data + CONFIG_SUM_AT, sizeof(sum)) == 0;
}

static bool sizes_valid(const struct store_config *c)
{
	const struct chunker_sizes *z = &c->chunks;

	return z->min >= CHUNK_MIN_FLOOR && z->min < z->avg && z->avg < z->max &&
	       (z->avg & (z->avg - 1)) == 0 && z->max <= CHUNK_RAW_MAX && c->bundle_target > 0 &&
	       c->bundle_target <= CHUNK_RAW_MAX - z->min;
}

/* The fields behind magic and version, of an authentic file. */
static int parse_fields(const uint8_t *data, struct store_config *ret_config)
{
	struct byte_reader b = byte_reader_make(data + CONFIG_VERSION_AT + 4,
						CONFIG_SUM_AT - CONFIG_VERSION_AT - 4);
	struct store_config c = { .version = FORMAT_VERSION };
	uint8_t chunker;

	byte_reader_copy(&b, c.repository, REPOSITORY_ID_BYTES);
	c.hash = (enum hash_algorithm)byte_reader_u8(&b);
	chunker = byte_reader_u8(&b);
	if (byte_reader_u16(&b) != 0)
		return -EUCLEAN;
	c.chunks.min = byte_reader_u32(&b);
	c.chunks.avg = byte_reader_u32(&b);
	c.chunks.max = byte_reader_u32(&b);
	c.bundle_target = byte_reader_u32(&b);
	c.created_ns = (int64_t)byte_reader_u64(&b);
	while (byte_reader_left(&b) > 0)
		if (byte_reader_u8(&b) != 0)
			return -EUCLEAN;
	if (b.bad || !sizes_valid(&c))
		return -EUCLEAN;
	if (chunker != CHUNKER_GEAR || (c.hash != HASH_HMAC_SHA256 && c.hash != HASH_BLAKE2B))
		return -EPROTONOSUPPORT;
	*ret_config = c;
	return 0;
}

int store_config_parse(const uint8_t *data, size_t n, struct store_config *ret_config)
{
	struct byte_reader b = byte_reader_make(data, n);
	uint8_t sum[32];
	uint32_t version;

	if (!store_config_magic(data, n))
		return damaged_beginning(data, n) ? -EUCLEAN : -ENOTUNIQ;
	(void)byte_reader_take(&b, STORE_CONFIG_MAGIC_BYTES);
	version = byte_reader_u32(&b);
	if (b.bad)
		return -EUCLEAN;
	/* Told before the checksum: a newer layout may be longer and end otherwise. */
	if (version > FORMAT_VERSION)
		return damaged_beginning(data, n) ? -EUCLEAN : -EPROTONOSUPPORT;
	if (version != FORMAT_VERSION || n != CONFIG_BYTES)
		return -EUCLEAN;
	crypto_blake2b(data, CONFIG_SUM_AT, sum);
	if (memcmp(sum, data + CONFIG_SUM_AT, sizeof(sum)) != 0)
		return -EUCLEAN;
	return parse_fields(data, ret_config);
}

int store_config_read(struct io *io, struct store_config *ret_config)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	size_t n;
	int r = io_read_file(io, "config", CONFIG_BYTES_MAX, &data, &n);

	if (r == -EFBIG)
		r = -ENOTUNIQ;
	if (r == 0)
		r = store_config_parse(data, n, ret_config);
	return r;
}

/* ---- making ---- */

static const char *const folders[] = {
	"keys", "packs", "records", "tables", "index", "local", "tmp"
};
#define N_FOLDERS (sizeof(folders) / sizeof(folders[0]))

/* An interrupted init leaves these folders, which the next one may take over. */
static int visit_root(void *context, const char *name)
{
	(void)context;
	if (strcmp(name, "config") == 0)
		return -EEXIST;
	if (strcmp(name, "lost+found") == 0)
		return 0;
	for (size_t i = 0; i < N_FOLDERS; i++)
		if (strcmp(name, folders[i]) == 0)
			return 0;
	return -ENOTEMPTY;
}

static int refuse_any(void *context, const char *name)
{
	(void)context;
	(void)name;
	return -ENOTEMPTY;
}

static int unlink_slot(void *context, const char *name)
{
	char path[300];

	if ((size_t)snprintf(path, sizeof(path), "keys/%s", name) >= sizeof(path))
		return -ENAMETOOLONG;
	return io_unlink(context, path, IO_OBJECT_KEY);
}

static int list_if_there(struct io *io, const char *path, io_list_visitor *visit, void *context)
{
	int r = io_list(io, path, visit, context);

	return r == -ENOENT ? 0 : r;
}

int store_prepare(struct io *io)
{
	static const char *const holders[] = { "packs", "records", "tables" };
	struct io_stat st;
	int r = io_stat(io, "config", &st);

	if (r != -ENOENT)
		return r == 0 ? -EEXIST : r;
	r = io_list(io, "", visit_root, NULL);
	if (r < 0)
		return r;
	/* A config may be lost: where anything was stored, nothing is made anew. */
	for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
		r = list_if_there(io, holders[i], refuse_any, NULL);
		if (r < 0)
			return r;
	}
	/* Key slots of an init that never got its config open nothing. */
	r = list_if_there(io, "keys", unlink_slot, io);
	for (size_t i = 0; i < N_FOLDERS && r == 0; i++)
		r = io_mkdir(io, folders[i], IO_OBJECT_FOLDER);
	if (r == 0)
		r = io_fsync_folder(io, "", IO_OBJECT_FOLDER);
	if (r < 0)
		return log_errno(r, "%s: cannot make a repository", io_real_path(io));
	return 0;
}

int store_publish(struct io *io, const struct store_config *config)
{
	uint8_t bytes[CONFIG_BYTES];
	int r = store_config_bytes(config, bytes);

	if (r < 0)
		return r;
	return io_write_file(io, "config", bytes, sizeof(bytes), false, IO_OBJECT_CONFIG);
}
