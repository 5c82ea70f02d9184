/* SPDX-License-Identifier: MIT */
#include "tests/fault/crash_states.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 16384
#define SLOTS 65536u
#define INODES_MAX 16384
#define CANDIDATES_MAX 8
#define WRITES_MAX 64
#define COUNT_MAX (1u << 20)
#define META_BYTES 8192

struct sim_inode {
	bool folder;
	const uint8_t *data; /* as of the last fsync */
	size_t n;
	uint64_t hash;
	int64_t mtime_ns;                           /* LMDB's file only */
	const struct memory_op *writes[WRITES_MAX]; /* since then */
	uint32_t n_writes;
	bool owned; /* data was put together here */
	/* its content in the state being made */
	uint64_t stamp;
	const uint8_t *made;
	size_t made_n;
	uint64_t made_hash;
};

struct sim_name {
	struct memory_name name;
	struct sim_inode *durable; /* NULL: not there */
	struct sim_inode *pending[CANDIDATES_MAX];
	uint32_t n_pending;
};

struct crash_states {
	struct sim_name names[NAMES_MAX];
	uint16_t slots[SLOTS];
	uint32_t n_names;
	struct sim_inode *inodes[INODES_MAX]; /* by the trace's number */
	struct sim_inode folder;              /* every folder's */
	uint64_t stamp;
};

/* ---- mutants ---- */

static bool is_op(const struct memory_op *op, enum memory_op_kind kind, enum io_object object)
{
	return op->kind == kind && op->object == object;
}

/* Ops that make an object durable under its name. */
static bool publishes(const struct memory_op *op, enum io_object object)
{
	return op->object == object && (op->kind == MEMORY_FSYNC || op->kind == MEMORY_RENAME ||
					op->kind == MEMORY_FSYNC_FOLDER);
}

static bool skipped(const struct mutant *m, const struct memory_op *op)
{
	if (m->form != MUTANT_SKIP || !is_op(op, m->kind, m->object))
		return false;
	return !m->folder || strncmp(op->path, m->folder, strlen(m->folder)) == 0;
}

static bool held_back(const struct mutant *m, const struct memory_op *op)
{
	if (m->form == MUTANT_FSYNC_LATE)
		return is_op(op, MEMORY_FSYNC, m->object);
	return m->form == MUTANT_AFTER && publishes(op, m->object);
}

/* Does this op let go what is held back? */
static bool releases(const struct mutant *m, const struct memory_op *op,
		     const struct memory_op *held)
{
	if (m->form == MUTANT_FSYNC_LATE)
		return op->kind == MEMORY_RENAME && op->inode == held->inode;
	return m->form == MUTANT_AFTER && is_op(op, m->after_kind, m->after_object);
}

static size_t apply_order(const struct mutant *m, const struct memory_op *ops, size_t n,
			  struct memory_op *to, size_t *ret_n)
{
	CLEANUP(free_ptr) struct memory_op *held = calloc(n + 1, sizeof(*held));
	size_t n_held = 0, applied = 0, done = 0;

	assert(held);
	for (size_t i = 0; i < n; i++) {
		if (skipped(m, &ops[i])) {
			applied++;
			continue;
		}
		if (held_back(m, &ops[i])) {
			held[n_held++] = ops[i];
			continue;
		}
		to[done++] = ops[i];
		if (n_held > 0 && releases(m, &ops[i], &held[0])) {
			memcpy(&to[done], held, n_held * sizeof(*held));
			done += n_held;
			n_held = 0;
			applied++;
		}
	}
	/* What nothing released came in its place: no mutation. */
	memcpy(&to[done], held, n_held * sizeof(*held));
	*ret_n = done + n_held;
	return applied;
}

static size_t apply_without_rename(const struct mutant *m, struct memory_op *ops, size_t *n)
{
	size_t applied = 0, done = 0;

	for (size_t i = 0; i < *n; i++) {
		if (!is_op(&ops[i], MEMORY_RENAME, m->object))
			continue;
		for (size_t j = i; j-- > 0;) {
			if (ops[j].kind != MEMORY_CREATE || ops[j].inode != ops[i].inode)
				continue;
			ops[j].path = ops[i].to;
			break;
		}
		ops[i].kind = MEMORY_OP_KINDS;
		applied++;
	}
	for (size_t i = 0; i < *n; i++)
		if (ops[i].kind != MEMORY_OP_KINDS)
			ops[done++] = ops[i];
	*n = done;
	return applied;
}

