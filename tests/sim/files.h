/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files in memory of this process: everything under FILES_ROOT, for the servers and for LMDB, whose calls of the C
 * library are linked to files.c. No call of the kernel is needed, nothing is left behind, and memory.c puts them back
 * with everything else.
 *
 * There is one process, so locks are always given, and what was written is there until its file is removed.
 */
#ifndef DNVME_TESTS_SIM_FILES_H
#define DNVME_TESTS_SIM_FILES_H

#define FILES_ROOT "/simulated"

#endif
