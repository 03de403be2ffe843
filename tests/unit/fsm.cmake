# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(fsm_records dnvme_fsm)
dnvme_unit_test(placement dnvme_fsm)
dnvme_unit_test(placement_repair dnvme_fsm)
foreach(name fsm fsm_event fsm_version fsm_recover fsm_restore fsm_job fsm_snapshot fsm_snapshot_read fsm_node fsm_server fsm_list fsm_volume fsm_volume_create fsm_slot fsm_controllers fsm_force fsm_forget fsm_member fsm_move fsm_check fsm_check_members fsm_damaged
             fsm_project fsm_project_move fsm_random fsm_alloc)
  dnvme_unit_test(${name} dnvme_fsm)
  target_sources(test_${name} PRIVATE test_fsm_rig.c)
endforeach()
foreach(name fsm_job fsm_snapshot fsm_snapshot_read fsm_force fsm_project fsm_project_move fsm_forget)
  target_sources(test_${name} PRIVATE test_fsm_text.c)
endforeach()
target_sources(test_fsm_version PRIVATE test_recorded_rig.c)
