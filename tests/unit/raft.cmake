# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(entry dnvme_raft)
dnvme_unit_test(consensus dnvme_raft)
dnvme_unit_test(consensus_full dnvme_raft)
dnvme_unit_test(raft_mend dnvme_raft)
dnvme_unit_test(consensus_kill dnvme_raft dnvme_store)
set_tests_properties(unit.consensus_full PROPERTIES SKIP_RETURN_CODE 77)
