# SPDX-License-Identifier: GPL-2.0-or-later
if(TARGET dnvme_client AND TARGET dnvme_cli)
  dnvme_unit_test(client_text dnvme_cli)
  target_sources(test_client_text PRIVATE test_client_rig.c)
  dnvme_unit_test(client_host dnvme_cli)
  target_sources(test_client_host PRIVATE test_client_scene.c)
  dnvme_unit_test(client_paths dnvme_cli)
  target_sources(test_client_paths PRIVATE test_client_scene.c test_sysfs.c)
  dnvme_unit_test(client_leave dnvme_cli)
  target_sources(test_client_leave PRIVATE test_sysfs.c)
  dnvme_unit_test(client_calls dnvme_client)
  target_sources(test_client_calls PRIVATE test_client_rig.c)
  dnvme_unit_test(client_alloc dnvme_client)
  target_sources(test_client_alloc PRIVATE test_client_rig.c)

  set(flags "")
  if(DNVME_SANITIZE)
    list(APPEND flags -fsanitize=${DNVME_SANITIZE})
  endif()
  if(DNVME_COVERAGE)
    list(APPEND flags --coverage)
  endif()
  add_test(NAME unit.client_example
           COMMAND ${CMAKE_SOURCE_DIR}/tests/client-example/run.sh ${CMAKE_BINARY_DIR} ${CMAKE_SOURCE_DIR}
                   ${CMAKE_C_COMPILER} ${flags})
  add_test(NAME unit.client_usage
           COMMAND ${CMAKE_SOURCE_DIR}/tests/client-example/usage.sh $<TARGET_FILE:dnvme>)
  set_tests_properties(unit.client_example unit.client_usage PROPERTIES LABELS unit TIMEOUT 120)
endif()
