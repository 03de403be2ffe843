/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* No include guard: ends each use of schema.def. */
#undef RECORD_BEGIN
#undef RECORD_END
#undef U64
#undef FLAG
#undef NAME
#undef STRING
#undef TEXT
#undef BINARY
#undef UUID
#undef ID
#undef ENUM
#undef ONE
#undef LIST
#undef STRINGS
