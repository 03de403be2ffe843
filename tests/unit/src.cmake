# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(leader_health dnvme_src)
dnvme_unit_test(leader_volumes dnvme_src)
dnvme_unit_test(leader_reported dnvme_src)
dnvme_unit_test(src_table dnvme_src)
dnvme_unit_test(src_connection dnvme_src)
dnvme_unit_test(src_strict dnvme_src)
dnvme_unit_test(src_driver dnvme_src)
target_sources(test_src_driver PRIVATE test_fsm_rig.c)
foreach(name leader_operations leader_slots leader_fencing leader_parted leader_members leader_rebuild leader_standbys leader_force
             leader_unreached)
  dnvme_unit_test(${name} dnvme_src)
  target_sources(test_${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/test_leader_rig.c)
endforeach()
