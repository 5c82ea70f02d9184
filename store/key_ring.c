/* SPDX-License-Identifier: MIT */
/*
 * A slot is a file keys/<32 hex digits> of exactly 297 bytes; integers are
 * little-endian.
 *
 *     0    8  magic "yore-key"
 *     8    1  version, 1
 *     9    1  kind: 1 password, 2 recovery code, 3 machine key
 *    10    2  zero
 *    12    4  id of the key in force
 *    16    4  Argon2id passes; 0 unless kind is 1
 *    20    4  Argon2id memory in KiB; 0 unless kind is 1
 *    24   16  salt, random
 *    40   32  commitment
 *    72   80  wrapped key list: nonce (24), ciphertext (40), tag (16)
 *   152  113  wrapped label:    nonce (24), ciphertext (73), tag (16)
 *   265   32  BLAKE2b-256, without a key, of bytes 0 to 264
 *
 * secret     = Argon2id 1.3 (password, salt, passes, memory, 1 lane, 32 bytes)
 *            | BLAKE2b-256 ("yore-recovery" then the code's 26 first characters)
 *            | the machine key
 * kek        = BLAKE2b-256, key = secret, of "yore-kek", kind (1 byte), salt
 * commitment = derive(kek, "yorecmit", 1), wrapping key = derive(kek, "yorewrap", 1)
 *
 * where derive(master, context, number) is crypto_kdf of libsodium: BLAKE2b-256
 * of nothing, key = master, salt = LE64(number) and 8 zeros, person = context
 * and 8 zeros.
 *
 * The key list: count (4, always 1), then id (4) and master key (32) of each.
 * The label: time of making in ns since 1970 (8, signed), length (1), text
 * padded with zeros (64). Both are sealed with XChaCha20-Poly1305; additional
 * data = the slot's bytes in front of the nonce, then the 32 bytes of the
 * binding. The list is under the wrapping key, the label under the derived
 * key KEY_SLOT_LABEL, so that an open repository can show all labels.
 *
 * Key number p of enum key_purpose (from 0) = derive(master, "yorekeys", p + 1).
 *
 * The commitment tells a wrong key from damage, and keeps one slot from being
 * opened by two passwords, which the cipher alone would allow.
 *
 * A recovery code is 26 random characters of Crockford's base 32 and 9 more
 * that hold the first 45 bits, highest first, of the BLAKE2b-256 of the 26.
 */
#include "store/key_ring.h"

#include "store/base/bytes.h"
#include "store/base/clock.h"
#include "store/base/log.h"
#include "store/key_ring_internal.h"
#include "store/limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define KEYS_FOLDER "keys"
#define SLOTS_LOCK "local/keys"
#define FIRST_KEY_ID 1

/* About 0.3 s; the memory is what makes guessing dear. */
#define PASSWORD_OPS 3
#define PASSWORD_MEMORY_KIB KIB(128)

#define CODE_RANDOM_CHARS 26
#define CODE_CHECK_CHARS 9
#define CODE_CHARS (CODE_RANDOM_CHARS + CODE_CHECK_CHARS)
#define CODE_GROUP_CHARS 5

static const char code_alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
static const char recovery_context[] = "yore-recovery";
static const char kek_context[] = "yore-kek";

static_assert(CODE_CHARS + CODE_CHARS / CODE_GROUP_CHARS == RECOVERY_CODE_BYTES, "a code's form");
static_assert(sizeof(struct slot_image) <= KEY_SLOT_BYTES_MAX, "a slot is read whole");
static_assert(PASSWORD_MEMORY_KIB * 1024ull <= ARGON2_MEMORY_MAX, "our own slots are taken");
static_assert(PASSWORD_OPS <= ARGON2_OPS_MAX, "our own slots are taken");

/* All in guarded memory. */
struct key_ring {
	uint8_t keys[KEY_PURPOSES][KEY_BYTES];
	uint8_t master[KEY_BYTES];
	uint8_t binding[32];
	uint32_t id;
};

/* Scratch for secrets, in guarded memory. */
struct slot_secrets {
	uint8_t secret[KEY_BYTES];
	uint8_t kek[KEY_BYTES];
	uint8_t wrapping[KEY_BYTES];
	uint8_t commitment[32];
	uint8_t list[SLOT_LIST_BYTES];
};

