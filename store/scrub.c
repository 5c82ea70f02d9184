/* SPDX-License-Identifier: MIT */
#include "store/scrub.h"

#include "store/base/log.h"
#include "store/store_internal.h"

#include <errno.h>
#include <string.h>

/* One pack to look at. */
struct scrub_pack {
	uint32_t number;
	struct pack_info info;
};

/* A scrub under way. */
struct scrub {
	struct store *s;
	const struct scrub_options *options;
	struct scrub_result result;
	struct read_scratch scratch;
	struct id_hasher *hashers[OBJECT_TYPE_MAX + 1];
	uint8_t *plain; /* CHUNK_RAW_MAX */
	struct scrub_pack *packs;
	size_t n_packs, packs_room;
	size_t n_data; /* so many of the first packs are read in full */
	uint64_t all_bytes;
};

static bool cancelled(const struct scrub *b)
{
	return b->options->cancel && *b->options->cancel;
}

static void damage(struct scrub *b, const struct pack_id *pack, const struct chunk_id *chunk,
		   const char *what)
{
	b->result.errors++;
	if (b->options->damaged)
		b->options->damaged(b->options->context, pack, chunk, what);
}

static void advance(struct scrub *b, uint64_t bytes)
{
	b->result.bytes += bytes;
	if (b->options->progress)
		b->options->progress(b->options->context, b->result.bytes, b->all_bytes);
}

static int visit_pack(void *context, uint32_t number, const struct pack_info *info)
{
	struct scrub *b = context;

	if (b->n_packs == b->packs_room) {
		size_t room = b->packs_room ? 2 * b->packs_room : 256;
		struct scrub_pack *packs = reallocarray(b->packs, room, sizeof(*packs));

		if (!packs)
			return -ENOMEM;
		b->packs = packs;
		b->packs_room = room;
	}
	b->packs[b->n_packs++] = (struct scrub_pack){ .number = number, .info = *info };
	return 0;
}

/* Move a random share of the packs to the front. */
static void choose(struct scrub *b)
{
	unsigned int percent = b->options->percent;

	if (percent == 0 || percent > 100)
		percent = 100;
	b->n_data = b->options->data ? (b->n_packs * percent + 99) / 100 : 0;
	for (size_t i = 0; i < b->n_data; i++) {
		struct scrub_pack swapped = b->packs[i];
		uint64_t dice;
		size_t j;

		crypto_random(&dice, sizeof(dice));
		j = i + (size_t)(dice % (b->n_packs - i));
		b->packs[i] = b->packs[j];
		b->packs[j] = swapped;
	}
	for (size_t i = 0; i < b->n_packs; i++)
		if (i < b->n_data || !b->options->data)
			b->all_bytes += b->packs[i].info.size;
}

/* What the pack says it holds, the index must know, at the same place if it is in this pack. */
static int check_line(struct scrub *b, const struct scrub_pack *pack,
		      const struct pack_entry *entry)
{
	struct chunk_place place;
	int r = chunk_index_get(b->s->index, &entry->id, &place);

	if (r == -ENOENT) {
		damage(b, &pack->info.id, &entry->id, "not in the index; run 'yore repair'");
		return 0;
	}
	if (r == -EUCLEAN) {
		damage(b, &pack->info.id, &entry->id,
		       "its line in the index is damaged; run 'yore repair'");
		return 0;
	}
	if (r < 0)
		return r;
	if (place.pack == pack->number &&
	    (place.offset != entry->offset || place.stored_n != entry->stored_n ||
	     place.raw_n != entry->raw_n || place.type != entry->type ||
	     place.codec != entry->codec))
		damage(b, &pack->info.id, &entry->id, "the index says it lies elsewhere");
	return 0;
}

