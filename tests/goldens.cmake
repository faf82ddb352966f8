# Golden, error and command-line tests: every file below these folders, found by tests/run.py.
if(Python3_FOUND AND TARGET ingot)
  foreach(folder passes loop errors cli)
    add_test(NAME ${folder}
      COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/run.py --ingot=$<TARGET_FILE:ingot> ${folder})
    set_tests_properties(${folder} PROPERTIES TIMEOUT 3600)
  endforeach()
endif()