/* Each such op goes to before the one that it should have waited for. */
static size_t apply_early(const struct mutant *m, struct memory_op *ops, size_t n)
{
	size_t applied = 0;

	for (size_t i = 0; i < n; i++) {
		const struct memory_op op = ops[i];
		size_t at = i;

		if (!is_op(&op, m->kind, m->object) ||
		    (m->folder && strncmp(op.path, m->folder, strlen(m->folder)) != 0))
			continue;
		while (at > 0 && !is_op(&ops[at - 1], m->after_kind, m->after_object))
			at--;
		if (at == 0)
			continue;
		at--;
		memmove(&ops[at + 1], &ops[at], (i - at) * sizeof(*ops));
		ops[at] = op;
		applied++;
	}
	return applied;
}

size_t mutant_apply(const struct mutant *m, const struct memory_op *ops, size_t n, size_t from,
		    struct memory_op **ret_ops, size_t *ret_n)
{
	struct memory_op *to = calloc(n + 1, sizeof(*to));
	size_t applied;

	assert(to);
	assert(from <= n);
	if (from > 0)
		memcpy(to, ops, from * sizeof(*to));
	applied = apply_order(m, ops + from, n - from, to + from, ret_n);
	if (m->form == MUTANT_WITHOUT_RENAME)
		applied = apply_without_rename(m, to + from, ret_n);
	if (m->form == MUTANT_EARLY)
		applied = apply_early(m, to + from, *ret_n);
	*ret_n += from;
	*ret_ops = to;
	return applied;
}

/* ---- the disk under the trace ---- */

struct crash_states *crash_states_new(void)
{
	struct crash_states *s = calloc(1, sizeof(*s));

	if (s)
		s->folder.folder = true;
	return s;
}

void crash_states_free(struct crash_states *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < INODES_MAX; i++) {
		if (s->inodes[i] && s->inodes[i]->owned)
			free((void *)s->inodes[i]->data);
		free(s->inodes[i]);
	}
	free(s);
}

static struct sim_name *name_of(struct crash_states *s, const char *path)
{
	const struct memory_name wanted = memory_name_of(path);
	uint64_t i = wanted.hash % SLOTS;
	struct sim_name *name;

	for (; s->slots[i]; i = (i + 1) % SLOTS) {
		name = &s->names[s->slots[i] - 1];
		if (name->name.hash == wanted.hash && strcmp(name->name.path, path) == 0)
			return name;
	}
	assert(s->n_names < NAMES_MAX);
	name = &s->names[s->n_names++];
	name->name = wanted;
	s->slots[i] = (uint16_t)s->n_names;
	return name;
}

static struct sim_inode *inode_of(struct crash_states *s, uint32_t number)
{
	assert(number < INODES_MAX);
	if (!s->inodes[number]) {
		s->inodes[number] = calloc(1, sizeof(struct sim_inode));
		assert(s->inodes[number]);
		s->inodes[number]->hash = memory_hash("", 0);
	}
	return s->inodes[number];
}

static void name_change(struct crash_states *s, const char *path, struct sim_inode *inode)
{
	struct sim_name *name = name_of(s, path);

	/* A name that changes all the time: forget the oldest of what it might be. */
	if (name->n_pending == CANDIDATES_MAX) {
		memmove(name->pending, name->pending + 1,
			(CANDIDATES_MAX - 1) * sizeof(name->pending[0]));
		name->n_pending--;
	}
	name->pending[name->n_pending++] = inode;
}

static size_t grown_size(const struct sim_inode *inode)
{
	size_t n = inode->n;

	for (uint32_t i = 0; i < inode->n_writes; i++) {
		const struct memory_op *w = inode->writes[i];

		if (w->offset + w->n > n)
			n = (size_t)w->offset + w->n;
	}
	return n;
}