static void secrets_free_ptr(struct slot_secrets **s)
{
	crypto_secret_free(*s);
}

/* ---- recovery codes ---- */

static int code_digit(char c)
{
	const char *at;

	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	if (c == 'O')
		c = '0';
	if (c == 'I' || c == 'L')
		c = '1';
	at = c ? strchr(code_alphabet, c) : NULL;
	return at ? (int)(at - code_alphabet) : -1;
}

static void code_check(const char random[static CODE_RANDOM_CHARS],
		       char ret_check[static CODE_CHECK_CHARS])
{
	uint8_t digest[32];
	uint64_t bits = 0;

	crypto_blake2b(random, CODE_RANDOM_CHARS, digest);
	for (size_t i = 0; i < 8; i++)
		bits = bits << 8 | digest[i];
	for (size_t i = 0; i < CODE_CHECK_CHARS; i++)
		ret_check[i] = code_alphabet[bits >> (64 - 5 * (i + 1)) & 31];
	crypto_wipe(digest, sizeof(digest));
}

/* Bring a code into its one form, without hyphens and spaces, and check it. */
static int code_normalise(const char *text, char ret_code[static CODE_CHARS])
{
	char check[CODE_CHECK_CHARS];
	size_t n = 0;

	for (; *text; text++) {
		int digit;

		if (*text == '-' || *text == ' ')
			continue;
		digit = code_digit(*text);
		if (digit < 0 || n == CODE_CHARS)
			return -EINVAL;
		ret_code[n++] = code_alphabet[digit];
	}
	if (n != CODE_CHARS)
		return -EINVAL;
	code_check(ret_code, check);
	return crypto_equal(check, ret_code + CODE_RANDOM_CHARS, sizeof(check)) ? 0 : -EINVAL;
}

bool recovery_code_valid(const char *text)
{
	char code[CODE_CHARS];
	int r;

	assert(text);
	r = code_normalise(text, code);
	crypto_wipe(code, sizeof(code));
	return r == 0;
}

int recovery_code_secret(const char *text, uint8_t ret_secret[static KEY_BYTES])
{
	char input[sizeof(recovery_context) - 1 + CODE_CHARS];
	char *code = input + sizeof(recovery_context) - 1;
	int r;

	memcpy(input, recovery_context, sizeof(recovery_context) - 1);
	r = code_normalise(text, code);
	if (r == 0)
		crypto_blake2b(input, sizeof(recovery_context) - 1 + CODE_RANDOM_CHARS, ret_secret);
	crypto_wipe(input, sizeof(input));
	return r;
}

static void code_make(char ret_code[static RECOVERY_CODE_BYTES])
{
	uint8_t random[CODE_RANDOM_CHARS];
	char code[CODE_CHARS];
	size_t at = 0;

	crypto_random(random, sizeof(random));
	for (size_t i = 0; i < CODE_RANDOM_CHARS; i++)
		code[i] = code_alphabet[random[i] & 31];
	code_check(code, code + CODE_RANDOM_CHARS);
	for (size_t i = 0; i < CODE_CHARS; i++) {
		if (i > 0 && i % CODE_GROUP_CHARS == 0)
			ret_code[at++] = '-';
		ret_code[at++] = code[i];
	}
	ret_code[at] = '\0';
	crypto_wipe(random, sizeof(random));
	crypto_wipe(code, sizeof(code));
}

/* ---- the image of a slot ---- */

static void put_le(uint8_t *to, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *from, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)from[i] << (8 * i);
	return v;
}

/* Additional data: the image up to `end`, then the binding. Yields its length. */
static size_t slot_ad(const struct slot_image *image, size_t end, const uint8_t *binding,
		      uint8_t to[static sizeof(*image) + 32])
{
	memcpy(to, image, end);
	memcpy(to + end, binding, 32);
	return end + 32;
}

