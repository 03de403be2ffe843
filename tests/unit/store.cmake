# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(store dnvme_store PkgConfig::LMDB)
dnvme_unit_test(store_open dnvme_store PkgConfig::LMDB)
dnvme_unit_test(store_dump dnvme_store PkgConfig::LMDB)
dnvme_unit_test(store_verify dnvme_store PkgConfig::LMDB)
foreach(name store store_open store_dump store_verify)
  target_sources(test_${name} PRIVATE ${CMAKE_CURRENT_LIST_DIR}/test_store_rig.c)
endforeach()
