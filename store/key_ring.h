/* SPDX-License-Identifier: MIT */
/*
 * key_ring: the repository's keys, and the slots from which they are opened.
 *
 * The key list (one random master key in format 1) lies in keys/<random>,
 * wrapped once per slot: by a password (Argon2id), by a recovery code (130
 * random bits) or by a machine key that lives outside the repository. All
 * working keys are derived from the master key. Bytes: yore-format(5), "Keys".
 *
 * Durability: key_ring_create and the slot functions return after fsync of the
 * file and of its folder. Threads: a key_ring is immutable once open.
 */
#ifndef STORE_KEY_RING_H
#define STORE_KEY_RING_H

#include "store/base/cleanup.h"
#include "store/base/io.h"
#include "store/crypto.h"

enum slot_kind { SLOT_PASSWORD = 1, SLOT_RECOVERY = 2, SLOT_MACHINE = 3 };

/* "YYYYY-..." : seven groups of five capitals and digits, 130 bits and a check, and a NUL. */
#define RECOVERY_CODE_BYTES 42
#define SLOT_NAME_BYTES 32 /* hex digits of keys/<name> */
#define SLOT_LABEL_BYTES_MAX 64

/* Derived keys by purpose. */
enum key_purpose {
	KEY_DATA_ID,    /* ids of file contents: pieces, bundles */
	KEY_TREE_ID,    /* ids of directory nodes */
	KEY_LIST_ID,    /* ids of piece-list nodes */
	KEY_CHUNKER,    /* gear table */
	KEY_PACK_WRAP,  /* wraps each pack's own key */
	KEY_RECORD,     /* seals records */
	KEY_TABLE,      /* seals tables of packs (replicas) */
	KEY_PLACEMENT,  /* where nodes are cut, inode numbers */
	KEY_SLOT_LABEL, /* seals the labels of slots */
	KEY_PURPOSES
};

/* Something that may open a slot. Exactly one of the two is given. */
struct unlock {
	const uint8_t *machine_key; /* KEY_BYTES, or NULL */
	const char *password;       /* a password or a recovery code, or NULL */
};

struct slot_info {
	char name[SLOT_NAME_BYTES + 1];
	enum slot_kind kind;
	int64_t created_ns;
	char label[SLOT_LABEL_BYTES_MAX + 1]; /* printable UTF-8, "" if it could not be read */
};

struct key_ring;

/** A fresh master key, in memory only. `binding` ties slots to their repository's config. */
int key_ring_create(const uint8_t binding[static 32], struct key_ring **ret_ring);
/**
 * Open the first slot in keys/ that `unlock` fits. `binding` must be what the
 * slots were made with. A string is tried as a recovery code if it has the
 * form and check of one, and as a password. Damaged slots are named in the log
 * and skipped. Returns 0; -ENOKEY when none fits; -EBADMSG when every slot is
 * damaged, or one fits but was tampered with or bound to another config;
 * -ENOENT when there is no slot at all.
 */
int key_ring_open(struct io *io, const uint8_t binding[static 32], const struct unlock *unlock,
		  struct key_ring **ret_ring);
/** Wipes the keys. NULL is fine. */
void key_ring_free(struct key_ring *ring);
CLEANUP_DEFINE(struct key_ring, key_ring_free)

/** The derived key for a purpose; lives as long as the ring. */
const uint8_t *key_ring_get(const struct key_ring *ring, enum key_purpose purpose);
/** Number of the key in force, written beside whatever it wraps. */
uint32_t key_ring_id(const struct key_ring *ring);

/**
 * Write a slot durably; the folder keys/ must exist. `label` may be NULL. Name
 * of the slot in ret_name if not NULL. Returns 0; -EINVAL for a label that is
 * too long or not printable; -ENOSPC past KEY_SLOTS_MAX slots; or -errno.
 */
int key_ring_add_password(const struct key_ring *ring, struct io *io, const char *password,
			  const char *label, char ret_name[SLOT_NAME_BYTES + 1]);
int key_ring_add_machine(const struct key_ring *ring, struct io *io,
			 const uint8_t machine_key[static KEY_BYTES], const char *label,
			 char ret_name[SLOT_NAME_BYTES + 1]);
/** Makes a new code, writes its slot, hands the code out this once. */
int key_ring_add_recovery(const struct key_ring *ring, struct io *io,
			  char ret_code[RECOVERY_CODE_BYTES], char ret_name[SLOT_NAME_BYTES + 1]);
/** Remove a slot. -ENOENT; -EPERM when no other intact slot holds this key. Durable on return. */
int key_ring_remove(const struct key_ring *ring, struct io *io, const char *name);
/** All slots but damaged ones (these are logged), unsorted; the caller frees *ret_slots. */
int key_ring_list(const struct key_ring *ring, struct io *io, struct slot_info **ret_slots,
		  size_t *ret_n);

/**
 * Does the text have the form of a recovery code with a right check? Lower
 * case, O for 0, I and L for 1 are taken; hyphens and spaces do not matter.
 */
bool recovery_code_valid(const char *text);

#endif