static void inode_synced(struct sim_inode *inode)
{
	const size_t n = grown_size(inode);
	uint8_t *data;

	if (inode->n_writes == 0)
		return;
	data = calloc(1, n ? n : 1);
	assert(data);
	if (inode->n > 0)
		memcpy(data, inode->data, inode->n);
	for (uint32_t i = 0; i < inode->n_writes; i++)
		memcpy(data + inode->writes[i]->offset, inode->writes[i]->data,
		       inode->writes[i]->n);
	if (inode->owned)
		free((void *)inode->data);
	inode->owned = true;
	inode->data = data;
	inode->n = n;
	inode->hash = memory_hash(data, n);
	inode->n_writes = 0;
}

static void folder_synced(struct crash_states *s, const char *path)
{
	const uint64_t hash = memory_hash(path, strlen(path));

	for (uint32_t i = 0; i < s->n_names; i++) {
		struct sim_name *name = &s->names[i];

		if (name->name.parent != hash || name->n_pending == 0)
			continue;
		name->durable = name->pending[name->n_pending - 1];
		name->n_pending = 0;
	}
}

/* Files that mean nothing once their holders are gone would only multiply the states. */
static bool means_nothing(const struct memory_op *op)
{
	static const char prefix[] = "local/writers/";

	return op->path && strncmp(op->path, prefix, sizeof(prefix) - 1) == 0;
}

void crash_states_step(struct crash_states *s, const struct memory_op *op)
{
	struct sim_inode *inode = NULL;

	if (means_nothing(op))
		return;
	if (op->inode)
		inode = inode_of(s, op->inode);
	switch (op->kind) {
	case MEMORY_CREATE:
		name_change(s, op->path, inode);
		break;
	case MEMORY_WRITE:
		assert(inode->n_writes < WRITES_MAX);
		inode->writes[inode->n_writes++] = op;
		break;
	case MEMORY_FSYNC:
		inode_synced(inode);
		break;
	case MEMORY_FSYNC_FOLDER:
		folder_synced(s, op->path);
		break;
	case MEMORY_RENAME:
		name_change(s, op->path, NULL);
		name_change(s, op->to, inode);
		break;
	case MEMORY_UNLINK:
		name_change(s, op->path, NULL);
		break;
	case MEMORY_MKDIR:
		name_change(s, op->path, &s->folder);
		break;
	case MEMORY_INDEX:
		inode->data = op->data;
		inode->n = op->n;
		inode->hash = memory_hash(op->data, op->n);
		inode->mtime_ns = (int64_t)op->offset;
		break;
	default:
		break;
	}
}

/* ---- one state ---- */

static bool name_unsettled(const struct sim_name *name)
{
	for (uint32_t i = 0; i < name->n_pending; i++)
		if (name->pending[i] != name->durable)
			return true;
	return false;
}

uint64_t crash_states_count(const struct crash_states *s)
{
	uint64_t count = 1;

	for (uint32_t i = 0; i < s->n_names && count < COUNT_MAX; i++) {
		const struct sim_name *name = &s->names[i];
		const struct sim_inode *inode =
			name->n_pending ? name->pending[name->n_pending - 1] : name->durable;

		if (name_unsettled(name))
			count *= name->n_pending + 1;
		if (!inode || inode->folder)
			continue;
		for (uint32_t w = 0; w < inode->n_writes && count < COUNT_MAX; w++)
			count *= 4 + inode->writes[w]->n / 512;
	}
	return count < COUNT_MAX ? count : COUNT_MAX;
}

/* Let some blocks of a write reach the disk: any of them, or the first few. */
static void tear(const struct memory_op *w, size_t block, uint64_t *seed, uint8_t *to)
{
	const bool any = memory_random(seed) & 1;
	uint64_t cut = w->offset + memory_random(seed) % (w->n + block);
	size_t at = 0;

	while (at < w->n) {
		size_t n = block - (size_t)((w->offset + at) % block);
		bool kept = any ? memory_random(seed) & 1 : w->offset + at + n <= cut;

		if (n > w->n - at)
			n = w->n - at;
		if (kept)
			memcpy(to + w->offset + at, w->data + at, n);
		at += n;
	}
}

