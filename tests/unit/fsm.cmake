# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(placement dnvme_fsm)
foreach(name fsm fsm_volume fsm_check fsm_project fsm_random fsm_alloc)
  dnvme_unit_test(${name} dnvme_fsm)
  target_sources(test_${name} PRIVATE test_fsm_rig.c)
endforeach()
