/* SPDX-License-Identifier: MIT */
/*
 * crash_workload: makes a repository in a memory_tree as the program would,
 * works on it for a while, and keeps what was acknowledged when.
 *
 * One run: init; two snapshots with changes between; a key added, one
 * removed; two processes that take snapshots at the same time; the index
 * rebuilt; one more snapshot; snapshots forgotten and their space collected,
 * the second time while another process takes snapshots, the third time last
 * of all. What the sources held is a function of seed,
 * source and version, so that any process can say it again.
 */
#ifndef TESTS_FAULT_CRASH_WORKLOAD_H
#define TESTS_FAULT_CRASH_WORKLOAD_H

#include "snapshots/timeline.h"
#include "tests/fault/memory_io.h"

#define WORKLOAD_SOURCES 2
#define WORKLOAD_KEYS 3
#define WORKLOAD_FACTS_MAX 64
#define WORKLOAD_SEQS 64   /* numbers of records are below */
#define MODEL_VERSIONS 512 /* more than any test makes */
#define MODEL_FILES 7      /* at most, of one source */

enum fact_kind {
	FACT_INIT_DONE,
	FACT_SNAPSHOT,
	FACT_KEY_ADDED,
	FACT_KEY_GOING,
	FACT_KEY_GONE,
	FACT_FORGETTING, /* seq may be gone from here on */
	FACT_FORGOTTEN,  /* seq must be gone */
};

/* Something that the program acknowledged; the marks in the trace are their numbers. */
struct fact {
	enum fact_kind kind;
	uint32_t key;
	uint32_t source;
	uint32_t version;
	uint64_t seq;
	struct record_id id;
};

struct workload_key {
	bool is_code;
	uint8_t machine[KEY_BYTES];
	char code[RECOVERY_CODE_BYTES];
};

/* A file of a source. */
struct model_file {
	char path[200]; /* absolute */
	uint8_t *data;
	size_t n;
};

struct workload {
	uint64_t seed;
	bool large; /* snapshots of several packs */
	char sources[WORKLOAD_SOURCES][128];
	char folder[128]; /* all of it lies in here */
	struct memory_tree *tree;
	struct store_config config;
	struct key_ring *ring;
	struct workload_key keys[WORKLOAD_KEYS];
	struct fact *facts; /* shared between processes */
	uint32_t *n_facts;
	struct model_file *models[WORKLOAD_SOURCES][MODEL_VERSIONS]; /* as they were asked for */
};

/** Run it all. Returns 0, or -errno when a step of the program failed. */
int workload_record(struct workload *w, uint64_t seed, bool large);
/** Free everything and remove its folder. */
void workload_done(struct workload *w);

/** Make a repository behind `io` with the workload's keys and config, as `yore init` does. */
int workload_init(struct workload *w, struct io *io, bool again);
/** Collect all that can be collected. Returns 0 or -errno, also when something was not whole. */
int workload_collect(struct timeline *t);
/** Take a snapshot of one source as it lies there. */
int workload_capture(struct workload *w, struct timeline *t, uint32_t source,
		     struct snapshot_info *ret_info);

uint32_t model_count(const struct workload *w, uint32_t source, uint32_t version);
/** What file i of a source holds in a version; lives as long as the workload. */
const struct model_file *model_file(struct workload *w, uint32_t source, uint32_t version,
				    uint32_t i);
/** Make the source on disk what it is in this version. Returns 0 or -errno. */
int model_write(struct workload *w, uint32_t source, uint32_t version);

/** Make a private folder in memory-backed storage where there is some. */
void private_folder(char to[static 128]);
/** Remove a folder made by private_folder. */
void private_folder_remove(const char *path);

#endif