/* From s->secret make the KEK and what follows from it. */
static int derive_kek(const struct slot_image *image, struct slot_secrets *s)
{
	CLEANUP(id_hasher_free_ptr) struct id_hasher *h = NULL;
	uint8_t input[sizeof(kek_context) - 1 + 1 + SLOT_SALT_BYTES];
	struct chunk_id kek;
	int r;

	r = id_hasher_new(HASH_BLAKE2B, s->secret, &h);
	if (r < 0)
		return r;
	memcpy(input, kek_context, sizeof(kek_context) - 1);
	input[sizeof(kek_context) - 1] = image->kind;
	memcpy(input + sizeof(kek_context), image->salt, SLOT_SALT_BYTES);
	id_hasher_run(h, input, sizeof(input), &kek);
	memcpy(s->kek, kek.bytes, KEY_BYTES);
	crypto_wipe(&kek, sizeof(kek));
	crypto_derive(s->kek, "yorecmit", 1, s->commitment);
	crypto_derive(s->kek, "yorewrap", 1, s->wrapping);
	return 0;
}

/* Fill s->secret from the key given, or from the password. */
static int derive_secret(const struct slot_image *image, const uint8_t *secret,
			 const char *password, struct slot_secrets *s)
{
	if (secret) {
		memcpy(s->secret, secret, KEY_BYTES);
		return 0;
	}
	assert(password);
	return crypto_argon2id(password, strlen(password), image->salt,
			       (uint32_t)get_le(image->argon2_ops, 4),
			       get_le(image->argon2_memory_kib, 4) * 1024, s->secret);
}

static bool parameters_valid(const struct slot_image *image)
{
	const uint64_t ops = get_le(image->argon2_ops, 4);
	const uint64_t memory_kib = get_le(image->argon2_memory_kib, 4);

	switch (image->kind) {
	case SLOT_PASSWORD:
		return ops >= 1 && ops <= ARGON2_OPS_MAX && memory_kib >= 8 &&
		       memory_kib <= ARGON2_MEMORY_MAX / 1024;
	case SLOT_RECOVERY:
	case SLOT_MACHINE:
		return ops == 0 && memory_kib == 0;
	default:
		return false;
	}
}

int slot_image_parse(const void *data, size_t n, struct slot_image *ret_image)
{
	const struct slot_image *image = data; /* bytes only: any address will do */
	uint8_t checksum[sizeof(image->checksum)];

	/* The checksum ends the file in every version: damage is told from a newer format. */
	if (n <= sizeof(checksum))
		return -EBADMSG;
	assert(data);
	crypto_blake2b(data, n - sizeof(checksum), checksum);
	if (memcmp(checksum, (const uint8_t *)data + n - sizeof(checksum), sizeof(checksum)) != 0)
		return -EBADMSG;

	if (n != sizeof(*image))
		return -EUCLEAN;
	if (memcmp(image->magic, SLOT_MAGIC, sizeof(image->magic)) != 0)
		return -EUCLEAN;
	if (image->version != SLOT_VERSION || get_le(image->reserved, 2) != 0)
		return -EUCLEAN;
	if (!parameters_valid(image))
		return -EUCLEAN;
	*ret_image = *image;
	return 0;
}

static int ring_new(const uint8_t binding[static 32], struct key_ring **ret_ring)
{
	struct key_ring *ring = crypto_secret_new(sizeof(*ring));

	if (!ring)
		return -ENOMEM;
	memcpy(ring->binding, binding, sizeof(ring->binding));
	*ret_ring = ring;
	return 0;
}

static void ring_derive(struct key_ring *ring)
{
	for (uint64_t p = 0; p < KEY_PURPOSES; p++)
		crypto_derive(ring->master, "yorekeys", p + 1, ring->keys[p]);
}

/* Unseal time and label. Returns 0, -EBADMSG, or -EUCLEAN. */
static int about_open(const struct slot_image *image, const struct key_ring *ring,
		      struct slot_info *info)
{
	uint8_t ad[sizeof(*image) + 32], about[SLOT_ABOUT_BYTES];
	const char *label = (const char *)about + 9;
	size_t ad_n, n;

	ad_n = slot_ad(image, offsetof(struct slot_image, about), ring->binding, ad);
	if (crypto_unwrap(ring->keys[KEY_SLOT_LABEL], ad, ad_n, image->about, sizeof(about),
			  about) < 0)
		return -EBADMSG;
	n = about[8];
	if (n > SLOT_LABEL_BYTES_MAX)
		return -EUCLEAN;
	info->created_ns = (int64_t)get_le(about, 8);
	memcpy(info->label, label, n);
	info->label[n] = '\0';
	for (size_t at = 0; at < n;) {
		const size_t step = bytes_printable((const uint8_t *)info->label + at);

		if (step == 0)
			return -EUCLEAN;
		at += step;
	}
	return 0;
}

