# Tests that link the command line itself (driver/command/), which the unit tests do not.
if(CMOCKA_LIBRARY AND TARGET ingot)
  add_executable(test_reproducer ${PROJECT_SOURCE_DIR}/tests/command/test_reproducer.c ${command_sources})
  set_target_properties(test_reproducer PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  target_include_directories(test_reproducer PRIVATE ${PROJECT_SOURCE_DIR}/driver ${PROJECT_SOURCE_DIR}/driver/command)
  target_link_libraries(test_reproducer PRIVATE ${layers} external ${CMOCKA_LIBRARY})
  add_test(NAME unit/test_reproducer COMMAND test_reproducer)
  set_tests_properties(unit/test_reproducer PROPERTIES LABELS unit TIMEOUT 1800)
endif()