static void make_torn(struct sim_inode *inode, uint64_t *seed, struct memory_tree *into)
{
	uint8_t *data = memory_tree_alloc(into, grown_size(inode) + 1);
	size_t n = inode->n;

	memset(data, 0, grown_size(inode) + 1);
	if (inode->n > 0)
		memcpy(data, inode->data, inode->n);
	for (uint32_t i = 0; i < inode->n_writes; i++) {
		const struct memory_op *w = inode->writes[i];
		const uint64_t fate = memory_random(seed) % 5;

		if (fate == 0)
			continue; /* lost, even its effect on the size */
		if (w->offset + w->n > n)
			n = (size_t)w->offset + w->n;
		if (fate == 1)
			memcpy(data + w->offset, w->data, w->n);
		if (fate == 2)
			tear(w, 512, seed, data);
		if (fate == 3)
			tear(w, 4096, seed, data);
		/* 4: the size is there, the bytes are not */
	}
	inode->made = data;
	inode->made_n = n;
	inode->made_hash = memory_hash(data, n);
}

static void make_kept(struct sim_inode *inode, struct memory_tree *into)
{
	const size_t n = grown_size(inode);
	uint8_t *data = memory_tree_alloc(into, n + 1);

	memset(data, 0, n + 1);
	if (inode->n > 0)
		memcpy(data, inode->data, inode->n);
	for (uint32_t i = 0; i < inode->n_writes; i++)
		memcpy(data + inode->writes[i]->offset, inode->writes[i]->data,
		       inode->writes[i]->n);
	inode->made = data;
	inode->made_n = n;
	inode->made_hash = memory_hash(data, n);
}

static void make_content(struct sim_inode *inode, enum crash_choice choice, uint64_t *seed,
			 struct memory_tree *into)
{
	const uint64_t fate = choice == CRASH_ALL_LOST   ? 0
			      : choice == CRASH_ALL_KEPT ? 1
							 : memory_random(seed) % 4;

	inode->made = inode->data;
	inode->made_n = inode->n;
	inode->made_hash = inode->hash;
	if (inode->n_writes == 0 || fate == 0)
		return;
	if (fate == 1)
		make_kept(inode, into);
	else
		make_torn(inode, seed, into);
}

static struct sim_inode *choose(const struct sim_name *name, enum crash_choice choice,
				uint64_t *seed)
{
	uint64_t i;

	if (name->n_pending == 0 || choice == CRASH_ALL_LOST)
		return name->durable;
	if (choice == CRASH_ALL_KEPT)
		return name->pending[name->n_pending - 1];
	i = memory_random(seed) % (name->n_pending + 1);
	return i == 0 ? name->durable : name->pending[i - 1];
}

/* LMDB had begun to make its file, maybe. */
static void put_unborn_index(struct memory_tree *into, enum crash_choice choice, uint64_t *seed)
{
	const uint64_t fate = choice == CRASH_RANDOM ? memory_random(seed) % 4 : 0;
	const struct memory_name name = memory_name_of(MEMORY_INDEX_PATH);
	uint8_t *zeros;

	if (fate < 2 || !memory_tree_has(into, "index") || memory_tree_has(into, MEMORY_INDEX_PATH))
		return;
	zeros = memory_tree_alloc(into, META_BYTES);
	memset(zeros, 0, META_BYTES);
	memory_tree_put_file(into, &name, zeros, fate == 2 ? 0 : META_BYTES, 0);
}

int64_t crash_states_make(struct crash_states *s, enum crash_choice choice, uint64_t *seed,
			  struct memory_tree *into)
{
	bool folder_lost = false;
	int64_t index_mtime_ns = 0;

	memory_tree_clear(into);
	s->stamp++;
	for (uint32_t i = 0; i < s->n_names; i++) {
		const struct sim_name *name = &s->names[i];
		struct sim_inode *inode = choose(name, choice, seed);

		if (!inode) {
			folder_lost |= name->n_pending > 0 && name->pending[0] == &s->folder;
			continue;
		}
		if (inode->folder) {
			memory_tree_put_folder(into, &name->name);
			continue;
		}
		if (inode->stamp != s->stamp)
			make_content(inode, choice, seed, into);
		inode->stamp = s->stamp;
		if (strcmp(name->name.path, MEMORY_INDEX_PATH) == 0)
			index_mtime_ns = inode->mtime_ns;
		memory_tree_put_file(into, &name->name, inode->made, inode->made_n,
				     inode->made_hash);
	}
	if (folder_lost)
		memory_tree_prune(into);
	put_unborn_index(into, choice, seed);
	return index_mtime_ns;
}
