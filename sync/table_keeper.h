/* SPDX-License-Identifier: MIT */
/*
 * table_keeper: writes this host's range tables into the local repository, from
 * where they go to the remotes like everything else.
 *
 * Each call that finds packs without a table writes one table of them, together
 * with the smallest tables as long as these are less than twice as large: a
 * table is written anew a logarithmic number of times, and as many are left.
 * Tables that were taken up are noted as retired, then removed here.
 *
 * Durability: a table is durable before what it replaces is retired; a crash
 * leaves at most both. Threads and processes: one call at a time (the flock of
 * its ledger, which knows the packs that have a table); others get -EBUSY.
 */
#ifndef SYNC_TABLE_KEEPER_H
#define SYNC_TABLE_KEEPER_H

#include "store/store.h"

/**
 * Write tables of all packs that have none. Packs that tell nothing (damaged
 * ones) are left out and tried again. Returns how many tables were written; -EBUSY; -errno.
 */
int table_keeper_run(struct store *s);

#endif
