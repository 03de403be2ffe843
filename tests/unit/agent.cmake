# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(agent_plan dnvme_agent)
dnvme_unit_test(agent_crash dnvme_agent)
dnvme_unit_test(agent_members dnvme_agent)
dnvme_unit_test(agent_fence dnvme_agent)
dnvme_unit_test(agent_values dnvme_agent)
dnvme_unit_test(agent_reconcile dnvme_agent)
dnvme_unit_test(agent_session dnvme_agent)
dnvme_unit_test(agent_lease dnvme_agent)
foreach(name agent_plan agent_crash agent_members agent_fence agent_values agent_reconcile agent_session agent_lease)
  target_sources(test_${name} PRIVATE test_agent_rig.c)
  target_compile_definitions(test_${name} PRIVATE
    AGENT_GOLDEN_DIRECTORY="${CMAKE_CURRENT_SOURCE_DIR}/test_agent_golden")
endforeach()
