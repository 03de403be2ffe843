# SPDX-License-Identifier: GPL-2.0-or-later
dnvme_unit_test(base dnvme_base)
dnvme_unit_test(log dnvme_base PkgConfig::SYSTEMD)
dnvme_unit_test(model dnvme_model)
dnvme_unit_test(wire dnvme_wire)
add_test(NAME unit.includes COMMAND ${CMAKE_SOURCE_DIR}/tests/unit/check_includes.sh ${CMAKE_SOURCE_DIR})
set_tests_properties(unit.includes PROPERTIES LABELS unit)
add_executable(protocol_tables protocol_tables.c)
target_link_libraries(protocol_tables PRIVATE dnvme_wire)
add_test(NAME unit.protocol_document
         COMMAND ${CMAKE_SOURCE_DIR}/tests/unit/check_protocol.sh $<TARGET_FILE:protocol_tables>
                 ${CMAKE_SOURCE_DIR}/docs/PROTOCOL.md)
set_tests_properties(unit.protocol_document PROPERTIES LABELS unit)
add_test(NAME unit.kmod COMMAND ${CMAKE_SOURCE_DIR}/tests/unit/check_kmod.sh ${CMAKE_SOURCE_DIR}/kmod)
set_tests_properties(unit.kmod PROPERTIES LABELS unit TIMEOUT 600 SKIP_RETURN_CODE 77)