int slot_image_open(const struct slot_image *image, const uint8_t binding[static 32],
		    const uint8_t *secret, const char *password, struct key_ring **ret_ring)
{
	CLEANUP(secrets_free_ptr) struct slot_secrets *s = NULL;
	CLEANUP(key_ring_free_ptr) struct key_ring *ring = NULL;
	uint8_t ad[sizeof(*image) + 32];
	struct slot_info info;
	size_t ad_n;
	int r;

	assert(!secret != !password);
	s = crypto_secret_new(sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = derive_secret(image, secret, password, s);
	if (r == 0)
		r = derive_kek(image, s);
	if (r < 0)
		return r;
	if (!crypto_equal(s->commitment, image->commitment, sizeof(s->commitment)))
		return -ENOKEY;

	ad_n = slot_ad(image, offsetof(struct slot_image, keys), binding, ad);
	r = crypto_unwrap(s->wrapping, ad, ad_n, image->keys, sizeof(s->list), s->list);
	if (r < 0)
		return r;
	if (get_le(s->list, 4) != 1 || memcmp(s->list + 4, image->key_id, 4) != 0)
		return -EUCLEAN;

	r = ring_new(binding, &ring);
	if (r < 0)
		return r;
	ring->id = (uint32_t)get_le(s->list + 4, 4);
	memcpy(ring->master, s->list + 8, KEY_BYTES);
	ring_derive(ring);
	r = about_open(image, ring, &info);
	if (r < 0)
		return r;
	*ret_ring = STEAL(ring);
	return 0;
}

static int label_check(const char *label)
{
	size_t n = 0;

	/* cppcheck-suppress arrayIndexOutOfBoundsCond; "" is not the only label */
	while (label[n]) {
		const size_t step = bytes_printable((const uint8_t *)label + n);

		n += step;
		if (step == 0 || n > SLOT_LABEL_BYTES_MAX)
			return -EINVAL;
	}
	return 0;
}

static void about_seal(const struct key_ring *ring, const char *label, struct slot_image *image)
{
	uint8_t ad[sizeof(*image) + 32], about[SLOT_ABOUT_BYTES] = { 0 };
	size_t ad_n, n = 0;

	put_le(about, (uint64_t)clock_now_ns(), 8);
	for (; label[n]; n++)
		about[9 + n] = (uint8_t)label[n];
	about[8] = (uint8_t)n;
	ad_n = slot_ad(image, offsetof(struct slot_image, about), ring->binding, ad);
	crypto_wrap(ring->keys[KEY_SLOT_LABEL], ad, ad_n, about, sizeof(about), image->about);
}

/* Make a slot's image. One of secret and password is given, as for opening. */
static int slot_image_make(const struct key_ring *ring, enum slot_kind kind, const uint8_t *secret,
			   const char *password, const char *label, struct slot_image *image)
{
	CLEANUP(secrets_free_ptr) struct slot_secrets *s = NULL;
	uint8_t ad[sizeof(*image) + 32];
	size_t ad_n;
	int r;

	memset(image, 0, sizeof(*image));
	memcpy(image->magic, SLOT_MAGIC, sizeof(image->magic));
	image->version = SLOT_VERSION;
	image->kind = (uint8_t)kind;
	put_le(image->key_id, ring->id, 4);
	if (kind == SLOT_PASSWORD) {
		put_le(image->argon2_ops, PASSWORD_OPS, 4);
		put_le(image->argon2_memory_kib, PASSWORD_MEMORY_KIB, 4);
	}
	crypto_random(image->salt, sizeof(image->salt));

	s = crypto_secret_new(sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = derive_secret(image, secret, password, s);
	if (r == 0)
		r = derive_kek(image, s);
	if (r < 0)
		return r;
	memcpy(image->commitment, s->commitment, sizeof(image->commitment));

	put_le(s->list, 1, 4);
	put_le(s->list + 4, ring->id, 4);
	memcpy(s->list + 8, ring->master, KEY_BYTES);
	ad_n = slot_ad(image, offsetof(struct slot_image, keys), ring->binding, ad);
	crypto_wrap(s->wrapping, ad, ad_n, s->list, sizeof(s->list), image->keys);
	about_seal(ring, label, image);
	crypto_blake2b(image, offsetof(struct slot_image, checksum), image->checksum);
	return 0;
}

/* ---- the folder of slots ---- */

struct slot_names {
	char names[KEY_SLOTS_MAX][SLOT_NAME_BYTES + 1];
	size_t n;
	bool too_many;
};

static bool slot_name_valid(const char *name)
{
	uint8_t bytes[SLOT_NAME_BYTES / 2];

	return bytes_from_hex(name, bytes, sizeof(bytes)) == 0;
}

static int collect_name(void *context, const char *name)
{
	struct slot_names *names = context;

	if (!slot_name_valid(name))
		return 0;
	if (names->n == KEY_SLOTS_MAX)
		names->too_many = true;
	else
		memcpy(names->names[names->n++], name, SLOT_NAME_BYTES + 1);
	return 0;
}

static int read_names(struct io *io, struct slot_names *ret_names)
{
	int r;

	ret_names->n = 0;
	ret_names->too_many = false;
	r = io_list(io, KEYS_FOLDER, collect_name, ret_names);
	if (r == -ENOENT)
		return r;
	if (r < 0)
		return log_errno(r, "%s/%s: cannot list the key slots", io_real_path(io),
				 KEYS_FOLDER);
	if (ret_names->too_many)
		log_warning("%s/%s: more than %d key slots; the rest is ignored", io_real_path(io),
			    KEYS_FOLDER, KEY_SLOTS_MAX);
	return 0;
}

static void slot_path(const char *name, char to[static sizeof(KEYS_FOLDER) + SLOT_NAME_BYTES + 1])
{
	(void)snprintf(to, sizeof(KEYS_FOLDER) + SLOT_NAME_BYTES + 1, "%s/%.*s", KEYS_FOLDER,
		       SLOT_NAME_BYTES, name);
}

/* Read and parse one slot. Returns 0, -ENOENT, or another -errno, which is logged. */
static int read_slot(struct io *io, const char *name, struct slot_image *ret_image)
{
	CLEANUP(free_ptr) uint8_t *data = NULL;
	char path[sizeof(KEYS_FOLDER) + SLOT_NAME_BYTES + 1];
	size_t n = 0;
	int r;

	slot_path(name, path);
	r = io_read_file(io, path, KEY_SLOT_BYTES_MAX, &data, &n);
	if (r == -EFBIG)
		r = -EUCLEAN;
	else if (r < 0)
		return r; /* logged there */
	else
		r = slot_image_parse(data, n, ret_image);
	if (r < 0)
		return log_errno(r, "key slot %s is skipped", path);
	return 0;
}

/* What came of trying slots. */
struct attempt {
	const uint8_t *binding;
	size_t n_slots;   /* found */
	size_t n_damaged; /* of these */
	int failure;      /* of a slot that could not be tried to its end, or 0 */
	struct key_ring *ring;
};

static void try_slot(struct attempt *a, const struct slot_image *image, const char *name,
		     const uint8_t *secret, const char *password)
{
	int r = slot_image_open(image, a->binding, secret, password, &a->ring);

	if (r < 0 && r != -ENOKEY)
		a->failure = log_errno(r, "key slot %s/%s cannot be opened", KEYS_FOLDER, name);
}

/* Try all slots of one kind. */
static void try_kind(struct attempt *a, const struct slot_image *images,
		     const struct slot_names *names, enum slot_kind kind, const struct unlock *with)
{
	for (size_t i = 0; i < names->n && !a->ring; i++) {
		if (images[i].kind == kind)
			try_slot(a, &images[i], names->names[i], with->machine_key, with->password);
	}
}

static void try_all(struct attempt *a, const struct slot_image *images,
		    const struct slot_names *names, const struct unlock *unlock)
{
	uint8_t secret[KEY_BYTES];
	struct unlock with = { .machine_key = unlock->machine_key };

	/* Cheap kinds first: an Argon2id run for each password slot comes last. */
	if (unlock->machine_key) {
		try_kind(a, images, names, SLOT_MACHINE, &with);
		return;
	}
	if (recovery_code_secret(unlock->password, secret) == 0) {
		with.machine_key = secret;
		try_kind(a, images, names, SLOT_RECOVERY, &with);
		crypto_wipe(secret, sizeof(secret));
	}
	with = (struct unlock){ .password = unlock->password };
	try_kind(a, images, names, SLOT_PASSWORD, &with);
}

int key_ring_open(struct io *io, const uint8_t binding[static 32], const struct unlock *unlock,
		  struct key_ring **ret_ring)
{
	CLEANUP(free_ptr) struct slot_image *images = NULL;
	struct attempt a = { .binding = binding };
	struct slot_names names;
	int r;

	assert(!unlock->machine_key != !unlock->password);
	assert(ret_ring);
	r = read_names(io, &names);
	if (r < 0)
		return r;
	images = calloc(KEY_SLOTS_MAX, sizeof(*images));
	if (!images)
		return -ENOMEM;
	for (size_t i = 0; i < names.n; i++) {
		/* What could not be read keeps kind 0 and is never tried. */
		r = read_slot(io, names.names[i], &images[i]);
		a.n_slots += r != -ENOENT;
		a.n_damaged += r < 0 && r != -ENOENT;
	}
	if (a.n_slots == 0)
		return -ENOENT;
	if (a.n_slots == a.n_damaged)
		return -EBADMSG;

	try_all(&a, images, &names, unlock);
	if (a.ring) {
		*ret_ring = a.ring;
		return 0;
	}
	return a.failure ? a.failure : -ENOKEY;
}

int key_ring_create(const uint8_t binding[static 32], struct key_ring **ret_ring)
{
	struct key_ring *ring;
	int r;

	assert(ret_ring);
	r = ring_new(binding, &ring);
	if (r < 0)
		return r;
	ring->id = FIRST_KEY_ID;
	crypto_random(ring->master, KEY_BYTES);
	ring_derive(ring);
	*ret_ring = ring;
	return 0;
}

void key_ring_free(struct key_ring *ring)
{
	crypto_secret_free(ring); /* wipes */
}

const uint8_t *key_ring_get(const struct key_ring *ring, enum key_purpose purpose)
{
	assert(purpose < KEY_PURPOSES);
	return ring->keys[purpose];
}

uint32_t key_ring_id(const struct key_ring *ring)
{
	return ring->id;
}

/* One at a time adds or removes slots: two removals must not take the last two away. Returns the
 * descriptor to close. */
static int lock_slots(struct io *io)
{
	int fd, r;

	r = io_mkdir(io, "local", IO_OBJECT_FOLDER);
	if (r < 0)
		return log_errno(r, "local: cannot make the folder");
	fd = io_open(io, SLOTS_LOCK, IO_OPEN_WRITE | IO_OPEN_CREATE, IO_OBJECT_LOCAL);
	if (fd < 0)
		return log_errno(fd, SLOTS_LOCK ": cannot open");
	r = io_lock(io, fd, IO_LOCK_EXCLUSIVE, true);
	if (r < 0) {
		io_close(io, fd);
		return log_errno(r, SLOTS_LOCK ": cannot lock");
	}
	return fd;
}

static int add_locked(struct io *io, const struct slot_image *image,
		      char ret_name[SLOT_NAME_BYTES + 1])
{
	char name[SLOT_NAME_BYTES + 1], path[sizeof(KEYS_FOLDER) + SLOT_NAME_BYTES + 1];
	uint8_t random[SLOT_NAME_BYTES / 2];
	struct slot_names names;
	int r;

	r = read_names(io, &names);
	if (r < 0)
		return r;
	if (names.n == KEY_SLOTS_MAX)
		return log_errno(-ENOSPC, "no more than %d key slots are possible; remove one",
				 KEY_SLOTS_MAX);
	crypto_random(random, sizeof(random));
	(void)bytes_to_hex(random, sizeof(random), name);
	slot_path(name, path);
	r = io_write_file(io, path, image, sizeof(*image), false, IO_OBJECT_KEY);
	if (r < 0)
		return r;
	if (ret_name)
		memcpy(ret_name, name, sizeof(name));
	return 0;
}

static int add_slot(struct io *io, const struct slot_image *image,
		    char ret_name[SLOT_NAME_BYTES + 1])
{
	int lock = lock_slots(io);
	int r;

	if (lock < 0)
		return lock;
	r = add_locked(io, image, ret_name);
	io_close(io, lock);
	return r;
}

int key_ring_add_password(const struct key_ring *ring, struct io *io, const char *password,
			  const char *label, char ret_name[SLOT_NAME_BYTES + 1])
{
	struct slot_image image;
	int r;

	assert(password);
	r = label_check(label ? label : "");
	if (r == 0)
		r = slot_image_make(ring, SLOT_PASSWORD, NULL, password, label ? label : "",
				    &image);
	if (r < 0)
		return log_errno(r, "cannot make a key slot for the password");
	return add_slot(io, &image, ret_name);
}

int key_ring_add_machine(const struct key_ring *ring, struct io *io,
			 const uint8_t machine_key[static KEY_BYTES], const char *label,
			 char ret_name[SLOT_NAME_BYTES + 1])
{
	struct slot_image image;
	int r;

	r = label_check(label ? label : "");
	if (r == 0)
		r = slot_image_make(ring, SLOT_MACHINE, machine_key, NULL, label ? label : "",
				    &image);
	if (r < 0)
		return log_errno(r, "cannot make a key slot for this machine");
	return add_slot(io, &image, ret_name);
}

int key_ring_add_recovery(const struct key_ring *ring, struct io *io,
			  char ret_code[RECOVERY_CODE_BYTES], char ret_name[SLOT_NAME_BYTES + 1])
{
	char code[RECOVERY_CODE_BYTES];
	uint8_t secret[KEY_BYTES];
	struct slot_image image;
	int r;

	code_make(code);
	r = recovery_code_secret(code, secret);
	assert(r == 0);
	r = slot_image_make(ring, SLOT_RECOVERY, secret, NULL, "", &image);
	crypto_wipe(secret, sizeof(secret));
	if (r < 0)
		r = log_errno(r, "cannot make a key slot for a recovery code");
	else
		r = add_slot(io, &image, ret_name);
	if (r == 0)
		memcpy(ret_code, code, sizeof(code));
	crypto_wipe(code, sizeof(code));
	return r;
}

static int remove_locked(const struct key_ring *ring, struct io *io, const char *name)
{
	char path[sizeof(KEYS_FOLDER) + SLOT_NAME_BYTES + 1];
	struct slot_names names;
	size_t n_others = 0;
	bool found = false;
	int r;

	r = read_names(io, &names);
	if (r < 0)
		return r;
	for (size_t i = 0; i < names.n; i++) {
		struct slot_image image;
		struct slot_info info;

		if (strcmp(names.names[i], name) == 0)
			found = true;
		else if (read_slot(io, names.names[i], &image) == 0 &&
			 about_open(&image, ring, &info) == 0)
			n_others++;
	}
	if (!found)
		return -ENOENT;
	/* Only slots that hold this very key count: the rest would open nothing. */
	if (n_others == 0)
		return -EPERM;

	slot_path(name, path);
	r = io_unlink(io, path, IO_OBJECT_KEY);
	if (r == 0)
		r = io_fsync_folder(io, KEYS_FOLDER, IO_OBJECT_KEY);
	if (r < 0 && r != -ENOENT)
		return log_errno(r, "key slot %s: cannot remove", path);
	return r;
}

int key_ring_remove(const struct key_ring *ring, struct io *io, const char *name)
{
	int lock, r;

	assert(name);
	lock = lock_slots(io);
	if (lock < 0)
		return lock;
	r = remove_locked(ring, io, name);
	io_close(io, lock);
	return r;
}

int key_ring_list(const struct key_ring *ring, struct io *io, struct slot_info **ret_slots,
		  size_t *ret_n)
{
	CLEANUP(free_ptr) struct slot_info *slots = NULL;
	struct slot_names names;
	size_t n = 0;
	int r;

	assert(ret_slots);
	assert(ret_n);
	r = read_names(io, &names);
	if (r < 0)
		return r;
	slots = calloc(KEY_SLOTS_MAX, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < names.n; i++) {
		struct slot_info *info = &slots[n];
		struct slot_image image = { 0 };

		if (read_slot(io, names.names[i], &image) < 0)
			continue;
		if (about_open(&image, ring, info) < 0)
			*info = (struct slot_info){ 0 };
		info->kind = image.kind;
		memcpy(info->name, names.names[i], sizeof(info->name));
		n++;
	}
	*ret_slots = STEAL(slots);
	*ret_n = n;
	return 0;
}
