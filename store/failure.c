/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the codes of LMDB and the kernel to errors that a person can act on. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "store/internal.h"

void store_contract_broken(const char *condition, const char *file, int line, const char *function)
{
	log_error("the store was used against its contract", "condition=\"%s\" at=%s:%d function=%s", condition, file,
		  line, function);
	abort();
}

int store_errno_set(struct error *error, int errno_value, const char *format, ...)
{
	char text[ERROR_MESSAGE_SIZE / 2];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* EFBIG: a file size limit (RLIMIT_FSIZE, or of the file system). */
	if (errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG) {
		error_set(error, ERROR_NO_CAPACITY, "%s: the disk is full (%s)", text, strerror(errno_value));
		error_hint(error, "make room on the file system of the store");
		return ERROR_NO_CAPACITY;
	}
	return error_set_errno(error, errno_value, "%s", text);
}

int store_error_set(struct error *error, int mdb_code, const char *format, ...)
{
	char text[ERROR_MESSAGE_SIZE / 2];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (mdb_code > 0)
		return mdb_code == ENOMEM ? error_set_nomem(error) : store_errno_set(error, mdb_code, "%s", text);
	switch (mdb_code) {
	case MDB_NOTFOUND:
		return error_set(error, ERROR_NOT_FOUND, "%s: no such key", text);
	case MDB_MAP_FULL:
		error_set(error, ERROR_NO_CAPACITY, "%s: the map of the store is full", text);
		error_hint(error, "reserve room before the transaction");
		return ERROR_NO_CAPACITY;
	case MDB_READERS_FULL:
		return error_set(error, ERROR_NO_CAPACITY, "%s: too many read transactions are open", text);
	case MDB_TXN_FULL:
		return error_set(error, ERROR_TOO_LARGE, "%s: the transaction changes too much", text);
	case MDB_VERSION_MISMATCH:
		error_set(error, ERROR_FAILED_PRECONDITION, "%s: the data file has another version of LMDB's format",
			  text);
		error_hint(error, "start the version of dnvme that wrote it");
		return ERROR_FAILED_PRECONDITION;
	case MDB_INVALID:
		error_set(error, ERROR_FAILED_PRECONDITION, "%s: the data file was not written by dnvme", text);
		error_hint(error, "give dnvme a directory of its own");
		return ERROR_FAILED_PRECONDITION;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
		error_set(error, ERROR_FAILED_PRECONDITION, "%s: the data file is damaged (%s)", text,
			  mdb_strerror(mdb_code));
		error_hint(error, "remove the directory of the store: snapshot and log rebuild the state");
		return ERROR_FAILED_PRECONDITION;
	default:
		return error_set(error, ERROR_INTERNAL, "%s: %s", text, mdb_strerror(mdb_code));
	}
}