static int check_object(struct scrub *b, const struct scrub_pack *pack, struct pack_reader *reader,
			const struct pack_entry *entry)
{
	struct chunk_id id;
	int r = pack_reader_get(reader, entry, &b->scratch, b->plain);

	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		damage(b, &pack->info.id, &entry->id, "unreadable");
		return 0;
	}
	id_hasher_run(b->hashers[entry->type], b->plain, entry->raw_n, &id);
	if (memcmp(&id, &entry->id, sizeof(id)) != 0)
		damage(b, &pack->info.id, &entry->id, "contents do not match the id");
	return 0;
}

/* Table against index; with `data` also name and objects. */
static int check_opened(struct scrub *b, const struct scrub_pack *pack, struct pack_reader *reader,
			bool data)
{
	CLEANUP(free_ptr) struct pack_entry *entries = NULL;
	enum pack_kind kind;
	size_t n = 0;
	int r;

	if (pack_reader_size(reader) != pack->info.size)
		damage(b, &pack->info.id, NULL, "not as long as it was");
	r = pack_reader_table(reader, &b->scratch, &entries, &n, &kind);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		damage(b, &pack->info.id, NULL, "its table is damaged");
	if (r < 0 && data)
		(void)pack_reader_scan(reader, &b->scratch, &entries, &n);
	if (data) {
		r = pack_reader_verify_name(reader);
		if (r < 0)
			damage(b, &pack->info.id, NULL, "contents do not match the name");
	}
	for (size_t i = 0; i < n; i++) {
		if (cancelled(b))
			return -ECANCELED;
		r = check_line(b, pack, &entries[i]);
		if (r == 0 && data)
			r = check_object(b, pack, reader, &entries[i]);
		if (r < 0)
			return r;
		b->result.objects++;
	}
	return 0;
}

/* Collected while the scrub ran? Then its line is gone as well. */
static bool still_listed(struct scrub *b, const struct scrub_pack *pack)
{
	uint32_t number;

	return chunk_index_find_pack(b->s->index, &pack->info.id, &number) != -ENOENT;
}

static int check_pack(struct scrub *b, const struct scrub_pack *pack, bool data)
{
	CLEANUP(pack_reader_close_ptr) struct pack_reader *reader = NULL;
	struct pack_context context = b->s->context;
	int r;

	context.host = pack->info.host;
	r = pack_reader_open(&context, &pack->info.id, &reader);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT) {
		/* With replicas, a pack may rightly be elsewhere only. */
		if (!b->s->source && still_listed(b, pack))
			damage(b, &pack->info.id, NULL, "missing");
		return 0;
	}
	b->result.packs++;
	if (r < 0) {
		damage(b, &pack->info.id, NULL, "cannot be opened");
		return 0;
	}
	r = check_opened(b, pack, reader, data);
	if (r == 0 && (data || !b->options->data))
		advance(b, pack->info.size);
	return r;
}

static int prepare(struct scrub *b)
{
	int r = read_scratch_init(&b->scratch);

	if (r < 0)
		return r;
	b->plain = malloc(CHUNK_RAW_MAX);
	if (!b->plain)
		return -ENOMEM;
	for (int type = OBJECT_DATA; type <= OBJECT_TYPE_MAX && r == 0; type++)
		r = store_hasher(b->s, (enum object_type)type, &b->hashers[type]);
	if (r == 0)
		r = chunk_index_each_pack(b->s->index, visit_pack, b);
	if (r == 0)
		choose(b);
	return r;
}

int scrub_run(struct store *s, const struct scrub_options *options, struct scrub_result *ret_result)
{
	struct scrub b = { .s = s, .options = options };
	int r = prepare(&b);

	for (size_t i = 0; i < b.n_packs && r == 0; i++)
		r = cancelled(&b) ? -ECANCELED : check_pack(&b, &b.packs[i], i < b.n_data);
	read_scratch_done(&b.scratch);
	for (int type = 0; type <= OBJECT_TYPE_MAX; type++)
		id_hasher_free(b.hashers[type]);
	free(b.plain);
	free(b.packs);
	if (r < 0 && r != -ECANCELED)
		return log_errno(r, "scrub: stopped");
	*ret_result = b.result;
	return r;
}
