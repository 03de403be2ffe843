# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(entry dnvme_raft)
dnvme_unit_test(consensus dnvme_raft)
set_tests_properties(unit.consensus PROPERTIES ENVIRONMENT
  "LSAN_OPTIONS=suppressions=${CMAKE_CURRENT_SOURCE_DIR}/leaks.suppressions;ASAN_OPTIONS=malloc_context_size=2")
