/* SPDX-License-Identifier: MIT */
#include "snapshots/audit.h"

#include "tests/unit/snapshot_fixture.h"

struct world {
	struct fixture *f;
	struct timeline *t;
	struct chunk_cache *cache;
	char source[40];
	struct audit_options options;
	struct audit_result result;
	struct snapshot_info snapshot;
	unsigned int damaged;
	char last[512];
};

static void on_damaged(void *context, uint64_t seq, const char *path, const struct chunk_id *object,
		       const char *what)
{
	struct world *w = context;

	w->damaged++;
	(void)snprintf(w->last, sizeof(w->last), "%llu %s %d %s", (unsigned long long)seq,
		       path ? path : "-", object != NULL, what);
	if (getenv("TEST_LOG"))
		fprintf(stderr, "damaged: %s\n", w->last);
}

static void write_noise(struct world *w, const char *name, size_t n, uint64_t seed)
{
	char path[128];
	size_t made = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", w->source, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	while (made < n) {
		uint64_t words[8192];
		size_t k = 0;

		for (; k < sizeof(words) / sizeof(words[0]) && made < n; made += sizeof(seed)) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			words[k++] = seed;
		}
		assert_int_equal(write(fd, words, k * sizeof(seed)), k * sizeof(seed));
	}
	(void)close(fd);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[64];

	assert_non_null(w);
	w->f = fixture_open();
	assert_int_equal(timeline_open(w->f->store, store_host(w->f->store), &w->t), 0);
	assert_int_equal(chunk_cache_new(w->f->store, MIB(8), 0, &w->cache), 0);
	strcpy(w->source, "/tmp/yore-audit-XXXXXX");
	assert_non_null(mkdtemp(w->source));
	(void)snprintf(path, sizeof(path), "%s/dir", w->source);
	assert_int_equal(mkdir(path, 0755), 0);
	write_noise(w, "dir/small", 4096, 1);
	write_noise(w, "big", MIB(3), 2); /* 24 pieces: a list */
	w->options = (struct audit_options){ .damaged = on_damaged, .context = w };
	snapshot_take(w->t, w->source, 0, &w->snapshot);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	chunk_cache_free(w->cache);
	timeline_close(w->t);
	fixture_close(w->f);
	(void)nftw(w->source, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	free(w);
	return 0;
}

static void audit(struct world *w)
{
	w->damaged = 0;
	assert_int_equal(audit_run(w->f->store, w->cache, &w->options, &w->result), 0);
	assert_int_equal(w->damaged, w->result.errors);
}

/* What happens to every pack with file data, which are the larger ones. */
static enum { PACK_REMOVE, PACK_CUT } pack_act;

static int act_on_pack(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type != FTW_F || !strstr(path, "/packs/") || st->st_size < 1000000)
		return 0;
	return pack_act == PACK_REMOVE ? unlink(path) : truncate(path, st->st_size - 1);
}

static void harm_packs(struct world *w, int act)
{
	pack_act = act;
	assert_int_equal(nftw(w->f->folder, act_on_pack, 16, FTW_PHYS), 0);
}

static void test_a_whole_repository_has_no_errors(void **state)
{
	struct world *w = *state;

	audit(w);
	assert_int_equal(w->result.errors, 0);
	assert_int_equal(w->result.records, 1);
	assert_int_equal(w->result.files, 2);
	assert_int_equal(w->result.nodes, 3); /* two directories, one list */
	assert_int_equal(w->result.chunks, 25);
}

static void test_equal_trees_are_read_once(void **state)
{
	struct world *w = *state;
	const struct chunk_id root = w->snapshot.root_tree;

	for (int i = 0; i < 5; i++)
		fixture_append(w->t, clock_now_ns() + i, NULL, &root, &w->snapshot);
	audit(w);
	assert_int_equal(w->result.records, 6);
	assert_int_equal(w->result.nodes, 3);
	assert_int_equal(w->result.errors, 0);
}

static void test_a_missing_pack_is_named_with_the_files_it_costs(void **state)
{
	struct world *w = *state;

	harm_packs(w, PACK_REMOVE);
	audit(w);
	assert_int_equal(w->result.errors, 25);
	assert_non_null(strstr(w->last, "/dir/small 1 part of its contents is missing"));
}

static void test_a_pack_of_the_wrong_size_is_damage(void **state)
{
	struct world *w = *state;

	harm_packs(w, PACK_CUT);
	audit(w);
	assert_int_equal(w->result.errors, 25);
	assert_non_null(strstr(w->last, "damaged"));
}

static void test_missing_nodes_are_named(void **state)
{
	struct world *w = *state;
	const struct chunk_id nowhere = { .bytes = { 1, 2, 3 } };

	fixture_append(w->t, clock_now_ns(), NULL, &nowhere, &w->snapshot);
	audit(w);
	assert_int_equal(w->result.errors, 1);
	assert_string_equal(w->last, "2 / 1 part of the directory is missing");
}

static void test_gaps_are_alarms_unless_forgotten(void **state)
{
	struct world *w = *state;
	const struct chunk_id root = w->snapshot.root_tree;
	char path[RECORD_PATH_BYTES];
	struct snapshot_info second;

	fixture_append(w->t, clock_now_ns(), NULL, &root, &second);
	fixture_append(w->t, clock_now_ns() + 1, NULL, &root, &w->snapshot);
	(void)record_path(timeline_host(w->t), second.seq, &second.id, path);
	assert_int_equal(io_unlink(w->f->io, path, IO_OBJECT_RECORD), 0);
	audit(w);
	assert_int_equal(w->result.errors, 1);
	assert_non_null(strstr(w->last, "2 - 0 the record is missing"));
	fixture_forget(w->t, 2, 2);
	audit(w);
	assert_int_equal(w->result.errors, 0);
}

static bool every_chunk_is_bad(void *context, const struct chunk_id *chunk)
{
	(void)context;
	(void)chunk;
	return true;
}

static void test_shunning_takes_bad_chunks_out_of_use(void **state)
{
	struct world *w = *state;

	assert_int_equal(audit_shun(w->f->store, w->cache, &w->options, NULL, NULL), 0);
	assert_int_equal(w->damaged, 0);
	assert_int_equal(audit_shun(w->f->store, w->cache, &w->options, every_chunk_is_bad, NULL),
			 25);
	assert_int_equal(w->damaged, 25);
}

static void test_cancelling_ends_it(void **state)
{
	struct world *w = *state;
	static const volatile bool cancel = true;

	w->options.cancel = &cancel;
	assert_int_equal(audit_run(w->f->store, w->cache, &w->options, &w->result), -ECANCELED);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(test_a_whole_repository_has_no_errors),
		CLAIM(test_equal_trees_are_read_once),
		CLAIM(test_a_missing_pack_is_named_with_the_files_it_costs),
		CLAIM(test_a_pack_of_the_wrong_size_is_damage),
		CLAIM(test_missing_nodes_are_named),
		CLAIM(test_gaps_are_alarms_unless_forgotten),
		CLAIM(test_shunning_takes_bad_chunks_out_of_use),
		CLAIM(test_cancelling_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
